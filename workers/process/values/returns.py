"""What tasks return and is too large for messages: it goes into slabs of this worker's own.

In memory that is as far as its allowance goes. What stays where it was made takes a part of that,
and files beyond it; a file that a task has created always lies on the disk.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from scattergather.errors import TooLarge
from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.frame import MOST_INSIDE
from scattergather.wire.memory import scratch
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.files import CreatedFile
from scattergather.wire.memory.outside import Placed
from scattergather.wire.memory.owned import Descriptor, own
from scattergather.wire.memory.slabs import whole_pages
from scattergather.wire.memory.whole import Pieces
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.values.arguments import Arguments

ALONE = 64 << 20
"""A file of so many bytes is a slab of its own; smaller ones are copied, and share one."""


@dataclass(frozen=True, slots=True)
class Result:
    """An object of ours, or an argument; implements ``wire.memory.outside.Placed``."""

    extent: Extent
    borrowed: bool = False


class Returns:
    """Puts results into slabs; implements ``wire.memory.outside.Place``. Any thread of a task.

    Args:
        message: what a message can carry. A larger value may take more than this worker's part of
            the memory: it would take as much, and some copies more, on any other way.
    """

    def __init__(
        self,
        line: WorkerLine,
        interrupts: Interrupts,
        arguments: Arguments,
        message: int = MOST_INSIDE,
    ) -> None:
        self._message = message
        self._line = line
        self._interrupts = interrupts
        self._arguments = arguments
        self._arena = Arena(0, self._gone)
        self._disk = Arena(None, self._gone, on_disk=True)
        self._arenas = (self._arena, self._disk)
        self._most = 0
        self._disk_bound: int | None = None
        self._stays: dict[ObjectId, int] = {}
        """What stays here of it, in memory, and how many bytes each takes."""
        self._staying = 0
        self._files: dict[ObjectId, tuple[SlabId, Descriptor, int]] = {}
        """Files that are slabs of their own."""
        self._announced: set[SlabId] = set()
        self._announcing = threading.Lock()
        self._dirty = False
        self._used = 0.0

    def allow(self, size: int, most: int, disk: int | None = None) -> None:
        """So many bytes may lie in slabs, and no value may be larger than ``most``.

        In files there may be ``disk`` bytes, or whatever the disk has to spare.
        """
        self._arena.bound = size
        self._most = most
        self._disk_bound = disk

    def borrow(self, data: memoryview) -> Result | None:
        """An argument that is returned as it came: its object, which the reader has already."""
        extent = self._arguments.unchanged(data)
        if extent is None or self._arguments.is_away(extent.object):
            return None
        return Result(extent, borrowed=True)

    def has_room(self, size: int) -> bool:
        """True: a worker never waits for room, it sends in messages what finds none."""
        return True

    def put(
        self, data: bytes | memoryview, beside: int = 0, what: str = "the result"
    ) -> Result | None:
        """A copy of ``data`` in a slab of this worker; None: it had better travel in the message.

        Raises:
            TooLarge: it could be sent in no way.
        """
        size = memoryview(data).nbytes
        if self._most and size > self._most:
            raise TooLarge.of(what, size, self._most)
        extent = self._placed(data, size) if self._arena.bound else None
        if extent is None and size > self._message:
            raise TooLarge.of(what, size, self._message)
        return None if extent is None else Result(extent)

    def _placed(self, data: bytes | memoryview, size: int) -> Extent | None:
        with self._interrupts.shielded():
            self._line.catch_up()  # what was read meanwhile is free again
            self._use()
            share = self._arena.bound
            if size > self._message:
                self._arena.bound = None
            try:
                return self._arena.put(data)
            except OSError:
                return None  # no memory, no descriptors: a message may still do
            finally:
                self._arena.bound = share

    def put_whole(self, pieces: Pieces) -> Result | None:
        """A copy of these as one object that stays here; None: it had better travel in the message.

        Such objects take half of this worker's part of the memory, as nobody knows how long they
        stay, and what is read soon wants some, too. Beyond that they lie in files without a name.

        Raises:
            TooLarge: there is no room in memory nor on the disk.
        """
        if not self._arena.bound:
            return None
        size = sum(memoryview(piece).nbytes for piece in pieces)
        with self._interrupts.shielded():
            self._line.catch_up()
            self._use()
            extent = None
            if self._staying + whole_pages(size) <= self._arena.bound // 2:
                with suppress(OSError):
                    extent = self._fill(self._arena, pieces, size)
            if extent is not None:
                self._stays[extent.object] = whole_pages(size)
                self._staying += whole_pages(size)
                return Result(extent)
            try:
                found = self._fill(self._disk, pieces, size)
            except OSError as error:
                found, why = None, str(error)
        if found is None:
            raise TooLarge(
                f"the result, {size:,} bytes that are to stay where they are, has no room in the "
                f"memory of its worker, nor in files beside it ({why}). Free some Refs, or allow "
                "more: spawnScatterGather(memory=...), scattergather pool --memory ...",
                size=size,
                bound=self._arena.bound // 2,
            )
        return Result(found)

    def put_file(self, file: CreatedFile) -> Result:
        """What was written to it, as one object that stays here; it is closed.

        Raises:
            OSError: the disk, or what a process may have of descriptors, is used up.
        """
        fd = file.descriptor()
        size = os.fstat(fd).st_size
        with self._interrupts.shielded():
            self._line.catch_up()
            self._use()
            if size < ALONE:
                extent = self._fill(self._disk, file.blocks(), size)
                assert extent is not None, "the arena of files has no bound"
            else:
                self._check_disk(size)
                extent = Extent(object=self._disk.new_name(), length=size, slab=os.urandom(16))
                slab = extent.slab, own(os.dup, fd), size
                self._files[extent.object] = slab
        file.drop()
        return Result(msgspec.structs.replace(extent, file=True))

    def _check_disk(self, size: int) -> None:
        """There is room for so many bytes more in files. Raises OSError if not."""
        bound = self._disk_bound
        used = self._disk.used + sum(size for _, _, size in self._files.values())
        if bound is not None and used + size > bound:
            raise OSError(
                f"{size:,} bytes more do not fit into files: of the {bound:,} that the results of "
                f"one worker may take there, {used:,} are used. Free some Refs, or allow more: "
                "scattergather pool --scratch-size ..."
            )

    def _slab(self, slab: SlabId) -> tuple[int, int, bool] | None:
        """Descriptor and size of a slab of ours, and whether it is on the disk."""
        for arena in self._arenas:
            if (found := arena.descriptor(slab)) is not None:
                return *found, arena is self._disk
        for name, file, size in self._files.values():
            if name == slab:
                return file.fileno(), size, True
        return None

    def _fill(self, arena: Arena, pieces: Iterable[bytes | memoryview], size: int) -> Extent | None:
        extent = arena.reserve(size)
        if extent is None:
            return None
        try:
            if arena is self._disk:
                self._check_disk(0)
            if arena is self._disk and (slab := arena.descriptor(extent.slab)) is not None:
                scratch.occupy(slab[0], extent.offset, whole_pages(size))
            at = 0
            for piece in pieces:
                arena.write(extent, at, piece)
                at += memoryview(piece).nbytes
        except BaseException:
            arena.free(extent.object)
            raise
        return extent

    def free(self, placed: Placed) -> None:
        """Nobody was told of this object, and nobody will be."""
        # What was borrowed may be ours: a nested call has returned what it took from us.
        if not (isinstance(placed, Result) and placed.borrowed):
            self._free(placed.extent.object)

    def recycle(self, names: Iterable[ObjectId]) -> None:
        """Their readers have done with these."""
        self._use()
        for name in names:
            self._free(name)

    def _free(self, name: ObjectId) -> None:
        self._staying -= self._stays.pop(name, 0)
        if (file := self._files.pop(name, None)) is not None:
            self._gone(file[0])
        for arena in self._arenas:
            arena.free(name)

    def announce(self, parts: Iterable[Placed]) -> tuple[tuple[Extent, ...], tuple[Extent, ...]]:
        """What is new of these, and what was borrowed; whoever hears of them has their slabs."""
        new = [part.extent for part in parts if not (isinstance(part, Result) and part.borrowed)]
        ours = {extent.object for extent in new}
        borrowed = tuple(part.extent for part in parts if part.extent.object not in ours)
        with self._announcing:  # nobody goes on before it is sent
            for slab in dict.fromkeys(extent.slab for extent in new):
                found = self._slab(slab)
                if found is not None and slab not in self._announced:
                    fd, size, on_disk = found
                    self._line.send_with(fd, messages.Slab(slab=slab, size=size, on_disk=on_disk))
                    self._announced.add(slab)
        return tuple(new), borrowed

    def _gone(self, slab: SlabId) -> None:
        if slab in self._announced:
            self._announced.discard(slab)
            self._line.send(messages.SlabGone(slab=slab))

    def _use(self) -> None:
        self._dirty, self._used = True, time.monotonic()

    @property
    def dirty(self) -> bool:
        """There may be free memory to give back."""
        return self._dirty

    def rest(self, idle: float) -> None:
        """There is no work: what has lain free for ``idle`` seconds goes back."""
        if self._dirty and time.monotonic() >= self._used + idle:
            self._dirty = False
            for arena in self._arenas:
                arena.trim()
