"""What waits to be written to the controller.

Frames are put here whole, by one atomic append: an interrupt of the putting thread leaves a frame
out or in, never half. Nothing here takes a lock when it puts, so that a finaliser, which the
garbage collector runs anywhere, may put too. A *growing* frame is put open and collects tasks until
the writer takes it: twenty thousand single submits become few frames, and none waits for company.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from scattergather.client.waiting import Bell, readers
from scattergather.wire import blobs, messages
from scattergather.wire.descriptors import Escorted
from scattergather.wire.frame import Bytes, frame
from scattergather.wire.outside import Placed

Piece = Bytes | Escorted

BOUND = 64 << 20
"""Bytes that may wait; then whoever puts bounded frames waits."""


class Entry(Protocol):
    """Something in the outbox."""

    def close(self) -> tuple[list[Piece], int]:
        """The pieces to write, and how many bytes were counted for them. Writer thread."""


class Ready:
    """A frame as it is."""

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces))

    def close(self) -> tuple[list[Piece], int]:
        """See :class:`Entry`."""
        return list(self.pieces), self.size


class Growing:
    """An ``AddTasks`` that takes tasks until the writer takes it.

    Args:
        lock: held by whoever adds; the writer takes it for an instant to close the frame.
    """

    __slots__ = ("_blobs", "_first", "_job", "_lock", "_objects", "needs", "queued", "taken")

    def __init__(
        self, lock: threading.Lock, job: messages.JobId, first: int, needs: tuple[bytes, ...]
    ) -> None:
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
        """See :class:`Entry`."""
        with self._lock:
            if self.taken:
                return [], 0
            self.taken = True
        ends = blobs.table(self._blobs)
        if not ends:
            return [], 0
        head = messages.AddTasks(
            job=self._job,
            first=self._first,
            count=len(ends),
            needs=self.needs,
            objects=distinct(self._objects),
        )
        body = ends.tobytes() + b"".join(self._blobs)
        # From here on they are the controller's: it hears of their end behind this frame.
        self._objects.clear()
        return [*frame(messages.encode(head), body)], ends[-1]


def distinct(objects: Iterable[Placed]) -> tuple[messages.Extent, ...]:
    """Where these objects are, each once."""
    return tuple({each.extent.object: each.extent for each in objects}.values())


class Outbox:
    """The queue between all threads that send and the one that writes."""

    def __init__(self, bound: int = BOUND) -> None:
        self._entries: deque[Entry] = deque()
        self._bound = bound
        self._released: deque[messages.ObjectId] = deque()
        self._waiting = 0
        self.closed = False
        self.closing = Bell()
        """Rung once, when nothing more will be written."""
        self._filled = Bell()
        self._emptied = Bell()

    @property
    def waiting(self) -> int:
        """Bytes that wait, nearly: threads may count at once; an empty queue corrects it."""
        return self._waiting

    def send(self, message: messages.ToController, *body: Bytes) -> None:
        """Queue a frame, whatever waits already. Any thread, finalisers too."""
        self.put(Ready(frame(messages.encode(message), *body)))

    def release(self, name: messages.ObjectId) -> None:
        """An object is not needed here any more. Any thread, finalisers too.

        Said once, and behind every frame that was put before.
        """
        self._released.append(name)
        self._filled.ring()

    def put(self, entry: Ready | Growing) -> None:
        """Queue an entry. Any thread, finalisers too."""
        if isinstance(entry, Ready):
            self._waiting += entry.size
        self._entries.append(entry)
        self._filled.ring()

    def count(self, size: int) -> None:
        """A growing frame took ``size`` bytes more."""
        self._waiting += size

    def make_room(self) -> None:
        """Block while more than the bound waits; on a reader thread, which must not, go on."""
        if self._waiting > self._bound and threading.get_ident() not in readers:
            self._emptied.wait(self._has_room)

    def take(self) -> list[Piece] | None:
        """The pieces of all that waits, blocking for the first; None after :meth:`close`."""
        self._filled.wait(lambda: self._entries or self._released or self.closed)
        if self.closed:
            return None
        released = len(self._released)  # before the frames are taken that they stand behind
        pieces: list[Piece] = []
        taken = 0
        while self._entries and taken < self._bound:
            own, size = self._entries.popleft().close()
            pieces += own
            taken += size
            self._waiting -= size
        if not self._entries:
            self._waiting = 0
            if released:
                names = tuple(self._released.popleft() for _ in range(released))
                pieces += frame(messages.encode(messages.Release(objects=names)))
        self._emptied.ring()
        return pieces

    def close(self) -> None:
        """Nothing more is written; who waits for room goes on."""
        self.closed = True
        self._entries.clear()
        self._filled.ring()
        self._emptied.ring()
        self.closing.ring()

    def _has_room(self) -> bool:
        return self.closed or self._waiting <= self._bound // 2
