"""The pool of this host: wires zygotes, worker processes and the pool that decides.

The same service is a daemon's pool and a controller's embedded one; whoever joins calls ``open``
and sends messages, and cannot tell the difference. Reactor thread only.
"""

from __future__ import annotations

import importlib.metadata
import platform
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from twisted.internet.defer import Deferred
from twisted.logger import Logger

import scattergather
from scattergather.link.seams import ObjectStore, Peer, PoolFacts, PoolSession
from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Reactor
from scattergather.reactor.turns import Turns
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import SPENT
from scattergather.workers.daemon.large import Holdings, Slabs, Taking
from scattergather.workers.daemon.launch import Root
from scattergather.workers.daemon.machine import Machine
from scattergather.workers.daemon.process import WorkerProcess
from scattergather.workers.daemon.zygotes import ZygoteLink
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.losses.restarts import Restarts
from scattergather.workers.pool.losses.watching import STOPPED_AFTER
from scattergather.workers.pool.pool import Pool

SERVICES = "scattergather.services"
"""Group of entry points that name resident functions."""

WATCH_SECONDS = 0.2
"""How often working processes are looked at."""

ZYGOTE_SECONDS = 2.0
"""How often zygotes are looked at."""

STOPPED_LOOKS = int(STOPPED_AFTER / ZYGOTE_SECONDS)
"""A zygote that is found stopped again so many times is replaced. Looks are counted, not seconds:
what passed while we stood still ourselves does not count."""

REST_LOOKS = 3
"""After so many looks without work free memory goes back to the system."""

RELAUNCH_SECONDS = 0.2

_NOTHING: frozenset[ObjectId] = frozenset()


@dataclass(slots=True)
class _Member:
    """A session: who it reports to, the place its workers see, and its zygote.

    ``large`` are its large objects that lie here: what came for its tasks, and their results.
    ``restarts`` counts the zygotes that died before they said that they were ready.
    """

    number: int
    peer: Peer
    place: messages.OpenSession
    service: PoolService
    large: Holdings
    zygote: ZygoteLink | None = None
    restarts: Restarts = field(default_factory=Restarts)

    def receive(self, message: messages.ToPool, body: bytes) -> None:
        missing, refused = _NOTHING, ""
        if isinstance(message, Taking) and message.objects:
            missing, refused = self.large.lacks(message.objects)
        self.service.handle(
            events.MessageReceived(
                tenant=self.number, message=message, body=body, missing=missing, refused=refused
            )
        )

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        self.large.came(objects)
        self.service.handle(events.ObjectsArrived(tenant=self.number, objects=objects))

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        self.service.handle(events.ObjectsLost(tenant=self.number, objects=objects, reason=reason))

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        self.large.shipped(objects)

    def close(self, reason: str) -> None:
        self.service.close_session(self, reason)


class PoolService:
    """A pool of persistent workers on this host; implements ``link.seams.Pool``.

    Args:
        reactor: Twisted's; its ``seconds`` must be monotonic, as workers' are.
        workers: how many processes compute at a time.
        services: what the root zygote preloads: names of entry points or ``name=module:function``.
        root: a root zygote that was launched before; started here otherwise.
        name: what to call this host.
        machine: where the processes are; this one unless told otherwise.
        store: where large objects are.
        shared: it is the controller's of an embedded pool.
        memory: bytes that large results may take in all; 0 keeps them in messages.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        *,
        workers: int,
        services: Sequence[str] = (),
        root: Root | None = None,
        name: str = "",
        machine: Machine | None = None,
        store: Store | None = None,
        shared: bool = False,
        memory: int = 0,
    ) -> None:
        self._reactor = reactor
        self._services = tuple(services)
        self._name = name or socket.gethostname()
        self._pool = Pool(workers)
        self.store = store or Store()
        self._shared = shared
        self.store.pressed.append(self._pressed)
        self._pressing = False
        self._machine = machine or Machine(reactor, root)
        self._root: ZygoteLink | None = None
        self._ready: Deferred[PoolService] = Deferred()
        self._zygote = messages.ZygoteReady(pid=0)
        self._members: dict[int, _Member] = {}
        self._processes: dict[int, WorkerProcess] = {}
        self._slabs = Slabs(self.store, self._processes, memory, workers)
        self._burying: set[int] = set()
        self._restarts = Restarts()
        self._count = 0
        self._stopping = False
        self._turns = Turns(self._perform)
        self._wake: Any = None
        self._alarm: float | None = None
        self._watch: Any = None
        self._zygote_watch: Any = None
        self._quiet_looks = 0

    # ---- life ----

    def start(self) -> Deferred[PoolService]:
        """Start the root zygote; fires with this service once it can fork."""
        self._adopt_root()
        self._look_at_zygotes()
        return self._ready

    def _adopt_root(self) -> None:
        self._root = self._machine.root(self._services, self._root_said, self._root_ended)
        for member in self._members.values():
            if member.zygote is None:
                self._open_zygote(member)

    def stop(self) -> Deferred[None]:
        """End every worker and zygote; fires when the root zygote is gone."""
        self._stopping = True
        for member in list(self._members.values()):
            self.close_session(member, "the pool stops")
        if self._root is not None:
            self._root.close()
        for process in self._processes.values():
            process.free()
        self._processes.clear()
        for call in (self._wake, self._watch, self._zygote_watch):
            if call is not None and call.active():
                call.cancel()
        done: Deferred[None] = Deferred()
        self._await_root(done, self._reactor.seconds() + 2.0)
        return done

    def _await_root(self, done: Deferred[None], deadline: float) -> None:
        root = self._root
        if root is None or root.ended():
            done.callback(None)
            return
        if self._reactor.seconds() > deadline:
            root.kill()
        self._reactor.callLater(0.01, self._await_root, done, deadline)

    # ---- what a controller may do ----

    @property
    def objects(self) -> ObjectStore:
        """See ``link.seams.Pool``."""
        return self.store

    def facts(self) -> PoolFacts:
        """What a controller is told before it joins."""
        return PoolFacts(
            host=self._name,
            workers=self._pool.slots,
            python=".".join(platform.python_version_tuple()[:2]),
            version=scattergather.__version__,
            protocol=messages.PROTOCOL,
            services=self._zygote.services or _installed_services(),
            problems=self._zygote.problems,
            pid=self._zygote.pid,
        )

    def open(
        self,
        peer: Peer,
        *,
        controller: str,
        workers: int,
        place: messages.OpenSession | None = None,
    ) -> PoolSession:
        """Begin a session; see ``link.seams.Pool``. ``place`` is what its workers see."""
        self._count += 1
        place = place or messages.OpenSession()
        member = _Member(self._count, peer, place, self, Holdings(self.store, shared=self._shared))
        self._members[member.number] = member
        self.log.info("session {n} of {c} opened", n=member.number, c=controller)
        self._open_zygote(member)
        self.handle(events.TenantJoined(tenant=member.number, workers=workers))
        return member

    def close_session(self, member: _Member, reason: str) -> None:
        """End a session with all its workers; nothing more is sent to its peer."""
        if self._members.pop(member.number, None) is None:
            return
        self.log.info("session {n} closed: {r}", n=member.number, r=reason)
        session = self._pool.crew.tenants.get(member.number)
        numbers = list(session.workers) if session is not None else []
        self.handle(events.TenantLeft(tenant=member.number))
        if member.zygote is not None:
            member.zygote.close()
        for number in numbers:
            process = self._processes.pop(number, None)
            if process is not None:
                process.free()
                self._slabs.died(process)
        member.large.close()

    # ---- zygotes ----

    def _root_said(self, message: messages.FromZygote) -> None:
        if isinstance(message, messages.ZygoteReady):
            self._restarts.lived()
            self._zygote = message
            for problem in message.problems:
                self.log.warn("{problem}", problem=problem)
            if not self._ready.called:
                self._ready.callback(self)

    def _root_ended(self) -> None:
        if self._stopping:
            return
        self.log.error("the root zygote died; it is started again")
        if self._root is not None:
            self._reap(self._root)
        self._root = None
        self._restarts.died(self._reactor.seconds())
        self._reactor.callLater(self._restarts.pause or RELAUNCH_SECONDS, self._relaunch)

    def _reap(self, root: ZygoteLink) -> None:
        """It has closed its socket and may take a while to end; nobody else waits for it."""
        if not root.ended() and not self._stopping:
            self._reactor.callLater(RELAUNCH_SECONDS, self._reap, root)

    def _relaunch(self) -> None:
        if not self._stopping:
            self._adopt_root()

    def _open_zygote(self, member: _Member) -> None:
        if self._root is None or not self._root.open:
            return
        member.zygote = self._root.open_session(
            member.place,
            lambda message: self._zygote_said(member, message),
            lambda: self._zygote_ended(member),
        )
        for number, process in list(self._processes.items()):
            worker = self._pool.crew.workers.get(number)
            if worker is not None and worker.tenant == member.number:
                self._hand_over(member, process)

    def _zygote_said(self, member: _Member, message: messages.FromZygote) -> None:
        match message:
            case messages.Forked():
                process = self._processes.get(message.worker)
                if process is not None:
                    process.pid = message.pid
            case messages.Exited():
                self._bury(message)
            case messages.ZygoteReady():
                member.restarts.lived()
            case _:
                assert_never(message)

    def _bury(self, message: messages.Exited) -> None:
        process = self._processes.get(message.worker)
        if process is None or message.worker in self._burying:
            return
        self._burying.add(message.worker)
        try:
            # What it had written is heard, and so may be that its pipe broke.
            harvest = process.bury()
        finally:
            self._burying.discard(message.worker)
        now = self._reactor.seconds()
        killed = message.signal == signal.SIGKILL
        del self._processes[message.worker]
        if message.status == SPENT:
            self.log.info("a worker is replaced: {why}", why=harvest.output.strip())
        self.handle(
            events.WorkerExited(
                worker=message.worker,
                status=message.status,
                signal=message.signal,
                peak=message.peak,
                out_of_memory=killed and self._machine.memory_kills.lately(now),
                harvest=harvest,
            )
        )
        self._slabs.died(process)

    def _zygote_ended(self, member: _Member) -> None:
        """A session zygote died, its workers with it: open another and fork anew."""
        if self._stopping or member.number not in self._members:
            return
        self.log.error("the zygote of session {n} died; its workers are replaced", n=member.number)
        member.zygote = None
        member.restarts.died(self._reactor.seconds())
        for number, worker in list(self._pool.crew.workers.items()):
            if worker.tenant == member.number and number in self._processes:
                self._bury(messages.Exited(worker=number, pid=0, signal=signal.SIGKILL))
        self._reactor.callLater(member.restarts.pause, self._reopen, member)

    def _reopen(self, member: _Member) -> None:
        if not self._stopping and member.number in self._members and member.zygote is None:
            self._open_zygote(member)

    def _look_at_zygotes(self) -> None:
        """One that a signal stopped forks nobody, buries nobody, and heeds nothing else."""
        if self._stopping:
            return
        working = any(worker.leases for worker in self._pool.crew.workers.values())
        self._quiet_looks = 0 if working else self._quiet_looks + 1
        if self._quiet_looks == REST_LOOKS:
            self.store.rest()
        for zygote in (self._root, *(member.zygote for member in self._members.values())):
            if zygote is None:
                continue
            zygote.looks = zygote.looks + 1 if zygote.stopped() else 0
            if zygote.looks > STOPPED_LOOKS:
                self.log.error("zygote {pid} was stopped by a signal; it is ended", pid=zygote.pid)
                zygote.kill()
        self._zygote_watch = self._reactor.callLater(ZYGOTE_SECONDS, self._look_at_zygotes)

    # ---- performing ----

    def handle(self, event: events.Event) -> None:
        """Pass an event to the pool and carry out what it asks for.

        That may lead to another event at once: a controller in the same process answers a report
        with the next chunk.
        """
        if self._turns.take(self._pool.handle(event, self._reactor.seconds())):
            self._set_alarm()

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Report():
                member = self._members.get(action.tenant)
                if member is not None:
                    if isinstance(action.message, messages.Dropped):
                        member.large.drop(action.message.objects)
                    member.peer.send(action.message, action.body, patient=action.patient)
            case actions.Tell():
                process = self._processes.get(action.worker)
                if process is not None:
                    message = action.message
                    if isinstance(message, Taking):
                        message = self._slabs.show(process, message)
                        if self._watch is None:
                            self._watch = self._reactor.callLater(WATCH_SECONDS, self._look)
                    process.tell(message, action.body)
            case actions.Overdraw():
                self.store.overdraw()
            case actions.DropResults():
                member = self._members.get(action.tenant)
                if member is not None:
                    member.large.drop(action.objects)
            case actions.ForkWorker():
                self._fork(action)
            case actions.KillWorker():
                self._signal(action.worker, action.signal, group=action.group)
            case actions.InterruptChunk():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.cancel(action.chunk)
                    self._signal(action.worker, signal.SIGINT)
            case actions.WarnWorker():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.warn(action.chunk, action.index)
                    self._signal(action.worker, signal.SIGINT)
            case actions.StopWorker():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.stop(action.chunk)
            case actions.RecallChunk():
                process = self._processes.get(action.worker)
                if process is not None and process.recall(action.chunk):
                    self.handle(events.ChunkRecalled(worker=action.worker, chunk=action.chunk))
            case actions.RetireWorker():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.hang_up()
            case _:
                assert_never(action)

    def _signal(self, worker: int, number: int, *, group: bool = False) -> None:
        known = self._pool.crew.workers.get(worker)
        member = self._members.get(known.tenant) if known is not None else None
        if member is None:
            return
        if member.zygote is not None:
            member.zygote.signal(worker, number, group=group)
        elif number == signal.SIGKILL:  # it waits for a zygote: now it will not be forked at all
            self._bury(messages.Exited(worker=worker, pid=0, signal=number))

    def _fork(self, action: actions.ForkWorker) -> None:
        member = self._members.get(action.tenant)
        if member is None:
            return
        process = self._machine.worker(action.worker, self._worker_said, self._pipe_broke)
        self._processes[action.worker] = process
        self._hand_over(member, process)

    def _hand_over(self, member: _Member, process: WorkerProcess) -> None:
        """Let the session's zygote fork a worker; without one, that waits until it has one."""
        if member.zygote is not None:
            member.zygote.fork(process)

    def _pressed(self) -> None:
        """In a turn of its own: whoever found no room is in the middle of something."""
        if not self._pressing and not self._stopping:
            self._pressing = True
            self._reactor.callLater(0, self._make_room)

    def _make_room(self) -> None:
        self._pressing = False
        for number in list(self._members):
            self.handle(events.RoomWanted(tenant=number))

    def _worker_said(self, number: int, message: messages.FromWorker, body: bytes) -> None:
        process = self._processes.get(number)
        if process is not None:
            worker = self._pool.crew.workers.get(number)
            member = self._members.get(worker.tenant) if worker is not None else None
            self._slabs.said(process, message, member.large if member is not None else None)
        self.handle(events.WorkerSaid(worker=number, message=message, body=body))

    def _pipe_broke(self, number: int, reason: str) -> None:
        """A worker closed its pipe, or what it sent makes no sense: it cannot be used any more.

        Usually it is dying and its zygote will say so. A task that closed every descriptor ends
        its worker by itself, when it is done and finds that it cannot report.
        """
        if reason != "the other end closed the pipe":
            self.log.warn("the pipe of worker {n} broke: {r}", n=number, r=reason)
            self._signal(number, signal.SIGKILL, group=True)

    # ---- time ----

    def _set_alarm(self) -> None:
        at = self._pool.wake_at
        if at == self._alarm:
            return
        self._alarm = at
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._wake = None
        if at is not None and not self._stopping:
            delay = max(0.0, at - self._reactor.seconds())
            self._wake = self._reactor.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._alarm = None
        self.handle(events.Ticked())

    def _look(self) -> None:
        """Look at the processes that work: limits, output that floods, outcomes that wait."""
        self._watch = None
        if self._stopping:
            return
        self._machine.memory_kills.look(self._reactor.seconds())
        working = self._pool.working()
        for each in working:
            process = self._processes.get(each.worker)
            if process is not None:
                process.trim()
                for event in self._seen(process, memory=each.limited):
                    self.handle(event)
        if working:
            self._watch = self._reactor.callLater(WATCH_SECONDS, self._look)

    def _seen(self, process: WorkerProcess, *, memory: bool) -> Iterator[events.Event]:
        """What there is to say of a worker that works: outcomes that wait, the task it is in."""
        waiting = process.waiting(self._reactor.seconds() - WATCH_SECONDS)
        if waiting is not None:
            message, body = waiting
            yield events.WorkerSaid(worker=process.number, message=message, body=body)
        running = process.running()
        if process.stopped():
            yield events.FoundStopped(worker=process.number)
        elif running is not None:
            chunk, index, started = running
            yield events.Sampled(
                worker=process.number,
                chunk=chunk,
                index=index,
                started=started,
                memory=process.memory() if memory else 0,
            )


def _installed_services() -> tuple[str, ...]:
    found = importlib.metadata.entry_points(group=SERVICES)
    return tuple(sorted({entry.name for entry in found}))
