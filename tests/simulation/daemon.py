"""A pool daemon: the real ``LinkServer`` and ``Pool``, between them the twin of ``PoolService``.

The twin performs the pool's actions as the service does, line by line in the same order, on
simulated zygotes and processes.
"""

from __future__ import annotations

import itertools
import random
import signal
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scattergather.link import remote
from scattergather.link.seams import Peer, PoolFacts
from scattergather.link.server import LinkServer
from scattergather.link.tub import new_certificate
from scattergather.settings.identity import Identity
from scattergather.wire import messages
from scattergather.workers.pool import actions, events
from tests.simulation.checked import CheckedPool
from tests.simulation.clock import Call, Clock, Scope
from tests.simulation.ledger import Ledger
from tests.simulation.process import Process

ZYGOTE_SECONDS = 1e-4
WATCH_SECONDS = 0.2


@dataclass(slots=True)
class Zygote:
    """The parent of a session's workers: it passes signals on, and takes its workers with it."""

    alive: bool = True


@dataclass(slots=True)
class Member:
    """One controller's session; a ``seams.Session``."""

    number: int
    peer: Peer
    service: Service
    zygote: Zygote

    def receive(self, message: messages.ToPool, body: bytes) -> None:
        if isinstance(message, messages.Refresh):
            self.service.spare(self)
        try:
            self.service.handle(events.Received(session=self.number, message=message, body=body))
        except Exception as error:  # the link's server would only end the session
            self.service.ledger.fail(error)

    def close(self, reason: str) -> None:
        self.service.close_session(self)


class Service:
    """The twin of ``PoolService``."""

    def __init__(
        self, scope: Scope, ledger: Ledger, chance: random.Random, name: str, slots: int
    ) -> None:
        self.scope, self.ledger, self.chance = scope, ledger, chance
        self.name = name
        self.pool = CheckedPool(slots, ledger)
        self.members: dict[int, Member] = {}
        self.processes: dict[int, Process] = {}
        self._numbers = itertools.count(1)
        self._queue: deque[actions.Action] = deque()
        self._performing = False
        self._wake: Call | None = None
        self._watch: Call | None = None

    def new_pid(self) -> int:
        return self.ledger.new_pid()

    # ---- what a controller may do ----

    def start(self) -> None:
        """For ``EmbeddedHost``."""

    def facts(self) -> PoolFacts:
        return PoolFacts(
            host=self.name,
            workers=self.pool.slots,
            python="3.11",
            version="simulated",
            protocol=messages.PROTOCOL,
        )

    def open(self, peer: Peer, *, controller: str, workers: int, place: Any = None) -> Member:
        member = Member(next(self._numbers), peer, self, Zygote())
        self.members[member.number] = member
        self.handle(events.SessionOpened(session=member.number, workers=workers))
        return member

    def close_session(self, member: Member) -> None:
        if self.members.pop(member.number, None) is None:
            return
        numbers = list(self.pool.sessions[member.number].workers)
        self.handle(events.SessionClosed(session=member.number))
        for number in numbers:
            process = self.processes.pop(number, None)
            if process is not None:  # its zygote ends, and it dies a moment later
                self.scope.callLater(self.chance.uniform(1e-4, 0.1), process.die, 9)

    # ---- zygotes and processes ----

    def spare(self, member: Member) -> None:
        """A refresh takes these workers: their tasks are not charged."""
        for number, process in self.processes.items():
            worker = self.pool.workers.get(number)
            if process.session == member.number and worker is not None and worker.doom is None:
                process.refreshed = True

    def kill_zygote(self, member: Member) -> None:
        """A session zygote dies, and so do its workers; the service hears of the zygote only."""
        zygote = member.zygote
        if not zygote.alive:
            return
        zygote.alive = False
        for process in list(self.processes.values()):
            if process.session == member.number:
                process.die(signal.SIGKILL)
        self.scope.callLater(self.chance.uniform(1e-4, 1e-2), self._zygote_ended, member)

    def _zygote_ended(self, member: Member) -> None:
        if member.number not in self.members:
            return
        member.zygote = Zygote()
        for number, worker in list(self.pool.workers.items()):
            if worker.session == member.number and number in self.processes:
                self._bury(number, signal.SIGKILL, 0)

    def died(self, process: Process, number: int, status: int) -> None:
        """Its zygote says so, unless that is gone too."""
        member = self.members.get(process.session)
        if member is not None and member.zygote.alive:
            delay = self.chance.uniform(ZYGOTE_SECONDS, 1e-2)
            self.scope.callLater(delay, self._bury, process.number, number, status)

    def _bury(self, number: int, signaled: int, status: int) -> None:
        process = self.processes.get(number)
        if process is None:
            return
        process.die(signaled, status)  # one that a dead zygote was to fork was never alive
        while process.written:
            self.read(process)
        self.ledger.buried(process)
        del self.processes[number]
        self.handle(
            events.WorkerExited(
                worker=number, signal=signaled, status=status, harvest=process.harvest()
            )
        )

    def read(self, process: Process) -> None:
        """One message from the pipe of a worker."""
        if process.written and process.number in self.processes:
            message, body = process.written.popleft()
            self.handle(events.WorkerSaid(worker=process.number, message=message, body=body))

    # ---- performing ----

    def handle(self, event: events.Event) -> None:
        self._queue.extend(self.pool.handle(event, self.scope.seconds()))
        if self._performing:
            return
        self._performing = True
        try:
            while self._queue:
                self._perform(self._queue.popleft())
        finally:
            self._performing = False
        self._set_alarm()

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Report():
                member = self.members.get(action.session)
                if member is not None:
                    member.peer.send(action.message, action.body)
            case actions.Tell():
                process = self.processes.get(action.worker)
                if process is not None:
                    process.tell(action.message, action.body)
                    if self._watch is None and isinstance(action.message, messages.Run):
                        self._watch = self.scope.callLater(WATCH_SECONDS, self._look)
            case actions.ForkWorker():
                self._fork(action)
            case actions.KillWorker():
                self._signal(action.worker, action.signal)
            case actions.InterruptChunk():
                process = self.processes.get(action.worker)
                if process is not None:
                    process.cancel = action.chunk
                    process.stop = max(process.stop, action.chunk)
                    self._signal(action.worker, signal.SIGINT)
            case actions.WarnWorker():
                process = self.processes.get(action.worker)
                if process is not None:
                    process.exceeded = action.chunk, action.index
                    self._signal(action.worker, signal.SIGINT)
            case actions.StopWorker():
                process = self.processes.get(action.worker)
                if process is not None:
                    process.stop = max(process.stop, action.chunk)
            case actions.RetireWorker():
                process = self.processes.get(action.worker)
                if process is not None:
                    process.written.clear()
                    process.scope.callLater(1e-3, process.die, 0)

    def _signal(self, worker: int, number: int) -> None:
        known, process = self.pool.workers.get(worker), self.processes.get(worker)
        member = self.members.get(known.session) if known is not None else None
        if member is not None and member.zygote.alive and process is not None:
            # A stopped process hears of it when it goes on, but dies where it stands.
            scope = self.scope if number == signal.SIGKILL else process.scope
            scope.callLater(ZYGOTE_SECONDS, process.signal, number)

    def _fork(self, action: actions.ForkWorker) -> None:
        member = self.members.get(action.session)
        if member is None:
            return
        process = self.processes[action.worker] = Process(self, action.worker, member.number)
        if member.zygote.alive:
            process.scope.callLater(ZYGOTE_SECONDS, process.live)

    # ---- time ----

    def _set_alarm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        at = self.pool.wake_at
        if at is not None:
            delay = max(0.0, at - self.scope.seconds())
            self._wake = self.scope.callLater(delay, self.handle, events.Ticked())

    def _look(self) -> None:
        self._watch = None
        working = [number for number, worker in self.pool.workers.items() if worker.leases]
        for number in working:
            process = self.processes.get(number)
            if process is not None:
                for event in self._seen(process):
                    self.handle(event)
        if working:
            self._watch = self.scope.callLater(WATCH_SECONDS, self._look)

    def _seen(self, process: Process) -> Iterator[events.Event]:
        waiting = process.waits(self.scope.seconds() - WATCH_SECONDS)
        if waiting is not None:
            message, body = waiting
            yield events.WorkerSaid(worker=process.number, message=message, body=body)
        if process.scope.frozen and not process.dead:
            yield events.FoundStopped(worker=process.number)
        elif process.running:
            yield events.Sampled(
                worker=process.number,
                chunk=process.chunk,
                index=process.index,
                started=process.began,
                memory=self.ledger.workload.memory(process.task),
            )


@cache
def _key() -> bytes:
    return new_certificate()


class Daemon:
    """A machine with a pool daemon on it; the Foolscap front door of its ``LinkServer``."""

    def __init__(
        self, clock: Clock, ledger: Ledger, chance: random.Random, name: str, slots: int
    ) -> None:
        self.scope = Scope(clock)
        self.service = Service(self.scope, ledger, chance, name, slots)
        self.server = LinkServer(self.scope, self.service, Identity(Path(), _key(), "s" * 32))

    def hello(self, greeting: bytes, back: Any) -> bytes:
        return remote.encode(self.server.hello("owner", greeting, back))

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        guest = self.server.guests.get(session)
        if guest is not None:
            guest.end(reason.decode())

    def die(self) -> None:
        """The daemon, its zygotes and its workers end at once."""
        for process in self.service.processes.values():
            process.die(signal.SIGKILL)
        self.scope.dead = True
