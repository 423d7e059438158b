"""What nested calls have returned and is too large for messages.

A result lies in a slab of whoever made it, and is mapped privately like an argument. It is ours to
read until we say ``Release``, once for each time that we were given it: when nobody has a value any
more that is made over it, which may be long after the task, or when nobody will ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any

from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.memory import stub
from scattergather.wire.memory.garbage import Gone, Watch
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.values.inherited import Inherited
from scattergather.workers.process.values.views import Views


class Hold:
    """An object that we were given; it is given back when this is garbage."""

    __slots__ = ("__weakref__", "extent")

    def __init__(self, extent: Extent) -> None:
        self.extent = extent


Holds = dict[ObjectId, Hold]


class Answers:
    """The large results of nested calls that this worker was lent. Any thread of a task.

    Args:
        line: to the pool.
        descriptor: finds that of a slab.
    """

    def __init__(self, line: WorkerLine, descriptor: Callable[[SlabId], int | None]) -> None:
        self._line = line
        self._descriptor = descriptor
        self._views = Views()
        self._gone: SimpleQueue[Gone[ObjectId, Hold]] = SimpleQueue()
        self._held: Watch[ObjectId] = Watch(self._gone.put)
        self._inherited = Inherited()
        self.unchanged = self._views.unchanged

    @property
    def held(self) -> bool:
        """Some were not given back yet."""
        return bool(self._held)

    def hold(self, extents: Iterable[Extent]) -> Holds:
        """We were given these."""
        holds = {}
        for extent in extents:
            hold = holds[extent.object] = Hold(extent)
            self._held.begin(hold, extent.object)
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
            return self._views.map(fd, hold.extent, hold)

        return stub.load(blob, view)

    def copied(self) -> None:
        """This process was forked: what is mapped here is read until the copy is gone."""
        self._inherited.keep(self._views.living())

    def settle(self) -> None:
        """Give back what nobody has any more. Must not be interrupted."""
        self._inherited.settle()
        names = []
        while True:
            try:
                gone = self._gone.get_nowait()
            except Empty:
                break
            names.append(self._held.over(gone))
        if names:
            self._line.send(messages.Release(objects=tuple(names)))
