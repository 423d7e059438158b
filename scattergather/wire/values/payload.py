"""Values as bytes, many in one buffer, each with a memo of its own.

Tasks of one job share no mutable argument that way, and the scheduler can cut a job into chunks by
offsets alone, without reading a value.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterable
from typing import Any

from scattergather.model.ids import ObjectId
from scattergather.wire.code.codebook import BOOK, CodeBook
from scattergather.wire.code.shipping import Carrier, Inline
from scattergather.wire.memory.outside import NOTHING_FAR, Outside, Placed
from scattergather.wire.values.picklers import ValuePickler, write


class Packer:
    """Packs values one after another into one growing buffer. One thread at a time.

    Args:
        carrier: a shipment, whose ``code`` has to travel beside the values; or the book, then
            classes that the reader lacks travel inside.
        name: what a value is called in the message when it cannot be sent.
        outside: where what is large goes; None keeps everything inside.
    """

    def __init__(
        self,
        carrier: Carrier | CodeBook = BOOK,
        *,
        name: str = "task argument",
        outside: Outside | None = None,
    ) -> None:
        self._carrier: Carrier = Inline(carrier) if isinstance(carrier, CodeBook) else carrier
        self._name = name
        self._outside = outside
        self._buffer = io.BytesIO()
        self._pickler = ValuePickler(self._buffer, self._carrier.reduce_class, outside)
        self._ends = array("Q")
        self._needs: tuple[bytes, ...] = ()

    def pack(self, value: Any) -> int:
        """Append ``value``; returns the offset of its end.

        Raises:
            CannotPickle: nothing of it was appended.
        """
        start = self._buffer.tell()
        write(value, self._pickler, self._buffer, self._name)
        if self._outside is not None:
            self._outside.seal(self._buffer, start)
            if self._outside.code:
                self._carrier.require(self._outside.code)
                self._outside.code.clear()
        end = self._buffer.tell()
        self._ends.append(end)
        return end

    @property
    def beside(self) -> int:
        """Bytes that were put outside since the last :meth:`take`."""
        return 0 if self._outside is None else self._outside.size

    def take_objects(self) -> tuple[Placed, ...]:
        """The objects that the values since the last call refer to."""
        return () if self._outside is None else self._outside.take()

    @property
    def far(self) -> frozenset[ObjectId]:
        """The objects that lie elsewhere, of those that the value packed last refers to."""
        return NOTHING_FAR if self._outside is None else self._outside.far

    def take_all_but_latest(
        self,
    ) -> tuple[array[int], bytes, tuple[bytes, ...], tuple[Placed, ...]]:
        """As :meth:`take`, with their objects, of all values but the one packed last."""
        objects = () if self._outside is None else self._outside.take_all_but_latest()
        end = self._ends.pop()
        cut = self._ends[-1]
        rest = self._buffer.getvalue()[cut:]
        ends, body, needs = self.take()
        self._buffer.write(rest)
        self._ends.append(end - cut)
        self._needs = needs  # which of them belong to which value is not known
        return ends, body[:cut], needs, objects

    def take(self) -> tuple[array[int], bytes, tuple[bytes, ...]]:
        """The ends, the bytes, and the digests that these values refer to; then it is empty."""
        ends, self._ends = self._ends, array("Q")
        body = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        needs, self._needs = (*self._needs, *self._carrier.take_needs()), ()
        return ends, body, tuple(dict.fromkeys(needs))


class Unpacker:
    """Loads values from one buffer. One thread at a time."""

    def __init__(self, body: bytes, book: CodeBook = BOOK) -> None:
        self._file = io.BytesIO(body)
        self._unpickler = book.unpickler

    def load(self, start: int, buffers: Iterable[Any] | None = None) -> Any:
        """The value that starts at ``start``; ``buffers`` are those that travelled outside.

        Raises:
            CannotImport: a module or a name that it needs is not here.
        """
        self._file.seek(start)
        return self._unpickler(self._file, buffers).load()


def dumps(value: Any, carrier: Carrier | CodeBook = BOOK, *, name: str = "value") -> bytes:
    """One value as bytes."""
    packer = Packer(carrier, name=name)
    packer.pack(value)
    return packer.take()[1]


def loads(body: bytes, book: CodeBook = BOOK) -> Any:
    """The value in ``body``."""
    return book.load(body)
