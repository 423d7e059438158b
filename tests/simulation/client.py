"""The client of a simulated cluster: it asks for things, and knows what it must be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind
from scattergather.model.placement import Placement
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined, HostSpec
from tests.simulation.ledger import Ledger
from tests.simulation.workload import MOST_OBJECTS, Job


class Client:
    """Each task of each job is to have exactly one outcome, each call exactly one answer."""

    def __init__(self, ledger: Ledger, ask: Callable[[messages.ToController, bytes], None]) -> None:
        self._ledger = ledger
        self._large = ledger.large
        self._large.ask = ask
        self._chance = ledger.world.chance
        self._ask = ask
        self.final: dict[bytes, set[int]] = {}
        self.jobs: dict[bytes, Job] = {}
        self.calls: set[int] = set()
        self._answered: set[int] = set()
        self._dropped: dict[bytes, set[int]] = {}
        self._cancelled: set[bytes] = set()
        self._brings: dict[int, ObjectId] = {}

    @property
    def satisfied(self) -> bool:
        """Everything that was asked for has come."""
        return self.calls == self._answered and all(
            len(self.final[identity]) == job.tasks for identity, job in self.jobs.items()
        )

    def missing(self) -> str:
        """What has not come, for a failure."""
        lost = {
            job.number: sorted(set(range(job.tasks)) - self.final[identity])[:8]
            for identity, job in self.jobs.items()
            if len(self.final[identity]) < job.tasks
        }
        return f"no outcome of tasks {lost}, no answer to calls {self.calls - self._answered}"

    # ---- what it asks for ----

    def begin(self, job: Job) -> None:
        """Add a job, without tasks."""
        self._ledger.note("job", job.number, "tasks", job.tasks, "retries", job.retries)
        if not job.plain and self._chance.random() < 0.5:
            self.furnish(job, self._chance.choice((0.1, 1.0)))
            job.keep = self._chance.random() < 0.4
        self.jobs[job.identity] = job
        self.final[job.identity] = set()
        spec = messages.AddJob(
            job=job.identity,
            name=f"job {job.number}",
            function="f",
            priority=job.priority,
            retries=job.retries,
            limits=job.limits,
            stream=job.stream,
            keep=job.keep,
            placement=Placement(on=job.on),
        )
        self._ask(spec, b"")

    def furnish(self, job: Job, share: float) -> None:
        """Large objects for this share of the tasks."""
        count = self._chance.randrange(1, MOST_OBJECTS + 1)
        objects = self._large.take_kept(self._chance.randrange(count + 1))
        objects += [self._large.lend() for _ in range(count - len(objects))]
        job.lets_go = self._chance.random() < 0.5
        self._ledger.workload.furnish(job, objects, share)

    def add(self, job: Job, first: int, count: int) -> None:
        """Add tasks of a job; the last ones end it."""
        body = blobs.pack([job.blob(index) for index in range(first, first + count)])
        taken = self._ledger.workload.taken(job.identity, first, first + count)
        objects = tuple(extent for extent in job.objects if extent.object in taken)
        tasks = messages.AddTasks(job=job.identity, first=first, count=count, objects=objects)
        self._ask(tasks, body)
        if first + count == job.tasks:
            for extent in job.objects if job.lets_go else ():
                self._large.release([extent.object], self._chance.choice((0, 0.5, 5.0)))
            self._ask(messages.EndTasks(job=job.identity, total=job.tasks), b"")

    def cancel(self, job: Job) -> None:
        self._ledger.note("cancel job", job.number)
        self._cancelled.add(job.identity)
        self._ask(messages.CancelJob(job=job.identity), b"")

    def cancel_tasks(self, job: Job, first: int, count: int) -> None:
        self._ledger.note("cancel tasks", job.number, first, count)
        self._dropped.setdefault(job.identity, set()).update(range(first, first + count))
        call = self._call()
        self._ask(messages.CancelTasks(call=call, job=job.identity, first=first, count=count), b"")

    def refresh(self) -> None:
        self._ledger.note("refresh")
        self._ask(messages.Command(call=self._call(), word="refresh"), b"")

    def run_everywhere(self) -> None:
        self._ledger.note("run everywhere")
        objects = (self._large.lend(),) if self._chance.random() < 0.5 else ()
        call = messages.RunEverywhere(call=self._call(), function="f", objects=objects)
        self._ask(call, b"")
        self._large.release([extent.object for extent in objects], 0.0)

    def bring(self) -> None:
        """Read something that lies where it was made."""
        if (part := self._large.part_of_kept()) is not None:
            self._ledger.note("bring", part)
            call = self._call()
            self._brings[call] = part
            self._ask(messages.Bring(call=call, object=part), b"")

    def add_host(self, spec: HostSpec) -> None:
        self._ledger.note("add", spec.name)
        self._ask(messages.AddHost(call=self._call(), spec=spec), b"")

    def drop_host(self, name: str, now: bool) -> None:
        self._ledger.note("drop", name, "now" if now else "")
        self._ask(messages.DropHost(call=self._call(), name=name, now=now), b"")

    def resize_host(self, name: str, workers: int) -> None:
        self._ledger.note("resize", name, workers)
        self._ask(messages.ResizeHost(call=self._call(), name=name, workers=workers), b"")

    def _call(self) -> int:
        self.calls.add(len(self.calls) + 1)
        return len(self.calls)

    # ---- what it is told ----

    def receive(self, message: messages.ToClient, body: bytes) -> None:
        match message:
            case messages.TaskOutcomes():
                self._outcomes(message, body)
            case messages.TasksCancelled():
                self._tasks_cancelled(message)
            case messages.Freed():
                self._large.freed(message.objects)
            case messages.SlabGone():
                self._large.gone(message.slab)
            case messages.Answer():
                self._ledger.check(message.call not in self._answered, f"twice: {message}")
                self._ledger.check(not isinstance(message.value, Declined), f"refused: {message}")
                self._answered.add(message.call)
                if (part := self._brings.pop(message.call, None)) is not None:
                    self._large.brought(part, message.value)
            case (
                messages.GoReady()
                | messages.Status()
                | messages.TasksPlaced()
                | messages.TaskOutput()
                | messages.EverywhereOutcome()
                | messages.Notice()
                | messages.Slab()
                | messages.Refused()
            ):
                pass
            case _:
                assert_never(message)

    def _outcomes(self, message: messages.TaskOutcomes, body: bytes) -> None:
        job = self._job(message.job)
        self._large.came(message.objects)
        self._large.stayed(message.kept)
        if job is not None:
            parts = zip(message.kinds, blobs.each(body, len(message.kinds)), strict=True)
            for index, (kind, blob) in enumerate(parts, message.first):
                self._finish(job, index)
                self._ledger.outcome(job.blob(index), Kind(kind), message.attempt, blob)

    def _tasks_cancelled(self, message: messages.TasksCancelled) -> None:
        job = self._job(message.job)
        if job is not None:
            for index in range(message.first, message.first + message.count):
                self._finish(job, index)
                wanted = self._dropped.get(job.identity, ())
                self._ledger.check(
                    job.identity in self._cancelled or index in wanted,
                    f"task {index} of job {job.number} was cancelled by nobody",
                )

    def _job(self, identity: bytes) -> Job | None:
        job = self.jobs.get(identity)
        self._ledger.check(job is not None, "an outcome of a job that the client did not add")
        return job

    def _finish(self, job: Job, index: int) -> None:
        final = self.final[job.identity]
        self._ledger.check(
            index not in final, f"task {index} of job {job.number} was delivered twice"
        )
        final.add(index)
        if len(final) == job.tasks and job.objects and not job.lets_go:
            self._large.release([extent.object for extent in job.objects], 0.0)
