"""A process's own slabs, cut into extents."""

from __future__ import annotations

import itertools
import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import itemgetter

from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.memory.copying import copy
from scattergather.wire.memory.owned import Descriptor, Mapping
from scattergather.wire.memory.slabs import create, in_memory, punch, whole_pages, write
from scattergather.wire.messages.shared import Extent

SLAB_BYTES = 64 << 20
"""An object of more than half of that gets a slab of its own."""

DISK_SLAB_BYTES = 16 << 30
"""The same of a file, whose pages are on the disk when they are written to. One descriptor holds
many objects so, of which a process has more than it may have descriptors."""

WARM_BYTES = 256 << 20
"""Free bytes at most that an arena keeps for the next objects."""


class _Ranges:
    """Free ranges of a slab, by offset, neighbours joined."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._sizes: list[int] = []
        self.total = 0

    def take(self, size: int) -> int | None:
        """The lowest place for ``size`` bytes, which are free no more."""
        for place, free in enumerate(self._sizes):
            if free >= size:
                start = self._starts[place]
                if free == size:
                    del self._starts[place], self._sizes[place]
                else:
                    self._starts[place] += size
                    self._sizes[place] -= size
                self.total -= size
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """A range is free."""
        self.total += size
        starts, sizes = self._starts, self._sizes
        at = bisect_left(starts, start)
        if at < len(starts) and start + size == starts[at]:
            size += sizes[at]
            del starts[at], sizes[at]
        if at and starts[at - 1] + sizes[at - 1] == start:
            sizes[at - 1] += size
        else:
            starts.insert(at, start)
            sizes.insert(at, size)

    def clear(self) -> list[tuple[int, int]]:
        """All ranges, which are free no more."""
        ranges = list(zip(self._starts, self._sizes, strict=True))
        self._starts.clear()
        self._sizes.clear()
        self.total = 0
        return ranges


class _Slab:
    """One slab of an arena: its free ranges with pages, and those without."""

    def __init__(self, size: int, on_disk: bool) -> None:
        self.id: SlabId = os.urandom(16)
        self.size = size
        self._on_disk = on_disk or not in_memory()
        # Nobody closes it: the number might be another file's by the time that a writer writes.
        self.file = create(size, on_disk=on_disk)
        self.fd = self.file.fileno()
        self._mapping: Mapping | None = None
        self.warm = _Ranges()
        self.cold = _Ranges()
        self.cold.give(0, size)

    @property
    def empty(self) -> bool:
        return self.warm.total + self.cold.total == self.size

    @property
    def address(self) -> int:
        """Where it is mapped for writing; 0 if it should not be.

        A store to a page for which a disk has no room would end this process.
        """
        if self._mapping is None and not self._on_disk:
            # A copy made by fork keeps it: in a hole there would soon be memory of its own, which
            # went with this object.
            try:
                self._mapping = Mapping(self.fd, 0, self.size, mmap.MAP_SHARED)
            except OSError:
                return 0
        return 0 if self._mapping is None else self._mapping.address

    def mend(self, used: Iterable[tuple[int, int]]) -> None:
        """All is free but these ranges, which are in order."""
        self.warm, self.cold = _Ranges(), _Ranges()
        at = 0
        for start, size in (*used, (self.size, 0)):
            if start > at:
                self.warm.give(at, start - at)
            at = start + size
        self.chill()

    def chill(self) -> None:
        """The pages of the free ranges go back to the system."""
        for start, size in self.warm.clear():
            punch(self.fd, start, size)
            self.cold.give(start, size)


class Arena:
    """Objects that this process has written for others. Any thread.

    Args:
        bound: bytes that may be held; None is without bound.
        gone: hears of every slab that was closed; called without the lock.
        on_disk: its slabs are temporary files, where memfds could be had, too.
    """

    def __init__(
        self, bound: int | None, gone: Callable[[SlabId], None], *, on_disk: bool = False
    ) -> None:
        self.bound = bound
        self._on_disk = on_disk
        self.used = 0
        """Bytes of live objects, in whole pages."""
        self._gone = gone
        self._slabs: dict[SlabId, _Slab] = {}
        self._extents: dict[ObjectId, tuple[_Slab, int, int, bool]] = {}
        self._prefix = os.urandom(8)
        self._counter = itertools.count(1)
        self._lock = threading.Lock()
        self._torn = False
        self._closed: list[SlabId] = []

    def _begin(self) -> None:
        """Something is about to change; what an interrupt leaves half done is mended by the next.

        With the lock, which a context manager written in Python could keep when it is interrupted.
        """
        if self._torn:
            self._mend()
        self._torn = True

    def _mend(self) -> None:
        """The extents are right; all else follows from them."""
        used: dict[SlabId, list[tuple[int, int]]] = {slab: [] for slab in self._slabs}
        for slab, offset, size, _ in sorted(self._extents.values(), key=itemgetter(1)):
            used[slab.id].append((offset, size))
        for name, ranges in used.items():
            self._slabs[name].mend(ranges)
        self.used = sum(size for ranges in used.values() for _, size in ranges)

    def new_name(self) -> ObjectId:
        """A name for an object, never given before."""
        return self._prefix + next(self._counter).to_bytes(8, "big")

    @property
    def warm(self) -> int:
        """Bytes that are free and keep their pages."""
        return sum(slab.warm.total for slab in list(self._slabs.values()))

    @property
    def _warm_bound(self) -> int:
        return WARM_BYTES if self.bound is None else min(WARM_BYTES, self.bound // 2)

    def put(self, data: bytes | memoryview, name: ObjectId | None = None) -> Extent | None:
        """A copy of ``data`` as an object; None when there is no room now.

        Raises:
            OSError: the system has no memory, or no descriptors, left.
        """
        extent = self.reserve(memoryview(data).nbytes, name)
        if extent is not None:
            try:
                self.write(extent, 0, data)
            except BaseException:  # an interrupt, too
                self.free(extent.object)
                raise
        return extent

    def reserve(self, length: int, name: ObjectId | None = None) -> Extent | None:
        """Room for an object of ``length`` bytes, at least one; None when there is none now.

        Raises:
            OSError: no memory, or no descriptors, are left.
        """
        size = whole_pages(length)
        name = self.new_name() if name is None else name
        try:
            with self._lock:
                self._begin()
                if self.bound is not None and self.used + size > self.bound:
                    self._torn = False
                    return None
                if self.bound is not None and self.used + self.warm + size > self.bound:
                    self._trim()
                slab, offset, warm = self._find(size)
                self.used += size
                self._extents[name] = (slab, offset, size, warm)
                self._torn = False
        finally:
            self._tell()
        return Extent(object=name, length=length, slab=slab.id, offset=offset)

    def _find(self, size: int) -> tuple[_Slab, int, bool]:
        """A place, and whether its pages are there."""
        # The smallest first, so that what is made for one large object is there for the next.
        slabs = sorted(self._slabs.values(), key=lambda slab: slab.size)
        for slab in slabs:
            if (offset := slab.warm.take(size)) is not None:
                return slab, offset, True
        for slab in slabs:
            if (offset := slab.cold.take(size)) is not None:
                return slab, offset, False
        for slab in slabs:
            if slab.warm.total + slab.cold.total >= size:
                slab.chill()
                if (offset := slab.cold.take(size)) is not None:
                    return slab, offset, False
        slab = self._new_slab(size)
        self._slabs[slab.id] = slab
        offset = slab.cold.take(size)
        assert offset is not None
        return slab, offset, False

    def _new_slab(self, size: int) -> _Slab:
        """One in which there is room for ``size`` bytes."""
        if self._on_disk and size < DISK_SLAB_BYTES:
            with suppress(OSError):  # not every disk has files of that size
                return _Slab(DISK_SLAB_BYTES, self._on_disk)
        return _Slab(size if size > SLAB_BYTES // 2 else SLAB_BYTES, self._on_disk)

    def write(self, extent: Extent, at: int, data: bytes | memoryview) -> None:
        """Fill a part of an object that nobody was told of yet.

        Raises:
            OSError: no memory, or no descriptors, are left.
            LookupError: it was freed.
        """
        slab, _, _, warm = self._extents[extent.object]
        with self._lock:  # or two threads map it, and one of the mappings stays for ever
            address = slab.address if warm else 0
        if address:
            copy(address + extent.offset + at, memoryview(data).cast("B"))
        else:
            write(slab.fd, extent.offset + at, data)

    def free(self, name: ObjectId) -> None:
        """Nobody reads this object any more. One that is not ours is ignored."""
        with self._lock:
            self._begin()
            found = self._extents.pop(name, None)
            if found is None:
                self._torn = False
                return
            slab, offset, size, _ = found
            self.used -= size
            slab.warm.give(offset, size)
            if self.warm > self._warm_bound:
                if slab.empty:
                    self._close(slab)
                else:
                    slab.chill()
            self._torn = False
        self._tell()

    def trim(self) -> None:
        """Give back what is free: nothing has happened for a while."""
        with self._lock:
            self._begin()
            self._trim()
            self._torn = False
        self._tell()

    def _trim(self) -> None:
        for slab in list(self._slabs.values()):
            if slab.empty:
                self._close(slab)
            else:
                slab.chill()

    def _close(self, slab: _Slab) -> None:
        self._closed.append(slab.id)  # first: once too often does no harm
        del self._slabs[slab.id]

    def _tell(self) -> None:
        """Without the lock: who hears of it may come back."""
        for slab in tuple(self._closed):
            if slab not in self._slabs:
                self._gone(slab)
            with suppress(ValueError):  # another thread has told it, too
                self._closed.remove(slab)

    def descriptor(self, slab: SlabId) -> tuple[int, int] | None:
        """Descriptor and size of a slab of ours, for the thread that closes slabs."""
        found = self._slabs.get(slab)
        return None if found is None else (found.fd, found.size)

    def file(self, slab: SlabId) -> tuple[Descriptor, int] | None:
        """The same; the descriptor is open while the caller has it, whoever closes the slab."""
        found = self._slabs.get(slab)
        return None if found is None else (found.file, found.size)

    def close(self) -> None:
        """Close all descriptors; nobody is told."""
        with self._lock:
            self._slabs.clear()
            self._extents.clear()
            self.used = 0
