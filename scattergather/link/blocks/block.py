"""The frames of a block stream, and how they are cut out of what arrives. Pure.

A frame is a head of 29 bytes and what belongs to it, little-endian::

    0      1          9         17       21       29
    | kind | number   | value   | size   | xxh3   | size bytes ...
      char   uint64     uint64    uint32   uint64

    sender  -> receiver    OFFER       value: the object's length; its 16 bytes of name follow
                           BLOCK       value: the offset of the bytes that follow
                           AGAIN       what was under way in the last connection was offered again
                           WITHDRAWN   it will not be sent
                           GONE        it is not there any more; its 16 bytes of name follow
    receiver -> sender     WANT        there is room for it; value: the offset that it has come to
                           STORED      it is there, whole (or its end was heard of, after GONE)
                           REFUSED     there never will be room; a sentence follows
    either                 HERE        nothing but that this end is there

``number`` counts the objects that were offered in one direction of a session. Each end is sender of
one direction and receiver of the other. The check sum is that of the bytes that follow, by a method
that takes a hundredth of what TLS does: zlib's CRC took a fifth of the stream.

Nothing is stored of a block before all of it has arrived and its check sum fits. One buffer takes
every block of a connection, so what arrives never makes a connection hold more than that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest as check_sum

BLOCK_BYTES = 1 << 18
"""Of an object, at most, in one frame: some 0.5 ms of a processor at either end."""

NAME_BYTES = 16
MOST_REASON = 1000

OFFER = b"O"
BLOCK = b"B"
AGAIN = b"A"
WITHDRAWN = b"X"
GONE = b"G"
WANT = b"W"
STORED = b"S"
REFUSED = b"R"
HERE = b"H"

_HEAD = struct.Struct("<cQQIQ")
HEAD_BYTES = _HEAD.size

_SIZES = {
    OFFER: (NAME_BYTES, NAME_BYTES),
    BLOCK: (1, BLOCK_BYTES),
    AGAIN: (0, 0),
    WITHDRAWN: (0, 0),
    GONE: (NAME_BYTES, NAME_BYTES),
    WANT: (0, 0),
    STORED: (0, 0),
    REFUSED: (0, MOST_REASON),
    HERE: (0, 0),
}


class Violation(Exception):
    """The other end said what nobody who keeps to the protocol says; it tells what."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame says; ``payload`` is good until the next frame is asked for."""

    kind: bytes
    number: int
    value: int
    payload: memoryview


def pack(kind: bytes, number: int, value: int = 0, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    return head(kind, number, value, payload) + payload


def head(kind: bytes, number: int, value: int, payload: bytes) -> bytes:
    """What stands before ``payload``, which may be large: nobody copies it for that."""
    return _HEAD.pack(kind, number, value, len(payload), check_sum(payload))


class Cutter:
    """Cuts what arrives into frames. Whoever has bytes writes them into :meth:`space`."""

    def __init__(self) -> None:
        self._room = memoryview(bytearray(HEAD_BYTES + BLOCK_BYTES))
        self._filled = 0
        self._needed = HEAD_BYTES
        self._head = (b"", 0, 0, 0, 0)

    def space(self) -> memoryview:
        """Where the next bytes go; never more than one frame takes."""
        return self._room[self._filled : self._needed]

    def filled(self, count: int) -> Frame | None:
        """So many bytes were written there: the frame, if it is whole now.

        Raises:
            Violation: it is no frame, or not what its check sum says.
        """
        self._filled += count
        if self._filled < self._needed:  # TLS gives 16 kB at a time
            return None
        if self._needed == HEAD_BYTES:
            self._read_head()
            if self._filled < self._needed:
                return None
        frame = self._frame()
        self._filled, self._needed = 0, HEAD_BYTES
        return frame

    def _read_head(self) -> None:
        self._head = _HEAD.unpack(self._room[:HEAD_BYTES])
        kind, _, _, size, _ = self._head
        least, most = _SIZES.get(kind, (1, 0))
        if not least <= size <= most:
            raise Violation(f"a frame {kind!r} with {size} bytes")
        self._needed = HEAD_BYTES + size

    def _frame(self) -> Frame:
        kind, number, value, _, expected = self._head
        payload = self._room[HEAD_BYTES : self._filled]
        if check_sum(payload) != expected:
            raise Violation(f"a frame {kind!r} whose check sum does not fit")
        return Frame(kind, number, value, payload)
