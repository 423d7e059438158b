"""Many blobs in one body: ``count`` uint64 end offsets (little-endian), then the blobs themselves.

Offsets count from the first blob, not from the body. Cutting a range of blobs out of such a body
needs no look at the blobs: that is how the controller cuts chunks without unpickling.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from itertools import accumulate

WIDTH = 8

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("the wire format is little-endian and this machine is not")


def table(blobs: Iterable[bytes]) -> array[int]:
    """The end offsets of these blobs, one behind the other."""
    return array("Q", accumulate(map(len, blobs)))


def pack(blobs: Iterable[bytes]) -> bytes:
    """A body of these blobs, for the rare message that is made of few."""
    kept = list(blobs)
    return table(kept).tobytes() + b"".join(kept)


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


def sound(body: bytes | memoryview, count: int) -> bool:
    """True if a body holds ``count`` blobs, none of which ends before it begins."""
    size = count * WIDTH
    if not 0 < size <= len(body):
        return False
    if count == 1:
        return int.from_bytes(body[:size], "little") == len(body) - size
    ends = memoryview(body)[:size].cast("Q").tolist()
    return ends[-1] == len(body) - size and ends == sorted(ends)


def start_of(ends: array[int], place: int) -> int:
    """Where the blob begins whose end is ``ends[place]``."""
    return ends[place - 1] if place else 0


def shifted(ends: array[int], start: int, stop: int, by: int) -> array[int]:
    """The end offsets of the blobs ``start`` to ``stop``, each moved by ``by``."""
    own = ends[start:stop]
    return array("Q", [end + by for end in own]) if by else own


def cut(ends: array[int], data: memoryview, start: int, stop: int) -> bytes:
    """A body of the blobs ``start`` to ``stop`` of a larger run of blobs."""
    if stop <= start:
        return b""
    base = start_of(ends, start)
    return shifted(ends, start, stop, -base).tobytes() + data[base : ends[stop - 1]]


def part(body: bytes, count: int, start: int, stop: int) -> bytes:
    """A body of the blobs ``start`` to ``stop`` of a body of ``count``."""
    ends = ends_of(body, count)
    return cut(ends, memoryview(body)[count * WIDTH :], start, stop)


def each(body: bytes, count: int) -> list[bytes]:
    """The blobs of a body, copied out."""
    ends = ends_of(body, count)
    base = count * WIDTH
    starts = [0, *ends[:-1]] if count else []
    return [body[base + a : base + b] for a, b in zip(starts, ends, strict=True)]
