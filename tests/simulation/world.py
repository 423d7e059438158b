"""A whole cluster without a process or a socket: see docs/simulation.md for what of it is real.

A seed makes the run. ``step`` lets the next thing happen, ``settle`` mends the world and lets
everything end, ``check_at_rest`` looks for what was left behind.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scattergather.controller.embedded import EmbeddedHost
from scattergather.controller.wiring import Wiring
from scattergather.link.seams import HostListener, ObjectStore, PoolFacts
from scattergather.wire import blobs
from scattergather.wire.memory.slabs import PAGE
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec, HostSpec, RemoteSpec
from tests.simulation.checked import CheckedScheduler
from tests.simulation.client import Client
from tests.simulation.clock import Clock, Scope
from tests.simulation.daemon import Daemon, Service
from tests.simulation.large import Memory
from tests.simulation.ledger import Broken, Ledger
from tests.simulation.network import UP, Host, Path, SimulatedLinks
from tests.simulation.workload import Workload

REST_SECONDS = 100.0
"""After so long every grace and every patience is over."""

LONGEST = 1800.0
CROWD = 5000
"""More than this many things never happen in one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a world is."""

    daemons: int
    workers: int
    embedded: bool = False


class _Watched:
    """The controller's own listener, with notes of what passes."""

    def __init__(self, world: World, name: str, listener: HostListener) -> None:
        self._ledger, self._name, self._listener = world.ledger, name, listener
        self.received, self.measured = listener.received, listener.measured
        self.arrived, self.lost = listener.arrived, listener.lost
        self.refused = listener.refused

    def joined(self, facts: PoolFacts) -> None:
        self._ledger.note("joined", self._name)
        self._listener.joined(facts)

    def left(self, reason: str) -> None:
        self._ledger.note("left", self._name, reason)
        self._listener.left(reason)

    def troubled(self, sentence: str) -> None:
        raise AssertionError(sentence)


class _Builder:
    """Implements ``seams.HostBuilder``: hosts of this world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.links: SimulatedLinks | None = None
        self.can_wait: Callable[[], bool] = lambda: False
        self.heard: Callable[[], None] = lambda: None

    def build(self, spec: HostSpec, listener: HostListener, objects: ObjectStore) -> Any:
        world, name = self._world, spec.name
        watched = _Watched(world, name, listener)
        if isinstance(spec, EmbeddedSpec):
            world.embedded = Service(
                Scope(world.clock),
                world.ledger,
                world.chance,
                name,
                world.shape.workers,
                world.store,
                shared=True,
            )
            place = messages.TaskPlace()
            return EmbeddedHost(world.embedded, watched, place)  # type: ignore[arg-type]
        if self.links is None:
            self.links = SimulatedLinks(world.clock, world.chance, objects)
        path = world.paths.get(name) or Path(world.clock, world.chance, world.ledger.fail)
        world.paths[name] = self.links.board.paths[f"{name:x<16}"] = path
        host = Host(self.links.board, spec, watched, objects)
        host.path = path
        self.links.hosts.append(host)
        return host

    def discard(self, host: Any) -> None:
        if self.links is not None and host in self.links.hosts:
            self.links.discard(host)
        else:
            assert self._world.embedded is not None
            self._world.embedded.stop()
            self._world.embedded = None

    def settle(self, place: messages.TaskPlace) -> None:
        """What a simulated task sees does not matter."""

    def room(self) -> None:
        if self.links is not None:
            self.links.room()


class _ClientEnd:
    """Implements ``seams.ClientEnd``: the client of this world."""

    def __init__(self, client: Client, memory: Memory) -> None:
        self.send = self.send_soon = client.receive
        self.send_gathered = lambda: None
        self.bring, self.descriptor = memory.bring, memory.descriptor


class World:
    """One controller, its hosts, its client, and the ledger of what happened.

    ``torn`` and ``stillborn`` are how likely a worker dies within a flush, and at its birth.
    """

    def __init__(self, seed: int, shape: Shape) -> None:
        self._crowd = 0
        self.chance = random.Random(seed)
        self.shape = shape
        self.clock = Clock()
        self.torn = self.stillborn = 0.0
        self.workload = Workload(self.chance)
        self.ledger = Ledger(self)
        self.large = self.ledger.large = Memory(self.ledger, self.clock, self.chance)
        names = [f"host{number}" for number in range(shape.daemons)]
        specs: list[HostSpec] = [
            RemoteSpec(name=name, furl=f"pb://{'a' * 32}@tcp:127.0.0.1:1/{name:x<16}")
            for name in names
        ]
        self.workload.hosts = names + ["here"] * shape.embedded
        if shape.embedded:
            specs.insert(0, EmbeddedSpec(name="here"))  # what it answers at once comes first
        self.specs = {spec.name: spec for spec in specs}
        self.client = Client(self.ledger, self._ask)
        room = random.Random(f"room {seed}").choice((None, 1, 2, 8))
        self.store = self.large.store(None if room is None else room * PAGE)
        self.paths: dict[str, Path] = {}
        self.remade = 0
        self.lost_hosts: list[str] = []
        self.embedded: Service | None = None
        self.scheduler = CheckedScheduler(self.ledger)
        self.controller = Wiring(
            reactor=self.clock,
            specs=tuple(specs),
            store=self.store,
            client=_ClientEnd(self.client, self.large),
            builder=_Builder(self),
            die=self._die,
            scheduler=self.scheduler,
        )
        for name in names:
            self.start_daemon(name)
        self.controller.start()

    def _ask(self, message: messages.ToController, body: bytes) -> None:
        self.controller.client_desk.receive(message, body)

    def _die(self) -> None:
        raise Broken("nobody asked the controller to end")

    # ---- what happens ----

    def start_daemon(self, name: str) -> None:
        """Somebody starts the pool daemon, unless it runs."""
        if self.paths[name].daemon is None:
            self.ledger.note("start", name)
            self.paths[name].daemon = Daemon(
                self.clock, self.ledger, self.chance, name, self.shape.workers
            )

    # ---- hosts, as the user wants them ----

    def add_host(self, name: str) -> None:
        """The user adds a host that is not there, or is leaving."""
        entry = self.controller.roster.entries.get(name)
        if entry is None or entry.leaving is not None:
            self.client.add_host(self.specs[name])

    def drop_host(self, name: str, now: bool) -> None:
        """The user drops a host, or wants one to be left at once that is leaving."""
        if name in self.controller.roster.entries:
            self.client.drop_host(name, now)

    def resize_host(self, name: str, workers: int) -> None:
        """The user wants so many workers of a host."""
        entry = self.controller.roster.entries.get(name)
        if entry is not None and entry.leaving is None:
            self.client.resize_host(name, workers)

    def _take_back_hosts(self) -> bool:
        """All hosts are used, with all their workers; False while one of them is leaving."""
        entries = self.controller.roster.entries
        if any(entry.leaving is not None for entry in entries.values()):
            return False
        for name in self.specs:
            self.add_host(name)
        for name, entry in entries.items():
            if entry.spec.workers not in (0, self.shape.workers):
                self.resize_host(name, self.shape.workers)
        return True

    def kill_daemon(self, name: str) -> None:
        """A daemon dies with all it has; its machine closes the connection."""
        path = self.paths[name]
        daemon, path.daemon = path.daemon, None
        if daemon is not None:
            self.ledger.note("kill", name)
            daemon.die()
            path.cut(UP)

    def freeze(self, name: str) -> None:
        """A machine stands still."""
        path = self.paths[name]
        if path.daemon is not None and not path.daemon.scope.frozen:
            self.ledger.note("freeze", name)
            path.daemon.scope.frozen = True
            path.listen(UP)

    def thaw(self, name: str) -> None:
        daemon = self.paths[name].daemon
        if daemon is not None and daemon.scope.frozen:
            self.ledger.note("thaw", name)
            daemon.scope.thaw()

    def services(self) -> list[Service]:
        """Every pool there is."""
        found = [path.daemon.service for path in self.paths.values() if path.daemon is not None]
        return found + ([self.embedded] if self.embedded is not None else [])

    def losing(self, host: str) -> None:
        """The scheduler is about to give up a host: what it holds may be charged."""
        self.lost_hosts.append(host)
        for job, first, count in self.scheduler.held_by(host):
            body, *_ = self.controller.driver._jobs[job].inputs.cut(first, count)
            self.ledger.host_lost(blobs.each(body, count))

    # ---- time ----

    def step(self) -> None:
        """Let the next thing happen.

        Raises:
            Broken: an invariant does not hold any more.
        """
        before = self.clock.now
        self.clock.step()
        self._crowd = self._crowd + 1 if self.clock.now == before else 0
        if self._crowd > CROWD:
            self.ledger.check(False, "time stands still: something wakes itself for ever")
        self.ledger.stop()

    def run_until(self, time: float) -> None:
        """Let everything happen until then."""
        mark = self.clock.callLater(time - self.clock.now, lambda: None)
        while mark.active():
            self.step()

    def settle(self) -> None:
        """Mend everything, let everything end, and wait until every patience is over."""
        self.torn = self.stillborn = 0.0
        for name, path in self.paths.items():
            path.loss = path.doubling = path.disorder = 0.0
            self.thaw(name)
            self.start_daemon(name)
        deadline = self.clock.now + LONGEST
        while not (self._take_back_hosts() and self.client.satisfied and self.large.at_rest):
            self.step()
            if self.clock.now > deadline:
                self.ledger.check(False, self.client.missing() + self.large.left())
                self.ledger.stop()
        self.run_until(self.clock.now + REST_SECONDS)

    def check_at_rest(self) -> None:
        """Nothing is left of all that was.

        Raises:
            Broken: something is.
        """
        check = self.ledger.check
        check(self.client.satisfied, self.client.missing())
        work, parts = self.controller.driver.statistics(), self.controller
        check(not work.scheduler.jobs, f"jobs are left: {work.scheduler.jobs}")
        check(not work.jobs, f"records are left: {work.jobs}")
        up = {host.name: host for host in work.scheduler.hosts}
        for entry in parts.roster.statistics():
            host = up.get(entry.name)
            check(host is not None, f"{entry.name} is not back: {entry.why}")
            if host is not None:
                check(not host.chunks, f"{host.chunks} leases are left on {host.name}")
                check(host.slots == self.shape.workers, f"{host.name} has {host.slots} slots")
        for service in self.services():
            self._check_service(service)
        # For ever the board looks for news, and each service looks at its zygotes.
        left = self.clock.planned() - 1 - len(self.services())
        check(left == 0, f"{left} timers are left")
        objects, store = parts.objects.statistics(), self.store.statistics()
        check(not objects.known, f"the controller holds {objects.known} objects")
        check(not objects.fetching, "objects are fetched that nobody wants")
        check(not store.held, f"{store.held} bytes are left in the controller")
        used = store.memory + store.disk
        check(not used, f"{used} bytes of memory are left in the controller")
        for waiting in parts.arrivals._hosts.values():
            check(waiting == type(waiting)(), f"outcomes wait for what never comes: {waiting}")
        for entry in parts.roster.entries.values():
            check(not entry.objects and not entry.held, f"{entry.spec.name} has {entry.held} bytes")
        self.ledger.stop()
        self.large.close()

    def _check_service(self, service: Service) -> None:
        check, pool = self.ledger.check, service.pool
        check(pool.wake_at is None, f"the pool of {service.name} wants to be woken")
        check(len(pool.crew.tenants) == 1, f"{len(pool.crew.tenants)} tenants are left")
        check(
            set(pool.crew.workers) == set(service.processes),
            "workers without processes, or reverse",
        )
        check(service.store.held == 0, f"{service.store.held} bytes are left in {service.name}")
        slabs = {slab for process in service.processes.values() for slab in process.slabs}
        foreign = service.store._lent.keys() - slabs - self.large.lends
        check(not foreign, f"{len(foreign)} slabs of the dead are left in {service.name}")
        arena = service.store._arena
        check(not arena.used, f"{arena.used} bytes of memory are left in {service.name}")
        for tenant in pool.crew.tenants.values():
            check(not tenant.queue and not tenant.running, "chunks are left in a pool")
            check(not tenant.waiting and not tenant.postponed, "chunks wait for objects")
            for what in (tenant.here, tenant.wanted, tenant.kept, tenant.dropping):
                check(not what, f"objects are left in a tenant: {what}")
            check(
                not tenant.everywhere and tenant.refresh is None,
                "a refresh or a call everywhere is left",
            )
            check(tenant.blocked == 0, "a worker waits for a nested call that is over")
            held = [worker for worker in tenant.workers.values() if worker.held]
            check(not held, f"{len(held)} workers hold results of nested calls")
            check(
                len(tenant.workers) == len(tenant.idle) == self.shape.workers,
                f"{len(tenant.workers)} workers, {len(tenant.idle)} idle",
            )
        for process in service.processes.values():
            check(not process.dead and not process.held, "a process is dead, or holds a chunk")
