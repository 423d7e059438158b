"""Feeds the scheduler and carries out what it asks for.

Everything between the client's pipe and the hosts passes here. The scheduler sees counts and
ranges; the bytes stay here, and are cut and joined by their offset tables. Reactor thread only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

import msgspec

from scattergather.controller.nested import NestedCalls, Origin
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.inputs import Inputs
from scattergather.controller.values.objects import ObjectLedger
from scattergather.model.ids import Digest, JobId, code_of, digest_of
from scattergather.model.outcome import Kind, LossKind
from scattergather.reactor.turns import Turns
from scattergather.scheduler import actions, events
from scattergather.scheduler.scheduler import Scheduler
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent, Limits, Loss

PLACED_SECONDS = 0.01
"""How late the client may learn that a future runs."""

PATIENT_SECONDS = 0.05
"""The outcome of a task that took so long may wait a moment for others."""

LIGHTER = 16
"""A byte that travels beside a chunk counts so much less towards its size than one inside."""

_PLAIN = bytes([Kind.RETURNED, Kind.RAISED])
_NO_LOSS = bytes([Kind.RETURNED, Kind.RAISED, Kind.CANCELLED])
"""Whatever else comes, also a kind that nobody knows, reaches the client as a loss."""

_GOES_ON = bytes([Kind.RETURNED, Kind.RAISED, Kind.RETRYABLE])
"""After these a worker goes on with the chunk, and a later task of it may wait for calls."""


@dataclass(slots=True)
class Batch:
    """The outcomes that an action of the scheduler speaks of."""

    host: str
    message: messages.Outcomes
    body: bytes
    delivered: bool = False


Due = tuple[actions.Action | None, Batch | None]
"""What the scheduler asks for; or None, when all is done that it asked for because of the batch."""


@dataclass(slots=True)
class Record:
    """A job as the driver knows it: how to run it, and the inputs of its unfinished tasks."""

    spec: messages.AddJob
    inputs: Inputs
    begun: float
    finished: int = 0
    failed: int = 0
    cancelled: int = 0


class Driver:
    """Between front desk, scheduler and hosts.

    Args:
        roster: the hosts.
        objects: the large objects of the client and of workers.
        send: passes a message to the client.
        send_soon: the same for one that may wait a moment for others.
        call_later: the reactor's ``callLater``.
    """

    def __init__(
        self,
        roster: Roster,
        objects: ObjectLedger,
        send: Callable[[messages.ToClient, bytes], None],
        send_soon: Callable[[messages.ToClient, bytes], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.scheduler = Scheduler()
        self.jobs: dict[JobId, Record] = {}
        self.dirty = True
        self._roster = roster
        self._objects = objects
        self._send = send
        self._send_soon = send_soon
        self._call_later = call_later
        self._nested = NestedCalls()
        self._turns = Turns(self._perform)
        self._placed: list[actions.ReportPlaced] = []

    # ---- jobs ----

    def add_job(self, spec: messages.AddJob, origin: Origin | None = None) -> None:
        """Begin a job; its tasks follow."""
        self.jobs[spec.job] = Record(spec, Inputs(), time.monotonic())
        bound = code_of(spec.function, spec.needs)
        self.handle(
            events.JobAdded(
                job=spec.job,
                function=spec.function,
                priority=spec.priority,
                retries=spec.retries,
                python=self._roster.shelf.python_of(bound),
                service="" if digest_of(spec.function) else spec.function,
                depth=origin.depth if origin is not None else 0,
                stream=spec.stream,
                limited=spec.limits != Limits(),
                placement=spec.placement,
            )
        )

    def add_tasks(self, message: messages.AddTasks, body: bytes) -> None:
        """Queue tasks; those of a job that is not known are answered with a loss each.

        Raises:
            ValueError: the body does not hold what the message says.
        """
        record = self.jobs.get(message.job)
        if record is None or not message.count:
            if message.objects:  # the client releases them, too
                self._objects.take(message.objects)
                self._objects.done(message.objects)
            if message.count:
                self._answer_strays(
                    message.job, message.first, len(blobs.ends_of(body, message.count))
                )
            return
        size = len(body)
        if message.objects:
            size += self._objects.take(message.objects) // LIGHTER
        record.inputs.add(message.first, message.count, body, message.needs, message.objects)
        self.handle(
            events.TasksAdded(job=message.job, first=message.first, count=message.count, size=size)
        )

    def _answer_strays(self, job: JobId, first: int, count: int) -> None:
        """Tell the client that these tasks have no job.

        Either their job was forgotten while a thread of the client was still adding to it: the
        client has forgotten it, too, and drops the answer. Or its ``AddJob`` never came, or came
        behind them: whoever waits for them in the client would wait for ever.
        """
        loss = Loss(
            kind=LossKind.LOST,
            reason="it reached the controller without its job. That is a fault of scattergather "
            "itself: please report it",
        )
        self._send_losses(job, first, count, loss)

    def _send_losses(self, job: JobId, first: int, count: int, loss: Loss) -> None:
        self._hand_over(
            messages.TaskOutcomes(
                job=job,
                first=first,
                kinds=bytes([Kind.LOST]) * count,
                host=loss.host,
                attempt=loss.attempt,
            ),
            blobs.pack([messages.encode(loss)] * count),
        )

    def nested(self, host: str, message: messages.NestedSubmit, body: bytes) -> None:
        """A task submitted a call: a job of one task that goes before its parent's siblings."""
        parent, entry = self.scheduler.job_of(message.chunk), self._roster.entries[host]
        if parent is None:
            self._objects.discard(entry, (), message.lent)
            return
        if not self._objects.knows(message.borrowed):
            # A thread has outlived the task that was given it.
            self._objects.discard(entry, (), message.lent)
            reason = "a large argument of it was of a task that is over"
            loss = Loss(kind=LossKind.LOST, reason=reason, host=host)
            lost = messages.NestedOutcome(
                worker=message.worker, ticket=message.ticket, kind=Kind.LOST, host=host
            )
            self._roster.send(entry, lost, messages.encode(loss))
            return
        self._objects.lend(entry, message.lent)
        origin = Origin(
            host=host,
            worker=message.worker,
            ticket=message.ticket,
            chunk=message.chunk,
            depth=parent.spec.depth + 1,
        )
        record = self.jobs[parent.spec.job]
        job = os.urandom(16)
        self._nested.add(job, origin)
        spec = messages.AddJob(
            job=job,
            name=f"{record.spec.name} > call {message.ticket}",
            function=message.function,
            needs=message.needs,
            priority=record.spec.priority,
            code_version=record.spec.code_version,
            placement=record.spec.placement,
        )
        self.add_job(spec, origin)
        tasks = messages.AddTasks(
            job=job,
            first=0,
            count=1,
            needs=message.needs,
            objects=(*message.lent, *message.borrowed),
        )
        self.add_tasks(tasks, blobs.pack([body]))
        self.handle(events.TasksEnded(job=job, total=1))

    def outcomes(
        self, host: str, message: messages.Outcomes, body: bytes, *, worker_goes_on: bool = False
    ) -> None:
        """A pool reports outcomes; the worker goes on anyway if it is not the one that failed."""
        if not worker_goes_on and message.kinds.strip(_GOES_ON):
            self._cancel_nested(message.chunk)
        self.handle(
            events.OutcomesArrived(
                host=host,
                chunk=message.chunk,
                first=message.first,
                kinds=message.kinds,
                elapsed=message.elapsed,
            ),
            Batch(host, message, body),
        )

    def output(self, host: str, message: messages.Output, body: bytes) -> None:
        """A pool reports what a task printed."""
        job = self.scheduler.job_of(message.chunk)
        if job is not None and self._nested.origin(job.spec.job) is None:
            self._send(
                messages.TaskOutput(
                    job=job.spec.job,
                    index=message.index,
                    host=host,
                    worker=message.worker,
                    dropped=message.dropped,
                ),
                body,
            )

    def host_left(self, host: str, reason: str) -> None:
        """A host is lost, and so is whoever waits there for a nested call."""
        for job in self._nested.abandon(host):
            self.handle(events.JobCancelled(job=job))
        self.handle(events.HostLeft(host=host, reason=reason))

    def _cancel_nested(self, chunk: int) -> None:
        for job in self._nested.of_chunk(chunk):
            self.handle(events.JobCancelled(job=job))

    def used(self) -> Iterator[Digest]:
        """The digests that unfinished jobs name, some more than once."""
        for record in self.jobs.values():
            yield from code_of(record.spec.function, record.spec.needs)
            yield record.spec.retry_on
            yield from record.inputs.needs()

    # ---- performing ----

    def handle(self, event: events.Event, batch: Batch | None = None) -> list[actions.Action]:
        """Pass an event to the scheduler and carry out what it asks for; returns that.

        A host in this process may answer an action with the next event at once.
        """
        self.dirty = True
        wanted = self.scheduler.handle(event, time.monotonic())
        due: list[Due] = [(action, batch) for action in wanted]
        if batch is not None and (batch.message.objects or batch.message.lent):
            due.append((None, batch))
        self._turns.take(due)
        return wanted

    def _perform(self, due: Due) -> None:
        action, batch = due
        match action:
            case None:  # the batch is through
                if batch is not None and not batch.delivered:
                    entry = self._roster.entries[batch.host]
                    self._objects.discard(entry, batch.message.objects, batch.message.lent)
            case actions.SendChunk():
                self._send_chunk(action)
            case actions.Deliver():
                if batch is not None:
                    self._deliver(action, batch)
            case actions.ReportPlaced():
                if not self._placed:
                    self._call_later(PLACED_SECONDS, self._report_placed)
                self._placed.append(action)
            case actions.DeliverLoss():
                self._deliver_loss(action)
            case actions.ReportCancelled():
                self._report_cancelled(action)
            case actions.EndJob():
                self.jobs.pop(action.job, None)
                self._nested.ended(action.job)
            case actions.CancelChunks():
                for chunk in action.chunks:
                    self._cancel_nested(chunk)
                entry = self._roster.entries[action.host]
                self._roster.send(entry, messages.Cancel(chunks=action.chunks))
            case actions.TakeBackFrom():
                entry = self._roster.entries[action.host]
                self._roster.send(entry, messages.TakeBack(count=action.count))
            case _:
                assert_never(action)

    def _report_placed(self) -> None:
        """Tell the client which of its futures run now.

        A little late: most tasks of a busy stream are done by then, and a frame for each placement
        would cost as much as its outcome.
        """
        placed, self._placed = self._placed, []
        at = 0
        while at < len(placed):
            job, first, stop = placed[at].job, placed[at].first, placed[at].first
            while at < len(placed) and (placed[at].job, placed[at].first) == (job, stop):
                stop += placed[at].count
                at += 1
            self._send(messages.TasksPlaced(job=job, first=first, count=stop - first), b"")

    def _send_chunk(self, action: actions.SendChunk) -> None:
        record = self.jobs.get(action.job)
        if record is None:
            return
        spec, entry = record.spec, self._roster.entries[action.host]
        origin = self._nested.origin(action.job)
        body, needs, objects = record.inputs.cut(action.first, action.count)
        if spec.needs:
            needs = tuple(dict.fromkeys((*needs, *spec.needs)))
        self._teach(entry, spec, needs)
        self._roster.send(
            entry,
            messages.Run(
                chunk=action.chunk,
                job=action.job,
                function=spec.function,
                first=action.first,
                count=action.count,
                attempt=action.attempt,
                needs=needs,
                retry_on=spec.retry_on,
                code_version=spec.code_version,
                ahead=action.ahead,
                limits=spec.limits,
                label=spec.name,
                objects=objects,
                lend=origin is not None and origin.host == action.host,
            ),
            body,
        )

    def _teach(self, entry: Entry, spec: messages.AddJob, needs: tuple[bytes, ...]) -> None:
        digest = digest_of(spec.function)
        if digest is not None and digest not in entry.known:
            self._roster.teach(entry, (digest,))
        if needs:
            self._roster.teach(entry, needs)
        if spec.retry_on:
            self._roster.teach(entry, (spec.retry_on,))

    def _deliver(self, action: actions.Deliver, batch: Batch) -> None:
        record = self.jobs.get(action.job)
        if record is None:
            return
        objects = self._large_parts(action.job, batch)
        kinds, body = batch.message.kinds, batch.body
        if action.count != len(kinds):
            body = blobs.part(body, len(kinds), action.offset, action.offset + action.count)
            kinds = kinds[action.offset : action.offset + action.count]
        if kinds.strip(_PLAIN):
            kinds, body = _certify(kinds, body, batch.host, action)
        # First the outcome: somebody waits for it. Where others run, theirs may come with it: a
        # frame by itself costs us and the client as much as a dozen together.
        patient = batch.message.elapsed > PATIENT_SECONDS * len(batch.message.kinds)
        self._hand_over(
            messages.TaskOutcomes(
                job=action.job,
                first=action.first,
                kinds=kinds,
                host=batch.host,
                worker=batch.message.worker,
                attempt=action.attempt,
                objects=objects,
            ),
            body,
            patient=patient and not objects and self.scheduler.working,
        )
        record.finished += action.count
        record.failed += len(kinds) - kinds.count(Kind.RETURNED)
        self._roster.entries[batch.host].done += action.count
        self._release(record, action.first, action.count)

    def _large_parts(self, job: JobId, batch: Batch) -> tuple[Extent, ...]:
        """The objects of an outcome that is about to be delivered, as its receiver knows them."""
        message, entries = batch.message, self._roster.entries
        if not (message.objects or message.lent or message.borrowed):
            return ()
        if self._nested.abandoned(job):
            return ()
        batch.delivered = True
        origin = self._nested.origin(job)
        if origin is not None:
            return self._objects.give(entries[origin.host], entries[batch.host], message)
        return self._objects.deliver(message.objects, message.borrowed)

    def _release(self, record: Record, first: int, count: int) -> None:
        """These tasks have their outcomes."""
        done = record.inputs.release(first, count)
        if done:
            self._objects.done(done)

    def _deliver_loss(self, action: actions.DeliverLoss) -> None:
        record = self.jobs.get(action.job)
        if record is None:
            return
        self._release(record, action.first, action.count)
        record.finished += action.count
        record.failed += action.count
        loss = Loss(
            kind=action.kind,
            reason=action.reason,
            host=action.host,
            attempt=action.attempt,
            attempts=action.attempts,
        )
        self._send_losses(action.job, action.first, action.count, loss)

    def _report_cancelled(self, action: actions.ReportCancelled) -> None:
        record = self.jobs.get(action.job)
        if record is None:
            return
        self._release(record, action.first, action.count)
        record.finished += action.count
        record.cancelled += action.count
        if self._nested.origin(action.job) is None:
            self._send(
                messages.TasksCancelled(job=action.job, first=action.first, count=action.count),
                b"",
            )

    def _hand_over(
        self, message: messages.TaskOutcomes, body: bytes, *, patient: bool = False
    ) -> None:
        """To the client, or to the worker whose task submitted it."""
        origin = self._nested.origin(message.job)
        if origin is None:
            send = self._send_soon if patient else self._send
            send(message, body)
            return
        if self._nested.abandoned(message.job):
            return
        entry = self._roster.entries[origin.host]
        outcome = messages.NestedOutcome(
            worker=origin.worker,
            ticket=origin.ticket,
            kind=message.kinds[0],
            host=message.host,
            pid=message.worker,
            objects=message.objects,
        )
        self._roster.send(entry, outcome, blobs.each(body, 1)[0])


def _certify(kinds: bytes, body: bytes, host: str, action: actions.Deliver) -> tuple[bytes, bytes]:
    """Complete what a pool could not know of its losses: the host's name, attempt n of m."""
    judged, kept = bytearray(kinds), blobs.each(body, len(kinds))
    for place, kind in enumerate(kinds):
        if kind == Kind.RETRYABLE:
            judged[place] = Kind.RAISED
        elif kind not in _NO_LOSS:
            judged[place] = Kind.LOST
            try:
                loss = messages.read_loss(kept[place])
            except msgspec.DecodeError as error:  # the scheduler has counted its task as done
                loss = Loss(kind=LossKind.LOST, reason=f"what its host says is no loss: {error}")
            loss = msgspec.structs.replace(
                loss, host=host, attempt=action.attempt, attempts=action.attempts
            )
            kept[place] = messages.encode(loss)
    return bytes(judged), blobs.pack(kept)
