"""Where the large objects are that a controller or a daemon knows of.

Two kinds lie here. What others of this host have written (the client its arguments, workers their
results) lies in their slabs, of which the store holds descriptors. What came from another host
lies in the store's own arenas. Nobody here maps anything, and what is passed on to a neighbour is a
descriptor, never bytes. Reactor thread only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter

import msgspec

from scattergather.errors import TooLarge
from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.memory import scratch, slabs
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.slabs import whole_pages
from scattergather.wire.messages.shared import Extent

MOST_EXPECTED = 1 << 16
"""Files that may be under way to here: more than that nobody asks for."""

Recycle = Callable[[tuple[ObjectId, ...]], None]
"""Tells who wrote these objects that nobody reads them any more."""


@dataclass(slots=True)
class _ForeignSlab:
    """A slab of somebody else. ``live`` are the objects in it that are known here."""

    fd: int
    size: int
    recycle: Recycle | None
    live: set[ObjectId] = field(default_factory=set)
    gone: bool = False
    on_disk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """``held`` are the bytes of all objects that are known here, wherever on this host they lie.

    ``arriving`` objects are under way from another host. What came from there and was not dropped
    yet takes ``memory`` bytes, and ``disk`` bytes where that was full.
    """

    held: int
    objects: int
    arriving: int
    memory: int
    disk: int


class Store:
    """The large objects that a process knows of; implements ``link.seams.ObjectStore``.

    Args:
        bound: bytes that what comes from other hosts may take; None is without bound.
    """

    def __init__(self, bound: int | None = None) -> None:
        self._arena = Arena(bound, self._slab_gone)
        self._disk = Arena(None, self._slab_gone, on_disk=True)
        self._beyond = Arena(None, self._slab_gone)
        self._arenas = (self._arena, self._disk, self._beyond)
        self._lent: dict[SlabId, _ForeignSlab] = {}
        self._extents: dict[ObjectId, Extent] = {}
        self._excerpts: set[ObjectId] = set()
        """Those of them that are parts of others."""
        self._expected: dict[ObjectId, None] = {}
        """Those that are to come and are files."""
        self._arriving: dict[ObjectId, tuple[Arena, Extent]] = {}
        self.slab_gone: list[Callable[[SlabId], None]] = []
        """Who hears that a slab is closed: whoever was given its descriptor closes it too."""
        self.room: list[Callable[[], None]] = []
        """Who hears that there is room again."""
        self.pressed: list[Callable[[], None]] = []
        """Who hears that there was none: whoever has what nobody needs just now drops it."""
        self.held = 0
        """Bytes of the objects that lie here or are known here."""
        self.disk_bound: int | None = None
        """Bytes that what lies here may take in files; None: what the disk has to spare."""
        self.spills = False
        """What finds no room in memory goes elsewhere."""
        self._overdraws = False

    # ---- what others of this host have written --------------------------------------------------

    def adopt(
        self,
        slab: SlabId,
        size: int,
        fd: int,
        recycle: Recycle | None = None,
        *,
        on_disk: bool = False,
    ) -> bool:
        """A slab came; ``fd`` is ours. ``recycle`` hears of its objects that were dropped.

        One that is ``on_disk`` is a file without a name, which whoever made it could shorten.

        Returns:
            False if it was here already: whoever sent it was interrupted, and sent it again.

        Raises:
            ValueError: it is not as large as was said, or need not stay so. Whoever maps it and
                reads behind its end would be killed by the kernel.
        """
        if slab in self._lent:
            os.close(fd)
            return False
        if not slabs.holds(fd, size, on_disk=on_disk):
            os.close(fd)
            raise ValueError(f"a slab of less than {size:,} bytes")
        self._lent[slab] = _ForeignSlab(fd, size, recycle, on_disk=on_disk)
        return True

    def abandon(self, slab: SlabId) -> None:
        """Its owner is gone, or says that it is done with: what lies there stays, all else goes."""
        lent = self._lent.get(slab)
        if lent is not None:
            lent.gone = True
            if not self._close_if_done(slab, lent):
                self._clear(lent)

    def _clear(self, lent: _ForeignSlab) -> None:
        """Nobody will write there any more: pages in which nothing lies go back to the system."""
        at = 0
        whole = [self._extents[name] for name in lent.live - self._excerpts]
        for extent in sorted(whole, key=attrgetter("offset")):
            _punch(lent.fd, at, extent.offset - at)
            at = extent.offset + whole_pages(extent.length)
        _punch(lent.fd, at, lent.size - at)

    def orphaned(self, *, on_disk: bool = False) -> int:
        """Bytes of memory, or of files, in which things lie whose makers are gone."""
        return sum(
            whole_pages(self._extents[name].length)
            for lent in self._lent.values()
            if lent.gone and lent.on_disk == on_disk
            for name in lent.live - self._excerpts
        )

    def learn(self, extents: Iterable[Extent]) -> None:
        """These objects lie in slabs that were adopted.

        Raises:
            ValueError: one does not lie within its slab. Whoever maps it and reads behind the end
                would be killed by the kernel.
        """
        fresh = {each.object: each for each in extents if each.object not in self._extents}
        for extent in fresh.values():
            lent = self._lent.get(extent.slab)
            if lent is not None and extent.offset + extent.length > lent.size:
                raise ValueError(f"{extent.length} bytes at {extent.offset} of {lent.size}")
        for extent in fresh.values():
            self._extents[extent.object] = extent
            self.held += extent.length
            if (lent := self._lent.get(extent.slab)) is not None:
                lent.live.add(extent.object)

    def excerpt(self, name: ObjectId, of: ObjectId, offset: int, length: int) -> None:
        """A range of an object that is here is an object, too; dropped before that is.

        Raises:
            LookupError: that is not here.
            ValueError: it does not lie within it, or its name is taken.
        """
        extent = self._extents[of]
        if offset + length > extent.length or self.knows(name):
            raise ValueError(f"{length} bytes at {offset} of {extent.length}")
        self._extents[name] = msgspec.structs.replace(
            extent, object=name, offset=extent.offset + offset, length=length
        )
        self._excerpts.add(name)
        if (lent := self._lent.get(extent.slab)) is not None:
            lent.live.add(name)

    def put(self, name: ObjectId, data: bytes) -> None:
        """An object that is made here, and small: its room is not counted.

        Raises:
            OSError: the system has no memory, or no descriptors, left.
        """
        extent = self._beyond.put(data, name)
        assert extent is not None  # that has no bound
        self._extents[name] = extent
        self.held += extent.length

    # ---- where they are -------------------------------------------------------------------------

    def missing(self, extents: Iterable[Extent]) -> frozenset[ObjectId]:
        """Which of these are not here (yet)."""
        return frozenset(each.object for each in extents if each.object not in self._extents)

    def here(self, extents: Iterable[Extent]) -> tuple[Extent, ...]:
        """The same objects, where they lie on this host; those that do not, as they came."""
        return tuple(self._extents.get(each.object, each) for each in extents)

    def descriptor(self, slab: SlabId) -> tuple[int, int] | None:
        """Descriptor and size of a slab."""
        lent = self._lent.get(slab)
        if lent is not None:
            return lent.fd, lent.size
        return next(filter(None, (arena.descriptor(slab) for arena in self._arenas)), None)

    # ---- the end --------------------------------------------------------------------------------

    def drop(self, names: Iterable[ObjectId]) -> None:
        """Nobody on this host, or beyond, reads these any more. Unknown ones are ignored."""
        gone: dict[SlabId, list[ObjectId]] = {}
        for name in names:
            extent = self._extents.pop(name, None)
            if extent is None:
                continue
            lent = self._lent.get(extent.slab)
            if name in self._excerpts:
                self._excerpts.discard(name)
                if lent is not None:
                    lent.live.discard(name)
                    self._close_if_done(extent.slab, lent)
                continue
            self.held -= extent.length
            gone.setdefault(extent.slab, []).append(name)
            if lent is not None and lent.gone:
                _punch(lent.fd, extent.offset, whole_pages(extent.length))
        for slab, objects in gone.items():
            lent = self._lent.get(slab)
            if lent is None:
                self._free(objects)
                continue
            lent.live.difference_update(objects)
            if lent.recycle is not None and not lent.gone:
                lent.recycle(tuple(objects))
            self._close_if_done(slab, lent)

    def _free(self, names: Iterable[ObjectId]) -> None:
        for name in names:
            for arena in self._arenas:
                arena.free(name)
        for told in self.room:
            told()

    def _close_if_done(self, slab: SlabId, lent: _ForeignSlab) -> bool:
        done = lent.gone and not lent.live
        if done and self._lent.pop(slab, None) is not None:
            os.close(lent.fd)
            self._slab_gone(slab)
        return done

    def _slab_gone(self, slab: SlabId) -> None:
        for told in self.slab_gone:
            told(slab)

    def rest(self) -> None:
        """Nothing has happened for a while: what is free goes back to the system."""
        for arena in self._arenas:
            arena.trim()

    def statistics(self) -> StoreStatistics:
        """How much lies here."""
        return StoreStatistics(
            held=self.held,
            objects=len(self._extents),
            arriving=len(self._arriving),
            memory=self._arena.used + self._beyond.used,
            disk=self._disk.used,
        )

    def close(self) -> None:
        """Close every descriptor."""
        for arena in self._arenas:
            arena.close()
        for lent in self._lent.values():
            os.close(lent.fd)
        self._lent.clear()
        self._extents.clear()

    # ---- link.seams.ObjectStore -----------------------------------------------------------------

    def length(self, name: ObjectId) -> int | None:
        """How many bytes the object has; None when it is not, or not any longer, here."""
        extent = self._extents.get(name)
        return None if extent is None else extent.length

    def knows(self, name: ObjectId) -> bool:
        """An object of that name is here, or arrives."""
        return name in self._extents or name in self._arriving

    def read(self, name: ObjectId, offset: int, count: int) -> bytes:
        """At most ``count`` bytes of an object that is here. Raises LookupError when it is gone."""
        extent = self._extents[name]
        found = self.descriptor(extent.slab)
        if found is None:
            raise LookupError("its slab is gone")
        wanted = min(count, extent.length - offset)
        data = os.pread(found[0], wanted, extent.offset + offset)
        if wanted > 0 and not data:
            raise LookupError("its slab is shorter than was said")
        return data

    @property
    def bound(self) -> int | None:
        """Bytes that what comes from other hosts may take in memory."""
        return self._arena.bound

    def unfit(self, extents: Iterable[Extent]) -> str:
        """Why a task can never take all of these here; empty if it can."""
        # What a neighbour has written takes no room of ours.
        found = (self._extents.get(each.object, each) for each in extents)
        lengths = [each.length for each in found if each.slab not in self._lent and not each.file]
        if self.spills:
            return next(filter(None, map(self.refusal, lengths)), "")
        return self.refusal(*lengths)

    def expect(self, extents: Iterable[Extent]) -> None:
        """These may come: those that are files go to the disk."""
        for each in extents:
            if each.file and each.object not in self._extents:
                self._expected[each.object] = None
        while len(self._expected) > MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def refusal(self, *lengths: int) -> str:
        """Why objects of these lengths can never be here at a time; empty if they can."""
        bound, size = self._arena.bound, sum(map(whole_pages, lengths))
        if bound is None or size <= bound:
            return ""
        if len(lengths) == 1:
            return str(TooLarge.of("a value", lengths[0], bound))
        return (
            f"the arguments take {size:,} bytes together, more than the {bound:,} that large "
            "values may take there. Allow more: scattergather pool --memory ..."
        )

    def reserve(self, name: ObjectId, length: int) -> bool:
        """As ``land``, but where there is no room now, others are asked to drop what they can."""
        if self.land(name, length):
            return True
        for told in self.pressed:
            told()
        return False

    def land(self, name: ObjectId, length: int, *, spill: bool = False) -> bool:
        """Make room for one that is about to arrive; False: there is none in memory now.

        With ``spill`` it goes to a file without a name then, and if the disk takes no more, to
        memory beyond the bound, but no more than as much again.

        Raises:
            ValueError: there never will be room.
            OSError: the system has no memory, or no descriptors, left, or nothing takes any more.
        """
        if name in self._expected:
            self._arriving[name] = self._disk, self._on_disk(name, length)
            return True
        if why := self.refusal(length):
            raise ValueError(why)
        arena = self._arena
        extent = arena.reserve(length, name)
        if extent is None and self._overdraws:
            self._overdraws, arena = False, self._beyond
            extent = arena.reserve(length, name)
        if extent is None and spill:
            arena, extent = self._spill(name, length)
        if extent is None:
            return False
        self._arriving[name] = arena, extent
        return True

    def _spill(self, name: ObjectId, length: int) -> tuple[Arena, Extent | None]:
        try:
            return self._disk, self._on_disk(name, length)
        except OSError as why:
            bound, beyond = self._arena.bound, self._beyond.used
            if bound is not None and beyond + whole_pages(length) > bound:
                raise OSError(
                    f"there is no room for a value of {length:,} bytes: what waits to be read "
                    f"takes {self._arena.used + beyond:,} bytes of memory and {self._disk.used:,} "
                    f"in files ({why}). Read what has come, or allow more: memory=..."
                ) from why
            return self._beyond, self._beyond.reserve(length, name)

    def _on_disk(self, name: ObjectId, length: int) -> Extent:
        """Room in a file. Raises OSError if there is none."""
        try:
            extent = self._disk.reserve(length, name)
            assert extent is not None, "the arena of files has no bound"
            if self.disk_bound is not None and self._disk.used > self.disk_bound:
                raise OSError(f"files take {self.disk_bound:,} bytes at most: --scratch-size")
            found = self._disk.descriptor(extent.slab)
            if found is not None:
                scratch.occupy(found[0], extent.offset, whole_pages(length))
        except OSError:
            self._disk.free(name)
            raise
        return extent

    def overdraw(self) -> None:
        """One that waits for room gets it, whatever the bound: nothing else will end its wait."""
        self._overdraws = True
        for told in self.room:
            told()
        self._overdraws = False

    def write(self, name: ObjectId, offset: int, data: bytes | memoryview) -> None:
        """Keep some bytes of an object for which there is room. Raises OSError if it cannot."""
        arena, extent = self._arriving[name]
        arena.write(extent, offset, data)

    def stored(self, name: ObjectId) -> None:
        """All bytes of the object were written: from now on it is here."""
        _, extent = self._arriving.pop(name)
        self._expected.pop(name, None)
        self._extents[name] = extent
        self.held += extent.length

    def discard(self, name: ObjectId) -> None:
        """What has arrived of the object is worth nothing; its room is free again."""
        if self._arriving.pop(name, None) is not None:
            self._free([name])
        else:
            self.drop([name])


def _punch(fd: int, offset: int, length: int) -> None:
    if length > 0:
        with contextlib.suppress(OSError):
            slabs.punch(fd, offset, length)
