"""A pool daemon: the real ``LinkServer``, ``PoolService`` and ``Pool``, on a simulated machine.

What a machine is to the service, zygotes and workers, is here and in ``process``.
"""

from __future__ import annotations

import atexit
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from scattergather.link import remote
from scattergather.link.seams import PoolFacts
from scattergather.link.server import LinkServer
from scattergather.link.tubs.tub import new_certificate
from scattergather.model.ids import ObjectId
from scattergather.settings import private
from scattergather.settings.identity import Identity
from scattergather.wire.memory.slabs import PAGE
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.machine import OnBroken, OnWorker, OnZygote, WorkerSeam
from scattergather.workers.daemon.service import PoolService
from scattergather.workers.pool import events
from tests.simulation.checked import CheckedPool
from tests.simulation.clock import Clock, Scope
from tests.simulation.large import CheckedStore
from tests.simulation.ledger import Ledger
from tests.simulation.process import Process
from tests.simulation.workload import MOST_OBJECTS

ZYGOTE_SECONDS = 1e-4


class NoMemoryKills:
    """The kernel has memory enough."""

    def look(self, now: float) -> None:
        """Nothing to see."""

    def lately(self, now: float) -> bool:
        return False


class Machine:
    """Twin of ``workers.daemon.machine``: makes zygotes and processes that are simulated."""

    def __init__(self, scope: Scope, ledger: Ledger, chance: random.Random, host: str) -> None:
        self.scope, self.ledger, self.chance, self.host = scope, ledger, chance, host
        self.memory_kills = NoMemoryKills()

    def root(
        self,
        services: Sequence[str],
        on_message: OnZygote,
        on_end: Callable[[], None],
        hash_seed: int | None = None,
    ) -> Zygote:
        return Zygote(self, on_message, on_end)

    def worker(self, number: int, on_message: OnWorker, on_broken: OnBroken) -> Process:
        return Process(
            self.scope, self.ledger, self.chance, self.host, number, on_message, on_broken
        )


class Zygote:
    """The parent of others: it passes signals on, and takes what it forked with it."""

    def __init__(self, machine: Machine, on_message: OnZygote, on_end: Callable[[], None]) -> None:
        self._machine, self._on_message, self._on_end = machine, on_message, on_end
        self.scope = Scope(machine.scope.clock, machine.scope)
        self.open = self.alive = True
        self._sessions: list[Zygote] = []
        self._processes: dict[int, Process] = {}
        self.pid = machine.ledger.new_pid()
        self.scope.callLater(ZYGOTE_SECONDS, self._say, messages.ZygoteReady(pid=self.pid))

    def _say(self, message: messages.FromZygote) -> None:
        if self.open:
            self._on_message(message)

    # ---- what the service asks for ----

    def open_session(
        self,
        number: int,
        place: messages.TaskPlace,
        on_message: OnZygote,
        on_end: Callable[[], None],
    ) -> Zygote:
        session = Zygote(self._machine, on_message, on_end)
        self._sessions.append(session)
        if not self.alive:
            session.kill()
        return session

    def settle(self, place: messages.TaskPlace) -> None:
        """What a simulated task sees does not matter."""

    def fork(self, worker: WorkerSeam) -> None:
        assert isinstance(worker, Process)
        worker.zygote = self
        self._processes[worker.number] = worker
        self.scope.callLater(ZYGOTE_SECONDS, self._forked, worker)

    def _forked(self, process: Process) -> None:
        self._say(messages.Forked(worker=process.number, pid=process.pid))
        process.live()

    def signal(self, worker: int, number: int, *, group: bool = False) -> None:
        process = self._processes.get(worker)
        if process is not None:
            self.scope.callLater(ZYGOTE_SECONDS, self._pass_on, process, number)

    def _pass_on(self, process: Process, number: int) -> None:
        # A stopped process hears of it when it goes on, but dies where it stands.
        scope = self.scope if number == signal.SIGKILL else process.scope
        scope.callLater(0.0, process.signal, number)

    def stopped(self) -> bool:
        return self.scope.frozen

    def ended(self) -> bool:
        return not self.alive

    def close(self) -> None:
        """It ends, and what it forked dies a moment later."""
        self.open = False
        for process in self._processes.values():
            delay = self._machine.chance.uniform(1e-4, 0.1)
            self._machine.scope.callLater(delay, process.die, signal.SIGKILL)
        self._machine.scope.callLater(0.1, self.kill)

    # ---- what happens ----

    def died(self, process: Process, number: int, status: int) -> None:
        """A process of its own is dead."""
        del self._processes[process.number]
        delay = self._machine.chance.uniform(ZYGOTE_SECONDS, 1e-2)
        exited = messages.Exited(
            worker=process.number, pid=process.pid, signal=number, status=status
        )
        self.scope.callLater(delay, self._say, exited)

    def kill(self) -> None:
        """It dies with all that it forked; the service sees the end of its socket."""
        if not self.alive:
            return
        self.alive = False
        self.scope.dead = True
        for process in list(self._processes.values()):
            process.die(signal.SIGKILL)
        for session in self._sessions:
            session.kill()
        delay = self._machine.chance.uniform(1e-4, 1e-2)
        self._machine.scope.callLater(delay, self._end)

    def _end(self) -> None:
        if self.open:
            self.open = False
            self._on_end()


class Service(PoolService):
    """The real one, which says what fails in it, and whose pool is looked at after every event."""

    def __init__(
        self,
        scope: Scope,
        ledger: Ledger,
        chance: random.Random,
        name: str,
        slots: int,
        store: CheckedStore,
        *,
        shared: bool = False,
    ) -> None:
        self.pool = CheckedPool(slots, ledger)
        super().__init__(
            scope,
            self.pool,
            Machine(scope, ledger, chance, name),
            name=name,
            store=store,
            shared=shared,
            memory=1 << 20,
            look=lambda: messages.Vitals(load=float(len(self.pool.working()))),
        )
        self.name, self.scope, self.ledger = name, scope, ledger
        store.services.append(self)

    @property
    def processes(self) -> dict[int, Process]:
        """The workers that are not buried."""
        found = [each for each in self._nursery.workers() if isinstance(each, Process)]
        return {each.number: each for each in found}

    def facts(self) -> PoolFacts:
        return PoolFacts(
            host=self.name,
            workers=self.pool.slots,
            python="3.11",
            version="simulated",
            protocol=messages.PROTOCOL,
        )

    def _end_session(self, member: Any, error: Exception) -> None:
        self.ledger.fail(error)  # else only the session would end
        super()._end_session(member, error)

    def handle(self, event: events.Event) -> None:
        if isinstance(event, events.MessageReceived) and isinstance(
            event.message, messages.Refresh | messages.Leave
        ):
            self._spare(event.tenant)
        try:
            super().handle(event)
        except Exception as error:  # the link's server would only end the session
            self.ledger.fail(error)

    def needed(self) -> set[ObjectId]:
        """The objects that are taken by tasks which can still run here."""
        taken, found = self.ledger.workload.taken, set[ObjectId]()
        for tenant in self.pool.crew.tenants.values():
            for queued in tenant.queue.values():
                run = queued.run
                found |= taken(run.job, run.first, run.first + run.count)
            for worker in tenant.workers.values():
                for lease in worker.leases:
                    found |= taken(lease.run.job, lease.next, lease.stop)
        return found

    def _spare(self, tenant: int) -> None:
        """A refresh, or a leave, takes these workers: their tasks are not charged."""
        for number, process in self.processes.items():
            worker = self.pool.crew.workers.get(number)
            if worker is not None and worker.tenant == tenant and worker.doom is None:
                process.refreshed = True

    def zygotes(self) -> list[Zygote]:
        """Those that there are: of the sessions, and the root."""
        found = self._nursery.zygotes()
        return [each for each in found if isinstance(each, Zygote) and each.alive]


@cache
def _identity() -> Identity:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    identity = Identity(folder, new_certificate(), "s" * 32)
    private.write(identity.key_file, identity.key)
    return identity


class Daemon:
    """A machine with a pool daemon on it; the Foolscap front door of its ``LinkServer``."""

    def __init__(
        self, clock: Clock, ledger: Ledger, chance: random.Random, name: str, slots: int
    ) -> None:
        self.scope = Scope(clock)
        bound = chance.choice((None, 2 * MOST_OBJECTS * PAGE, MOST_OBJECTS * PAGE))
        self.store = ledger.large.store(bound)
        self.service = Service(self.scope, ledger, chance, name, slots, self.store)
        self.service.start()
        self.server = LinkServer(self.scope, self.service, _identity())
        self.store.room.append(self.server.room)

    def hello(self, greeting: bytes, back: Any) -> bytes:
        return remote.encode(self.server.reception.hello("owner", greeting, back))

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        self.server.reception.goodbye("owner", session, reason.decode())

    def die(self) -> None:
        """The daemon, its zygotes and its workers end at once."""
        for process in self.service.processes.values():
            process.die(signal.SIGKILL)
        self.scope.dead = True
