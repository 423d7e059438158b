"""Large objects of a simulated cluster, in real memory: a page each, which says what it is.

What is free is overwritten at once, so whoever still reads it is seen. The client's end is here:
what it made and must get back once, and what it holds of results.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scattergather.model.ids import ObjectId, SlabId
from scattergather.store.store import Store
from scattergather.wire.memory.slabs import PAGE, create
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Brought, Missed
from scattergather.wire.messages.shared import Extent
from tests.simulation.clock import Clock

if TYPE_CHECKING:
    from tests.simulation.daemon import Service
    from tests.simulation.ledger import Ledger

LENGTH = 64
POISON = b"\xdd" * LENGTH
PAGES = 4096


def words(name: ObjectId) -> bytes:
    """What the object of this name holds."""
    return name * (LENGTH // len(name))


class CheckedStore(Store):
    """The real one: what it frees is overwritten, and must not be needed there any more."""

    def __init__(self, ledger: Ledger, bound: int | None) -> None:
        super().__init__(bound)
        self._ledger = ledger
        self.services: list[Service] = []

    def drop(self, names: Iterable[ObjectId]) -> None:
        names = list(names)
        gone = self._ledger.large.lent.keys() & names
        for service in self.services:
            for name in sorted(gone & service.needed() if gone else ()):
                self._ledger.check(False, f"{name!r} is dropped in {service.name}, and needed")
        super().drop(names)

    def _free(self, names: Iterable[ObjectId]) -> None:
        names = list(names)
        for name in names:
            for arena in self._arenas:
                if found := arena._extents.get(name):
                    os.pwrite(found[0].fd, POISON, found[1])
        super()._free(names)


class Slab:
    """Memory of one process, whose pages it gives to objects one after the other."""

    def __init__(self, number: int) -> None:
        self.id: SlabId = b"%016d" % number
        self.size = PAGES * PAGE
        slab = create(self.size)
        self.fd = os.dup(slab.fileno())
        self._next = 0
        self._offsets: dict[ObjectId, int] = {}

    def put(self, name: ObjectId) -> Extent:
        offset = self._offsets[name] = self._next
        self._next += PAGE
        os.pwrite(self.fd, words(name), offset)
        return Extent(object=name, length=LENGTH, slab=self.id, offset=offset)

    def spoil(self, name: ObjectId) -> None:
        """It is free."""
        os.pwrite(self.fd, POISON, self._offsets.pop(name))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    __del__ = close


class Memory:
    """All memory of a world, and what of it the client has."""

    def __init__(self, ledger: Ledger, clock: Clock, chance: random.Random) -> None:
        self._ledger, self._clock, self._chance = ledger, clock, chance
        self._stores: list[CheckedStore] = []
        self._slabs: list[Slab] = []
        self._brought: dict[SlabId, int] = {}
        self._count = 0
        self._own: Slab | None = None
        self.lent: dict[ObjectId, Extent] = {}
        self.ever_lent: set[ObjectId] = set()
        self._makers: dict[ObjectId, bytes] = {}
        self._parts: dict[ObjectId, ObjectId] = {}
        self._kept: dict[ObjectId, Extent] = {}
        self.kept = self.brought_home = self.missed = 0
        self._held: Counter[ObjectId] = Counter()
        self.returned = self.results = 0
        self.ask: Callable[[messages.ToController, bytes], None] = lambda _message, _body: None

    def store(self, bound: int | None) -> CheckedStore:
        store = CheckedStore(self._ledger, bound)
        self._stores.append(store)
        return store

    def slab(self) -> Slab:
        """Memory for a process."""
        self._slabs.append(Slab(len(self._slabs)))
        return self._slabs[-1]

    def name(self) -> ObjectId:
        self._count += 1
        return b"%016d" % self._count

    def made(self, name: ObjectId, task: bytes) -> None:
        """A task has made this: whatever it makes, when it runs again, stands for the same."""
        self._makers[name] = task

    def _same(self, one: ObjectId, other: bytes) -> bool:
        """What was made by the same task, or is all of that, has the same name for a reader."""
        one = self._parts.get(one, one)
        task = self._makers.get(one)
        return other == one or (task is not None and task == self._makers.get(other))

    def check(self, fd: int | None, extent: Extent, who: str) -> None:
        """Whoever has this descriptor reads what he should."""
        found = b"nothing" if fd is None else os.pread(fd, LENGTH, extent.offset)
        name = found[: len(extent.object)]
        right = found == words(name) and self._same(extent.object, name)
        self._ledger.check(right, f"{who} reads {found[:16]!r} as {extent.object!r}")

    # ---- the client -----------------------------------------------------------------------------

    def lend(self) -> Extent:
        """A new object of the client."""
        if self._own is None:
            self._own = self.slab()
            self.ask(messages.Slab(slab=self._own.id, size=self._own.size), b"")
        extent = self._own.put(self.name())
        self.lent[extent.object] = extent
        self.ever_lent.add(extent.object)
        self._held[extent.object] = 1
        return extent

    def descriptor(self) -> int:
        """That of the client's slab, as it comes with its message."""
        assert self._own is not None
        return os.dup(self._own.fd)

    def release(self, names: Iterable[ObjectId], delay: float) -> None:
        """The client lets go of these after a while."""
        self._clock.callLater(delay, self._release, tuple(names))

    def _release(self, names: tuple[ObjectId, ...]) -> None:
        self._held.subtract(names)
        self.ask(messages.Release(objects=names), b"")

    def bring(self, slab: SlabId, fd: int, size: int) -> None:
        self._brought[slab] = os.dup(fd)

    def gone(self, slab: SlabId) -> None:
        os.close(self._brought.pop(slab))

    def came(self, extents: Iterable[Extent]) -> None:
        """These are parts of a result."""
        for extent in extents:
            self._held[extent.object] += 1
            if extent.object in self.lent:
                self.returned += 1
                assert self._own is not None
                self.check(self._own.fd, extent, "the client")
            else:
                self.results += 1
                self.check(self._brought.get(extent.slab), extent, "the client")
            self._clock.callLater(self._chance.choice((0, 0.1, 3.0)), self._done, extent)

    def stayed(self, extents: Iterable[Extent]) -> None:
        """These stayed where they were made: a later job takes them, or nobody for long."""
        for extent in extents:
            self.kept += 1
            self._held[extent.object] += 1
            self._kept[extent.object] = extent
            seconds = self._chance.choice((0.1, 3.0, 20.0))
            self._clock.callLater(seconds, self._expire, extent.object)

    def _expire(self, name: ObjectId) -> None:
        if self._kept.pop(name, None) is not None:
            self._release((name,))

    def take_kept(self, count: int) -> list[Extent]:
        """So many at most of what stayed: whoever takes them lets them go."""
        names = self._chance.sample(list(self._kept), min(count, len(self._kept)))
        return [self._kept.pop(name) for name in names]

    def part_of_kept(self) -> ObjectId | None:
        """A name for all of something that stayed, which the client holds as well."""
        if not self._kept:
            return None
        extent = self._chance.choice(list(self._kept.values()))
        part = self.name()
        self._parts[part] = extent.object
        self._held[part] = 1
        excerpt = messages.Excerpt(object=part, of=extent.object, offset=0, length=extent.length)
        self.ask(excerpt, b"")
        return part

    def brought(self, part: ObjectId, value: object) -> None:
        """What was to be brought is here, or is not to be had."""
        self._release((part,))
        if isinstance(value, Brought):
            self.brought_home += 1
            self._held[part] += 1
            self.check(self._brought.get(value.extent.slab), value.extent, "the client")
            self._clock.callLater(self._chance.choice((0, 0.1, 3.0)), self._done, value.extent)
        else:
            self.missed += 1
            self._ledger.check(isinstance(value, Missed), f"{part!r}: {value}")

    def _done(self, extent: Extent) -> None:
        own = self._own.fd if self._own is not None and extent.object in self.lent else None
        self.check(own or self._brought.get(extent.slab), extent, "the client")
        self._release((extent.object,))

    def freed(self, names: Iterable[ObjectId]) -> None:
        """The controller says that nobody reads these any more."""
        for name in names:
            self._ledger.note("freed", name)
            known = self.lent.pop(name, None)
            self._ledger.check(known is not None, f"{name!r} is freed twice, or never was")
            self._ledger.check(not self._held[name], f"{name!r} is freed, and the client has it")
            if known is not None and self._own is not None:
                self._own.spoil(name)

    @property
    def lends(self) -> set[SlabId]:
        """The client's memory, of which others have descriptors."""
        return set() if self._own is None else {self._own.id}

    @property
    def at_rest(self) -> bool:
        """The client has back what it lent, and holds nothing else."""
        return not self.lent and not any(self._held.values())

    def left(self) -> str:
        return f"; not freed: {sorted(self.lent)[:4]}, held: {+self._held}"

    def close(self) -> None:
        """Close every descriptor there is."""
        for store in self._stores:
            store.close()
        for slab in self._slabs:
            slab.close()
        for fd in self._brought.values():
            os.close(fd)
        self._stores.clear()
        self._slabs.clear()
        self._brought.clear()

    __del__ = close
