"""Feeds the scheduler and carries out what it asks for.

Everything between the client's pipe and the hosts passes here. The scheduler sees counts and
ranges; the bytes stay here, and are cut and joined by their offset tables. Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from scattergather.controller.jobs import losses
from scattergather.controller.jobs.nested import NestedCalls, Origin, size_of
from scattergather.controller.jobs.outgoing import Batch, Outgoing
from scattergather.controller.jobs.record import Record, RecordStatistics
from scattergather.controller.jobs.remaking import Remaking
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.seams import ClientEnd
from scattergather.controller.values.objects import ObjectLedger
from scattergather.model.ids import Digest, JobId, code_of, digest_of
from scattergather.model.outcome import Kind
from scattergather.reactor.seam import Clock
from scattergather.reactor.turns import Turns
from scattergather.scheduler import actions, events
from scattergather.scheduler.scheduler import Scheduler
from scattergather.scheduler.statistics import SchedulerStatistics
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Limits

LIGHTER = 16
"""A byte that travels beside a chunk counts so much less towards its size than one inside."""

_RETURNED = bytes([Kind.RETURNED])
_GOES_ON = bytes([Kind.RETURNED, Kind.RAISED, Kind.RETRYABLE])
"""After these a worker goes on with the chunk, and a later task of it may wait for calls."""

Due = tuple[actions.Action | None, Batch | None]
"""What the scheduler asks for; or None, when all is done that it asked for because of the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStatistics:
    """The unfinished jobs as they are kept here, and as the scheduler sees them and the hosts."""

    jobs: tuple[RecordStatistics, ...]
    scheduler: SchedulerStatistics


class Driver:
    """Between the desks, the scheduler and the hosts."""

    def __init__(
        self,
        clock: Clock,
        scheduler: Scheduler,
        roster: Roster,
        objects: ObjectLedger,
        client: ClientEnd,
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._roster = roster
        self._objects = objects
        self._send = client.send
        self._jobs: dict[JobId, Record] = {}
        self._nested = NestedCalls(roster)
        self._remaking = Remaking(clock, objects, self._begin_again)
        objects.remake = self._remaking.remake
        self._outgoing = Outgoing(
            clock, scheduler, self._jobs, roster, objects, self._nested, self._remaking, client
        )
        self._turns = Turns(self._perform)
        self.drained: Callable[[str], None] = lambda _: None
        """Hears of a host that was to be drained, and has nothing any more."""

    def statistics(self) -> DriverStatistics:
        """What there is to do, and how much of it is done."""
        return DriverStatistics(
            jobs=tuple(record.statistics() for record in self._jobs.values()),
            scheduler=self._scheduler.statistics(),
        )

    def can_wait(self) -> bool:
        """Nobody waits for what hosts will say next; a moment later is as good."""
        return self._scheduler.can_wait and not any(
            record.submits for record in self._jobs.values()
        )

    def used_code(self) -> Iterator[Digest]:
        """The digests that unfinished jobs name, some more than once."""
        for record in self._jobs.values():
            yield from code_of(record.spec.function, record.spec.needs)
            yield record.spec.retry_on
            yield from record.inputs.needs()
        yield from self._objects.lineage.code()

    # ---- jobs -----------------------------------------------------------------------------------

    def _begin_again(self, spec: messages.AddJob, tasks: messages.AddTasks, body: bytes) -> None:
        """A task is run again, of a job that is over perhaps."""
        self.add_job(spec, urgent=True)
        self.add_tasks(tasks, body)
        self.handle(events.TasksEnded(job=spec.job, total=1))

    def add_job(
        self, spec: messages.AddJob, origin: Origin | None = None, *, urgent: bool = False
    ) -> None:
        """Begin a job; its tasks follow. Hosts take one that is ``urgent`` beyond what they may.

        Raises:
            ValueError: nothing can be called by the name of its function, or the job is known.
        """
        if spec.job in self._jobs:
            raise ValueError(f"the job {spec.job.hex()} came twice")
        for host in spec.placement.on:
            if host not in self._roster.entries:  # it was dropped when this was on its way
                self.handle(events.HostDropped(host=host))
        code = code_of(spec.function, spec.needs)
        self._jobs[spec.job] = Record(spec, self._clock.seconds())
        self.handle(
            events.JobAdded(
                job=spec.job,
                function=spec.function,
                priority=spec.priority,
                retries=spec.retries,
                python=self._roster.shelf.python_of(code),
                service="" if digest_of(spec.function) else spec.function,
                depth=origin.depth if origin is not None else 0,
                stream=spec.stream,
                limited=spec.limits != Limits(),
                urgent=urgent,
                placement=spec.placement,
            )
        )

    def add_tasks(self, message: messages.AddTasks, body: bytes) -> None:
        """Queue tasks; those of a job that is not known are answered with a loss each.

        Either their job was forgotten while a thread of the client was still adding to it: the
        client has forgotten it, too, and drops the answer. Or its ``AddJob`` never came, or came
        behind them: whoever waits for them in the client would wait for ever.

        Raises:
            ValueError: the body does not hold what the message says, or they are not the next.
        """
        record = self._jobs.get(message.job)
        if record is None or not message.count:
            strays = len(blobs.ends_of(body, message.count))
            if message.objects:  # the client releases them, too
                self._objects.hold_for_tasks(message.objects)
                self._objects.release_from_tasks(message.objects)
            if strays:
                self._outgoing.send_losses(message.job, message.first, strays, losses.STRAY)
            return
        if message.first != record.added:
            raise ValueError(f"tasks from {message.first} on, where {record.added} had come")
        record.inputs.add(message.first, message.count, body, message.needs, message.objects)
        record.added += message.count
        size, near = len(body), ""
        if message.objects:
            size += self._objects.hold_for_tasks(message.objects) // LIGHTER
            near = self._objects.near(message.objects)
        self.handle(
            events.TasksAdded(
                job=message.job, first=message.first, count=message.count, size=size, near=near
            )
        )

    def end_tasks(self, message: messages.EndTasks) -> None:
        """No more tasks of a job will come. One that is not known any more was forgotten.

        Raises:
            ValueError: so many have not come. The job would wait for the others for ever, or end
                before its last ones.
        """
        record = self._jobs.get(message.job)
        if record is None:
            return
        if message.total != record.added:
            raise ValueError(
                f"a job that ends at task {message.total}, where {record.added} had come"
            )
        self.handle(events.TasksEnded(job=message.job, total=message.total))

    def nested(self, host: str, message: messages.NestedSubmit, body: bytes) -> None:
        """A task submitted a call."""
        entry = self._roster.entries[host]
        parent = self._scheduler.job_of(message.chunk, host)
        if parent is None:  # the task is over
            self._objects.drop_unheard(entry, (), message.lent)
            return
        size = size_of(message, body)
        if why := self._impossible(message) or self._nested.refusal(size):
            self._objects.drop_unheard(entry, (), message.lent)
            self._nested.refuse(host, message, why)
            return
        self._objects.register(entry, message.lent)
        self._jobs[parent].submits = True
        job, tasks, origin = self._nested.begin(host, message, self._jobs[parent].spec, size)
        self.add_job(job, origin)
        self.add_tasks(tasks, blobs.pack([body]))
        self.handle(events.TasksEnded(job=job.job, total=1))

    def _impossible(self, message: messages.NestedSubmit) -> str:
        """Why this call cannot be made; empty if it can."""
        try:
            digest_of(message.function)
        except ValueError:
            return f"nothing can be called by the name {message.function!r}"
        if not self._objects.needs(message.borrowed):
            # A thread has outlived the task that was given it.
            return "a large argument of it was of a task that is over"
        return ""

    # ---- what hosts report ----------------------------------------------------------------------

    def outcomes(
        self, host: str, message: messages.Outcomes, body: bytes, *, worker_goes_on: bool = False
    ) -> None:
        """A pool reports outcomes; the worker goes on anyway if it is not the one that failed."""
        if self._objects.dead and Kind.LOST in message.kinds:
            message, body = self._outgoing.without_refs(host, message, body)
        batch = self._outgoing.batch(host, message, body)
        if message.kinds.strip(_RETURNED):
            gone = not worker_goes_on and bool(message.kinds.strip(_GOES_ON))
            for job in self._nested.orphaned(host, message, worker_gone=gone):
                self.handle(events.JobCancelled(job=job))
        self.handle(
            events.OutcomesArrived(
                host=host,
                chunk=message.chunk,
                first=message.first,
                kinds=batch.message.kinds,
                elapsed=message.elapsed,
            ),
            batch,
        )

    def output(self, host: str, message: messages.Output, body: bytes) -> None:
        """A pool reports what a task printed; that of a nested call is its task's."""
        job, index = self._scheduler.job_of(message.chunk, host), message.index
        if job is None:
            return
        if (origin := self._nested.origin(job)) is not None:
            job, index = origin.job, origin.index
        self._send(
            messages.TaskOutput(
                job=job,
                index=index,
                host=host,
                worker=message.worker,
                dropped=message.dropped,
                display=message.display,
            ),
            body,
        )

    def host_left(self, host: str, reason: str) -> None:
        """A host is lost, and so is whoever waits there for a nested call."""
        for job in self._nested.abandon(host):
            self.handle(events.JobCancelled(job=job))
        self.handle(events.HostLeft(host=host, reason=reason))

    def has_tasks(self, host: str) -> bool:
        """Tasks that this host was given have no outcome."""
        return self._scheduler.has_leases(host)

    def has_calls_of(self, host: str) -> bool:
        """Calls that tasks of this host have submitted are not over."""
        return self._nested.any_of(host)

    def _cancel_nested(self, chunk: int) -> None:
        for job in self._nested.of_chunk(chunk):
            self.handle(events.JobCancelled(job=job))

    # ---- performing -----------------------------------------------------------------------------

    def handle(self, event: events.Event, batch: Batch | None = None) -> list[actions.Action]:
        """Pass an event to the scheduler and carry out what it asks for; returns that.

        A host in this process may answer an action with the next event at once.
        """
        wanted = self._scheduler.handle(event)
        due: list[Due] = [(action, batch) for action in wanted]
        if batch is not None and (batch.message.objects or batch.message.lent):
            due.append((None, batch))
        self._turns.do(due)
        return wanted

    def _perform(self, due: Due) -> None:
        action, batch = due
        match action:
            case None:
                if batch is not None:
                    self._outgoing.through(batch)
            case actions.SendChunk():
                self._send_chunk(action)
            case actions.Deliver():
                if batch is not None:
                    try:
                        self._outgoing.deliver(action, batch)
                    except Exception:  # of ours: then these are lost, and not forgotten
                        self._outgoing.lose(action, batch.host)
                        raise
            case actions.ReportPlaced():
                self._outgoing.report_placed(action)
            case actions.DeliverLoss():
                self._outgoing.deliver_loss(action)
            case actions.ReportCancelled():
                self._outgoing.report_cancelled(action)
            case actions.EndJob():
                self._jobs.pop(action.job, None)
                self._nested.ended(action.job)
            case actions.CancelChunks():
                for chunk in action.chunks:
                    self._cancel_nested(chunk)
                entry = self._roster.entries[action.host]
                self._roster.send(entry, messages.Cancel(chunks=action.chunks))
            case actions.LeaveHost():
                self.drained(action.host)
            case actions.TakeBackFrom():
                entry = self._roster.entries[action.host]
                self._roster.send(
                    entry, messages.TakeBack(count=action.count, chunks=action.chunks)
                )
            case _:
                assert_never(action)

    def _send_chunk(self, action: actions.SendChunk) -> None:
        record = self._jobs.get(action.job)
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
                keep_children=spec.keep_children,
                keep=spec.keep,
                away=self._objects.away(objects) if objects and origin is None else (),
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
