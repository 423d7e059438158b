"""The pool of this host: wires zygotes, worker processes and the pool that decides.

The same service is a daemon's pool and a controller's embedded one; whoever joins calls ``open``
and sends messages, and cannot tell the difference. Reactor thread only.

::

    session ──message──▶ pool.handle ──actions──▶ nursery (fork, signal), workers, sessions' peers
                           ▲   ▲
          what workers say ┘   └ what the watch sees, what the nursery buries
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

import scattergather
from scattergather.link.seams import ObjectStore, Peer, PoolFacts, PoolSession
from scattergather.machine import vitals
from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.reactor.turns import Turns
from scattergather.store.store import Store
from scattergather.wire.memory import scratch
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import UNFORKED
from scattergather.workers.daemon.files import HostFiles
from scattergather.workers.daemon.large import Holdings, Slabs, Taking
from scattergather.workers.daemon.machine import Machine, WorkerSeam
from scattergather.workers.daemon.nursery import Brood, Nursery
from scattergather.workers.daemon.watch import WorkerWatch
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.pool import Pool
from scattergather.workers.pool.statistics import PoolStatistics
from scattergather.workers.pool.tenant import Breach

SERVICES = "scattergather.services"
"""Group of entry points that name resident functions."""

_NOTHING: frozenset[ObjectId] = frozenset()


def how_it_is() -> messages.Vitals:
    """What works on this machine, and what is free."""
    return messages.Vitals(
        load=vitals.load(),
        memory=vitals.free_memory(),
        disk=vitals.free_disk(scratch.folder()),
    )


@dataclass(slots=True)
class _Member:
    """A controller's session: who it reports to, and its zygote with its workers.

    ``large`` are its large objects that lie here: what came for its tasks, and their results.
    """

    number: int
    peer: Peer
    service: PoolService
    large: Holdings
    brood: Brood

    @property
    def objects(self) -> ObjectStore:
        return self.large

    @property
    def most(self) -> int:
        return self.service.most

    def receive(self, message: messages.ToPool, body: bytes) -> None:
        if isinstance(message, messages.Excerpt) and not self.large.excerpt(message):
            return
        missing, refused = _NOTHING, ""
        if isinstance(message, messages.AskFiles):
            reply, data = self.service.files.serve(self.number, message.request, body)
            self.peer.send(messages.FilesAnswer(call=message.call, reply=reply), data)
            return
        if isinstance(message, Taking) and message.objects:
            missing, refused = self.large.lacks(message.objects)
        self.service.handle(
            events.MessageReceived(
                tenant=self.number, message=message, body=body, missing=missing, refused=refused
            )
        )

    def refusal(self, size: int) -> str:
        return self.service.refusal(self.number, size)

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        self.large.came(objects)
        self.service.handle(events.ObjectsArrived(tenant=self.number, objects=objects))

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        self.service.handle(events.ObjectsLost(tenant=self.number, objects=objects, reason=reason))

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        self.large.shipped(objects)

    def clog(self, clogged: bool) -> None:
        self.service.handle(events.Clogged(tenant=self.number, clogged=clogged))

    def close(self, reason: str, *, may_return: bool = False) -> None:
        self.service.close_session(self, reason, may_return=may_return)


class PoolService:
    """A pool of persistent workers on this host; implements ``link.seams.HostPool``.

    Args:
        reactor: Twisted's; its ``seconds`` must be monotonic, as workers' are.
        pool: what decides; it says how many workers compute at a time.
        machine: where zygotes and workers are.
        services: what the root zygote preloads: names of entry points or ``name=module:function``.
        name: what to call this host.
        store: where large objects are.
        shared: it is the controller's of an embedded pool.
        memory: bytes that large results may take in all; 0 keeps them in messages.
        look: says how the machine is.
        files: what controllers may do with files here; None: nothing.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Clock,
        pool: Pool,
        machine: Machine,
        *,
        services: Sequence[str] = (),
        name: str = "",
        store: Store | None = None,
        shared: bool = False,
        memory: int = 0,
        look: Callable[[], messages.Vitals] = how_it_is,
        files: HostFiles | None = None,
    ) -> None:
        self._look, self._told = look, messages.Vitals()
        self._reactor = reactor
        self._pool = pool
        self._name = name or socket.gethostname()
        self.store = store or Store()
        self._shared = shared
        self.files = files or HostFiles(reactor)
        self.store.pressed.append(self._pressed)
        self._pressing = False
        self._ready: Deferred[PoolService] = Deferred()
        self._members: dict[int, _Member] = {}
        self._nursery = Nursery(
            reactor,
            machine,
            tuple(services),
            on_ready=self._root_ready,
            on_exit=self._worker_exited,
            on_bent=lambda n, why: self.handle(events.Contradicted(worker=n, why=why)),
        )
        self._slabs = Slabs(self.store, self._nursery.workers, memory, pool.slots)
        self._watch = WorkerWatch(
            reactor,
            self._nursery,
            machine.memory_kills,
            working=pool.working,
            handle=self.handle,
            rest=self.store.rest,
            tell=self._tell_vitals,
        )
        self._count = 0
        self._stopping = False
        self._turns = Turns(self._perform)
        self._wake: Timer | None = None
        self._alarm: float | None = None

    # ---- life ----

    def start(self) -> Deferred[PoolService]:
        """Start the root zygote; fires with this service once it can fork."""
        self._nursery.start()
        self._watch.start()
        return self._ready

    def stop(self) -> Deferred[None]:
        """End every worker and zygote; fires when the root zygote is gone."""
        self._stopping = True
        for member in list(self._members.values()):
            self.close_session(member, "the pool stops")
        self.store.pressed.remove(self._pressed)
        self.files.close()
        self._slabs.close()
        self._watch.stop()
        call_off(self._wake)
        return self._nursery.stop()

    def _root_ready(self) -> None:
        if not self._ready.called:
            self._ready.callback(self)

    def statistics(self) -> PoolStatistics:
        """Tenants and workers of this host at this moment, for whoever watches."""
        return self._pool.statistics()

    # ---- what a controller may do ----

    def facts(self) -> PoolFacts:
        """What a controller is told before it joins."""
        root = self._nursery.root_facts
        return PoolFacts(
            host=self._name,
            workers=self._pool.slots,
            python=".".join(platform.python_version_tuple()[:2]),
            version=scattergather.__version__,
            protocol=messages.PROTOCOL,
            services=root.services or _installed_services(),
            problems=(*root.problems, *_problems_of_scratch()),
            pid=root.pid,
            chosen=root.services,
            platform=vitals.system(),
            cpus=len(os.sched_getaffinity(0)),
            vitals=self._tell_vitals(),
        )

    def open(
        self,
        peer: Peer,
        *,
        controller: str,
        workers: int,
        place: messages.TaskPlace | None = None,
        hash_seed: int | None = None,
    ) -> PoolSession:
        """Begin a session for a controller, whose workers see ``place``.

        It gets at most ``workers`` (0: all) of the pool. ``controller`` names it in logs. Its
        workers make ``hash(text)`` of ``hash_seed``, or all of the pool of the same.
        """
        self._count += 1
        self.log.info("session {n} of {c} opened", n=self._count, c=controller)
        member = self._members[self._count] = _Member(
            self._count,
            peer,
            self,
            Holdings(self.store, shared=self._shared),
            self._nursery.open(self._count, self._with_files(place), hash_seed),
        )
        self.handle(events.TenantJoined(tenant=member.number, workers=workers))
        return member

    def settle(self, session: PoolSession, place: messages.TaskPlace) -> None:
        """Workers of this session that are forked from now on see another place."""
        if isinstance(session, _Member):
            self._nursery.settle(session.brood, self._with_files(place))

    def _with_files(self, place: messages.TaskPlace | None) -> messages.TaskPlace:
        """The same place, with the folders of this host."""
        return msgspec.structs.replace(
            place or messages.TaskPlace(),
            files=self.files.folder,
            scratch=os.fsencode(scratch.folder()),
        )

    def resize(self, session: PoolSession, workers: int) -> None:
        """This pool, which is all this session's, has so many workers."""
        session.receive(messages.Resize(workers=workers), b"")
        self._slabs.divide(self._pool.slots)

    @property
    def most(self) -> int:
        """About how many bytes messages of one session may take here, or one value."""
        return self._pool.most

    def refusal(self, session: int, size: int) -> str:
        """Why this session must not send a message of so many bytes; empty if it may."""
        return self._pool.refusal(session, size)

    def close_session(self, member: _Member, reason: str, *, may_return: bool = False) -> None:
        """End a session with all its workers; nothing more is sent to its peer.

        Its files under way are kept for a while if its controller ``may_return``.
        """
        if self._members.pop(member.number, None) is None:
            return
        self.log.info("session {n} closed: {r}", n=member.number, r=reason)
        self.handle(events.TenantLeft(tenant=member.number))
        for worker in self._nursery.close(member.brood):
            self._slabs.died(worker)
        member.large.close()
        self.files.left(member.number, keep=may_return)

    # ---- performing ----

    def handle(self, event: events.Event) -> None:
        """Pass an event to the pool and carry out what it asks for.

        That may lead to another event at once: a controller in the same process answers a report
        with the next chunk.
        """
        if self._turns.do(self._pool.handle(event, self._reactor.seconds())):
            self._set_alarm()

    def _perform(self, action: actions.Action) -> None:
        """Carry out one action. What it names may be gone by now: then there is nothing to do.

        One that fails ends the session that it is for. It must not end that of whoever's event is
        at work, nor be lost.
        """
        try:
            match action:
                case actions.Report():
                    member = self._members.get(action.tenant)
                    if member is not None:
                        if isinstance(action.message, messages.Dropped):
                            member.large.drop(action.message.objects)
                        member.peer.send(action.message, action.body, patient=action.patient)
                case actions.Tell():
                    worker = self._nursery.worker(action.worker)
                    if worker is not None:
                        message = action.message
                        if isinstance(message, Taking):
                            message = self._slabs.show(worker, message)
                            if not self._watch.looking:
                                self._watch.begin()
                        worker.tell(message, action.body)
                case actions.EndSession():
                    member = self._members.get(action.tenant)
                    if member is not None:
                        self._end_session(member, action.error)
                case actions.Overdraw():
                    self.store.overdraw()
                case actions.DropResults():
                    member = self._members.get(action.tenant)
                    if member is not None:
                        member.large.drop(action.objects)
                case actions.ForkWorker():
                    member = self._members.get(action.tenant)
                    if member is not None:
                        self._fork(member, action.worker)
                case actions.KillWorker():
                    self._nursery.signal(action.worker, action.signal, group=action.group)
                case _:
                    self._perform_on_worker(action)
        except Exception as error:
            member = self._members.get(self._pool.tenant_of(action))
            if member is None:
                raise
            self._end_session(member, error)

    def _end_session(self, member: _Member, error: Exception) -> None:
        """Something went wrong for the sake of a session: it ends, by name, and no other."""
        why = str(error) if isinstance(error, Breach) else "the pool failed on it; its log says how"
        if not isinstance(error, Breach):
            failure = Failure(error)
            self.log.failure("session {n}: it fails the pool", failure, n=member.number)
        member.peer.dismiss(why)
        self.close_session(member, why)

    def _perform_on_worker(
        self,
        action: actions.InterruptChunk
        | actions.WarnWorker
        | actions.StopWorker
        | actions.RecallChunk
        | actions.RetireWorker,
    ) -> None:
        """Carry out what is done by a word in a worker's journal, or at its pipe."""
        worker = self._nursery.worker(action.worker)
        if worker is None:
            return
        match action:
            case actions.InterruptChunk():
                worker.cancel(action.chunk)
                self._nursery.signal(action.worker, signal.SIGINT)
            case actions.WarnWorker():
                worker.warn(action.chunk, action.index)
                self._nursery.signal(action.worker, signal.SIGINT)
            case actions.StopWorker():
                worker.stop(action.chunk)
            case actions.RecallChunk():
                if worker.recall(action.chunk):
                    self.handle(events.ChunkRecalled(worker=action.worker, chunk=action.chunk))
            case actions.RetireWorker():
                worker.hang_up()
            case _:
                assert_never(action)

    def _fork(self, member: _Member, number: int) -> None:
        """Fork a worker. Where there is no descriptor left it counts as dead before its birth.

        An error that went up from here would end the session of whoever's event is at work, and
        the pool would wait for that worker for ever.
        """
        try:
            self._nursery.fork(member.brood, number, partial(self._worker_said, member))
        except OSError as error:
            self.log.error("cannot fork a worker: {why}", why=error)
            self.handle(events.WorkerExited(worker=number, status=UNFORKED, why=str(error)))

    # ---- what happens ----

    def _worker_said(
        self, member: _Member, number: int, message: messages.FromWorker, body: bytes
    ) -> None:
        worker = self._nursery.worker(number)
        if worker is not None:
            self._slabs.said(worker, message, member.large)
            if isinstance(message, messages.SendFile):
                fd = worker.take_descriptor()
                self.files.lend(member.number, message.transfer, fd, message.name)
        self.handle(events.WorkerSaid(worker=number, message=message, body=body))

    def _worker_exited(self, worker: WorkerSeam, exited: events.WorkerExited) -> None:
        self.handle(exited)
        self._slabs.died(worker)

    def _pressed(self) -> None:
        """Room is made in a turn of its own: whoever found none is in the middle of something."""
        if not self._pressing and not self._stopping:
            self._pressing = True
            self._reactor.callLater(0, self._make_room)

    def _make_room(self) -> None:
        self._pressing = False
        for number in list(self._members):
            self.handle(events.RoomWanted(tenant=number))

    def _tell_vitals(self) -> messages.Vitals:
        """Every controller knows how this machine is."""
        vitals = self._look()
        if vitals != self._told:
            self._told = vitals
            for member in list(self._members.values()):
                member.peer.send(vitals)
        return vitals

    # ---- time ----

    def _set_alarm(self) -> None:
        at = self._pool.wake_at
        if at == self._alarm:
            return
        self._alarm = at
        call_off(self._wake)
        self._wake = None
        if at is not None and not self._stopping:
            delay = max(0.0, at - self._reactor.seconds())
            self._wake = self._reactor.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._alarm = None
        self.handle(events.Ticked())


def _problems_of_scratch() -> tuple[str, ...]:
    folder = scratch.folder()
    if kind := scratch.of_memory(folder):
        return (
            f"files that are to spare memory go to {folder}, which is memory itself ({kind}): "
            "spawnScatterGather(scratch=...), or scattergather pool --scratch DIR, names a disk",
        )
    return ()


def _installed_services() -> tuple[str, ...]:
    found = importlib.metadata.entry_points(group=SERVICES)
    return tuple(sorted({entry.name for entry in found}))
