"""An iterator is consumed on a thread of its own, as fast as results return.

What is under way is bounded: by a window that grows to what returns in a quarter of a second, by
bytes, and, once somebody iterates the results, by those not handed over yet. Each task is packed
before the iterator goes on, so a generator may refill one buffer. A task waits for no company: it
joins a frame that is open until the writer takes it, since the next one may be long in coming, or
depend on this one's result.

The thread holds neither the client nor the session, whose futures hold the client: when nobody
else does, the pipe ends, and so does this.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from scattergather.client.jobs import adding
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.round import Round
from scattergather.client.jobs.tasks import checked
from scattergather.client.pipe.outbox import Growing
from scattergather.client.pipe.waiting import start_thread
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import readable
from scattergather.client.values.large import far_of
from scattergather.client.values.plain import is_plain, pack_plain
from scattergather.errors import CannotPickle, without_our_frames
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.memory.outside import NOTHING_FAR, Placed
from scattergather.wire.memory.slabs import LARGE

LEAST = 64
MOST_TASKS = 50_000
MOST_BYTES = 8 << 20
MOST_UNREAD = 64 << 20
AHEAD = 4
"""Tasks a worker that may be under way however large they are; their memory has its own bound."""

HORIZON = 0.25
"""Seconds of returning tasks that the window holds."""


class Feeder:
    """Feeds one job from an iterator.

    Args:
        fixed: a window that does not adapt, in tasks; None adapts.
    """

    def __init__(
        self,
        session: Session,
        round_: Round,
        gathering: Gathering,
        tasks: Iterator[Any],
        shipment: Shipment,
        fixed: int | None = None,
    ) -> None:
        self._session = weakref.ref(session)
        self._outbox = session.outbox
        self._shipper = session.shipper
        self._workers = session.known.workers
        self._round = round_
        self._gathering = gathering
        self._tasks = tasks
        self._shipment = shipment
        self._packer = session.shipper.call_packer(shipment)
        self._fixed = fixed
        if fixed is not None:
            gathering.iterating = True
        self._window = fixed or max(LEAST, 8 * self._workers)
        self._begun = threading.Lock()
        """Locked, for good, by whoever is first: the thread that feeds, or who calls it off."""
        self._lock = threading.Lock()
        self._growing: Growing | None = None
        self._sizes: deque[tuple[int, int]] = deque()
        self._bytes = self._open_bytes = self._open_tasks = 0
        self._since = (time.monotonic(), 0)

    def start(self) -> None:
        """The thread runs. Whoever is interrupted here cannot know whether it does."""
        start_thread(self._run, "scattergather-feeder")

    def call_off(self) -> bool:
        """The thread will feed nothing; False if it has begun."""
        return self._begun.acquire(blocking=False)

    # ---- feeder thread --------------------------------------------------------------------------

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        error: BaseException | None = None
        through, gathering = False, self._gathering
        wake = gathering.bell.ring
        self._outbox.closing.once(wake)
        try:
            through = self._feed()
        except BaseException as raised:  # the user's iterator may raise anything
            error = without_our_frames(raised)
        self._outbox.closing.withdraw(wake)
        # A generator's clean-up must not wait until this thread's frame goes.
        self._tasks, self._growing = iter(()), None
        if not through and error is None and (gathering.lost or not gathering.stopped):
            return  # it is lost: with a number of tasks it could look as if it were through
        adding.end(self._outbox, self._round, gathering, error)
        session = self._session()
        if session is not None:
            session.inbox.settle(self._round.job)

    def _feed(self) -> bool:
        """Returns whether the iterator has no more tasks; False when the job wants no more."""
        gathering, outbox = self._gathering, self._outbox
        tasks, packer = self._tasks, self._packer
        needs: tuple[bytes, ...]
        objects: tuple[Placed, ...]
        index = 0
        while self._may_go_on():
            try:
                task = next(tasks)
            except StopIteration:
                return True
            args, kwargs = checked(task, index)
            blob, needs, objects, size = b"", (), (), 0
            if is_plain(args, kwargs):
                blob = pack_plain((args, kwargs))
            if not blob or len(blob) >= LARGE:
                try:
                    packer.pack((args, kwargs))
                except CannotPickle as error:
                    raise readable(error, index) from error.__cause__
                size = packer.beside
                objects = packer.take_objects()
                _, blob, needs = packer.take()
            del task, args, kwargs
            # Before the task counts as under way: nothing of it may be half done while this waits,
            # which ends only when the writer has written, or the pipe has ended.
            outbox.make_room()
            self._count(index, len(blob) + size)
            gathering.expect(1)
            if needs:
                with self._shipper.holding():
                    self._shipper.send(self._shipment)
                    self._put(index, blob, needs, objects)
            else:
                self._put(index, blob, needs, objects)
            del objects
            index += 1
        return False

    def _put(
        self, index: int, blob: bytes, needs: tuple[bytes, ...], objects: tuple[Placed, ...]
    ) -> None:
        outbox, far = self._outbox, far_of(objects) if objects else NOTHING_FAR
        with self._lock:
            growing = self._growing
            fits = growing is not None and growing.needs == needs and growing.far == far
            if fits and growing is not None and not growing.taken:
                growing.add(blob, objects)
                outbox.count(len(blob))
                return
            self._growing = growing = Growing(self._lock, self._round.job, index, needs, far)
            growing.add(blob, objects)
        outbox.count(len(blob))
        outbox.put(growing)

    def _may_go_on(self) -> bool:
        """Wait until there is room in the window; False when the job wants no more tasks."""
        if self._over():
            return False
        if self._room(self._window):
            return True
        self._adapt()
        if not self._room(self._window):
            goal = max(1, self._window - self._window // 4)
            self._gathering.bell.wait(lambda: self._over() or self._room(goal))
        return not self._over()

    def _over(self) -> bool:
        gathering = self._gathering
        return gathering.stopped or gathering.lost is not None or self._outbox.closed

    def _room(self, window: int) -> bool:
        gathering = self._gathering
        settled = gathering.settled
        returned = gathering.handed if gathering.iterating else settled
        while self._sizes and self._sizes[0][0] <= settled:
            self._bytes -= self._sizes.popleft()[1]
        return (
            gathering.added - returned < window
            and (self._bytes < MOST_BYTES or gathering.added - settled < AHEAD * self._workers)
            and not (gathering.iterating and gathering.unread_bytes > MOST_UNREAD)
        )

    def _count(self, index: int, size: int) -> None:
        """``size`` bytes are under way until about ``index`` tasks are settled."""
        self._bytes += size
        self._open_bytes += size
        self._open_tasks += 1
        if self._open_bytes >= 1 << 16 or self._open_tasks >= 256:
            self._sizes.append((index + 1, self._open_bytes))
            self._open_bytes = self._open_tasks = 0

    def _adapt(self) -> None:
        """The window holds what returns in a quarter of a second."""
        if self._fixed is not None:
            return
        now, gathering = time.monotonic(), self._gathering
        returned = gathering.handed if gathering.iterating else gathering.settled
        before, had = self._since
        if now - before < 0.02:
            return
        self._since = (now, returned)
        rate = (returned - had) / (now - before)
        session = self._session()
        if session is not None:
            self._workers = session.known.workers
        least = max(LEAST, 8 * self._workers)
        wanted = int(min(MOST_TASKS, max(least, rate * HORIZON)))
        # Down slowly: a pause of the reader is no slowness of the workers.
        self._window = max(wanted, self._window // 2)
