"""A message and its body on a byte stream.

Every pipe of ours (client to controller, pool to worker, and the stream inside a Foolscap link)
carries frames: eight bytes of lengths, a small head that says what the frame means (a message of
``wire.messages``, msgpack) and a body of user bytes that nobody on the way looks into::

    0        4        8            8 + head            8 + head + body
    | head   | body   | head ...   | body ...          |
      uint32   uint32

The reader is fed whatever the socket gave and hands out whole frames; it does no I/O. A frame that
claims more than ``MAX_HEAD`` or ``max_body`` is refused before a byte of it is stored, and so is
one of which whoever has the reader says that there is no room for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

LENGTHS = struct.Struct("<II")
MAX_HEAD = 1 << 26
MAX_BODY = (1 << 32) - 1
MOST_INSIDE = MAX_BODY - (1 << 16)
"""Bytes of one value that a body can hold, beside what else stands there."""

CRUMB = 1 << 12
"""Bytes below which an object of Python's for each piece would take more than a notable part."""

CRUMBS = 256
"""So many crumbs in a row are joined."""

SMALL = 1 << 13
"""Frames up to this size are one piece: copying so little costs less than a second piece does."""

Bytes = bytes | bytearray | memoryview


class FrameError(ValueError):
    """The stream does not hold a frame of ours: the peer speaks another language or is broken."""


class Unwanted(FrameError):
    """A frame has begun to arrive for which whoever has the reader has no room; says why."""


def frame(head: bytes, *body: Bytes) -> list[Bytes]:
    """The pieces of one frame, to be written one after the other (``b"".join`` or ``writev``)."""
    length = sum(map(len, body))
    if len(head) + length <= SMALL:
        return [b"".join((LENGTHS.pack(len(head), length), head, *body))]
    if length > MAX_BODY or len(head) > MAX_HEAD:
        raise FrameError(f"a frame of {len(head)} + {length} bytes exceeds the wire's 4 GiB")
    return [LENGTHS.pack(len(head), length) + head, *body]


def behind(pieces: list[Bytes], sent: int) -> list[Bytes]:
    """What is left to write of ``pieces`` once ``sent`` bytes were taken."""
    for place, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[place + 1 :]]
        sent -= len(piece)
    return []


class FrameReader:
    """Collects bytes and yields frames as ``(head, body)``.

    Small frames are cut out of one buffer; the bytes of a frame larger than what has arrived are
    gathered piecewise and joined once, so that a large body is copied once and never quadratically.

    Args:
        max_body: bytes that no body exceeds.
        refusal: called with the size of a frame of which only the beginning has come; says why the
            rest is not wanted, or nothing.
    """

    __slots__ = ("_crumbs", "_have", "_max_body", "_pieces", "_refusal", "_want")

    def __init__(
        self, max_body: int = MAX_BODY, refusal: Callable[[int], str] | None = None
    ) -> None:
        self._pieces: list[bytes] = []
        self._crumbs = 0
        self._refusal = refusal
        self._have = 0
        self._want = LENGTHS.size
        self._max_body = max_body

    @property
    def partial(self) -> bool:
        """True while the beginning of a frame waits for its rest."""
        return self._have > 0

    def feed(self, data: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Every frame that ``data`` completes, in order; to be iterated to the end.

        Raises:
            FrameError: a length is beyond the limits; the frames before it came first.
        """
        if not self._have and len(data) >= LENGTHS.size:
            head, body = LENGTHS.unpack_from(data)
            if LENGTHS.size + head + body == len(data) <= SMALL:
                # Exactly one frame, as nearly always when somebody waits for it.
                start = LENGTHS.size + head
                return ((data[LENGTHS.size : start], data[start:]),)
        return self._cut(data)

    def _cut(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._pieces.append(data)
        self._have += len(data)
        if self._have < self._want:
            self._crumbs = self._crumbs + 1 if len(data) < CRUMB else 0
            if self._crumbs == CRUMBS:
                self._pieces[-CRUMBS:] = [b"".join(self._pieces[-CRUMBS:])]
                self._crumbs = 0
            return
        self._crumbs = 0
        buffer = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        at, end = 0, len(buffer)
        try:
            while end - at >= LENGTHS.size:
                head, body = LENGTHS.unpack_from(buffer, at)
                if head > MAX_HEAD or body > self._max_body:
                    raise FrameError(f"refused a frame that claims {head} + {body} bytes")
                size = LENGTHS.size + head + body
                if end - at < size:
                    self._want = size
                    if self._refusal is not None and (why := self._refusal(size)):
                        raise Unwanted(why)
                    break
                start = at + LENGTHS.size
                at += size
                yield buffer[start : start + head], buffer[start + head : at]
            else:
                self._want = LENGTHS.size
        finally:
            rest = buffer[at:] if at else buffer
            self._have = len(rest)
            if rest:
                self._pieces.append(rest)
