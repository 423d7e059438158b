"""What a client may ask of its controller: one method a message."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import assert_never

from twisted.logger import Logger

from scattergather.controller import heap
from scattergather.controller.driver import Driver
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.objects import ObjectLedger
from scattergather.link.seams import PoolFacts
from scattergather.model.ids import Digest, code_of
from scattergather.reactor.seam import Clock
from scattergather.scheduler import actions, events
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import (
    Declined,
    EmbeddedSpec,
    HostsAnswered,
    JobState,
    TasksDropped,
)
from scattergather.wire.messages.shared import Extent

GO_SECONDS = 5.0
STATUS_SECONDS = 0.5


@dataclass(slots=True)
class Survey:
    """A numbered call that several hosts answer: who has not yet, and what the others said.

    ``code`` are the digests that it names, ``objects`` what its arguments take.
    """

    waiting: set[str]
    code: tuple[Digest, ...] = ()
    objects: tuple[Extent, ...] = ()
    workers: int = 0
    interrupted: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class FrontDesk:
    """Serves the client, and hears what hosts say. Reactor thread only.

    Args:
        objects: the large objects of the client and of workers.
        descriptor: takes the descriptor that came with the client's message at hand.
        send: passes a message to the client.
        die: ends this controller.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Clock,
        roster: Roster,
        driver: Driver,
        objects: ObjectLedger,
        descriptor: Callable[[], int],
        send: Callable[[messages.ToClient, bytes], None],
        die: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._roster = roster
        self._driver = driver
        self._objects = objects
        self._descriptor = descriptor
        self._send = send
        self._die = die
        self._begun = time.monotonic()
        self._gone = False
        self._tidy = False
        self._calls: dict[int, Survey] = {}
        self._postponed: list[tuple[messages.RunEverywhere, bytes]] = []
        reactor.callLater(GO_SECONDS, self._go)
        reactor.callLater(STATUS_SECONDS, self._push_status)

    # ---- the client ----

    def receive(self, message: messages.ToController, body: bytes) -> None:
        """Serve one message."""
        match message:
            case messages.AddTasks():
                self._driver.add_tasks(message, body)
            case messages.AddJob():
                self._driver.add_job(message)
            case messages.EndTasks():
                self._driver.handle(events.TasksEnded(job=message.job, total=message.total))
            case messages.Code():
                self._roster.shelf.keep(message, body)
            case messages.Forget():
                self._roster.shelf.free(message.digests)
                self._clear_shelf()
            case messages.Resident():
                self._roster.push(message)
            case messages.Release():
                self._objects.release(message.objects)
            case messages.Slab():
                self._objects.store.adopt(message.slab, message.size, self._descriptor())
            case messages.SlabGone():
                self._objects.store.abandon(message.slab)
            case messages.CancelJob():
                self._driver.handle(events.JobCancelled(job=message.job))
            case messages.CancelTasks():
                self._cancel_tasks(message)
            case messages.ForgetJob():
                self._driver.handle(events.JobCancelled(job=message.job))
                record = self._driver.jobs.get(message.job)
                job = self._driver.scheduler.jobs.get(message.job)
                if record is not None and job is not None and job.total is None:
                    self._driver.handle(events.TasksEnded(job=message.job, total=job.added))
            case messages.Command():
                self._command(message)
            case messages.RunEverywhere():
                self._objects.take(message.objects)
                self._run_everywhere(message, body)
            case messages.Spawn():
                self.log.warn("a second Spawn was ignored")
            case _:
                assert_never(message)

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
                self._send(self.status(), b"")
                self._send(messages.Answer(call=message.call), b"")
            case "die":
                self._send(messages.Answer(call=message.call), b"")
                self._die()
            case "refresh":
                self._ask_all(message.call, messages.Refresh(call=message.call))
            case _:
                assert_never(message.word)

    def _run_everywhere(self, message: messages.RunEverywhere, body: bytes) -> None:
        if not self._gone:
            self._postponed.append((message, body))
            return
        code = code_of(message.function, message.needs)
        bound = self._roster.shelf.python_of(code)
        unfit = [entry for entry in self._roster.up() if bound and not entry.runs(bound)]
        if unfit:
            names = ", ".join(entry.spec.name for entry in unfit)
            why = f"the function is byte code of Python {bound}, which {names} cannot run"
            self._send(messages.Answer(call=message.call, value=Declined(why=why)), b"")
            self._objects.done(message.objects)
            return
        everywhere = messages.Everywhere(
            call=message.call,
            function=message.function,
            needs=message.needs,
            code_version=message.code_version,
            objects=message.objects,
        )
        self._ask_all(message.call, everywhere, body, code, message.objects)

    def _ask_all(
        self,
        call: int,
        message: messages.ToPool,
        body: bytes = b"",
        code: tuple[Digest, ...] = (),
        objects: tuple[Extent, ...] = (),
    ) -> None:
        up = self._roster.up()
        self._calls[call] = Survey({entry.spec.name for entry in up}, code, objects)
        for entry in up:
            self._roster.teach(entry, code)
            self._roster.send(entry, message, body)
        self._close_calls()

    def _clear_shelf(self) -> None:
        used = list(self._driver.used())
        for call in self._calls.values():
            used += call.code
        for message, _ in self._postponed:
            used += code_of(message.function, message.needs)
        self._roster.clear_shelf(used)

    def _close_calls(self) -> None:
        for number, call in list(self._calls.items()):
            if not call.waiting:
                del self._calls[number]
                self._objects.done(call.objects)
                value = HostsAnswered(
                    workers=call.workers,
                    interrupted=call.interrupted,
                    seconds=call.seconds,
                    problems=tuple(call.problems),
                )
                self._send(messages.Answer(call=number, value=value), b"")

    # ---- the hosts ----

    def host_joined(self, entry: Entry, facts: PoolFacts) -> None:
        """A host is up."""
        self._roster.joined(entry, facts)
        self.log.info("{h} joined with {n} workers", h=entry.spec.name, n=entry.workers)
        for problem in facts.problems:
            self._send(messages.Notice(text=f"{entry.spec.name}: {problem}"), b"")
        self._driver.handle(
            events.HostJoined(
                host=entry.spec.name,
                slots=entry.workers,
                python=facts.python,
                services=frozenset(facts.services),
            )
        )
        self._settle()

    def host_refused(self, entry: Entry, reason: str) -> None:
        """A host cannot be used for now."""
        if entry.why != reason:
            entry.why = reason
            self.log.warn("{h}: {r}", h=entry.spec.name, r=reason)
            told = reason if entry.spec.name in reason else f"{entry.spec.name}: {reason}"
            self._send(messages.Notice(text=told), b"")
        self._driver.dirty = True
        self._settle()

    def host_measured(self, entry: Entry, seconds: float) -> None:
        """A word to a host that is up and back takes so long now."""
        entry.round_trip = seconds
        self._driver.dirty = True
        self._driver.handle(events.RoundTripMeasured(host=entry.spec.name, seconds=seconds))

    def notice(self, sentence: str) -> None:
        """The user should see this."""
        self._send(messages.Notice(text=sentence), b"")

    def host_left(self, entry: Entry, reason: str) -> None:
        """A host that was up is lost."""
        self._roster.left(entry, reason)
        self._send(messages.Notice(text=f"{entry.spec.name} is lost: {reason}"), b"")
        for call in self._calls.values():
            if entry.spec.name in call.waiting:
                call.waiting.discard(entry.spec.name)
                call.problems.append(f"{entry.spec.name}: {reason}")
        self._objects.left(entry)
        self._driver.host_left(entry.spec.name, reason)
        self._close_calls()

    def host_said(self, entry: Entry, message: messages.FromPool, body: bytes, ours: bool) -> None:
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
                self._refreshed(name, message)
            case messages.EverywhereDone():
                self._everywhere_done(name, message, body)
            case messages.NestedSubmit():
                self._driver.nested(name, message, body)
            case messages.Want():
                self._objects.want(entry, message.objects)
            case messages.Dropped():
                self._objects.dropped(entry, message.objects)
            case messages.Release():
                self._objects.given_back(entry, message.objects)
            case messages.Code():
                entry.known.add(message.digest)
                if self._roster.shelf.keep_passing(message, body):
                    self._clear_shelf()
            case _:
                assert_never(message)

    def _workers_changed(self, entry: Entry, message: messages.WorkersChanged) -> None:
        entry.why = message.why
        self._driver.dirty = True
        if message.why:
            self._send(messages.Notice(text=f"{entry.spec.name}: {message.why}"), b"")
        if message.workers != entry.slots:
            entry.slots = message.workers
            self._driver.handle(events.SlotsChanged(host=entry.spec.name, slots=message.workers))

    def _refreshed(self, host: str, message: messages.RefreshDone) -> None:
        call = self._calls.get(message.call)
        if call is not None:
            call.waiting.discard(host)
            call.workers += message.workers
            call.interrupted += message.interrupted
            call.seconds = max(call.seconds, message.seconds)
            self._close_calls()

    def _everywhere_done(self, host: str, message: messages.EverywhereDone, body: bytes) -> None:
        call = self._calls.get(message.call)
        if call is None:
            self._objects.store.drop(extent.object for extent in message.objects)
        else:
            call.workers += 1
            self._send(
                messages.EverywhereOutcome(
                    call=message.call,
                    host=host,
                    worker=message.worker,
                    kind=message.kind,
                    objects=self._objects.deliver(message.objects, message.borrowed),
                ),
                body,
            )
            if message.last:
                call.waiting.discard(host)
                self._close_calls()

    # ---- what is going on ----

    def _settle(self) -> None:
        if not self._gone and self._roster.settled:
            self._go()

    def _go(self) -> None:
        if self._gone:
            return
        self._gone = True
        status = self.status()
        self._send(status, b"")
        self._send(messages.GoReady(hosts=status.hosts), b"")
        self._driver.handle(events.HostsSettled())
        for message, body in self._postponed:
            self._run_everywhere(message, body)
        self._postponed.clear()

    def status(self) -> messages.Status:
        """Everything that the client's reprs show."""
        scheduler, now = self._driver.scheduler, time.monotonic()
        hosts = []
        for entry in self._roster.entries.values():
            host = scheduler.hosts.get(entry.spec.name)
            chunks = len(host.leases) if host is not None else 0
            busy = min(chunks, entry.workers)
            embedded = isinstance(entry.spec, EmbeddedSpec)
            here = self._objects.store.held if embedded else entry.held
            hosts.append(entry.state(busy, chunks - busy, here))
        # Of a chunk one task runs and the rest waits for it, whatever the scheduler has leased.
        running = Counter(
            lease.job.spec.job
            for host in scheduler.hosts.values()
            for lease in islice(host.leases.values(), host.slots)
        )
        jobs = []
        for identity, record in self._driver.jobs.items():
            job = scheduler.jobs.get(identity)
            if job is None:
                continue
            seconds = max(now - record.begun, 1e-6)
            jobs.append(
                JobState(
                    job=identity,
                    name=record.spec.name,
                    total=job.total,
                    queued=job.queued + job.running - running[identity],
                    running=running[identity],
                    done=record.finished - record.failed - record.cancelled,
                    failed=record.failed,
                    cancelled=record.cancelled,
                    rate=record.finished / seconds,
                )
            )
        return messages.Status(
            hosts=tuple(hosts),
            jobs=tuple(jobs),
            controller_pid=os.getpid(),
            uptime=now - self._begun,
            rerun=scheduler.rerun,
            held=sum(record.inputs.size for record in self._driver.jobs.values()),
        )

    def _push_status(self) -> None:
        if self._driver.dirty:
            self._driver.dirty = False
            self._tidy = False
            self._send(self.status(), b"")
        elif not self._driver.jobs and not self._tidy:
            self._tidy = True
            heap.give_back()
            self._objects.store.rest()
        self._reactor.callLater(STATUS_SECONDS, self._push_status)
