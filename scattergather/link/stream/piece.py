"""What crosses a link: a numbered stretch of a session's stream, with an acknowledgement.

::

    0          16        24              32
    | session  | number  | acknowledged  | data ...
      16 bytes   uint64    uint64

The session says whose stream it is: several sessions may share one connection of two Tubs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD = struct.Struct("<16sQQ")


@dataclass(frozen=True, slots=True)
class Piece:
    """Stretch ``number`` of a stream (0: no data), and the last number received in order."""

    number: int
    acknowledged: int
    data: bytes = b""


def pack(session: bytes, piece: Piece) -> tuple[bytes, bytes]:
    """The two parts of a piece as it is sent."""
    return HEAD.pack(session, piece.number, piece.acknowledged), piece.data


def unpack(sent: bytes) -> tuple[bytes, Piece]:
    """The session and the piece.

    Raises:
        ValueError: it is too short to be a piece.
    """
    if len(sent) < HEAD.size:
        raise ValueError(f"a piece of {len(sent)} bytes")
    session, number, acknowledged = HEAD.unpack_from(sent)
    return session, Piece(number, acknowledged, sent[HEAD.size :])
