"""What nested calls have returned and is too large for messages.

A result lies in a slab of whoever made it, and is mapped privately like an argument. It is ours to
read until we say ``Release``, once for each time that we were given it: when nobody has a value any
more that is made over it, which may be long after the task, or when nobody will ask for it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any

from scattergather.wire import messages, stub
from scattergather.wire.messages import Extent, ObjectId, SlabId
from scattergather.wire.owned import Mapping, address_of
from scattergather.wire.slabs import private, unchanged
from scattergather.workers.process.line import Line


class Hold:
    """An object that we were given; it is given back when this is garbage."""

    __slots__ = ("__weakref__", "extent")

    def __init__(self, extent: Extent) -> None:
        self.extent = extent


Holds = dict[ObjectId, Hold]

_Gone = weakref.KeyedRef[ObjectId, Hold]


class Answers:
    """See the module. Any thread of a task.

    Args:
        line: to the pool.
        descriptor: finds that of a slab.
    """

    def __init__(self, line: Line, descriptor: Callable[[SlabId], int | None]) -> None:
        self._line = line
        self._descriptor = descriptor
        self._buffers: weakref.WeakValueDictionary[int, Mapping] = weakref.WeakValueDictionary()
        self._places: weakref.WeakValueDictionary[int, Hold] = weakref.WeakValueDictionary()
        self._watched: dict[int, _Gone] = {}
        self._gone: SimpleQueue[_Gone] = SimpleQueue()

    @property
    def held(self) -> bool:
        """Some were not given back yet."""
        return bool(self._watched)

    def hold(self, extents: Iterable[Extent]) -> Holds:
        """We were given these."""
        holds = {}
        for extent in extents:
            hold = holds[extent.object] = Hold(extent)
            # The callback is a call of C: no interrupt of a task can prevent it.
            gone = weakref.KeyedRef(hold, self._gone.put, extent.object)
            self._watched[id(gone)] = gone
        return holds

    def load(self, blob: bytes, holds: Holds) -> Any:
        """The value in a blob, of which parts lie in these objects.

        Raises:
            LookupError: one of them is not here.
            OSError: one cannot be mapped.
        """

        def view(name: ObjectId) -> Any:
            hold = holds.get(name)
            fd = None if hold is None else self._descriptor(hold.extent.slab)
            if hold is None or fd is None:
                raise LookupError("a large result of a nested call did not arrive here")
            buffer = private(fd, hold.extent, hold)
            self._buffers[buffer.address], self._places[buffer.address] = buffer, hold
            return buffer

        return stub.load(blob, view)

    def unchanged(self, data: memoryview) -> Extent | None:
        """The object that these bytes are, if they are one that nobody has written to."""
        if not self._watched:
            return None
        address = address_of(data)
        hold, buffer = self._places.get(address), self._buffers.get(address)
        if hold is None or buffer is None or data.nbytes != hold.extent.length:
            return None
        return hold.extent if unchanged(buffer, data.nbytes) else None

    def settle(self) -> None:
        """Give back what nobody has any more. Must not be interrupted."""
        names = []
        while True:
            try:
                gone = self._gone.get_nowait()
            except Empty:
                break
            del self._watched[id(gone)]
            names.append(gone.key)
        if names:
            self._line.send(messages.Release(objects=tuple(names)))
