"""The pool of this host: wires zygotes, worker processes and the pool that decides.

The same service is a daemon's pool and a controller's embedded one; whoever joins calls ``open``
and sends messages, and cannot tell the difference. Reactor thread only.
"""

from __future__ import annotations

import importlib.metadata
import platform
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from twisted.internet.defer import Deferred
from twisted.logger import Logger

import scattergather
from scattergather.link.seams import Peer, PoolFacts, Session
from scattergather.wire import messages
from scattergather.workers.daemon.launch import Root, launch
from scattergather.workers.daemon.memory_kills import MemoryKills
from scattergather.workers.daemon.process import OUTPUT_KEPT, WorkerProcess
from scattergather.workers.daemon.zygotes import ZygoteChannel
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.pool import Pool
from scattergather.workers.pool.restarts import Restarts
from scattergather.workers.process import kernel

SERVICES = "scattergather.services"
"""Group of entry points that name resident functions."""

WATCH_SECONDS = 0.2
"""How often working processes are looked at."""

RELAUNCH_SECONDS = 0.2


@dataclass(slots=True)
class _Member:
    """A session: who it reports to, the place its workers see, and its zygote.

    ``restarts`` counts the zygotes that died before they said that they were ready.
    """

    number: int
    peer: Peer
    place: messages.OpenSession
    service: PoolService
    channel: ZygoteChannel | None = None
    restarts: Restarts = field(default_factory=Restarts)

    def receive(self, message: messages.ToPool, body: bytes) -> None:
        self.service.handle(events.Received(session=self.number, message=message, body=body))

    def close(self, reason: str) -> None:
        self.service.close_session(self, reason)


class PoolService:
    """A pool of persistent workers on this host; implements ``link.seams.Pool``.

    Args:
        reactor: Twisted's; its ``seconds`` should be monotonic.
        workers: how many processes compute at a time.
        services: what the root zygote preloads: names of entry points or ``name=module:function``.
        root: a root zygote that was launched before; started here otherwise.
        name: what to call this host.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        workers: int,
        services: Sequence[str] = (),
        root: Root | None = None,
        name: str = "",
    ) -> None:
        self._reactor = reactor
        self._services = tuple(services)
        self._name = name or socket.gethostname()
        self._pool = Pool(workers)
        self._root = root
        self._root_channel: ZygoteChannel | None = None
        self._ready: Deferred[PoolService] = Deferred()
        self._zygote = messages.ZygoteReady(pid=0)
        self._members: dict[int, _Member] = {}
        self._processes: dict[int, WorkerProcess] = {}
        self._restarts = Restarts()
        self._memory_kills = MemoryKills()
        self._count = 0
        self._stopping = False
        self._queue: deque[actions.Action] = deque()
        self._performing = False
        self._wake: Any = None
        self._alarm: float | None = None
        self._watch: Any = None

    # ---- life ----

    def start(self) -> Deferred[PoolService]:
        """Start the root zygote; fires with this service once it can fork."""
        self._adopt_root()
        return self._ready

    def _adopt_root(self) -> None:
        root = self._root = self._root or launch(self._services)
        self._root_channel = ZygoteChannel(
            self._reactor, root.channel, self._root_said, self._root_ended
        )
        for member in self._members.values():
            if member.channel is None:
                self._open_zygote(member)

    def stop(self) -> Deferred[None]:
        """End every worker and zygote; fires when the root zygote is gone."""
        self._stopping = True
        for member in list(self._members.values()):
            self.close_session(member, "the pool stops")
        if self._root_channel is not None:
            self._root_channel.close()
        for process in self._processes.values():
            process.free()
        self._processes.clear()
        for call in (self._wake, self._watch):
            if call is not None and call.active():
                call.cancel()
        done: Deferred[None] = Deferred()
        self._await_root(done, time.monotonic() + 2.0)
        return done

    def _await_root(self, done: Deferred[None], deadline: float) -> None:
        root = self._root
        if root is None or root.process.poll() is not None:
            done.callback(None)
            return
        if time.monotonic() > deadline:
            root.process.kill()
        self._reactor.callLater(0.01, self._await_root, done, deadline)

    # ---- what a controller may do ----

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
    ) -> Session:
        """Begin a session; see ``link.seams.Pool``. ``place`` is what its workers see."""
        self._count += 1
        member = _Member(self._count, peer, place or messages.OpenSession(), self)
        self._members[member.number] = member
        self.log.info("session {n} of {c} opened", n=member.number, c=controller)
        self._open_zygote(member)
        self.handle(events.SessionOpened(session=member.number, workers=workers))
        return member

    def close_session(self, member: _Member, reason: str) -> None:
        """End a session with all its workers; nothing more is sent to its peer."""
        if self._members.pop(member.number, None) is None:
            return
        self.log.info("session {n} closed: {r}", n=member.number, r=reason)
        session = self._pool.sessions.get(member.number)
        numbers = list(session.workers) if session is not None else []
        self.handle(events.SessionClosed(session=member.number))
        if member.channel is not None:
            member.channel.close()
        for number in numbers:
            process = self._processes.pop(number, None)
            if process is not None:
                process.free()

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
            self._reap(self._root.process)
        self._root = self._root_channel = None
        self._restarts.died(time.monotonic())
        self._reactor.callLater(self._restarts.pause or RELAUNCH_SECONDS, self._relaunch)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """It has closed its socket and may take a while to end; nobody else waits for it."""
        if process.poll() is None and not self._stopping:
            self._reactor.callLater(RELAUNCH_SECONDS, self._reap, process)

    def _relaunch(self) -> None:
        if not self._stopping:
            self._adopt_root()

    def _open_zygote(self, member: _Member) -> None:
        if self._root_channel is None or not self._root_channel.open:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._root_channel.send(member.place, [theirs.fileno()])
        theirs.close()
        member.channel = ZygoteChannel(
            self._reactor,
            ours,
            lambda message: self._zygote_said(member, message),
            lambda: self._zygote_ended(member),
        )
        for number, process in list(self._processes.items()):
            worker = self._pool.workers.get(number)
            if worker is not None and worker.session == member.number:
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
        if process is None:
            return
        harvest = process.bury()
        killed = message.signal == signal.SIGKILL
        del self._processes[message.worker]
        if message.status == messages.SPENT:
            self.log.info("a worker is replaced: {why}", why=harvest.output.strip())
        self.handle(
            events.WorkerExited(
                worker=message.worker,
                status=message.status,
                signal=message.signal,
                peak=message.peak,
                out_of_memory=killed and self._memory_kills.lately(time.monotonic()),
                harvest=harvest,
            )
        )

    def _zygote_ended(self, member: _Member) -> None:
        """A session zygote died, its workers with it: open another and fork anew."""
        if self._stopping or member.number not in self._members:
            return
        self.log.error("the zygote of session {n} died; its workers are replaced", n=member.number)
        member.channel = None
        member.restarts.died(time.monotonic())
        for number, worker in list(self._pool.workers.items()):
            if worker.session == member.number and number in self._processes:
                self._bury(messages.Exited(worker=number, pid=0, signal=signal.SIGKILL))
        self._reactor.callLater(member.restarts.pause, self._reopen, member)

    def _reopen(self, member: _Member) -> None:
        if not self._stopping and member.number in self._members and member.channel is None:
            self._open_zygote(member)

    # ---- performing ----

    def handle(self, event: events.Event) -> None:
        """Pass an event to the pool and carry out what it asks for.

        An action may lead to another event at once (a controller in the same process answers a
        report with the next chunk); its actions go to the end of the line, so that they never
        overtake those before them.
        """
        self._queue.extend(self._pool.handle(event, time.monotonic()))
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
                member = self._members.get(action.session)
                if member is not None:
                    member.peer.send(action.message, action.body)
            case actions.Tell():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.tell(action.message, action.body)
                    if self._watch is None and isinstance(action.message, messages.Run):
                        self._watch = self._reactor.callLater(WATCH_SECONDS, self._look)
            case actions.ForkWorker():
                self._fork(action)
            case actions.KillWorker():
                kill = messages.Kill(worker=action.worker, signal=action.signal, group=action.group)
                self._to_zygote(action.worker, kill)
            case actions.InterruptChunk():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.journal.request_cancel(action.chunk)
                    self._interrupt(action.worker)
            case actions.WarnWorker():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.journal.exceed(action.chunk, action.index)
                    self._interrupt(action.worker)
            case actions.StopWorker():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.journal.request_stop(action.chunk)
            case actions.RetireWorker():
                process = self._processes.get(action.worker)
                if process is not None:
                    process.hang_up()
            case _:
                assert_never(action)

    def _interrupt(self, worker: int) -> None:
        """The worker looks at what its journal says."""
        self._to_zygote(worker, messages.Kill(worker=worker, signal=signal.SIGINT))

    def _to_zygote(self, worker: int, message: messages.ToZygote) -> None:
        known = self._pool.workers.get(worker)
        member = self._members.get(known.session) if known is not None else None
        if member is not None and member.channel is not None:
            member.channel.send(message)

    def _fork(self, action: actions.ForkWorker) -> None:
        member = self._members.get(action.session)
        if member is None:
            return
        process = WorkerProcess(self._reactor, action.worker, self._worker_said, self._pipe_broke)
        self._processes[action.worker] = process
        self._hand_over(member, process)

    def _hand_over(self, member: _Member, process: WorkerProcess) -> None:
        """Let the session's zygote fork a worker; without one, that waits until it has one."""
        if member.channel is not None:
            member.channel.send(messages.Fork(worker=process.number), process.descriptors())
            process.handed_over()

    def _worker_said(self, number: int, message: messages.FromWorker, body: bytes) -> None:
        self.handle(events.WorkerSaid(worker=number, message=message, body=body))

    def _pipe_broke(self, number: int, reason: str) -> None:
        """A worker closed its pipe, or what it sent makes no sense: it cannot be used any more.

        Usually it is dying and its zygote will say so. A task that closed every descriptor ends
        its worker by itself, when it is done and finds that it cannot report.
        """
        if reason != "the other end closed the pipe":
            self.log.warn("the pipe of worker {n} broke: {r}", n=number, r=reason)
            kill = messages.Kill(worker=number, signal=signal.SIGKILL, group=True)
            self._to_zygote(number, kill)

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
            self._wake = self._reactor.callLater(max(0.0, at - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._alarm = None
        self.handle(events.Ticked())

    def _look(self) -> None:
        """Look at the processes that work: limits, output that floods, outcomes that wait."""
        self._watch = None
        if self._stopping:
            return
        self._memory_kills.look(time.monotonic())
        limited = set(self._pool.limited())
        working = [number for number, worker in self._pool.workers.items() if worker.leases]
        for number in working:
            process = self._processes.get(number)
            if process is not None:
                process.output.trim(16 * OUTPUT_KEPT)
                for event in self._seen(process, memory=number in limited):
                    self.handle(event)
        if working:
            self._watch = self._reactor.callLater(WATCH_SECONDS, self._look)

    def _seen(self, process: WorkerProcess, *, memory: bool) -> Iterator[events.Event]:
        """What there is to say of a worker that works: outcomes that wait, the task it is in."""
        waiting = process.waiting(time.monotonic() - WATCH_SECONDS)
        if waiting is not None:
            message, body = waiting
            yield events.WorkerSaid(worker=process.number, message=message, body=body)
        running = process.journal.running()
        if process.pid and kernel.state_of(process.pid) == "T":
            yield events.FoundStopped(worker=process.number)
        elif running is not None:
            chunk, index, started = running
            yield events.Sampled(
                worker=process.number,
                chunk=chunk,
                index=index,
                started=started,
                memory=kernel.anonymous_memory(process.pid) if memory else 0,
            )


def _installed_services() -> tuple[str, ...]:
    found = importlib.metadata.entry_points(group=SERVICES)
    return tuple(sorted({entry.name for entry in found}))
