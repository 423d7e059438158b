"""What waits to be written to the controller.

What was put first leaves first. Frames stand in one line, a deque, and leave it only under the lock
of whoever writes them: a frame that is not in the line is written, and whoever holds the lock and
finds the line empty overtakes nothing. The queue on which the writer sleeps only wakes it. Nobody
asks whether that queue is empty, because a queue need not know: since Python 3.13 an item that was
put is for a while neither in the queue nor with the thread that it was handed to.

A frame is put whole, by one call of C, which lines it up and wakes the writer: an interrupt of the
putting thread leaves a frame in or out, never half, and never in without a writer who comes. What
has become garbage is told by a call of C, too, the callback of a weak reference, which no interrupt
can prevent; it goes through the queue, and the writer lines it up, behind all frames that were put
before.

A *growing* frame is put open and collects tasks until the writer takes it: twenty thousand single
submits become few frames, and none waits for company.

A call that is alone, because nothing else of its function is outstanding, is written by the thread
that puts it, if nothing waits and the socket takes it: to wake the writer for it takes some 25 us
of a round trip of 350. What was begun so and not finished, because of an interrupt or a full
socket, the writer finishes before all else.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import call
from queue import Empty, SimpleQueue
from typing import Any

from scattergather.client.pipe.waiting import Bell, readers
from scattergather.model.ids import JobId, ObjectId
from scattergather.wire import blobs
from scattergather.wire.descriptors import Escorted
from scattergather.wire.frame import Bytes, frame
from scattergather.wire.memory.garbage import Gone, Watch
from scattergather.wire.memory.outside import Placed
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import MOST_NAMES, Extent

Piece = Bytes | Escorted

BOUND = 64 << 20
"""Bytes that may wait; then whoever puts bounded frames waits."""


class Ready:
    """A frame as it is."""

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces))

    def close(self) -> tuple[list[Piece], int]:
        """The frame's pieces, and how many bytes were counted for them. Writer thread."""
        return list(self.pieces), self.size


class Growing:
    """An ``AddTasks`` that takes tasks until it is written.

    Args:
        lock: held by whoever adds; who writes takes it for an instant to close the frame.
        job: whose tasks they are.
        first: the index of the first.
        needs: the code that each of them needs.
        far: the objects on hosts that each of them takes.
    """

    __slots__ = (
        "_blobs", "_first", "_job", "_lock", "_objects", "far", "needs", "queued", "taken"
    )  # fmt: skip

    def __init__(
        self,
        lock: threading.Lock,
        job: JobId,
        first: int,
        needs: tuple[bytes, ...],
        far: frozenset[ObjectId] = frozenset(),
    ) -> None:
        self.far = far
        self._lock = lock
        self._job = job
        self._first = first
        self._blobs: list[bytes] = []
        self._objects: list[Placed] = []
        self.needs = needs
        self.queued = False
        """Set after it was put. An interrupt in between has it put twice, which does no harm."""
        self.taken = False

    @property
    def next(self) -> int:
        """The index of the task that would be added next."""
        return self._first + len(self._blobs)

    def add(self, blob: bytes, objects: Sequence[Placed] = ()) -> None:
        """Add one task, which takes these objects.

        One append, so that an interrupt leaves it in or out.
        """
        if objects:
            self._objects += objects
        self._blobs.append(blob)

    def close(self) -> tuple[list[Piece], int]:
        """The frame takes no more tasks: its pieces and their size, at the first call only.

        Writer thread.
        """
        with self._lock:
            written, self.taken = self.taken, True
        if written:
            self.let_go()  # an interrupt may have come between
            return [], 0
        pieces, size = self._pieces()
        self.let_go()
        return [*pieces], size

    def seal(self) -> tuple[bytes, int]:
        """The same as one piece, at each call until :meth:`let_go`; it takes no more tasks."""
        with self._lock:
            self.taken = True
        pieces, size = self._pieces()
        return b"".join(pieces), size

    def let_go(self) -> None:
        """Its objects are the controller's, which hears of their end behind this frame."""
        self._objects.clear()

    def _pieces(self) -> tuple[list[Bytes], int]:
        ends = blobs.table(self._blobs)
        if not ends:
            return [], 0
        head = messages.AddTasks(
            job=self._job,
            first=self._first,
            count=len(ends),
            needs=self.needs,
            objects=distinct(self._objects) if self._objects else (),
        )
        body = ends.tobytes() + b"".join(self._blobs)
        return [*frame(messages.encode(head), body)], ends[-1]


def distinct(objects: Iterable[Placed]) -> tuple[Extent, ...]:
    """Where these objects are, each once."""
    return tuple({each.extent.object: each.extent for each in objects}.values())


Then = ObjectId | Callable[[], object]

_Waiting = Ready | Growing | Gone[Then, Any]

_call: Callable[[Callable[[Any], object], object], object] = call


class Outbox:
    """The queue between all threads that send and the one that writes."""

    def __init__(self, bound: int = BOUND) -> None:
        self._entries: deque[_Waiting] = deque()
        """All that waits, in order. Who takes something out holds the turn until it is written."""
        self._alarm: SimpleQueue[Gone[Then, Any] | None] = SimpleQueue()
        """The writer sleeps here. ``None`` says: look at the entries."""
        self._turn = threading.Lock()
        """Held by whoever writes."""
        self._line_up: tuple[Callable[[Any], object], ...] = (self._entries.append, self._alarm.put)
        self._line: socket.socket | None = None
        self._begun: Growing | None = None
        """What its own thread began to write, and is not known to have written."""
        self._sent: list[int] = []
        """How many bytes of it have left."""
        self._bound = bound
        self._watched: Watch[Then] = Watch(self._alarm.put)
        self._waiting = 0
        self.closed = False
        self.closing = Bell()
        """Rung once, when nothing more will be written."""
        self._emptied = Bell()

    @property
    def waiting(self) -> int:
        """Bytes that wait, nearly: threads may count at once; an empty queue corrects it."""
        return self._waiting

    def send(self, message: messages.ToController, *body: Bytes) -> None:
        """Queue a frame, whatever waits already. Any thread, finalisers too."""
        self.put(Ready(frame(messages.encode(message), *body)))

    def watched(self) -> list[Any]:
        """The things that are watched and not garbage yet."""
        return self._watched.things()

    def watch(self, thing: object, then: Then) -> None:
        """Say what is to be done when ``thing`` is garbage, wherever that happens.

        Args:
            thing: is not kept.
            then: an object that is released then, behind every frame that was put before; or is
                called, on the writer thread.
        """
        if not self.closed:
            self._watched.begin(thing, then)

    def put(self, entry: Ready | Growing) -> None:
        """Queue an entry. Any thread, finalisers too."""
        if isinstance(entry, Ready):
            self._waiting += entry.size
        # One call of C: an interrupt leaves it lined up and the writer woken, or neither.
        any(map(_call, self._line_up, (entry, None)))

    def put_alone(self, growing: Growing) -> None:
        """Queue this, or write it at once: nobody will add to it soon. Any thread."""
        done = False
        try:
            # Who writes may take long, and a reader must not wait for that.
            busy = self._turn.locked() or threading.get_ident() in readers
            done = not busy and self._write(growing)
        except OSError:
            pass  # the socket is full, or the writer will see why
        finally:
            if not done:
                self.put(growing)

    def _write(self, growing: Growing) -> bool:
        """Write it from here, if nothing waits; False if it is left to the writer."""
        with self._turn:
            waits = self._begun or self._entries
            # Another thread may have added to it and put it, and the writer written it.
            if self._line is None or self.closed or waits or growing.taken:
                return False
            self._sent.clear()
            self._begun = growing
            data, size = growing.seal()
            # One call of C: an interrupt leaves bytes sent and counted, or neither.
            self._sent.extend(map(self._line.send, (data,), (socket.MSG_DONTWAIT,)))
            if sum(self._sent) < len(data):
                return False
            self._begun = None
        self.count(-size)
        growing.let_go()
        return True

    def count(self, size: int) -> None:
        """A growing frame took ``size`` bytes more."""
        self._waiting += size

    @property
    def full(self) -> bool:
        """More than the bound waits."""
        return self._waiting > self._bound

    def make_room(self) -> None:
        """Block while more than the bound waits; on a reader thread, which must not, go on."""
        if self.full and threading.get_ident() not in readers:
            self._emptied.wait(self._has_room)

    def open(self, line: socket.socket) -> None:
        """There is a connection, and will be until :meth:`close`."""
        self._line = line

    def drain(self, write: Callable[[list[Piece]], None]) -> bool:
        """Write all that waits, blocking for the first; False after :meth:`close`. Writer thread.

        Raises:
            Exception: what ``write`` raises; nothing more can be written then.
        """
        self._listen(asleep=not self._entries)
        with self._turn:
            if self.closed:
                return False
            write(self._collect())
        self._emptied.ring()
        return True

    def _listen(self, *, asleep: bool) -> None:
        """Line up what was told to be garbage, and if ``asleep``, wait until something comes."""
        try:
            while True:
                gone = self._alarm.get(asleep)
                asleep = False
                if gone is not None:
                    self._entries.append(gone)
        except Empty:
            return

    def _collect(self) -> list[Piece]:
        pieces: list[Piece] = []
        released: list[ObjectId] = []
        taken = 0
        if self._begun is not None:
            growing, self._begun = self._begun, None
            data, size = growing.seal()
            pieces.append(data[sum(self._sent) :])
            self._waiting -= size
            growing.let_go()
        entries: Iterator[_Waiting] = iter(self._next, None)
        for entry in entries:
            if isinstance(entry, Gone):
                then = self._watched.over(entry)
                if isinstance(then, bytes):
                    released.append(then)
                else:
                    then()
            else:
                own, size = entry.close()
                pieces += own
                taken += size
                self._waiting -= size
            if taken >= self._bound or len(released) == MOST_NAMES:
                break
        if released:
            pieces += frame(messages.encode(messages.Release(objects=tuple(released))))
        return pieces

    def _next(self) -> _Waiting | None:
        try:
            return self._entries.popleft()
        except IndexError:  # closing empties it at any moment
            self._waiting = 0
            return None

    def close(self) -> None:
        """Nothing more is written; who waits for room goes on."""
        self.closed = True
        self._watched.clear()
        self._entries.clear()
        self._alarm.put(None)
        self._emptied.ring()
        self.closing.ring()

    def left(self, timeout: float) -> None:
        """After :meth:`close`: wait until nobody is writing any more."""
        if self._turn.acquire(timeout=timeout):
            self._turn.release()

    def _has_room(self) -> bool:
        return self.closed or self._waiting <= self._bound // 2
