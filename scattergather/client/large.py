"""Large values of one client: what it sent, and what it received. Any thread.

What was sent lies in an arena of ours as long as anybody may read it. Who still needs an object
here holds a :class:`Loan`; when that is garbage the controller is told, and when no unfinished task
takes the object and no process maps it, the controller says so (``Freed``).

What was received lies in slabs of workers, or of the controller. A :class:`Held` stands for one
object; it lives as long as the value that is made over it, and then its memory is used again.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from scattergather.client.outbox import Outbox, Ready
from scattergather.client.waiting import Bell, readers
from scattergather.errors import Closed, TooLarge
from scattergather.wire import messages
from scattergather.wire.descriptors import Escorted
from scattergather.wire.frame import frame
from scattergather.wire.messages import Extent, ObjectId, SlabId
from scattergather.wire.outside import Placed
from scattergather.wire.slabs import Arena, private, punch, read, whole_pages


class Loan:
    """An object that we have sent, or are about to."""

    __slots__ = ("__weakref__", "_large", "_rests", "extent")

    def __init__(self, large: Large, extent: Extent) -> None:
        self.extent = extent
        self._large = large
        self._rests = False
        large.loans[extent.object] = self

    def view(self) -> Any:
        """A private, writable buffer over its bytes, which keeps this alive.

        Raises:
            Closed: the controller has ended, and what was lent is gone with it.
            OSError: it cannot be mapped.
        """
        return self._large.own_view(self)

    def rest(self) -> None:
        """No task that is under way ends this loan: it is held until the user gives something up.

        So whoever waits for room must not count on it.
        """
        if not self._rests:
            self._rests = True
            self._large.resting += whole_pages(self.extent.length)

    def __del__(self) -> None:
        # Anywhere, under any lock: takes none.
        if self._rests:
            self._large.resting -= whole_pages(self.extent.length)
        self._large.released(self.extent)


class Held:
    """An object that was sent to us."""

    __slots__ = ("_large", "extent")

    def __init__(self, large: Large, extent: Extent) -> None:
        self.extent = extent
        self._large = large

    def view(self) -> Any:
        """A private, writable buffer over its bytes, which keeps this alive.

        Raises:
            LookupError: its slab did not come.
            OSError: it cannot be mapped.
        """
        return self._large.view(self)

    def __del__(self) -> None:
        self._large.let_go(self.extent)


class Copied:
    """An object that was sent to us, copied into memory of this process."""

    __slots__ = ("_bytes", "extent")

    def __init__(self, extent: Extent, fd: int) -> None:
        self.extent = extent
        self._bytes = read(fd, extent)

    def view(self) -> Any:
        """Its bytes, as a writable buffer."""
        return self._bytes


Part = Loan | Held | Copied
"""A part of a result that lies outside of it."""


class _Foreign:
    """A slab of somebody else: ``live`` are our objects in it, by offset, in whole pages."""

    __slots__ = ("_open", "fd", "gone", "live", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._open = [fd]
        self.size = size
        self.live: dict[int, int] = {}
        self.gone = False

    def abandon(self) -> None:
        """Its owner is gone, and what nobody holds in it is garbage for good."""
        self.gone = True
        self.live[self.size] = at = 0  # so that nobody closes it meanwhile
        # A copy: a finaliser may let go of one at any time.
        for offset, length in sorted(self.live.copy().items()):
            self._punch(at, offset)
            at = offset + length
        del self.live[self.size]
        self.close_if_done()

    def let_go(self, offset: int) -> None:
        if self.gone:  # first: as long as something lives nobody closes the descriptor
            self._punch(offset, offset + self.live.get(offset, 0))
        self.live.pop(offset, None)
        self.close_if_done()

    def close_if_done(self) -> None:
        if self.gone and not self.live:
            self.fd = -1
            # Two threads may be here at once.
            for fd in self._open[:]:
                try:
                    self._open.remove(fd)
                except ValueError:
                    return
                os.close(fd)

    def _punch(self, start: int, stop: int) -> None:
        if stop > start and self.fd >= 0:
            punch(self.fd, start, stop - start)


class Large:
    """See the module.

    Args:
        outbox: to the controller.
        bound: bytes that may be lent at a time; who wants more waits. 0 keeps all in messages.
    """

    def __init__(self, outbox: Outbox, bound: int) -> None:
        self._outbox = outbox
        self._arena = Arena(bound, self._slab_gone)
        self.bound = bound
        self._announced: set[SlabId] = set()
        self._foreign: dict[SlabId, _Foreign] = {}
        self._room = Bell()
        self._closed = False
        self.loans: weakref.WeakValueDictionary[ObjectId, Loan] = weakref.WeakValueDictionary()
        self._announcing = threading.Lock()
        self._stuck = 0
        """Bytes of loans that belong to values which wait for more room."""
        self.resting = 0
        """Bytes of loans that only the user can end."""

    @property
    def lent(self) -> int:
        """Bytes of what we have sent and others may still read, in whole pages."""
        return self._arena.used

    # ---- what we send ---------------------------------------------------------------------------

    def put(self, data: bytes | memoryview, beside: int = 0) -> Loan | None:
        """See ``wire.outside.Place``. Waits for room; on the reader's thread it does without.

        Raises:
            TooLarge: there is not, and will not be, so much room.
        """
        if not self.bound:
            return None
        size = whole_pages(memoryview(data).nbytes)
        if size + beside > self.bound:
            raise TooLarge.of("the value", size + beside, self.bound)
        while not self._closed:
            try:
                extent = self._arena.put(data)
            except OSError:
                return None  # no memory, no descriptors: a message may still do
            if extent is not None:
                self._announce(extent.slab)
                return Loan(self, extent)
            if self._hopeless(size, beside):
                raise TooLarge(
                    f"{size:,} bytes more do not fit: of the {self.bound:,} that this client may "
                    f"lend, {self.resting:,} are held by Refs, by results that are arguments as "
                    "they were, and by failed tasks that can be retried. Let go of some, or allow "
                    "more: spawnScatterGather(memory=...)",
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
        """See ``wire.outside.Place``."""
        return None

    def has_room(self, size: int) -> bool:
        """See ``wire.outside.Place``."""
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
        """See ``wire.outside.Place``: the loan ends when nobody has it."""

    def released(self, extent: Extent) -> None:
        """A loan has ended. Any thread, any moment."""
        if not self._closed:
            self._outbox.release(extent.object)

    def freed(self, names: Iterable[ObjectId]) -> None:
        """The controller says that nobody reads these any more. Reader thread."""
        for name in names:
            self._arena.free(name)
        self._room.ring()

    def own_view(self, loan: Loan) -> Any:
        """A private, writable buffer over an object of ours.

        Raises:
            Closed: the controller has ended, and what was lent is gone with it.
        """
        found = self._arena.descriptor(loan.extent.slab)
        if found is None:
            raise Closed("its cluster has ended, and what was put there is gone")
        return private(found[0], loan.extent, loan)

    def _announce(self, slab: SlabId) -> None:
        with self._announcing:  # nobody goes on before it is in the outbox
            found = None if slab in self._announced else self._arena.descriptor(slab)
            if found is not None:
                self._announced.add(slab)
                fd, size = found
                head = messages.encode(messages.Slab(slab=slab, size=size))
                self._outbox.put(Ready([Escorted(b"".join(frame(head)), fd)]))

    def _slab_gone(self, slab: SlabId) -> None:
        if slab in self._announced:
            self._announced.discard(slab)
            self._outbox.send(messages.SlabGone(slab=slab))

    # ---- what we receive ------------------------------------------------------------------------

    def adopt(self, slab: SlabId, size: int, fd: int) -> None:
        """A slab came; ``fd`` is ours. Reader thread."""
        self._foreign[slab] = _Foreign(fd, size)

    def abandon(self, slab: SlabId) -> None:
        """Its owner is gone. Reader thread."""
        found = self._foreign.get(slab)
        if found is not None:
            found.abandon()
            if found.fd < 0:
                del self._foreign[slab]

    def hold(self, extents: Iterable[Extent]) -> tuple[Part, ...]:
        """Objects came. Reader thread."""
        parts: list[Part] = []
        for extent in extents:
            found = self._foreign.get(extent.slab)
            if found is not None:
                found.live[extent.offset] = whole_pages(extent.length)
            elif (own := self._arena.descriptor(extent.slab)) is not None:
                parts.append(self._returned(extent, own[0]))
                continue
            parts.append(Held(self, extent))
        return tuple(parts)

    def _returned(self, extent: Extent, fd: int) -> Part:
        """An argument came back as it was: it lies here already.

        Who holds a result for long must not keep others from sending, so only half of the room is
        given away like that.
        """
        loan = self.loans.get(extent.object)
        if loan is None:
            loan = Loan(self, extent)
        else:  # one is enough
            self._outbox.release(extent.object)
        if self._arena.used > self.bound // 2:
            return Copied(loan.extent, fd)
        loan.rest()
        return loan

    def let_go(self, extent: Extent) -> None:
        """Nobody needs this object any more. Any thread, any moment."""
        found = self._foreign.get(extent.slab)
        if found is not None:
            found.let_go(extent.offset)
            if found.fd < 0:
                self._foreign.pop(extent.slab, None)
        if not self._closed:
            self._outbox.release(extent.object)

    def view(self, held: Held) -> Any:
        """A private, writable buffer over an object that was sent to us.

        Raises:
            LookupError: its slab did not come.
            OSError: it cannot be mapped.
        """
        found = self._foreign.get(held.extent.slab)
        if found is None or found.fd < 0:
            raise LookupError("a large result did not arrive")
        return private(found.fd, held.extent, held)

    # ---- time -----------------------------------------------------------------------------------

    def rest(self) -> None:
        """Nothing has happened for a while: what is free goes back to the system."""
        self._arena.trim()

    def close(self) -> None:
        """The controller is gone; results that arrived stay readable. Reader thread."""
        self._closed = True
        self._arena.close()
        for slab in list(self._foreign):
            self.abandon(slab)
        self._room.ring()
