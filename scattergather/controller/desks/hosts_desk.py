"""What hosts say of themselves and of their tasks, and when all of them have answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from twisted.logger import Logger

from scattergather.controller.desks.board import Board
from scattergather.controller.desks.file_desk import FileDesk
from scattergather.controller.desks.surveys import Surveys
from scattergather.controller.jobs.driver import Driver
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.objects import ObjectLedger
from scattergather.link.seams import PoolFacts
from scattergather.model.snapshot import plural
from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.scheduler import events
from scattergather.wire.messages import page as messages

GO_SECONDS = 5.0
"""A host that has neither answered nor failed by then is not waited for."""


class HostsDesk:
    """Hears the hosts. Reactor thread only."""

    log = Logger()

    def __init__(
        self,
        *,
        reactor: Clock,
        roster: Roster,
        driver: Driver,
        objects: ObjectLedger,
        surveys: Surveys,
        board: Board,
        files: FileDesk,
        send: Callable[[messages.ToClient, bytes], None],
    ) -> None:
        self._reactor = reactor
        self._roster = roster
        self._driver = driver
        self._objects = objects
        self._surveys = surveys
        self._board = board
        self._files = files
        self._send = send
        self._gone = False
        self._patience: Timer | None = None

    def start(self) -> None:
        """The hosts have ``GO_SECONDS`` from now on to answer; without hosts nobody is awaited."""
        self._await()
        self._look_whether_settled()

    def _await(self) -> None:
        call_off(self._patience)
        self._patience = self._reactor.callLater(GO_SECONDS, self._settle)

    def awaited(self) -> None:
        """A host was added, and has ``GO_SECONDS`` from now on to answer."""
        self._driver.handle(events.HostsAwaited())
        self._surveys.hosts_awaited()
        self._await()

    # ---- where a host stands --------------------------------------------------------------------

    def joined(self, entry: Entry, facts: PoolFacts) -> None:
        """A host is up."""
        self._roster.joined(entry, facts)
        self.log.info("{h} joined with {n}", h=entry.spec.name, n=plural(entry.workers, "worker"))
        for problem in facts.problems:
            self.notice(f"{entry.spec.name}: {problem}")
        self._driver.handle(
            events.HostJoined(
                host=entry.spec.name,
                slots=entry.workers,
                python=facts.python,
                services=frozenset(facts.services),
            )
        )
        self._board.hurry()
        self._surveys.hosts_changed()
        self._look_whether_settled()

    def refused(self, entry: Entry, reason: str) -> None:
        """A host cannot be used for now."""
        if entry.why != reason:
            entry.why = reason
            self.log.warn("{h}: {r}", h=entry.spec.name, r=reason)
            self.notice(reason if entry.spec.name in reason else f"{entry.spec.name}: {reason}")
            self._board.hurry()
        self._look_whether_settled()

    def measured(self, entry: Entry, seconds: float) -> None:
        """A word to a host that is up and back takes so long now."""
        entry.round_trip = seconds
        self._driver.handle(events.RoundTripMeasured(host=entry.spec.name, seconds=seconds))

    def left(self, entry: Entry, reason: str) -> None:
        """A host that was up is lost."""
        self.notice(f"{entry.spec.name} is lost: {reason}")
        self._forget(entry, reason)

    def dropped(self, entry: Entry) -> None:
        """A host is not used any more: its connection, if there was one, is closed.

        What fits no host now waits for ``GO_SECONDS``: another may be added in its place.
        """
        self.log.info("{h} was dropped", h=entry.spec.name)
        self._driver.handle(events.HostsAwaited())
        self._await()
        self._forget(entry, "it was dropped")
        self._surveys.hosts_changed()
        if self._roster.settled:
            self._go()

    def _forget(self, entry: Entry, reason: str) -> None:
        self._roster.left(entry, reason)
        self._board.hurry()
        try:
            self._objects.left(entry)
        finally:  # whatever it has brought about, its leases run elsewhere
            self._driver.host_left(entry.spec.name, reason)
            self._surveys.host_left(entry.spec.name, reason)
            self._files.host_left(entry.spec.name, reason)

    def notice(self, sentence: str) -> None:
        """The user should see this."""
        self._send(messages.Notice(text=sentence), b"")

    def _look_whether_settled(self) -> None:
        if self._roster.settled:
            self._settle()

    def _settle(self) -> None:
        """Count on the hosts that there are; the client is told so once."""
        call_off(self._patience)
        self._patience = None
        self._go()
        self._driver.handle(events.HostsSettled())

    def _go(self) -> None:
        if not self._gone:
            self._gone = True
            status = self._board.push()
            self._send(messages.GoReady(hosts=status.hosts), b"")
        self._surveys.hosts_settled()

    # ---- what a host says -----------------------------------------------------------------------

    def said(self, entry: Entry, message: messages.FromPool, body: bytes, ours: bool) -> None:
        """A message of a host; with ``ours``, its worker goes on whatever it says of tasks."""
        name = entry.spec.name
        match message:
            case messages.Outcomes():
                self._driver.outcomes(name, message, body, worker_goes_on=ours)
            case messages.Output():
                self._driver.output(name, message, body)
            case messages.GaveBack():
                self._driver.handle(
                    events.ChunkGivenBack(host=name, chunk=message.chunk, first=message.first)
                )
            case messages.CancelDone():
                self._driver.handle(
                    events.CancelCompleted(host=name, chunk=message.chunk, first=message.first)
                )
            case messages.WorkersChanged():
                self._workers_changed(entry, message)
            case messages.RefreshDone():
                self._surveys.refreshed(name, message)
            case messages.EverywhereDone():
                self._surveys.ran(name, message, body)
            case messages.NestedSubmit():
                self._driver.nested(name, message, body)
            case messages.FilesAnswer():
                self._files.answered(name, message, body)
            case messages.SendFile():
                self._files.sent(name, message)
            case messages.Want():
                self._objects.want(entry, message.objects)
            case (
                messages.AskKey()
                | messages.KeyMinted()
                | messages.Fetched()
                | messages.NotFetched()
            ):
                self._objects.crossings.said(entry, message)
            case messages.Dropped():
                self._objects.dropped(entry, message.objects)
            case messages.Release():
                self._objects.release_from_worker(entry, message.objects)
            case messages.Vitals():
                entry.vitals = message
            case messages.Code():
                entry.known.add(message.digest)
                if self._roster.shelf.keep_passing(message, body):
                    self._roster.clear_shelf()
            case _:
                assert_never(message)

    def _workers_changed(self, entry: Entry, message: messages.WorkersChanged) -> None:
        entry.why = message.why
        if message.why:
            self.notice(f"{entry.spec.name}: {message.why}")
        if message.workers != entry.slots:
            entry.slots = message.workers
            self._driver.handle(events.SlotsChanged(host=entry.spec.name, slots=message.workers))
