"""The client's large objects: who still needs them, which hosts have a copy, when they are free.

An object is needed while the client holds it and while an unfinished task takes it. Hosts ask for
what a chunk takes and they lack (``Want``), so each has one copy at most, and may throw away what
it does not need just now. When nobody needs an object any more, every host that may have it is told
(``Drop``) and says when no worker maps it (``Dropped``); then its memory is the client's again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scattergather.controller.roster import Entry, Roster
from scattergather.store.store import Store
from scattergather.wire import messages
from scattergather.wire.messages import Extent, ObjectId, SlabId


@dataclass(slots=True)
class _Lent:
    """An object of the client. ``uses`` counts the runs of unfinished tasks that take it.

    ``held`` counts how often the client got it, and has not released it: when it made it, and with
    each result that it is a part of. ``waiting`` are the hosts that were told to drop it and have
    not answered.
    """

    extent: Extent
    held: int = 1
    uses: int = 0
    waiting: set[str] = field(default_factory=set)


class Objects:
    """See the module. Reactor thread only.

    Args:
        store: where everything large lies.
        roster: the hosts.
        send: passes a message to the client.
        bring: passes a slab to the client: its id, descriptor and size.
    """

    def __init__(
        self,
        store: Store,
        roster: Roster,
        send: Callable[[messages.ToClient, bytes], None],
        bring: Callable[[SlabId, int, int], None],
    ) -> None:
        self.store = store
        self._roster = roster
        self._send = send
        self._bring = bring
        self._lent: dict[ObjectId, _Lent] = {}
        self._brought: set[SlabId] = set()
        store.slab_gone.append(self._slab_gone)

    # ---- arguments ------------------------------------------------------------------------------

    def take(self, extents: Iterable[Extent]) -> int:
        """A run of tasks takes these; returns how many bytes are new here."""
        fresh = 0
        for extent in extents:
            lent = self._lent.get(extent.object)
            if lent is None:
                lent = self._lent[extent.object] = _Lent(extent)
                self.store.learn([extent])
                fresh += extent.length
            lent.uses += 1
        return fresh

    def done(self, extents: Iterable[Extent]) -> None:
        """All tasks of a run that takes these have their outcomes."""
        free = []
        for extent in extents:
            lent = self._lent.get(extent.object)
            if lent is not None:
                lent.uses -= 1
                if not lent.uses and not lent.held:
                    free.append(extent.object)
        self._drop(free)

    def release(self, names: Iterable[ObjectId]) -> None:
        """The client needs these no more: its own, or results that it has done with."""
        free, freed, results = [], [], []
        for name in names:
            lent = self._lent.get(name)
            if lent is not None:
                lent.held -= 1
                if not (lent.uses or lent.held):
                    free.append(name)
            elif self.store.length(name) is not None:
                results.append(name)
            else:  # no task ever took it
                freed.append(name)
        self.store.drop(results)
        if freed:
            self._send(messages.Freed(objects=tuple(freed)), b"")
        self._drop(free)

    def want(self, entry: Entry, names: tuple[ObjectId, ...]) -> None:
        """A host lacks these for a chunk."""
        known = tuple(name for name in names if name in self._lent)
        # One that is wanted again did not arrive: it counts already.
        new = [name for name in known if name not in entry.objects]
        entry.objects.update(new)
        entry.held += sum(self._lent[name].extent.length for name in new)
        if entry.host is not None and known:
            entry.host.ship(known)

    def _drop(self, names: list[ObjectId]) -> None:
        if not names:
            return
        asked: list[tuple[Entry, tuple[ObjectId, ...]]] = []
        for entry in self._roster.up():
            # Workers of this machine see what lies here without asking.
            theirs = tuple(name for name in names if not entry.spec.furl or name in entry.objects)
            if theirs:
                asked.append((entry, theirs))
            for name in theirs:
                self._lent[name].waiting.add(entry.spec.name)
        # Only now: a pool in this process answers at once.
        for entry, theirs in asked:
            if entry.host is not None:
                entry.host.withdraw(theirs)
            self._roster.send(entry, messages.Drop(objects=theirs))
        self._free(names)

    def dropped(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """A host does not have these any more, because it was told to or for want of room."""
        for name in names:
            lent = self._lent.get(name)
            if name in entry.objects:
                entry.objects.discard(name)
                entry.held -= lent.extent.length if lent is not None else 0
            if lent is not None:
                lent.waiting.discard(entry.spec.name)
        self._free(names)

    def left(self, entry: Entry) -> None:
        """A host is gone, with its copies."""
        waiting = [n for n, lent in self._lent.items() if entry.spec.name in lent.waiting]
        self.dropped(entry, sorted({*waiting, *entry.objects}))

    def _free(self, names: Iterable[ObjectId]) -> None:
        """Those of them that nobody needs or reads are free."""
        freed = []
        for name in names:
            lent = self._lent.get(name)
            if lent is not None and not (lent.held or lent.uses or lent.waiting):
                del self._lent[name]
                freed.append(name)
        if freed:
            self.store.drop(freed)
            self._send(messages.Freed(objects=tuple(freed)), b"")

    def give_back(self, extents: Iterable[Extent]) -> tuple[Extent, ...]:
        """A task returned these of its arguments as they came; the client gets them once more.

        The task still counts as unfinished.
        """
        lent = [self._lent[extent.object] for extent in extents]
        for each in lent:
            each.held += 1
        return tuple(each.extent for each in lent)

    # ---- results --------------------------------------------------------------------------------

    def show(self, extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
        """The same, where they lie on this host, whose slabs the client has."""
        here = self.store.here(extents)
        for slab in dict.fromkeys(extent.slab for extent in here):
            found = self.store.descriptor(slab)
            if found is not None and slab not in self._brought:
                self._brought.add(slab)
                self._bring(slab, *found)
        return here

    def _slab_gone(self, slab: SlabId) -> None:
        if slab in self._brought:
            self._brought.discard(slab)
            self._send(messages.SlabGone(slab=slab), b"")
