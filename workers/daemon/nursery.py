"""The zygotes of a pool and the workers that come from them: born, signalled, buried, born anew.

- There is one root zygote. When it dies another is started, after a pause if it died at its start.
  The zygotes that it had forked end with it.
- A session whose client has another hash seed has a root zygote of its own, since a seed is for a
  whole program. It ends with the session.
- Each session has a zygote of its own. When it dies its workers die with it: all of them are
  buried, and it is opened anew. Workers that are asked for meanwhile wait for it.
- A dead worker is buried once, when its zygote says that it exited or is itself gone. First
  everything is heard that the worker had written, then the pool learns that it is dead.
- A zygote that a signal stopped forks nobody, buries nobody and heeds nothing but SIGKILL: it is
  ended when it was found so a number of times in a row.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from scattergather.machine.kernel import no_process
from scattergather.reactor.seam import Clock
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import SPENT, UNFORKED
from scattergather.workers.daemon.launch import HASH_SEED
from scattergather.workers.daemon.machine import Machine, OnWorker, WorkerSeam, ZygoteSeam
from scattergather.workers.pool import events
from scattergather.workers.pool.losses.restarts import Restarts
from scattergather.workers.pool.losses.verdict import signal_name
from scattergather.workers.pool.losses.watching import STOPPED_AFTER

LOOK_SECONDS = 2.0
"""How often zygotes are to be looked at."""

STOPPED_LOOKS = int(STOPPED_AFTER / LOOK_SECONDS)
"""A zygote that is found stopped again so many times is ended. Looks are counted, not seconds:
what passed while we stood still ourselves does not count."""

RELAUNCH_SECONDS = 0.2


@dataclass(slots=True, eq=False)
class Brood:
    """One session's zygote, and the workers that it has forked or is to fork.

    ``zygote`` is None from its death until another is opened, and while there is no root. ``root``
    is its own, where the hashes of its workers are of another ``hash_seed`` than the others'.
    ``restarts`` counts the zygotes that died before they said that they were ready; ``unborn`` says
    why the last was never forked.
    """

    number: int
    place: messages.TaskPlace
    hash_seed: int | None = None
    root: ZygoteSeam | None = None
    zygote: ZygoteSeam | None = None
    workers: dict[int, WorkerSeam] = field(default_factory=dict)
    restarts: Restarts = field(default_factory=Restarts)
    unborn: str = ""


class Nursery:
    """Zygotes and workers of one pool. Reactor thread only.

    Attributes:
        root_facts: what the root zygote said of itself when it was ready.
        worker: finds a worker that is not buried by its number; None if there is none.

    Args:
        services: what the root zygote preloads.
        on_ready: called each time that a root zygote is ready.
        on_exit: called with a worker that is buried and what there is to say of its death.
        on_bent: called with a worker's number when what it sent makes no sense, and what that was.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Clock,
        machine: Machine,
        services: Sequence[str],
        *,
        on_ready: Callable[[], None],
        on_exit: Callable[[WorkerSeam, events.WorkerExited], None],
        on_bent: Callable[[int, str], None],
    ) -> None:
        self._reactor = reactor
        self._machine = machine
        self._services = services
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._on_bent = on_bent
        self.root_facts = messages.ZygoteReady(pid=0)
        self._root: ZygoteSeam | None = None
        self._restarts = Restarts()
        self._broods: dict[int, Brood] = {}
        self._brood_of: dict[int, Brood] = {}
        self._workers: dict[int, WorkerSeam] = {}
        # Asked with every message: the dictionary's own method is the fastest way to it.
        self.worker: Callable[[int], WorkerSeam | None] = self._workers.get
        self._burying: set[int] = set()
        self._ending: set[int] = set()
        """Workers that the pool has told to end, by a signal."""
        self._stood: dict[int, int] = {}
        self._stopping = False

    def workers(self) -> Collection[WorkerSeam]:
        """The workers that are not buried; do not keep it."""
        return self._workers.values()

    def zygotes(self) -> list[ZygoteSeam]:
        """The root's and those of the sessions, as far as they are there."""
        found = [self._root]
        for brood in self._broods.values():
            found += brood.root, brood.zygote
        return [zygote for zygote in found if zygote is not None]

    # ---- the root ----

    def start(self) -> None:
        """Start a root zygote; from it come those of the sessions that have none."""
        if self._stopping:
            return
        try:
            self._root = self._machine.root(self._services, self._root_said, self._root_ended)
        except OSError as error:
            for brood in list(self._broods.values()):
                if brood.zygote is None and brood.hash_seed is None:
                    self._bury_all(brood, no_process(error))
            self._start_later(f"cannot be started: {no_process(error)}")
            return
        for brood in self._broods.values():
            if brood.zygote is None:
                self._open_zygote(brood)

    def stop(self) -> Deferred[None]:
        """End every zygote and free every worker; fires when the root zygotes are gone."""
        self._stopping = True
        own = [brood.root for brood in self._broods.values()]
        for brood in list(self._broods.values()):
            self.close(brood)
        if self._root is not None:
            self._root.close()
        roots = [root for root in (self._root, *own) if root is not None]
        done: Deferred[None] = Deferred()
        self._await_roots(roots, done, self._reactor.seconds() + 2.0)
        return done

    def _await_roots(self, roots: list[ZygoteSeam], done: Deferred[None], deadline: float) -> None:
        left = [root for root in roots if not root.ended()]
        if not left:
            done.callback(None)
            return
        if self._reactor.seconds() > deadline:
            for root in left:
                root.kill()
        self._reactor.callLater(0.01, self._await_roots, left, done, deadline)

    def _root_said(self, message: messages.FromZygote) -> None:
        if isinstance(message, messages.ZygoteReady):
            self._restarts.lived()
            self.root_facts = message
            for problem in message.problems:
                self.log.warn("{problem}", problem=problem)
            self._on_ready()

    def _root_ended(self) -> None:
        if self._stopping:
            return
        if self._root is not None:
            self._reap(self._root)
        self._root = None
        self._start_later("died")

    def _start_later(self, what: str) -> None:
        self._restarts.died(self._reactor.seconds())
        pause = self._restarts.pause or RELAUNCH_SECONDS
        self.log.error("the root zygote {what}; it is started again", what=what)
        self._reactor.callLater(pause, self.start)

    def _reap(self, root: ZygoteSeam) -> None:
        """A root that closed its socket may take a while to end, and nobody else waits for it."""
        if not root.ended() and not self._stopping:
            self._reactor.callLater(RELAUNCH_SECONDS, self._reap, root)

    # ---- a session's ----

    def open(self, number: int, place: messages.TaskPlace, hash_seed: int | None = None) -> Brood:
        """Open the zygote of a session, whose workers see ``place``."""
        if hash_seed == HASH_SEED:
            hash_seed = None
        brood = self._broods[number] = Brood(number, place, hash_seed)
        self._open_zygote(brood)
        return brood

    def settle(self, brood: Brood, place: messages.TaskPlace) -> None:
        """Workers of this session that are forked from now on see another place."""
        brood.place = place
        if brood.zygote is not None:
            brood.zygote.settle(place)

    def close(self, brood: Brood) -> list[WorkerSeam]:
        """End the zygote of a session with its workers; these are free and returned."""
        self._broods.pop(brood.number, None)
        if brood.zygote is not None:
            brood.zygote.close()
        if brood.root is not None:
            brood.root.close()
            self._reap(brood.root)
        workers = list(brood.workers.values())
        for worker in workers:
            self._forget(worker.number)
            worker.free()
        return workers

    def _open_zygote(self, brood: Brood) -> None:
        try:
            root = self._root if brood.hash_seed is None else self._own_root(brood)
            if root is None or not root.open:
                return
            brood.zygote = root.open_session(
                brood.number,
                brood.place,
                lambda message: self._zygote_said(brood, message),
                lambda: self._zygote_ended(brood),
            )
        except OSError as error:
            brood.unborn = no_process(error)
            self._zygote_ended(brood)
            return
        for worker in brood.workers.values():
            brood.zygote.fork(worker)

    def _own_root(self, brood: Brood) -> ZygoteSeam:
        """The root zygote of this session alone. When it dies, so does the session's zygote."""
        if brood.root is None or not brood.root.open:
            if brood.root is not None:
                self._reap(brood.root)
            brood.root = self._machine.root(
                self._services, lambda _: None, lambda: None, brood.hash_seed
            )
        return brood.root

    def _zygote_said(self, brood: Brood, message: messages.FromZygote) -> None:
        match message:
            case messages.Forked():
                worker = self._workers.get(message.worker)
                if worker is not None:
                    worker.pid = message.pid
            case messages.Exited() if not message.worker:
                brood.unborn = message.why
            case messages.Exited():
                self._bury(message)
            case messages.ZygoteReady():
                brood.restarts.lived()
                for problem in message.problems:
                    self.log.warn("{problem}", problem=problem)
            case _:
                assert_never(message)

    def _zygote_ended(self, brood: Brood) -> None:
        """A session zygote died, its workers with it: another is opened, and they are replaced."""
        if self._stopping or brood.number not in self._broods:
            return
        how = f"was never forked: {brood.unborn}" if brood.unborn else "died"
        self.log.error(
            "the zygote of session {n} {how}; its workers are replaced", n=brood.number, how=how
        )
        brood.zygote = None
        brood.restarts.died(self._reactor.seconds())
        why, brood.unborn = brood.unborn, ""
        self._bury_all(brood, why)
        self._reactor.callLater(brood.restarts.pause, self._reopen, brood)

    def _bury_all(self, brood: Brood, why: str) -> None:
        """The pool hears of workers that their zygote took with it, or why they have none."""
        for number in list(brood.workers):  # others may come meanwhile
            killed = messages.Exited(worker=number, pid=0, signal=signal.SIGKILL)
            unborn = messages.Exited(worker=number, pid=0, status=UNFORKED, why=why)
            self._bury(unborn if why else killed)

    def _reopen(self, brood: Brood) -> None:
        if not self._stopping and brood.number in self._broods and brood.zygote is None:
            self._open_zygote(brood)

    # ---- workers ----

    def fork(self, brood: Brood, number: int, on_message: OnWorker) -> None:
        """Let a session's zygote fork a worker; without one, that waits until there is one."""
        worker = self._machine.worker(number, on_message, self._pipe_broke)
        self._workers[number] = brood.workers[number] = worker
        self._brood_of[number] = brood
        if brood.zygote is not None:
            brood.zygote.fork(worker)

    def signal(self, number: int, what: int, *, group: bool = False) -> None:
        """Signal a worker; with ``group``, everything it started too. One that is gone is not."""
        brood = self._brood_of.get(number)
        if brood is None:
            return
        if what in (signal.SIGKILL, signal.SIGTERM):
            self._ending.add(number)
        if brood.zygote is not None:
            brood.zygote.signal(number, what, group=group)
        elif what == signal.SIGKILL:  # it waits for a zygote: now it will not be forked at all
            self._bury(messages.Exited(worker=number, pid=0, signal=what))

    def end_stopped(self) -> None:
        """Zygotes that were found stopped too often are ended. Called every ``LOOK_SECONDS``."""
        stood: dict[int, int] = {}
        for zygote in self.zygotes():
            if not zygote.stopped():
                continue
            looks = stood[zygote.pid] = self._stood.get(zygote.pid, -1) + 1
            if looks >= STOPPED_LOOKS:
                self.log.error("zygote {pid} was stopped by a signal; it is ended", pid=zygote.pid)
                zygote.kill()
        self._stood = stood

    def _pipe_broke(self, number: int, reason: str, nonsense: bool) -> None:
        """A worker closed its pipe, or what it sent makes no sense: it cannot be used any more.

        Usually it is dying and its zygote will say so. A task that closed every descriptor ends
        its worker by itself, when it is done and finds that it cannot report.
        """
        if nonsense:
            self._on_bent(number, f"what it sent makes no sense ({reason})")
        elif reason != "the other end closed the pipe":
            self.log.warn("the pipe of worker {n} broke: {r}", n=number, r=reason)
            self.signal(number, signal.SIGKILL, group=True)

    def _bury(self, exited: messages.Exited) -> None:
        worker = self._workers.get(exited.worker)
        if worker is None or exited.worker in self._burying:
            return
        self._burying.add(exited.worker)
        try:
            # What the worker had written is heard now, and perhaps that its pipe broke: without
            # a zygote that would bury it a second time.
            harvest = worker.bury()
        finally:
            self._burying.discard(exited.worker)
        killed = exited.signal == signal.SIGKILL
        now = self._reactor.seconds()
        starved = killed and self._machine.memory_kills.lately(now)
        self._tell(exited, worker.pid, harvest.output.strip(), starved=starved)
        self._forget(exited.worker)
        self._on_exit(
            worker,
            events.WorkerExited(
                worker=exited.worker,
                status=exited.status,
                signal=exited.signal,
                peak=exited.peak,
                why=exited.why,
                out_of_memory=starved,
                harvest=harvest,
            ),
        )

    def _tell(self, exited: messages.Exited, pid: int, said: str, *, starved: bool) -> None:
        """The log names a worker whose end was not this pool's doing."""
        ours = exited.worker in self._ending or not exited.pid
        if exited.why:
            self.log.warn("a worker could not be forked: {why}", why=exited.why)
        elif exited.status == SPENT:
            self.log.info("worker {pid} is replaced: {why}", pid=pid, why=said)
        elif not ours and (exited.signal or exited.status):
            brood = self._brood_of.get(exited.worker)
            how = signal_name(exited.signal) if exited.signal else f"exit status {exited.status}"
            self.log.warn(
                "worker {pid} of session {n} was ended by {how}{why}",
                pid=pid,
                n=brood.number if brood else "?",
                how=how,
                why=": this machine had run out of memory" if starved else "",
            )

    def _forget(self, number: int) -> None:
        """A worker is known no more; what it said last may have closed its session already."""
        brood = self._brood_of.pop(number, None)
        self._ending.discard(number)
        if brood is not None:
            del self._workers[number], brood.workers[number]
