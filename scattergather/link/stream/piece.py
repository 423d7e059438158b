"""What crosses a link: a numbered stretch of a session's stream, with an acknowledgement.

::

    0          16        24              32      36
    | session  | number  | acknowledged  | held  | data ...
      16 bytes   uint64    uint64          uint32

The session says whose stream it is: several sessions may share one connection of two Tubs. ``held``
is for how many microseconds the acknowledged piece had been there when this one left: without it
nobody could tell the way from the wait for a piece to ride on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD = struct.Struct("<16sQQI")
MICROSECONDS = 1_000_000
MOST_HELD = (1 << 32) - 1
"""In microseconds: more than an hour."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Stretch ``number`` of a stream (0: no data), and the last number received in order.

    ``held`` is how long ago that one was received, in seconds.
    """

    number: int
    acknowledged: int
    data: bytes = b""
    held: float = 0.0


def pack(session: bytes, piece: Piece) -> tuple[bytes, bytes]:
    """The two parts of a piece as it is sent."""
    held = min(int(piece.held * MICROSECONDS), MOST_HELD)
    return HEAD.pack(session, piece.number, piece.acknowledged, held), piece.data


def unpack(sent: bytes) -> tuple[bytes, Piece]:
    """The session and the piece.

    Raises:
        ValueError: it is too short to be a piece.
    """
    if len(sent) < HEAD.size:
        raise ValueError(f"a piece of {len(sent)} bytes")
    session, number, acknowledged, held = HEAD.unpack_from(sent)
    return session, Piece(number, acknowledged, sent[HEAD.size :], held / MICROSECONDS)
