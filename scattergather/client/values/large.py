"""Large values of one client: what it sent, and what it received. Any thread.

What was sent lies in an arena of ours as long as anybody may read it. Who still needs an object
here holds a :class:`Loan`; when that is garbage the controller is told, and when no unfinished task
takes the object and no process maps it, the controller says so (``Freed``).

What was received lies in slabs of workers, or of the controller. A :class:`Held` stands for one
object; it lives as long as the value that is made over it, and then its memory is used again.

Of a cycle the collector tells that all of it is garbage before it calls any ``__del__`` in it. One
that reads an array of the same cycle there may find bytes of another object.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterable
from functools import partial
from io import BufferedReader
from typing import Any

from scattergather.client.pipe.outbox import Outbox, Ready
from scattergather.client.pipe.waiting import Bell, readers
from scattergather.client.values.inherited import InheritedResults
from scattergather.errors import Closed, TooLarge
from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.descriptors import Escorted
from scattergather.wire.frame import frame
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.files import opened
from scattergather.wire.memory.outside import Placed
from scattergather.wire.memory.owned import own
from scattergather.wire.memory.slabs import PAGE, punch, read, whole_pages
from scattergather.wire.memory.views import private
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent


class Loan:
    """An object that we have sent, or are about to. It is released when this is garbage."""

    __slots__ = ("__weakref__", "_large", "extent", "rests")

    extent: Extent

    def __init__(self, large: LargeValues, name: ObjectId) -> None:
        self.rests = False
        """No task that is under way ends it: it is held until the user gives something up."""
        self._large = large
        large.watch(self, name)
        large.loans[name] = weakref.ref(self)

    def view(self) -> Any:
        """A private, writable buffer over its bytes, which keeps this alive.

        Raises:
            Closed: the controller has ended, and what was lent is gone with it.
            OSError: it cannot be mapped.
        """
        return self._large.own_view(self)


class Held:
    """An object that was sent to us. It is released when this is garbage.

    ``slab`` is None if that did not come.
    """

    __slots__ = ("__weakref__", "_slab", "extent")

    def __init__(self, large: LargeValues, extent: Extent, slab: _Foreign | None) -> None:
        self.extent = extent
        self._slab = slab
        if slab is not None:
            slab.enter(self)
        large.watch(self, extent.object)

    def view(self) -> Any:
        """A private, writable buffer over its bytes, which keeps this alive.

        Raises:
            LookupError: its slab did not come.
            OSError: it cannot be mapped.
        """
        if self._slab is None:
            raise LookupError("a large result did not arrive")
        fd = self._slab.file.fileno()
        if self.extent.offset % PAGE:  # a part of another, which nobody can map
            return read(fd, self.extent)
        return private(fd, self.extent, self)

    def open(self) -> BufferedReader:
        """Its bytes, as a file that keeps this alive until it is closed.

        Raises:
            LookupError: its slab did not come.
            OSError: no descriptors are left.
        """
        if self._slab is None:
            raise LookupError("a file did not arrive")
        return opened(self._slab.file, self.extent, self)

    def __del__(self) -> None:
        # An interrupt can prevent it: then the memory goes with the last object of its slab.
        if self._slab is not None and self._slab.gone:
            self._slab.leave(self)


class Copied:
    """An object that was sent to us, copied into memory of this process."""

    __slots__ = ("_bytes", "extent")

    def __init__(self, extent: Extent, fd: int) -> None:
        self.extent = extent
        self._bytes = read(fd, extent)

    def view(self) -> Any:
        """Its bytes, as a writable buffer."""
        return self._bytes


class Distant:
    """An object that lies where a task has made it. It is released when this is garbage."""

    __slots__ = ("__weakref__", "extent", "home")

    def __init__(self, large: LargeValues, extent: Extent) -> None:
        self.extent = extent
        self.home: weakref.ref[Part] | None = None
        """A copy of it here, while somebody has one."""
        large.watch(self, extent.object)

    def view(self) -> Any:
        """It has to be brought first.

        Raises:
            LookupError: always.
        """
        raise LookupError("it lies where it was made")


def _pages(extent: Extent) -> tuple[int, int]:
    """From where to where the pages are in which something of it lies."""
    return extent.offset // PAGE * PAGE, whole_pages(extent.offset + extent.length)


Part = Loan | Held | Copied | Distant
"""A part of a result that lies outside of it."""


class _Foreign:
    """A slab of somebody else, whose descriptor is ours as long as we hold anything in it."""

    __slots__ = ("_process", "file", "gone", "held", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.file = own(int, fd)
        self.size = size
        # Here and elsewhere no collection of weak references: its callbacks swallow interrupts.
        self.held: dict[int, list[weakref.ref[Held]]] = {}
        """By offset, as parts of one object may lie at the same; some may be gone."""
        self.gone = False
        self._process = os.getpid()

    def abandon(self) -> None:
        """Its owner is gone: what nobody holds in it is garbage for good."""
        self.gone = True  # first: who lets go from now on does it himself
        at = 0
        for start, stop in sorted([_pages(each.extent) for each in self._live()]):
            self.punch(at, start - at)
            at = max(at, stop)
        self.punch(at, self.size - at)

    def enter(self, held: Held) -> None:
        """Somebody has this, which lies here."""
        there = self.held.get(held.extent.offset, [])
        self.held[held.extent.offset] = [
            *(each for each in there if each() is not None),
            weakref.ref(held),
        ]

    def leave(self, gone: Held) -> None:
        """Nobody has this any more, and nobody writes here; parts of it may be another's, too."""
        start, stop = _pages(gone.extent)
        others = (_pages(each.extent) for each in self._live() if each is not gone)
        if not any(begin < stop and start < end for begin, end in others):
            self.punch(start, stop - start)

    def _live(self) -> list[Held]:
        lists = list(self.held.values())
        return [held for each in lists for it in each if (held := it()) is not None]

    def punch(self, offset: int, length: int) -> None:
        """Nobody reads these bytes any more; a copy made by fork cannot say so of the original."""
        if length > 0 and os.getpid() == self._process:
            with contextlib.suppress(OSError):
                punch(self.file.fileno(), offset, whole_pages(length))


def far_of(objects: Iterable[Placed]) -> frozenset[ObjectId]:
    """Those of these objects that lie where tasks have made them."""
    return frozenset(each.extent.object for each in objects if isinstance(each, Distant))


REST_LOOKS = 4
"""After so many moments, of 2 s at least, what is free goes back to the system."""


class LargeValues:
    """The large objects of one client: those that it sent, and those that it received. Any thread.

    Args:
        outbox: to the controller.
        bound: bytes that may be lent at a time; who wants more waits. 0 keeps all in messages.
    """

    def __init__(self, outbox: Outbox, bound: int) -> None:
        self._outbox = outbox
        self._announced: set[SlabId] = set()
        # No method of ours: memory that nobody holds is free at once, without a search.
        self._arena = Arena(bound, partial(_tell_gone, outbox, self._announced))
        self.bound = bound
        self._foreign: dict[SlabId, _Foreign] = {}
        self._room = Bell()
        self._closed = False
        self.loans: dict[ObjectId, weakref.ref[Loan]] = {}
        """Those that were not freed; some may be gone."""
        self.watch = outbox.watch
        self.inherited = InheritedResults()
        self._announcing = threading.Lock()
        self._looks = 0
        """Since something was put or freed."""
        self._stuck = 0
        """Bytes of loans that belong to values which wait for more room."""

    @property
    def lent(self) -> int:
        """Bytes of what we have sent and others may still read, in whole pages."""
        return self._arena.used

    @property
    def resting(self) -> int:
        """Bytes of loans that only the user can end, in whole pages."""
        loans = [loan for each in tuple(self.loans.values()) if (loan := each()) is not None]
        return sum(whole_pages(loan.extent.length) for loan in loans if loan.rests)

    # ---- what we send ---------------------------------------------------------------------------

    def put(self, data: bytes | memoryview, beside: int = 0) -> Loan | None:
        """A copy of ``data`` is lent; None: it had better travel in the message.

        While others may still read what takes the room, this waits. On a reader thread it does not,
        since that is the one which hears that room is free.

        Args:
            data: is copied now: whoever refills the buffer afterwards does no harm.
            beside: bytes of loans that belong to the same value, or to others that are sent with
                it. They are not free before, so nobody waits for them.

        Raises:
            TooLarge: there is not, and will not be, so much room.
        """
        if not self.bound:
            return None
        size = whole_pages(memoryview(data).nbytes)
        if size + beside > self.bound:
            raise TooLarge.of("the value", size + beside, self.bound)
        # Before its room is taken: however this is interrupted, the loan is garbage and released.
        name = self._arena.new_name()
        loan = Loan(self, name)
        while not self._closed:
            try:
                extent = self._arena.put(data, name)
                if extent is not None:
                    self._looks = 0
                    self._announce(extent.slab)
                    loan.extent = extent
                    return loan
            except (OSError, LookupError):
                # No memory, no descriptors: a message may still do. Or it was closed meanwhile.
                return None
            # What is held only so that results could be made again is held no more.
            self._outbox.send(messages.MakeRoom(size=size))
            if self._hopeless(size, beside):
                raise TooLarge(
                    f"{size:,} bytes more do not fit: of the {self.bound:,} that this client may "
                    f"lend, {self.resting:,} are held by Refs, by results that are arguments as "
                    "they were, and by failed tasks that can be retried. Let go of some, or allow "
                    "more: spawnScatterGather(memory=...), of which half is for arguments",
                    size=size,
                    bound=self.bound,
                )
            if threading.get_ident() in readers:
                return None
            self._stuck += beside
            try:
                self._room.wait(lambda: self._settled(size))
            finally:
                self._stuck -= beside
        return None

    def borrow(self, data: memoryview) -> Loan | None:
        """None: no object is known to have these very bytes."""
        return None

    def has_room(self, size: int) -> bool:
        """True if so many bytes can be put without waiting."""
        return self._arena.used + whole_pages(size) <= self.bound

    def _settled(self, size: int) -> bool:
        """There is room, or there never will be."""
        return (
            self._closed
            or self._outbox.closed
            or self.has_room(size)
            or self._hopeless(size, 0)  # ours is among what is stuck
        )

    def _hopeless(self, size: int, beside: int) -> bool:
        """Nothing is under way that could make enough room."""
        stays, used = self.resting + beside, self._arena.used
        full = used + whole_pages(size) > self.bound
        return stays + size > self.bound or (full and stays + self._stuck >= used)

    def free(self, placed: Placed) -> None:
        """Nobody was told of this object. Nothing is to be done: a loan ends when nobody has it."""

    def freed(self, names: Iterable[ObjectId]) -> None:
        """The controller says that nobody reads these any more. Reader thread."""
        for name in names:
            self._arena.free(name)
            self.loans.pop(name, None)
        self._looks = 0
        self._room.ring()

    def own_view(self, loan: Loan) -> Any:
        """A private, writable buffer over an object of ours.

        Raises:
            Closed: the controller has ended, and what was lent is gone with it.
        """
        found = self._arena.file(loan.extent.slab)
        if found is None:
            raise Closed("its cluster has ended, and what was put there is gone")
        return private(found[0].fileno(), loan.extent, loan)

    def _announce(self, slab: SlabId) -> None:
        with self._announcing:  # nobody goes on before it is in the outbox
            found = None if slab in self._announced else self._arena.file(slab)
            if found is not None:
                file, size = found
                head = messages.encode(messages.Slab(slab=slab, size=size))
                self._outbox.put(Ready([Escorted(b"".join(frame(head)), file.fileno())]))
                # Only now: to announce it twice does no harm.
                self._announced.add(slab)

    # ---- what we receive ------------------------------------------------------------------------

    def adopt(self, slab: SlabId, size: int, fd: int) -> None:
        """A slab came; ``fd`` is ours. Reader thread."""
        self._foreign[slab] = _Foreign(fd, size)

    def abandon(self, slab: SlabId) -> None:
        """Its owner is gone. Reader thread."""
        found = self._foreign.pop(slab, None)
        if found is not None:
            found.abandon()

    def copied(self) -> None:
        """This process was forked: what it has of results stays as long as the copy does."""
        self.inherited.copied([each for each in self._outbox.watched() if isinstance(each, Held)])

    def hold(self, extents: Iterable[Extent]) -> tuple[Part, ...]:
        """Objects came. Reader thread."""
        self.inherited.settle()
        parts: list[Part] = []
        for extent in extents:
            foreign = self._foreign.get(extent.slab)
            ours = None if foreign else self._arena.descriptor(extent.slab)
            if ours is not None:
                parts.append(self._returned(extent, ours[0]))
            else:
                parts.append(Held(self, extent, foreign))
        return tuple(parts)

    def keep(self, extents: Iterable[Extent]) -> tuple[Distant, ...]:
        """These stayed where they were made. Reader thread."""
        return tuple(Distant(self, extent) for extent in extents)

    def part(self, of: Distant, offset: int, length: int, *, file: bool = False) -> Distant:
        """A range of what stayed where it was made is an object of its own."""
        # Held before it is named: however this is interrupted it is released.
        part = Distant(self, Extent(object=self._arena.new_name(), length=length, file=file))
        self._outbox.send(
            messages.Excerpt(
                object=part.extent.object,
                of=of.extent.object,
                offset=offset,
                length=length,
                file=file,
            )
        )
        return part

    def _returned(self, extent: Extent, fd: int) -> Part:
        """An argument came back as it was: it lies here already.

        Who holds a result for long must not keep others from sending, so only half of the room is
        given away like that.
        """
        known = self.loans.get(extent.object)
        loan = None if known is None else known()
        if loan is None:
            loan = Loan(self, extent.object)
            loan.extent = extent
        else:  # one is enough
            self._outbox.send(messages.Release(objects=(extent.object,)))
        if self._arena.used > self.bound // 2:
            return Copied(loan.extent, fd)
        loan.rests = True
        return loan

    # ---- time -----------------------------------------------------------------------------------

    def rest(self) -> None:
        """Nothing has come for a moment: what has been free for some of these goes back.

        What comes from time to time, such as how hosts are, says nothing of what is needed.
        """
        self.inherited.settle()
        self._looks += 1
        if self._looks == REST_LOOKS:
            self._arena.trim()

    def close(self) -> None:
        """The controller is gone; results that arrived stay readable. Reader thread."""
        self._closed = True
        self._arena.close()
        self.inherited.close()
        for slab in list(self._foreign):
            self.abandon(slab)
        self._room.ring()


def _tell_gone(outbox: Outbox, announced: set[SlabId], slab: SlabId) -> None:
    if slab in announced:
        outbox.send(messages.SlabGone(slab=slab))
        announced.discard(slab)
