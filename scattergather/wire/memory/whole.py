"""A value that stays where it is made: one object, in which all of it lies.

As one object it has one name, one length and one place, and whoever makes it again makes one
object. Its buffers lie behind its pickle (``wire.memory.stub``), so that whoever maps it has them
without a copy. What is ``bytes`` lies there as it is: any range of it is bytes, too.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from scattergather.errors import CannotPickle
from scattergather.model.ids import ObjectId
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.memory import stub
from scattergather.wire.memory.files import CreatedFile
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.memory.slabs import LARGE

APART = 1 << 12
"""Bytes from which on a buffer lies behind the pickle, where it can be used as it is."""

ALIGNED = 64
"""What the place of a buffer is a multiple of: vector instructions want that."""

Pieces = Sequence[memoryview | bytes]


class WholePlace(Protocol):
    """Where values are put that stay."""

    def put_whole(self, pieces: Pieces) -> Placed | None:
        """A copy of these, one behind the other, as one object; None: it may not stay here."""

    def put_file(self, file: CreatedFile) -> Placed:
        """What was written to it, as one object; it is closed."""

    def free(self, placed: Placed) -> None:
        """Nobody was told of this object, and nobody will be."""


class Whole(Outside):
    """Gathers the buffers of a value while it is pickled, and puts all of it. One thread at a time.

    For a pickler it is what :class:`Outside` is. A value of less than ``LARGE`` bytes stays a blob.
    """

    def __init__(self, place: WholePlace) -> None:
        self._whole_place = place
        self.placed: dict[ObjectId, Placed] = {}
        self.code: list[CodeBlob] = []
        self.used = False
        self.size = 0
        self._latest = {}
        self._beside: list[memoryview] = []
        self._file: CreatedFile | None = None

    def buffer(self, pickled: pickle.PickleBuffer) -> bool:
        """Take a buffer; true: it stays in the pickle."""
        try:
            data = pickled.raw()
        except BufferError:  # not contiguous
            return True
        if data.nbytes < APART:
            return True
        self._beside.append(data)
        self.used = True
        return False

    def take_file(self, file: CreatedFile) -> None:
        """The value is this file: it is put in the value's place."""
        self._file = file
        self.used = True

    def refer(
        self, others: Iterable[Placed], code: Iterable[CodeBlob], *, far: bool = False
    ) -> None:
        """No value that a task makes takes what was put elsewhere."""
        raise LookupError("what stays here is made here")

    def seal(self, file: io.BytesIO, start: int) -> None:
        """The value is written from ``start`` on: it is put, if it is large enough."""
        end = file.tell()
        if self._file is not None:
            self._seal_file(file, start)
            return
        ranges, size = [], end - start
        for data in self._beside:
            size += -size % ALIGNED
            ranges.append((size, data.nbytes))
            size += data.nbytes
        tail = stub.packed_end(ranges) if ranges else b""
        size += len(tail)
        put = None
        if size >= LARGE:
            with file.getbuffer() as all_of_it, all_of_it[start:end] as pickled:
                alone = None if ranges else _only_bytes(pickled)
                if alone is not None:
                    with alone:
                        put = self._whole_place.put_whole([alone])
                else:
                    put = self._whole_place.put_whole([*self._pieces(pickled), tail])
        if put is not None:
            flag = stub.WHOLE if alone is None else stub.PLAIN
            file.seek(start)
            file.truncate()
            file.write(stub.lone(put.extent.object, flag))
            self.placed[put.extent.object] = put
        elif ranges:
            with file.getbuffer() as all_of_it, all_of_it[start:end] as pickled:
                rest = b"".join([*self._pieces(pickled), tail])[end - start :]
            file.write(rest)
        self._forget()

    def _seal_file(self, file: io.BytesIO, start: int) -> None:
        created, self._file = self._file, None
        assert created is not None
        alone = file.getvalue()[start:] == _ALONE
        self._forget()
        if not alone:
            raise CannotPickle(
                "a file of inside.create_file() must be the result of its task itself, not a part "
                "of it: return the file, and what else there is from another task",
                path="",
            )
        put = self._whole_place.put_file(created)
        file.seek(start)
        file.truncate()
        file.write(stub.lone(put.extent.object, stub.FILE))
        self.placed[put.extent.object] = put

    def _pieces(self, pickled: memoryview) -> list[memoryview | bytes]:
        pieces: list[memoryview | bytes] = [pickled]
        size = pickled.nbytes
        for data in self._beside:
            gap = -size % ALIGNED
            pieces += [bytes(gap), data] if gap else [data]
            size += gap + data.nbytes
        return pieces

    def abandon(self) -> None:
        """The value could not be written."""
        self.code.clear()
        self._forget()

    def discard(self) -> None:
        """Nor will anybody hear of the values since the last :meth:`take`."""
        self.abandon()
        for placed in self.placed.values():
            self._whole_place.free(placed)
        self.placed.clear()

    def _forget(self) -> None:
        self._beside.clear()
        self._file = None
        self.used = False


def the_file() -> None:
    """Stands in a pickle for a file that a task has created; nothing loads it."""
    raise LookupError("a file is no part of its blob")


class _Alone:
    def __reduce__(self) -> Any:
        return the_file, ()


_ALONE = pickle.dumps(_Alone(), 5)
"""The pickle of a value that is such a file and nothing else."""


def plain_bytes(blob: bytes) -> bytes | None:
    """The bytes of which this is the blob; None if it is that of something else."""
    found = _only_bytes(memoryview(blob))
    return None if found is None else bytes(found)


def _only_bytes(pickled: memoryview) -> memoryview | None:
    head = bytes(pickled[:20])
    if head[2:3] == b"\x95":  # FRAME, as small ones have it
        head, at = head[:2] + head[11:], 9
    else:
        at = 0
    width = {b"\x80\x05C": 1, b"\x80\x05B": 4, b"\x80\x05\x8e": 8}.get(head[:3])  # *BINBYTES*
    if width is None:
        return None
    at += 3 + width
    length = int.from_bytes(head[3 : 3 + width], "little")
    rest = bytes(pickled[at + length : at + length + 3])
    return pickled[at : at + length] if rest in (b"\x94.", b".") else None  # MEMOIZE, STOP
