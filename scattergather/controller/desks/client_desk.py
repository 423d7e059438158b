"""What a client may ask of its controller: one branch a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from twisted.logger import Logger

from scattergather.controller.desks.board import Board
from scattergather.controller.desks.changes import HostChanges
from scattergather.controller.desks.file_desk import FileDesk
from scattergather.controller.desks.surveys import Surveys
from scattergather.controller.jobs.driver import Driver
from scattergather.controller.roster import Roster
from scattergather.controller.seams import ClientEnd
from scattergather.controller.values.objects import ObjectLedger
from scattergather.scheduler import actions, events
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined, Done, TasksDropped


class ClientDesk:
    """Serves the client. Reactor thread only."""

    log = Logger()

    def __init__(
        self,
        *,
        roster: Roster,
        driver: Driver,
        objects: ObjectLedger,
        store: Store,
        surveys: Surveys,
        changes: HostChanges,
        board: Board,
        files: FileDesk,
        client: ClientEnd,
        settle: Callable[[messages.TaskPlace], None],
        die: Callable[[], None],
    ) -> None:
        self._roster = roster
        self._driver = driver
        self._objects = objects
        self._store = store
        self._surveys = surveys
        self._changes = changes
        self._board = board
        self._files = files
        self._client = client
        self._send = client.send
        self._settle = settle
        self._die = die

    def receive(self, message: messages.ToController, body: bytes) -> None:
        """Serve one message."""
        match message:
            case messages.AddTasks():
                self._driver.add_tasks(message, body)
            case messages.AddJob():
                self._driver.add_job(message)
            case messages.EndTasks():
                self._driver.end_tasks(message)
            case messages.Code():
                self._roster.shelf.keep(message, body)
            case messages.Forget():
                self._roster.shelf.free(message.digests)
                self._roster.clear_shelf()
            case messages.Resident():
                self._roster.push(message)
            case messages.Release():
                self._objects.release_from_client(message.objects)
            case messages.Slab():
                self._store.adopt(message.slab, message.size, self._client.descriptor())
            case messages.SlabGone():
                self._store.abandon(message.slab)
            case messages.CancelJob():
                self._driver.handle(events.JobCancelled(job=message.job))
            case messages.CancelTasks():
                self._cancel_tasks(message)
            case messages.ForgetJob():
                self._driver.handle(events.JobForgotten(job=message.job))
            case messages.Command():
                self._command(message)
            case messages.RunEverywhere():
                self._surveys.run_everywhere(message, body)
            case messages.Excerpt():
                self._objects.excerpt(message)
            case messages.MakeRoom():
                self._objects.press(message.size)
            case messages.Bring():
                self._objects.bring(message)
            case messages.AddHost():
                self._changed(message.call, self._changes.add(message))
            case messages.DropHost():
                self._changed(message.call, self._changes.drop(message))
            case messages.ResizeHost():
                self._changed(message.call, self._changes.resize(message))
            case messages.AskHost():
                self._files.ask(message, body)
            case messages.FileTaken():
                self._files.taken(message, body)
            case messages.Spawn():
                self.log.warn("a second Spawn was ignored")
            case _:
                assert_never(message)

    def _changed(self, call: int, value: Done | Declined) -> None:
        self._board.push()  # whoever hears the answer finds the hosts as they are now
        self._send(messages.Answer(call=call, value=value), b"")

    def _cancel_tasks(self, message: messages.CancelTasks) -> None:
        done = self._driver.handle(
            events.TasksWithdrawn(job=message.job, first=message.first, count=message.count)
        )
        dropped = tuple(
            (action.first, action.count)
            for action in done
            if isinstance(action, actions.ReportCancelled)
        )
        self._send(messages.Answer(call=message.call, value=TasksDropped(ranges=dropped)), b"")

    def _command(self, message: messages.Command) -> None:
        match message.word:
            case "status":
                self._board.push()
                self._send(messages.Answer(call=message.call), b"")
            case "die":
                self._send(messages.Answer(call=message.call), b"")
                self._die()
            case "refresh":
                self._settle(message.place)
                self._surveys.refresh(message.call)
            case _:
                assert_never(message.word)
