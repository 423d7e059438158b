"""One scheduler, several hosts with real pools, and simulated workers: a whole cluster, no process.

Everything that decides is the real code; what is simulated is the world around it: pipes that hold
messages, workers that run tasks, die and leave a journal, hosts that go and come back. A seed
makes the whole run: every step picks one of the things that can happen now.

Invariants, checked as it goes: a task gets one final outcome; two live workers are never in the
same task; an attempt is charged only for a task that was running; nothing is queued, leased or
running at the end.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field

from scattergather.model.outcome import Kind
from scattergather.scheduler import actions as scheduler_actions
from scattergather.scheduler import events as scheduler_events
from scattergather.scheduler.scheduler import Scheduler
from scattergather.wire import messages
from scattergather.workers.pool import actions as pool_actions
from scattergather.workers.pool import events as pool_events
from scattergather.workers.pool.pool import Pool

Task = tuple[bytes, int]


@dataclass
class SimWorker:
    """A worker process: its inbox, its chunk, its journal, and what it wrote to its socket."""

    number: int
    session: int
    inbox: deque[messages.ToWorker] = field(default_factory=deque)
    outbox: deque[messages.FromWorker] = field(default_factory=deque)
    run: messages.Run | None = None
    at: int = 0
    running: bool = False
    unsent: list[int] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    cancel: int = 0
    dead: bool = False


class SimHost:
    """A pool and its processes, and the two pipes to the controller."""

    def __init__(self, world: World, name: str, slots: int) -> None:
        self.world = world
        self.name = name
        self.slots = slots
        self.pool = Pool(slots)
        self.processes: dict[int, SimWorker] = {}
        self.up: deque[messages.FromPool] = deque()
        self.down: deque[messages.ToPool] = deque()
        self.joined = False
        self.handle(pool_events.SessionOpened(session=1))

    def handle(self, event: pool_events.Event) -> None:
        for action in self.pool.handle(event, self.world.now):
            match action:
                case pool_actions.ForkWorker():
                    process = SimWorker(action.worker, action.session)
                    process.outbox.append(messages.Born(pid=1000 + action.worker))
                    self.processes[action.worker] = process
                case pool_actions.Tell():
                    if action.worker in self.processes:
                        self.processes[action.worker].inbox.append(action.message)
                case pool_actions.Report():
                    self.up.append(action.message)
                case pool_actions.KillWorker():
                    if action.worker in self.processes:
                        self.processes[action.worker].signals.append(action.signal)
                case pool_actions.InterruptChunk():
                    if action.worker in self.processes:
                        self.processes[action.worker].cancel = action.chunk
                case pool_actions.RetireWorker():
                    if action.worker in self.processes:
                        self.processes[action.worker].signals.append(9)

    def death(self, process: SimWorker, signal: int) -> None:
        """The worker is gone: all it wrote is read, then its journal."""
        if process.running and process.run is not None:
            self.world.stopped((process.run.job, process.at))
        while process.outbox:
            self.handle(
                pool_events.WorkerSaid(worker=process.number, message=process.outbox.popleft())
            )
        run = process.run
        harvest = pool_events.Harvest(
            chunk=run.chunk if run is not None else 0,
            running=process.at if process.running else None,
            outcomes=tuple((index, Kind.RETURNED, b"") for index in process.unsent),
        )
        del self.processes[process.number]
        self.handle(pool_events.WorkerExited(worker=process.number, signal=signal, harvest=harvest))

    def work(self, process: SimWorker) -> None:
        """One step of a worker: read, begin a task, end it, or flush."""
        if process.signals:
            self.death(process, process.signals[0])
            return
        if process.run is None:
            if process.inbox:
                message = process.inbox.popleft()
                if isinstance(message, messages.Run):
                    process.run, process.at = message, message.first
            return
        run = process.run
        if not process.running:
            process.running = True
            self.world.started((run.job, process.at), self.name)
            return
        process.running = False
        self.world.stopped((run.job, process.at))
        if process.cancel == run.chunk:
            self.flush(process)
            process.outbox.append(
                messages.Outcomes(chunk=run.chunk, first=process.at, kinds=bytes([Kind.CANCELLED]))
            )
            if process.at + 1 < run.first + run.count:
                process.outbox.append(messages.GaveBack(chunk=run.chunk, first=process.at + 1))
            process.run = None
            return
        process.unsent.append(process.at)
        process.at += 1
        last = process.at == run.first + run.count
        if last or self.world.random.random() < 0.3:
            self.flush(process)
        if last:
            process.run = None

    def flush(self, process: SimWorker) -> None:
        if process.unsent and process.run is not None:
            process.outbox.append(
                messages.Outcomes(
                    chunk=process.run.chunk,
                    first=process.unsent[0],
                    kinds=bytes([Kind.RETURNED]) * len(process.unsent),
                    elapsed=self.world.task_seconds * len(process.unsent),
                )
            )
            process.unsent.clear()


class World:
    """The cluster. ``step`` lets one thing happen; ``settle`` lets everything end."""

    def __init__(self, seed: int, hosts: int = 3, slots: int = 3) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.task_seconds = self.random.choice([1e-5, 0.003, 0.1])
        self.scheduler = Scheduler()
        self.final: Counter[Task] = Counter()
        self.running: Counter[Task] = Counter()
        self.begun: Counter[Task] = Counter()
        self.kills = 0
        self.jobs: dict[bytes, int] = {}
        self.ended: set[bytes] = set()
        self.hosts: dict[str, SimHost | None] = {}
        self.slots = slots
        self.generation = 0
        for number in range(hosts):
            self.hosts[f"host{number}"] = None

    # ---- ledger ----

    def started(self, task: Task, host: str) -> None:
        self.begun[task] += 1
        self.running[task] += 1
        alive = self.running[task]
        # A host that the controller gave up may still be running its task; nobody listens to it.
        assert alive == 1 or self.generation, f"{task} runs {alive} times at once"

    def stopped(self, task: Task) -> None:
        self.running[task] -= 1

    def finished(self, job: bytes, first: int, count: int) -> None:
        for index in range(first, first + count):
            self.final[job, index] += 1
            assert self.final[job, index] == 1, f"task {index} was delivered twice"

    # ---- the controller's side ----

    def handle(self, event: scheduler_events.Event) -> None:
        for action in self.scheduler.handle(event, self.now):
            match action:
                case scheduler_actions.SendChunk():
                    self.pipe(action.host).append(
                        messages.Run(
                            chunk=action.chunk,
                            job=action.job,
                            function="f",
                            first=action.first,
                            count=action.count,
                            attempt=action.attempt,
                            brief=action.brief,
                        )
                    )
                case scheduler_actions.TakeBackFrom():
                    self.pipe(action.host).append(messages.TakeBack(count=action.count))
                case scheduler_actions.CancelChunks():
                    self.pipe(action.host).append(messages.Cancel(chunks=action.chunks))
                case scheduler_actions.Deliver() | scheduler_actions.DeliverLoss():
                    self.finished(action.job, action.first, action.count)
                case scheduler_actions.ReportCancelled():
                    self.finished(action.job, action.first, action.count)
                case scheduler_actions.EndJob():
                    assert action.job not in self.ended, "a job ended twice"
                    self.ended.add(action.job)
                case scheduler_actions.ReportPlaced():
                    pass

    def pipe(self, host: str) -> deque[messages.ToPool]:
        found = self.hosts[host]
        assert found is not None, "sent to a host that left"
        return found.down

    def add_job(self, tasks: int, retries: int = 50, priority: int = 0) -> bytes:
        job = len(self.jobs).to_bytes(16, "big")
        self.jobs[job] = tasks
        self.handle(
            scheduler_events.JobAdded(job=job, function="f", retries=retries, priority=priority)
        )
        half = tasks // 2
        for first, count in ((0, half), (half, tasks - half)):
            if count:
                self.handle(scheduler_events.TasksAdded(job=job, first=first, count=count))
        self.handle(scheduler_events.TasksEnded(job=job, total=tasks))
        return job

    def hear(self, host: SimHost) -> None:
        message = host.up.popleft()
        match message:
            case messages.WorkersChanged():
                if not host.joined:
                    host.joined = True
                    self.handle(scheduler_events.HostJoined(host=host.name, slots=host.slots))
            case messages.Outcomes():
                self.handle(
                    scheduler_events.OutcomesArrived(
                        host=host.name,
                        chunk=message.chunk,
                        first=message.first,
                        kinds=message.kinds,
                        elapsed=message.elapsed,
                    )
                )
            case messages.GaveBack():
                self.handle(
                    scheduler_events.ChunkGivenBack(
                        host=host.name, chunk=message.chunk, first=message.first
                    )
                )
            case messages.CancelDone():
                self.handle(
                    scheduler_events.CancelCompleted(
                        host=host.name, chunk=message.chunk, first=message.first
                    )
                )
            case _:
                pass

    # ---- what can happen ----

    def start_host(self, name: str) -> None:
        if self.hosts[name] is None:
            self.hosts[name] = SimHost(self, name, self.slots)

    def lose_host(self, name: str) -> None:
        host, self.hosts[name] = self.hosts[name], None
        if host is not None:
            self.generation += 1
            for process in host.processes.values():
                if process.running and process.run is not None:
                    self.stopped((process.run.job, process.at))
            if host.joined:
                self.handle(scheduler_events.HostLeft(host=name, reason="lost"))

    def alive(self) -> list[SimHost]:
        return [host for host in self.hosts.values() if host is not None]

    def step(self) -> bool:
        """Let one message pass or one worker act; False when nothing can happen."""
        self.now += 1e-4
        choices = []
        for host in self.alive():
            if host.up:
                choices.append(lambda host=host: self.hear(host))
            if host.down:
                choices.append(
                    lambda host=host: host.handle(
                        pool_events.Received(session=1, message=host.down.popleft())
                    )
                )
            if host.pool.wake_at is not None and host.pool.wake_at <= self.now:
                choices.append(lambda host=host: host.handle(pool_events.Ticked()))
            for process in host.processes.values():
                if process.outbox:
                    choices.append(
                        lambda host=host, process=process: host.handle(
                            pool_events.WorkerSaid(
                                worker=process.number, message=process.outbox.popleft()
                            )
                        )
                    )
                if process.inbox or process.run is not None or process.signals:
                    choices.append(lambda host=host, process=process: host.work(process))
        if not choices:
            waking = [host.pool.wake_at for host in self.alive() if host.pool.wake_at is not None]
            if not waking:
                return False
            self.now = max(self.now, min(waking))
            return True
        self.random.choice(choices)()
        return True

    def kill_a_worker(self) -> None:
        busy = [
            (host, process)
            for host in self.alive()
            for process in host.processes.values()
            if not process.signals
        ]
        if busy:
            host, process = self.random.choice(busy)
            self.kills += 1
            host.death(process, 9)

    def refresh(self) -> None:
        for host in self.alive():
            if host.joined:
                host.down.append(messages.Refresh(call=1))

    def settle(self, limit: int = 200_000) -> None:
        """Let everything end."""
        for name in self.hosts:
            self.start_host(name)
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError("the world does not come to rest")

    def check_all_done(self) -> None:
        for job, tasks in self.jobs.items():
            got = {index for (owner, index) in self.final if owner == job}
            assert got == set(range(tasks)), f"lost: {sorted(set(range(tasks)) - got)[:10]}"
            assert job in self.ended, "a finished job was not ended"
        assert not self.scheduler.jobs
        assert all(not host.leases for host in self.scheduler.hosts.values())
        for host in self.alive():
            for session in host.pool.sessions.values():
                assert not session.queue
                assert session.running == 0
                assert all(not worker.leases for worker in session.workers.values())
