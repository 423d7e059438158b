"""What is too large for messages: the worker's end of it, both ways.

Arguments lie in slabs of others, which are mapped privately: each task that takes one gets a
mapping that nobody has written to. A task may keep such an argument: then the worker says so,
before the outcome, and says again when it is gone. Results go into slabs of this worker's own, as
far as its allowance goes, and so does what nested calls take; what those return is in ``answers``.
"""

from __future__ import annotations

import gc
import io
import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from scattergather.errors import TooLarge
from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.frame import MOST_INSIDE
from scattergather.wire.memory import scratch, stub
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.files import CreatedFile, opened, reopened
from scattergather.wire.memory.outside import Placed
from scattergather.wire.memory.owned import Descriptor, own
from scattergather.wire.memory.slabs import PAGE, read, whole_pages
from scattergather.wire.memory.whole import Pieces
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.descriptors import close_raised, raised_descriptor
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.values.answers import Answers
from scattergather.workers.process.values.inherited import Inherited
from scattergather.workers.process.values.parking import Parking
from scattergather.workers.process.values.views import Views

IDLE_SECONDS = 5.0
"""After so long without work free memory goes back to the system, and nothing is parked."""

ALONE = 64 << 20
"""A file of so many bytes is a slab of its own; smaller ones are copied, and share one."""

KEPT_SECONDS = 0.5
"""How often an idle worker looks if what a task had kept is gone."""


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

    def rest(self) -> None:
        """There is no work: what has lain free for a while goes back."""
        if self._dirty and time.monotonic() >= self._used + IDLE_SECONDS:
            self._dirty = False
            for arena in self._arenas:
                arena.trim()


class Passed:
    """Puts what nested calls take beside the results; implements ``wire.memory.outside.Place``.

    What the task was given itself is there already. Any thread of a task.
    """

    def __init__(self, arguments: Arguments, answers: Answers, returns: Returns) -> None:
        self._arguments = arguments
        self._answers = answers
        self._returns = returns
        self.has_room = returns.has_room
        self.free = returns.free

    def borrow(self, data: memoryview) -> Result | None:
        """What the task was given itself: its object, which is known already."""
        extent = self._arguments.unchanged(data) or self._answers.unchanged(data)
        return None if extent is None else Result(extent, borrowed=True)

    def put(self, data: bytes | memoryview, beside: int = 0) -> Result | None:
        """A copy of ``data`` beside the results, on the same terms."""
        return self._returns.put(data, beside, "the argument of a nested call")


class TaskValues:
    """Both ends, and what the pool says of them."""

    def __init__(self, line: WorkerLine, interrupts: Interrupts) -> None:
        self._line = line
        self.arguments = Arguments(line)
        self.answers = Answers(line, self.arguments.descriptor)
        self.returns = Returns(line, interrupts, self.arguments)
        self.passed = Passed(self.arguments, self.answers, self.returns)

    def copied(self) -> None:
        """This process was forked. Any thread."""
        self.arguments.copied()
        self.answers.copied()

    def sort(self, message: messages.ToWorker) -> bool:
        """Take a message that is for us. Any thread that reads the line."""
        match message:
            case messages.Slab():
                self.arguments.adopt(message.slab, self._line.received.take())
            case messages.SlabGone():
                self.arguments.drop(message.slab)
            case messages.Recycle():
                self.returns.recycle(message.objects)
            case messages.Allowance():
                self.returns.allow(message.size, message.most, message.disk)
            case _:
                return False
        return True

    @property
    def patience(self) -> float | None:
        """How long to wait for work before :meth:`rest`; None: for ever."""
        if self.arguments.kept or self.answers.held:
            return KEPT_SECONDS
        return IDLE_SECONDS if self.returns.dirty or self.arguments.parking.spots else None

    def rest(self) -> None:
        """There was no work for that long."""
        if self.arguments.kept or self.answers.held:
            self.arguments.rest()
            self.answers.settle()
        self.arguments.parking.rest(IDLE_SECONDS)
        self.returns.rest()
