"""Any events in any order: each task given to a pool comes back once, as an outcome or free."""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.chunks.cancelling import KILL_AFTER
from scattergather.workers.pool.pool import Pool

JOB = b"j" * 16
numbers = st.integers(0, 1 << 16)


@dataclass
class Worker:
    """A process: the chunks it was told to run, and the task it is in, ``at`` of the first."""

    tenant: int
    born: bool = False
    runs: deque[messages.Run] = field(default_factory=deque)
    at: int = 0
    waiting: bool = False
    cancel: int = -1
    interrupted: float = 0.0
    stop: int = -1
    skip: int = -1
    doomed: bool = False
    refreshed: bool = False


class PoolMachine(RuleBasedStateMachine):
    """Controllers and workers that do what a pool may meet, with a book of where each task is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.chunks = 0
        self.calls = 0
        self.open: dict[int, dict[int, set[int]]] = {}
        self.cancelled: set[int] = set()
        self.workers: dict[int, Worker] = {}
        self.unanswered: dict[int, set[int]] = {}
        self.charged: set[int] = set()
        self.finished: set[int] = set()

    @initialize(slots=st.integers(1, 3))
    def start(self, slots: int) -> None:
        self.pool = Pool(slots)
        self.tenant_joins(0)

    # ---- the book ----

    def tell(self, event: events.Event) -> None:
        follow: list[events.Event] = []
        for action in self.pool.handle(event, self.now):
            match action:
                case actions.ForkWorker():
                    assert action.worker not in self.workers
                    self.workers[action.worker] = Worker(action.tenant)
                case actions.Tell():
                    self.told(self.workers[action.worker], action.message)
                case actions.Report():
                    self.reported(action.tenant, action.message, action.body)
                case actions.KillWorker():
                    self.workers[action.worker].doomed |= action.signal == signal.SIGKILL
                case actions.InterruptChunk():
                    worker = self.workers[action.worker]
                    assert action.chunk in self.cancelled
                    worker.cancel, worker.interrupted = action.chunk, self.now
                    worker.stop = max(worker.stop, action.chunk)
                case actions.WarnWorker():
                    assert not self.workers[action.worker].doomed
                case actions.StopWorker():
                    worker = self.workers[action.worker]
                    worker.stop = max(worker.stop, action.chunk)
                case actions.RecallChunk():
                    worker = self.workers[action.worker]
                    skipped = [run for run in worker.runs if run.chunk == worker.skip]
                    assert not skipped, "there is one word for it"
                    worker.skip = action.chunk
                    if worker.runs[0].chunk != action.chunk:
                        recalled = events.ChunkRecalled(worker=action.worker, chunk=action.chunk)
                        follow.append(recalled)
                case actions.RetireWorker():
                    worker = self.workers[action.worker]
                    assert not worker.runs
                    worker.doomed = True
        for event in follow:
            self.tell(event)

    def told(self, worker: Worker, message: messages.ToWorker) -> None:
        assert worker.born
        if isinstance(message, messages.Run):
            assert not worker.doomed
            # Those that it was told not to begin were given back, and it will find that.
            held = [
                run for run in worker.runs if run.chunk > worker.stop and run.chunk != worker.skip
            ]
            assert len(held) < 2
            if held:
                assert message.ahead
                assert held[0].ahead
                assert not worker.waiting
            if not worker.runs:
                worker.at = message.first
            worker.runs.append(message)

    def reported(self, tenant: int, message: messages.FromPool, body: bytes) -> None:
        tasks = self.open[tenant]
        match message:
            case messages.Outcomes():
                assert len(blobs.each(body, len(message.kinds))) == len(message.kinds)
                for index, kind in enumerate(message.kinds, message.first):
                    self.back(tasks, message.chunk, {index})
                    judged = kind in (Kind.RETURNED, Kind.RETRYABLE)
                    assert judged or index in self.charged, f"{index} is charged"
                    assert judged or index not in self.finished, f"{index} was finished"
            case messages.GaveBack():
                assert message.chunk not in self.cancelled
                self.rest_back(tasks, message.chunk, message.first)
            case messages.CancelDone():
                assert message.chunk in self.cancelled
                self.rest_back(tasks, message.chunk, message.first)
            case messages.RefreshDone() | messages.EverywhereDone():
                done = isinstance(message, messages.RefreshDone) or message.last
                if done:
                    self.unanswered[tenant].remove(message.call)
            case messages.WorkersChanged():
                assert message.alive <= len(self.workers)

    def rest_back(self, tasks: dict[int, set[int]], chunk: int, first: int) -> None:
        rest = {index for index in tasks[chunk] if index >= first}
        assert not rest & self.finished, "an outcome is thrown away"
        self.back(tasks, chunk, rest)

    def back(self, tasks: dict[int, set[int]], chunk: int, gone: set[int]) -> None:
        assert gone
        assert gone <= tasks[chunk], f"of chunk {chunk}, {gone - tasks[chunk]} came back twice"
        tasks[chunk] -= gone
        if not tasks[chunk]:
            del tasks[chunk]

    def living(self, **wanted: bool) -> list[int]:
        return [
            number
            for number, worker in self.workers.items()
            if all(bool(getattr(worker, name)) == value for name, value in wanted.items())
        ]

    def tenant(self, number: int) -> int:
        return sorted(self.open)[number % len(self.open)]

    # ---- controllers ----

    @rule(workers=st.integers(0, 4))
    def tenant_joins(self, workers: int) -> None:
        if len(self.open) < 2:
            tenant = len(self.unanswered) + 1
            self.open[tenant], self.unanswered[tenant] = {}, set()
            self.tell(events.TenantJoined(tenant=tenant, workers=workers))

    @precondition(lambda self: len(self.open) > 1)
    @rule(number=numbers)
    def tenant_leaves(self, number: int) -> None:
        tenant = self.tenant(number)
        self.tell(events.TenantLeft(tenant=tenant))
        del self.open[tenant]
        self.unanswered[tenant] = set()
        self.workers = {
            number: worker for number, worker in self.workers.items() if worker.tenant != tenant
        }

    @precondition(lambda self: self.open)
    @rule(number=numbers, counts=st.lists(st.integers(1, 4), min_size=1), ahead=st.booleans())
    def run(self, number: int, counts: list[int], ahead: bool) -> None:
        tenant = self.tenant(number)
        for count in counts[:6]:
            self.chunks += 1
            first = 10 * self.chunks
            self.open[tenant][self.chunks] = set(range(first, first + count))
            run = messages.Run(
                chunk=self.chunks, job=JOB, function="f", first=first, count=count, ahead=ahead
            )
            self.receive(tenant, run)

    def receive(self, tenant: int, message: messages.ToPool) -> None:
        self.tell(events.MessageReceived(tenant=tenant, message=message))

    @rule(number=numbers, count=st.integers(0, 9))
    def take_back(self, number: int, count: int) -> None:
        self.receive(self.tenant(number), messages.TakeBack(count=count))

    @rule(number=numbers, chunk=numbers)
    def cancel(self, number: int, chunk: int) -> None:
        tenant = self.tenant(number)
        chunks = sorted(self.open[tenant])
        if chunks:
            chunk = chunks[chunk % len(chunks)]
            self.cancelled.add(chunk)
            self.receive(tenant, messages.Cancel(chunks=(chunk,)))

    @rule(number=numbers)
    def refresh(self, number: int) -> None:
        tenant = self.tenant(number)
        for worker in self.workers.values():
            worker.refreshed |= worker.tenant == tenant
        self.receive(tenant, messages.Refresh(call=self.ask(tenant)))

    @rule(number=numbers)
    def everywhere(self, number: int) -> None:
        tenant = self.tenant(number)
        self.receive(tenant, messages.Everywhere(call=self.ask(tenant), function="f"))

    def ask(self, tenant: int) -> int:
        self.calls += 1
        self.unanswered[tenant].add(self.calls)
        return self.calls

    # ---- workers ----

    def say(self, number: int, message: messages.FromWorker, body: bytes = b"") -> None:
        self.tell(events.WorkerSaid(worker=number, message=message, body=body))

    @precondition(lambda self: self.living(born=False))
    @rule(number=numbers)
    def is_born(self, number: int) -> None:
        unborn = self.living(born=False)
        number = unborn[number % len(unborn)]
        self.workers[number].born = True
        self.say(number, messages.Born(pid=number))

    @precondition(lambda self: self.living(runs=True))
    @rule(number=numbers, kind=st.sampled_from((Kind.RETURNED, Kind.RETRYABLE)))
    def end_task(self, number: int, kind: Kind) -> None:
        working = self.living(runs=True)
        number = working[number % len(working)]
        worker = self.workers[number]
        if worker.waiting:
            worker.waiting = False
            self.say(number, messages.Resumed())
        run, index = worker.runs[0], worker.at
        worker.at += 1
        rest = worker.at < run.first + run.count
        if not rest or worker.stop >= run.chunk:
            self.chunk_over(worker)
        outcomes = messages.Outcomes(
            chunk=run.chunk, first=index, kinds=bytes([kind]), worker=number
        )
        self.say(number, outcomes, blobs.pack([b""]))
        if rest and worker.stop >= run.chunk:
            self.say(number, messages.GaveBack(chunk=run.chunk, first=index + 1))
        while worker.runs and (
            worker.stop >= worker.runs[0].chunk or worker.skip == worker.runs[0].chunk
        ):
            run = worker.runs[0]
            self.chunk_over(worker)
            self.say(number, messages.GaveBack(chunk=run.chunk, first=run.first))

    def chunk_over(self, worker: Worker) -> None:
        worker.runs.popleft()
        if worker.runs:
            worker.at = worker.runs[0].first

    @precondition(lambda self: self.living(runs=True, waiting=False))
    @rule(number=numbers)
    def wait(self, number: int) -> None:
        """The task waits for a nested call: what this worker holds ready is given back."""
        working = self.living(runs=True, waiting=False)
        number = working[number % len(working)]
        worker = self.workers[number]
        worker.waiting = True
        for run in list(worker.runs)[1:]:
            worker.runs.remove(run)
            self.say(number, messages.GaveBack(chunk=run.chunk, first=run.first))
        self.say(number, messages.Waiting())

    @precondition(lambda self: self.living(born=True))
    @rule(number=numbers)
    def answer_everywhere(self, number: int) -> None:
        idle = self.living(born=True)
        number = idle[number % len(idle)]
        tenant = self.workers[number].tenant
        if self.unanswered[tenant]:
            call = min(self.unanswered[tenant])
            found = self.pool.crew.tenants[tenant].everywhere.get(call)
            if found is not None and number in found.waiting:
                self.say(number, messages.EverywhereDone(call=call, worker=number, kind=0))

    @precondition(lambda self: self.workers)
    @rule(number=numbers, journaled=st.integers(0, 4), begun=st.booleans())
    def die(self, number: int, journaled: int, begun: bool) -> None:
        """With outcomes that only its journal has."""
        number = sorted(self.workers)[number % len(self.workers)]
        worker = self.workers.pop(number)
        harvest = events.Harvest(chunk=-1)
        self.charged, self.finished = set(), set()
        if worker.runs:
            run = worker.runs[0]
            stopped = worker.stop >= run.chunk
            # Who was told to begin nothing more is in its task, or has just ended it.
            end = worker.at + 1 if stopped else run.first + run.count
            begun = begun or (stopped and not journaled)
            stop = min(worker.at + journaled, end)
            self.finished = set(range(worker.at, stop))
            begun = begun and stop < end
            if begun or stop == run.first:  # else nobody is to blame
                self.charged = {stop}
            harvest = events.Harvest(
                chunk=run.chunk,
                running=stop if begun else None,
                outcomes=tuple((index, Kind.RETURNED, b"") for index in range(worker.at, stop)),
            )
        self.tell(events.WorkerExited(worker=number, signal=9, harvest=harvest))

    @precondition(lambda self: self.living(runs=True))
    @rule(number=numbers)
    def find_stopped(self, number: int) -> None:
        working = self.living(runs=True)
        self.tell(events.FoundStopped(worker=working[number % len(working)]))

    @precondition(lambda self: self.living(runs=True))
    @rule(number=numbers, seconds=st.sampled_from((0.1, 0.5)))
    def look(self, number: int, seconds: float) -> None:
        working = self.living(runs=True)
        number = working[number % len(working)]
        worker = self.workers[number]
        self.tell(
            events.Sampled(
                worker=number,
                chunk=worker.runs[0].chunk,
                index=worker.at,
                started=self.now - seconds,
                memory=0,
            )
        )

    # ---- time ----

    @rule(seconds=st.sampled_from((0.01, 0.5, 1.0, 5.0, 10.0)))
    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(100):
            if self.pool.wake_at is None or self.pool.wake_at > until:
                break
            self.now = max(self.now, self.pool.wake_at)
            self.tell(events.Ticked())
        else:
            raise AssertionError("the pool wakes itself for ever")
        self.now = until

    # ---- always, and in the end ----

    @invariant()
    def slots_are_kept(self) -> None:
        for tenant in self.pool.crew.tenants.values():
            busy = sum(worker.busy for worker in tenant.workers.values())
            assert tenant.running == busy
            ready = {number for number, worker in tenant.workers.items() if worker.idle}
            assert set(tenant.idle) == ready
            assert not (tenant.queue and tenant.idle and len(self.pool.crew.tenants) == 1) or (
                tenant.running >= self.pool.slots
            ), "a chunk waits, a worker is idle and a slot is free"

    @invariant()
    def who_resists_a_cancel_is_killed(self) -> None:
        for worker in self.workers.values():
            if worker.runs and worker.runs[0].chunk in self.cancelled and not worker.doomed:
                assert worker.cancel == worker.runs[0].chunk
                assert self.now < worker.interrupted + KILL_AFTER

    @invariant()
    def every_task_is_somewhere(self) -> None:
        for number, tasks in self.open.items():
            tenant = self.pool.crew.tenants[number]
            held = set(tenant.queue)
            for worker in tenant.workers.values():
                chunks = {lease.run.chunk for lease in worker.leases}
                assert not chunks & held
                held |= chunks
            assert held == set(tasks)

    def teardown(self) -> None:
        """When workers live and work, everything comes back, and the pool sleeps."""
        if not hasattr(self, "pool"):
            return
        for _ in range(2000):
            doomed = self.living(doomed=True)
            if doomed:
                self.die(sorted(self.workers).index(doomed[0]), 0, True)
            elif self.living(born=False):
                self.is_born(0)
            elif self.living(runs=True):
                self.end_task(0, Kind.RETURNED)
            elif self.pool.wake_at is not None:
                self.pass_time(max(0.0, self.pool.wake_at - self.now))
            elif any(tenant.everywhere for tenant in self.pool.crew.tenants.values()):
                for number in range(len(self.workers)):
                    self.answer_everywhere(number)
            else:
                break
        assert not any(self.open.values())
        assert not any(self.unanswered.values())
        for tenant in self.pool.crew.tenants.values():
            assert tenant.running == tenant.blocked == 0
            assert len(tenant.idle) == tenant.limit == len(tenant.workers)
            assert all(worker.skipping is None for worker in tenant.workers.values())


TestPool = PoolMachine.TestCase
TestPool.settings = settings(deadline=None, max_examples=80, stateful_step_count=50)
