"""Large objects of a pool: what its sessions hold here, and which slabs its workers see.

The store knows where they lie, the pool decides what may go; nobody here looks at a byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from scattergather.model.ids import ObjectId, SlabId
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.daemon.machine import WorkerSeam

Taking = messages.Run | messages.Everywhere | messages.NestedOutcome
"""What takes large objects, to a worker."""


MOST_SLABS = 1 << 12
"""Of one worker: each is a descriptor of ours."""


class Holdings:
    """The objects of one session that lie here. Reactor thread only.

    Implements ``link.seams.ObjectStore`` for its block stream. Whatever name a controller says, it
    finds, drops and replaces nothing that another session of the pool has in the same store.

    Args:
        store: where they lie.
        shared: it is the controller's, which knows and drops them itself.
    """

    def __init__(self, store: Store, *, shared: bool = False) -> None:
        self._store = store
        self._shared = shared
        self._here: set[ObjectId] = set()
        self._lent: set[ObjectId] = set()
        """Those objects of ``_here`` that workers take from each other."""
        self._arriving: set[ObjectId] = set()

    def lacks(self, extents: tuple[Extent, ...]) -> tuple[frozenset[ObjectId], str]:
        """Which of these objects are not here; and a sentence, if they can never all be here."""
        missing = self._store.missing(extents)
        if not self._shared:
            missing |= {extent.object for extent in extents if extent.object not in self._here}
        if missing:
            self._store.expect(extents)
        return missing, self._store.unfit(extents) if missing else ""

    def came(self, names: Iterable[ObjectId]) -> None:
        """These objects have come from the controller."""
        if not self._shared:
            self._here.update(names)

    def made(self, extents: tuple[Extent, ...], lent: tuple[Extent, ...]) -> None:
        """A worker has made these objects, and those that it lends to other workers."""
        if self._shared:
            return
        self._here.update(each.object for each in (*extents, *lent))
        self._lent.update(each.object for each in lent)

    def excerpt(self, message: messages.Excerpt) -> bool:
        """A part of an object of this session is an object, too; returns whether it is here.

        What is not, or is no part of it, is heard of when it is wanted.
        """
        if message.of in self._here:
            with suppress(LookupError, ValueError):
                self._store.excerpt(message.object, message.of, message.offset, message.length)
                self._here.add(message.object)
                self._lent.add(message.object)
        return not self._store.missing((Extent(object=message.object, length=0),))

    def shipped(self, names: Iterable[ObjectId]) -> None:
        """The controller has these results now: all but what workers lend is dropped here."""
        self.drop(name for name in names if name not in self._lent)

    def drop(self, names: Iterable[ObjectId]) -> None:
        """Nobody reads these objects any more: they are dropped here."""
        names = tuple(name for name in names if self._shared or name in self._here)
        self._here.difference_update(names)
        self._lent.difference_update(names)
        self._store.drop(names)

    def close(self) -> None:
        """The session is over: nobody reads any of its objects here."""
        self.drop(tuple(self._here))

    # ---- link.seams.ObjectStore ----

    def length(self, name: ObjectId) -> int | None:
        """How many bytes an object of this session has; None when it is not here."""
        return self._store.length(name) if name in self._here else None

    def read(self, name: ObjectId, offset: int, count: int) -> bytes:
        """At most ``count`` bytes of one of this session. Raises LookupError when it is gone."""
        if name not in self._here:
            raise LookupError("it is not here")
        return self._store.read(name, offset, count)

    def reserve(self, name: ObjectId, length: int) -> bool:
        """Make room for one that arrives; False: there is none now, or another session has it."""
        if name in self._arriving:  # on another way: it is here when that has come, or free
            return False
        others = name not in self._here and self._store.knows(name)
        if others or not self._store.reserve(name, length):
            return False
        self._arriving.add(name)
        return True

    def write(self, name: ObjectId, offset: int, data: bytes | memoryview) -> None:
        """Keep some bytes of one that arrives. Raises OSError if that cannot be."""
        self._store.write(name, offset, data)

    def stored(self, name: ObjectId) -> None:
        """One has arrived."""
        self._store.stored(name)
        self._arriving.discard(name)
        self.came([name])

    def discard(self, name: ObjectId) -> None:
        """What has arrived of one is worth nothing."""
        if name in self._arriving or name in self._here:
            self._arriving.discard(name)
            self._here.discard(name)
            self._store.discard(name)


class Slabs:
    """What the workers of a pool are told of slabs, and tell. Reactor thread only.

    Args:
        store: where the objects are.
        everyone: the workers of the pool.
        memory: bytes that large results may take in all; 0 keeps them in messages.
        workers: among how many it is divided.
    """

    def __init__(
        self, store: Store, everyone: Callable[[], Iterable[WorkerSeam]], memory: int, workers: int
    ) -> None:
        self._store = store
        self._workers = everyone
        self._most, self._among = memory, workers
        store.slab_gone.append(self._gone)

    def divide(self, workers: int) -> None:
        """The room for results is divided among so many workers from now on."""
        self._among = workers
        if self._most:
            allowance = self._allowance()
            for worker in self._workers():
                worker.tell(allowance)

    def _allowance(self) -> messages.Allowance:
        """What each worker may take: what dead ones have left, and is needed, counts for all."""
        left = max(0, self._most - self._store.orphaned())
        disk = self._store.disk_bound
        if disk is not None:
            disk = max(0, disk - self._store.orphaned(on_disk=True)) // self._among
        return messages.Allowance(size=left // self._among, most=self._most, disk=disk)

    def close(self) -> None:
        """There are no workers any more."""
        self._store.slab_gone.remove(self._gone)

    def show(self, worker: WorkerSeam, message: Taking) -> Taking:
        """The worker has the slabs of what it is about to take; the message says where it lies."""
        if not message.objects:
            return message
        here = self._store.here(message.objects)
        for slab in dict.fromkeys(extent.slab for extent in here):
            found = self._store.descriptor(slab)
            if found is not None:
                worker.introduce(slab, *found)
        return msgspec.structs.replace(message, objects=here)

    def said(
        self, worker: WorkerSeam, message: messages.FromWorker, holdings: Holdings | None
    ) -> None:
        """What a message brings is known here; ``holdings`` are those of the worker's session.

        Raises:
            ValueError: it is not the worker's to bring.
            LookupError: a slab came without its descriptor.
        """
        match message:
            case messages.Outcomes():
                if message.objects or message.lent:
                    self._learn(worker, message.objects, message.lent, holdings)
            case messages.EverywhereDone() if message.objects:
                self._learn(worker, message.objects, (), holdings)
            case messages.NestedSubmit() if message.lent:
                self._learn(worker, (), message.lent, holdings)
            case messages.Born() if self._most:
                worker.tell(self._allowance())
            case messages.Slab():
                fd = worker.take_descriptor()
                if len(worker.slabs) >= MOST_SLABS:
                    os.close(fd)
                    raise ValueError(f"more than {MOST_SLABS:,} slabs of one worker")
                if self._store.adopt(
                    message.slab, message.size, fd, worker.recycle, on_disk=message.on_disk
                ):
                    worker.slabs.add(message.slab)
            case messages.SlabGone() if message.slab in worker.slabs:
                worker.slabs.discard(message.slab)
                self._store.abandon(message.slab)
            case _:
                pass

    def _learn(
        self,
        worker: WorkerSeam,
        made: tuple[Extent, ...],
        lent: tuple[Extent, ...],
        holdings: Holdings | None,
    ) -> None:
        """What a worker has made lies in slabs of its own, and has a name that nobody has used."""
        for extent in (*made, *lent):
            if extent.slab not in worker.slabs or self._store.length(extent.object) is not None:
                raise ValueError("a large part of what it made is not its own")
        self._store.learn((*made, *lent))
        if holdings is not None:
            holdings.made(made, lent)

    def died(self, worker: WorkerSeam) -> None:
        """A worker is dead, so nobody writes into its slabs any more."""
        for slab in worker.slabs:
            self._store.abandon(slab)

    def _gone(self, slab: SlabId) -> None:
        for worker in self._workers():
            worker.part_with(slab)
