"""What the tasks of a chunk take and is too large for messages.

It lies in slabs of others, which are mapped privately: each task that takes one gets a mapping
that nobody has written to. A task may keep such an argument: then the worker says so, before the
outcome, and says again when it is gone. A file is read and not mapped, and closed when its task is
over.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.memory import stub
from scattergather.wire.memory.files import opened, reopened
from scattergather.wire.memory.owned import Descriptor
from scattergather.wire.memory.slabs import PAGE, read
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.descriptors import close_raised, raised_descriptor
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.values.inherited import Inherited
from scattergather.workers.process.values.parking import Parking
from scattergather.workers.process.values.views import Views


class Arguments:
    """Loads the arguments of a chunk, wherever they lie. Main thread of a worker.

    :meth:`unchanged` and :meth:`descriptor` are for any thread of a task.
    """

    def __init__(self, line: WorkerLine) -> None:
        self._line = line
        self._slabs: dict[SlabId, int] = {}
        self._extents: dict[ObjectId, Extent] = {}
        self._views = Views()
        self.parking = Parking()
        self._inherited = Inherited()
        self._told: set[ObjectId] = set()
        self._collected = False
        self._files: list[io.BufferedReader] = []
        """Those that the task at work was given."""
        self._openings: WeakValueDictionary[SlabId, Descriptor] = WeakValueDictionary()
        """Of slabs in which some of these lie: one descriptor for all."""
        self._away: frozenset[ObjectId] = frozenset()
        self.unchanged = self._views.unchanged

    def adopt(self, slab: SlabId, fd: int) -> None:
        """A slab came; ``fd`` is ours from now on."""
        # A task that closes "all" descriptors must not reach it.
        self._slabs[slab] = raised_descriptor(fd)

    def drop(self, slab: SlabId) -> None:
        """Nothing more will be read there."""
        fd = self._slabs.pop(slab, None)
        if fd is not None:
            close_raised(fd)
        self.parking.leave(slab)

    def descriptor(self, slab: SlabId) -> int | None:
        """That of a slab which is here."""
        return self._slabs.get(slab)

    def open(self, extents: Iterable[Extent], away: Iterable[ObjectId] = ()) -> None:
        """The tasks of the chunk at work refer to these; who gets results lacks those ``away``."""
        self._extents = {extent.object: extent for extent in extents}
        self._away = frozenset(away)
        self._views.forget()
        self._collected = False

    def load(self, blob: memoryview) -> Any:
        """The arguments in a blob.

        Raises:
            LookupError: an object is not here.
            OSError: one cannot be mapped.
        """
        # What an earlier task took may be free by the time that this one's outcome is heard.
        self._views.forget()
        return stub.load(blob, self._view, self._opened)

    def _opened(self, name: ObjectId) -> io.BufferedReader:
        fd, extent = self._find(name)
        slab = self._openings.get(extent.slab)
        if slab is None:
            slab = self._openings[extent.slab] = reopened(fd)
        file = opened(slab, extent)
        self._files.append(file)
        return file

    def _view(self, name: ObjectId) -> Any:
        fd, extent = self._find(name)
        if extent.offset % PAGE:  # a part of another, which nobody can map
            return read(fd, extent)
        view = self.parking.give(fd, extent)
        self._views.mean(view)
        # Whoever keeps this has a reference to the view, which he cannot close or move.
        return memoryview(view)

    def _find(self, name: ObjectId) -> tuple[int, Extent]:
        extent = self._extents.get(name)
        fd = None if extent is None else self._slabs.get(extent.slab)
        if extent is None or fd is None:
            raise LookupError("a large argument did not arrive here; add the task again")
        return fd, extent

    def is_away(self, name: ObjectId) -> bool:
        """This lies on hosts only: who gets results cannot find it."""
        return name in self._away

    def copied(self) -> None:
        """This process was forked: what is mapped here is kept until the copy is gone."""
        self._inherited.keep(self.parking.in_use())

    def settle(self) -> None:
        """A task is over, or nothing goes on: say what it has kept, and what is kept no more."""
        while self._files:  # what lies there may be another's soon
            with suppress(Exception):
                self._files.pop().close()
        if not (self.parking.spots or self._told):
            return
        self._inherited.settle()
        kept = self.parking.settle()
        if gone := self._told - kept:
            self._line.send(messages.LetGo(objects=tuple(gone)))
        if new := kept - self._told:
            self._line.send(messages.Kept(objects=tuple(new)))
        self._told = kept

    def rest(self) -> None:
        """There is no work: what only a cycle keeps, such as that of an error, is kept no more."""
        if not self._collected:
            self._collected = True
            gc.collect()
        self.settle()

    @property
    def kept(self) -> bool:
        """Tasks that are over have kept some."""
        return bool(self._told)
