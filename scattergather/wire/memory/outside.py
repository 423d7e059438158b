"""What of a value travels beside its blob: large buffers, and the blob itself when it is large.

A packer asks its :class:`Outside` about every out-of-band buffer (pickle protocol 5). Large ones
become objects at once, so that whoever refills a buffer for the next value does no harm.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from scattergather.model.ids import ObjectId
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.memory.slabs import LARGE, whole_pages
from scattergather.wire.memory.stub import trailer
from scattergather.wire.messages.shared import Extent

SHARED = 16
"""How many buffers are remembered, those that were met last, in case another value has one too."""


def _counted() -> int:
    """How often Python counts what only a table and a variable of ours refer to, when we ask."""
    table = {0: (object(), None)}
    owner = table[0][0]
    return sys.getrefcount(owner)


NOTHING_FAR: frozenset[ObjectId] = frozenset()

_OURS = _counted()
"""References to a buffer's owner that are our own when we ask."""


class Placed(Protocol):
    """Whoever has it keeps the object."""

    @property
    def extent(self) -> Extent:
        """Where it lies on this host."""


class Place(Protocol):
    """Where objects are put; an arena, or something that waits for room in one."""

    def put(self, data: bytes | memoryview, beside: int = 0) -> Placed | None:
        """A copy of ``data``; None: it had better travel in the message.

        It may wait for room. ``beside`` bytes there are taken by the same value, or by others that
        are sent with it: those will not be free before.
        """

    def borrow(self, data: memoryview) -> Placed | None:
        """An object that has these very bytes already."""

    def has_room(self, size: int) -> bool:
        """True if so many bytes can be put without waiting."""

    def free(self, placed: Placed) -> None:
        """Nobody was told of this object, and nobody will be."""


class Outside:
    """Puts the large buffers of values aside while they are packed. One thread at a time.

    Args:
        place: where objects are put.
        shared: a buffer that several values have in common is put once. Only for values that are
            packed in one go: whoever goes on may change it in between.
        put: hears of each buffer that was put: whose it is, and how many bytes.
    """

    def __init__(
        self,
        place: Place,
        *,
        shared: bool = False,
        put: Callable[[object, int], None] | None = None,
    ) -> None:
        self.place = place
        self._tell_put = put
        self.placed: dict[ObjectId, Placed] = {}
        """The objects that the values since the last :meth:`take` refer to."""
        self.code: list[CodeBlob] = []
        """What must be there to load the objects that the value at work refers to."""
        self.used = False
        """True when the value at work has parts outside already."""
        self.size = 0
        """Bytes that the objects take which were put since the last :meth:`take`."""
        self._shares = shared
        self._shared: OrderedDict[int, tuple[object, Placed]] = OrderedDict()
        self.far: frozenset[ObjectId] = frozenset()
        """The objects that lie elsewhere, of those that the value written last refers to."""
        self._far: set[ObjectId] = set()
        self._latest: dict[ObjectId, Placed] = {}
        self._buffers: list[ObjectId] = []
        self._new: list[Placed] = []
        self._fresh: list[int] = []
        self._mentioned: dict[ObjectId, Placed] = {}

    def buffer(self, pickled: pickle.PickleBuffer) -> bool:
        """Take a buffer; true: it stays in the pickle."""
        try:
            data = pickled.raw()
        except BufferError:  # not contiguous
            return True
        if data.nbytes < LARGE:
            return True
        owner = memoryview(pickled).obj
        found = self._shared.get(id(owner))
        if found is not None and found[1].extent.length == data.nbytes:
            placed = found[1]
            self._shared.move_to_end(id(owner))
        else:
            put = self.place.borrow(data) or self._put(data)
            if put is None:
                return True
            placed = put
            if self._tell_put is not None:
                self._tell_put(owner, data.nbytes)
            if self._shares:
                self._shared[id(owner)] = (owner, placed)
                self._fresh.append(id(owner))
        self._buffers.append(placed.extent.object)
        self._mentioned[placed.extent.object] = placed
        self.used = True
        return False

    def refer(
        self, others: Iterable[Placed], code: Iterable[CodeBlob], *, far: bool = False
    ) -> None:
        """The value takes objects that were put before, and what is needed to load them.

        Those that are ``far`` lie where a task has made them.
        """
        for placed in others:
            self._mentioned[placed.extent.object] = placed
            if far:
                self._far.add(placed.extent.object)
        self.code += code

    def _put(self, data: bytes | memoryview) -> Placed | None:
        if self._shared and not self.place.has_room(memoryview(data).nbytes):
            # What others might share is not worth waiting for: it would not be free before the end.
            self._shared.clear()
            self._fresh.clear()
        placed = self.place.put(data, self.size + _size_of(self._new))
        if placed is not None:
            self._new.append(placed)
        return placed

    def seal(self, file: io.BytesIO, start: int) -> None:
        """The value is written from ``start`` on: make a stub of it if parts of it are outside."""
        outer = None
        if file.tell() - start >= LARGE:
            with file.getbuffer() as whole, whole[start:] as pickled:
                outer = self._put(pickled)
        if outer is not None:
            file.seek(start)
            file.truncate()
            self._mentioned[outer.extent.object] = outer
            file.write(trailer(self._buffers, outer.extent.object))
        elif self._buffers:
            file.write(trailer(self._buffers))
        self.placed |= self._mentioned
        self._latest = self._mentioned
        self.far = frozenset(self._far) if self._far else NOTHING_FAR
        self.size += _size_of(self._new)
        self._begin()

    def abandon(self) -> None:
        """The value could not be written."""
        for key in self._fresh:
            del self._shared[key]
        for placed in self._new:
            self.place.free(placed)
        self._fresh.clear()
        self.code.clear()
        self._begin()

    def discard(self) -> None:
        """Nor will anybody hear of the values since the last :meth:`take`."""
        self.abandon()
        for placed in self.placed.values():
            self.place.free(placed)
        self.take()

    def _begin(self) -> None:
        """Ready for the next value. Owners that only we still know were made for this one."""
        if self._fresh:
            for key in self._fresh:
                owner = self._shared[key][0]
                if sys.getrefcount(owner) <= _OURS:
                    del self._shared[key]
            self._fresh.clear()
            while len(self._shared) > SHARED:
                self._shared.popitem(last=False)
        self._buffers = []
        self._new.clear()
        self._mentioned = {}
        self._far.clear()
        self.used = False

    def take_all_but_latest(self) -> tuple[Placed, ...]:
        """The objects that the values before the one written last refer to."""
        latest = self._latest
        placed = self.take()
        self.placed |= latest
        return placed

    def take(self) -> tuple[Placed, ...]:
        """The objects that the values since the last call refer to."""
        placed = tuple(self.placed.values())
        self.placed.clear()
        self._latest = {}
        self.size = 0
        return placed


def _size_of(objects: Iterable[Placed]) -> int:
    return sum(whole_pages(placed.extent.length) for placed in objects)
