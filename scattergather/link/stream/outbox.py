"""The sending half of a stream: what waits, what is under way, what was confirmed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from scattergather.wire.frame import Bytes, frame


class SendWindow:
    """Frames go in, numbered pieces come out as the window allows.

    Attributes:
        waiting: bytes that no piece holds yet.
        under_way: bytes in pieces that were handed out and not acknowledged; they are kept.
        sent: number of the last piece handed out.
        bytes_sent: how many bytes were in all of them.
        confirmed: number of the last piece acknowledged.
        left: when that one was handed out, for the last time.
    """

    __slots__ = (
        "_kept",
        "_left",
        "_parts",
        "_piece_bytes",
        "_window",
        "bytes_sent",
        "confirmed",
        "left",
        "sent",
        "under_way",
        "waiting",
    )

    def __init__(self, piece_bytes: int, window: int) -> None:
        self._piece_bytes = piece_bytes
        self._window = window
        self._parts: deque[Bytes] = deque()
        self._kept: deque[bytes] = deque()
        self._left: deque[float] = deque()
        self.waiting = 0
        self.under_way = 0
        self.sent = 0
        self.bytes_sent = 0
        self.confirmed = 0
        self.left = 0.0

    def put(self, head: bytes, body: Bytes) -> None:
        """Append a frame."""
        for part in frame(head, body):
            if len(part):
                self._parts.append(part)
                self.waiting += len(part)

    def cut(self, now: float) -> Iterator[tuple[int, bytes]]:
        """Hand out new pieces, until nothing waits or the window is full."""
        while self.waiting and len(self._kept) < self._window:
            data = self._next_data()
            self._kept.append(data)
            self._left.append(now)
            self.waiting -= len(data)
            self.under_way += len(data)
            self.bytes_sent += len(data)
            self.sent += 1
            yield self.sent, data

    def _next_data(self) -> bytes:
        room = self._piece_bytes
        taken: list[Bytes] = []
        while room and self._parts:
            part = self._parts.popleft()
            if len(part) > room:
                whole = memoryview(part)
                self._parts.appendleft(whole[room:])
                part = whole[:room]
            room -= len(part)
            taken.append(part)
        return b"".join(taken)

    def acknowledge(self, number: int) -> bool:
        """Forget the pieces up to ``number``; False if there never was such a piece.

        An older number than the last one says nothing new.
        """
        if number > self.sent:
            return False
        while self.confirmed < number:
            self.under_way -= len(self._kept.popleft())
            self.left = self._left.popleft()
            self.confirmed += 1
        return True

    def again(self, now: float) -> Iterator[tuple[int, bytes]]:
        """Hand out the pieces under way once more, oldest first: the connection broke."""
        self._left = deque([now] * len(self._kept))
        return iter(list(enumerate(self._kept, self.confirmed + 1)))
