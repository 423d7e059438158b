"""The receiving half of a stream: what has arrived in order, and what we owe for it."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.link.stream.piece import Piece
from scattergather.wire.frame import FrameReader


class Inbox:
    """Pieces go in, frames come out.

    Args:
        refusal: says why a frame of so many bytes, which has begun to arrive, is not wanted.

    Attributes:
        received: number of the last piece taken in order.
        bytes_received: how many bytes were in all of them.
        since: when that one arrived; any time before the first.
        owed: pieces taken since the last acknowledgement left.
        due: when an acknowledgement must leave at the latest; None if nothing is owed.
        repeated: pieces that arrived again.
    """

    __slots__ = ("_reader", "bytes_received", "due", "owed", "received", "repeated", "since")

    def __init__(self, refusal: Callable[[int], str] | None = None) -> None:
        self._reader = FrameReader(refusal=refusal)
        self.received = 0
        self.bytes_received = 0
        self.since = 0.0
        self.owed = 0
        self.due: float | None = None
        self.repeated = 0

    def accept(self, piece: Piece, now: float, due: float) -> list[tuple[bytes, bytes]]:
        """The frames that this piece completes; none if it was here before.

        Args:
            piece: not beyond the next one in order.
            now: when it arrived.
            due: by when it is to be acknowledged.

        Raises:
            FrameError: the stream holds no frame of ours.
        """
        self.owed += 1
        if self.due is None:
            self.due = due
        if piece.number <= self.received:
            self.repeated += 1
            return []
        self.received = piece.number
        self.bytes_received += len(piece.data)
        self.since = now
        return list(self._reader.feed(piece.data))

    def acknowledged(self) -> None:
        """An acknowledgement of all that was taken has left."""
        self.owed = 0
        self.due = None
