"""What goes wrong in a world, how often: every fault comes by itself at random times."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.daemon import Service, Zygote
from tests.simulation.network import DOWN, UP
from tests.simulation.process import Process
from tests.simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Mean number of each fault over a run.

    The last three are shares: of the pieces that are mistreated on their way, of the flushes and of
    the births that a worker dies in.
    """

    kill_worker: float = 0.0
    kill_zygote: float = 0.0
    kill_daemon: float = 0.0
    freeze_worker: float = 0.0
    freeze_zygote: float = 0.0
    freeze_host: float = 0.0
    cut: float = 0.0
    cut_stream: float = 0.0
    shut: float = 0.0
    refresh: float = 0.0
    add_host: float = 0.0
    drop_host: float = 0.0
    resize_host: float = 0.0
    run_everywhere: float = 0.0
    cancel_job: float = 0.0
    cancel_tasks: float = 0.0
    add_job: float = 0.0
    bring: float = 0.0
    largest_job: int = 20
    noise: float = 0.0
    torn: float = 0.0
    stillborn: float = 0.0


class Nemesis:
    """Lets faults happen in a world for so many seconds."""

    def __init__(self, world: World, faults: Faults, seconds: float) -> None:
        self._world, self._chance = world, world.chance
        self.patient = False
        """Whoever drops a host waits for what runs there."""
        self._until = world.clock.now + seconds
        world.torn, world.stillborn = faults.torn, faults.stillborn
        for path in world.paths.values():
            path.loss = path.doubling = path.disorder = faults.noise
        kinds: list[tuple[float, Callable[[], None]]] = [
            (faults.kill_worker, self.kill_worker),
            (faults.kill_zygote, self.kill_zygote),
            (faults.kill_daemon, self.kill_daemon),
            (faults.freeze_worker, self.freeze_worker),
            (faults.freeze_zygote, self.freeze_zygote),
            (faults.freeze_host, self.freeze_host),
            (faults.cut, self.cut),
            (faults.cut_stream, self.cut_stream),
            (faults.shut, self.shut),
            (faults.refresh, world.client.refresh),
            (faults.add_host, self.add_host),
            (faults.drop_host, self.drop_host),
            (faults.resize_host, self.resize_host),
            (faults.run_everywhere, world.client.run_everywhere),
            (faults.bring, world.client.bring),
            (faults.cancel_job, self.cancel_job),
            (faults.cancel_tasks, self.cancel_tasks),
            (faults.add_job, lambda: self.add_job(self._chance.randrange(1, faults.largest_job))),
        ]
        for mean, fault in kinds:
            if mean:
                self._plan(seconds / mean, fault)

    def _plan(self, mean: float, fault: Callable[[], None]) -> None:
        wait = self._chance.expovariate(1 / mean)
        if self._world.clock.now + wait < self._until:
            self._world.clock.callLater(wait, self._happen, mean, fault)

    def _happen(self, mean: float, fault: Callable[[], None]) -> None:
        fault()
        self._plan(mean, fault)

    # ---- processes and machines ----

    def _process(self) -> Process | None:
        living = [
            process
            for service in self._world.services()
            if not service.scope.frozen
            for process in service.processes.values()
            if process.zygote is not None and not process.dead
        ]
        busy = [process for process in living if process.run is not None]
        return self._chance.choice(busy or living) if living else None

    def kill_worker(self) -> None:
        process = self._process()
        if process is not None:
            self._world.ledger.kills += 1
            process.die(9)

    def _zygote(self) -> tuple[Service, Zygote] | tuple[None, None]:
        services = [each for each in self._world.services() if not each.scope.frozen]
        zygotes = [(each, zygote) for each in services for zygote in each.zygotes()]
        return self._chance.choice(zygotes) if zygotes else (None, None)

    def kill_zygote(self) -> None:
        service, zygote = self._zygote()
        if zygote is not None:
            self._world.ledger.note("kill a zygote of", service.name)
            zygote.kill()

    def freeze_zygote(self) -> None:
        service, zygote = self._zygote()
        if zygote is not None and not zygote.scope.frozen:
            self._world.ledger.note("freeze a zygote of", service.name)
            zygote.scope.frozen = True
            seconds = self._chance.choice((1.0, 9.0, 60.0))
            self._world.clock.callLater(seconds, zygote.scope.thaw)

    def freeze_worker(self) -> None:
        process = self._process()
        if process is not None and not process.scope.frozen:
            process.scope.frozen = True
            seconds = self._chance.uniform(0.01, 5.0)
            self._world.clock.callLater(seconds, process.scope.thaw)

    def _host(self) -> str:
        return self._chance.choice(list(self._world.paths))

    def kill_daemon(self) -> None:
        name = self._host()
        self._world.kill_daemon(name)
        seconds = self._chance.uniform(0.01, 15.0)
        self._world.clock.callLater(seconds, self._world.start_daemon, name)

    def freeze_host(self) -> None:
        name = self._host()
        self._world.freeze(name)
        seconds = self._chance.choice((0.1, 5.0, 12.0, 30.0))
        self._world.clock.callLater(seconds * self._chance.random(), self._world.thaw, name)

    # ---- the network ----

    def cut(self) -> None:
        name = self._host()
        self._world.ledger.note("cut", name)
        self._world.paths[name].cut(self._chance.choice((DOWN, UP)))

    def cut_stream(self) -> None:
        name = self._host()
        self._world.ledger.note("cut the stream", name)
        self._world.paths[name].cut_stream(self._chance.choice((DOWN, UP)))

    def shut(self) -> None:
        path = self._world.paths[self._host()]
        seconds = self._chance.choice((0.2, 8.0, 30.0)) * self._chance.random()
        for direction in self._chance.choice(((DOWN,), (UP,), (DOWN, UP))):
            self._world.ledger.note("shut", direction, f"{seconds:.3f} s")
            path.shut(direction)
            self._world.clock.callLater(seconds, path.open, direction)

    # ---- the client ----

    def _any_host(self) -> str:
        return self._chance.choice(list(self._world.specs))

    def add_host(self) -> None:
        self._world.add_host(self._any_host())

    def drop_host(self) -> None:
        now = not self.patient and self._chance.random() < 0.4
        self._world.drop_host(self._any_host(), now)

    def resize_host(self) -> None:
        workers = self._chance.randrange(1, self._world.shape.workers + 1)
        self._world.resize_host(self._any_host(), workers)

    def add_job(self, tasks: int) -> None:
        """A job whose tasks come in up to three lots."""
        world = self._world
        job = world.workload.new_job(tasks)
        world.client.begin(job)
        cuts = sorted({0, tasks, *(self._chance.randrange(tasks) for _ in range(2))})
        later = 0.0
        for first, stop in itertools.pairwise(cuts):
            world.clock.callLater(later, world.client.add, job, first, stop - first)
            later += self._chance.uniform(0.0, 2.0)

    def cancel_job(self) -> None:
        jobs = list(self._world.client.jobs.values())
        if jobs:
            self._world.client.cancel(self._chance.choice(jobs[-3:]))

    def cancel_tasks(self) -> None:
        jobs = list(self._world.client.jobs.values())
        if jobs:
            job = self._chance.choice(jobs[-3:])
            first = self._chance.randrange(job.tasks)
            count = self._chance.randrange(1, job.tasks - first + 1)
            self._world.client.cancel_tasks(job, first, count)
