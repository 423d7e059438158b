"""Many blobs in one body: ``count`` uint64 end offsets (little-endian), then the blobs themselves.

Offsets count from the first blob, not from the body. Cutting a range of blobs out of such a body
needs no look at the blobs: that is how the controller cuts chunks without unpickling.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

WIDTH = 8

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("the wire format is little-endian and this machine is not")


def join(
    ends: array[int], data: bytes | bytearray | memoryview
) -> tuple[bytes, bytes | bytearray | memoryview]:
    """The two pieces of a body whose blobs end at ``ends`` within ``data``."""
    return ends.tobytes(), data


def pack(blobs: Iterable[bytes]) -> bytes:
    """A body of these blobs, for the rare message that is made of few."""
    ends, at = array("Q"), 0
    kept = list(blobs)
    for blob in kept:
        at += len(blob)
        ends.append(at)
    return ends.tobytes() + b"".join(kept)


def ends_of(body: bytes | memoryview, count: int) -> array[int]:
    """The end offsets of the ``count`` blobs of a body.

    Raises:
        ValueError: the body is shorter than its own table says.
    """
    ends, size = array("Q"), count * WIDTH
    if len(body) >= size:
        ends.frombytes(body[:size])
    if len(ends) != count or (count and ends[-1] != len(body) - size):
        raise ValueError(f"a body of {len(body)} bytes does not hold {count} blobs")
    return ends


def cut(ends: Sequence[int], data: memoryview, start: int, stop: int) -> bytes:
    """A body of the blobs ``start`` to ``stop`` of a larger run of blobs."""
    base = ends[start - 1] if start else 0
    table = array("Q", ends[start:stop])
    if base:
        table = array("Q", [end - base for end in table])
    return table.tobytes() + bytes(data[base : ends[stop - 1]]) if stop > start else b""


def each(body: bytes, count: int) -> list[bytes]:
    """The blobs of a body, copied out."""
    ends = ends_of(body, count)
    base = count * WIDTH
    starts = [0, *ends[:-1]] if count else []
    return [body[base + a : base + b] for a, b in zip(starts, ends, strict=True)]
