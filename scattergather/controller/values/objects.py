"""Large objects that tasks take: who still needs them, which hosts have a copy, when they are free.

An object is needed while the client holds it and while an unfinished task takes it. Hosts ask for
what a chunk takes and they lack (``Want``), so each has one copy at most, and may throw away what
it does not need just now. When nobody needs an object any more, every host that may have it is told
(``Drop``) and says when no worker maps it (``Dropped``); then its memory is the client's again.

Workers make such objects, too: what a nested call takes, and what it returns. Those are needed
while a worker holds them that was given them, lie where they were made, and are fetched from there
(``Want``, the other way) when another host wants them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scattergather.controller.roster import Entry, Roster
from scattergather.model.ids import ObjectId, SlabId
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec, RemoteSpec
from scattergather.wire.messages.shared import Extent


@dataclass(slots=True)
class _LargeObject:
    """An object of the client, or of a worker of ``maker``.

    ``uses`` counts the runs of unfinished tasks that take it. ``held`` counts how often the client
    got it, and has not released it: when it made it, and with each result that it is a part of;
    ``given`` how often workers of each host did. ``waiting`` are the hosts that were told to drop
    it and have not answered.
    """

    extent: Extent
    maker: Entry | None = None
    held: int = 0
    uses: int = 0
    given: Counter[str] = field(default_factory=Counter)
    waiting: set[str] = field(default_factory=set)

    @property
    def needed(self) -> bool:
        return bool(self.held or self.uses or self.given)


class ObjectLedger:
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
        self.give_up: Callable[[Iterable[ObjectId]], None] = store.drop
        """Drops results that the client has done with."""
        self._roster = roster
        self._send = send
        self._bring = bring
        self._lent: dict[ObjectId, _LargeObject] = {}
        self._fetching: dict[ObjectId, tuple[Entry, set[str]]] = {}
        self._brought: set[SlabId] = set()
        store.slab_gone.append(self._slab_gone)

    # ---- arguments ------------------------------------------------------------------------------

    def take(self, extents: Iterable[Extent]) -> int:
        """A run of tasks takes these; returns how many bytes are new here."""
        fresh = 0
        for extent in extents:
            lent = self._lent.get(extent.object)
            if lent is None:
                lent = self._lent[extent.object] = _LargeObject(extent, held=1)
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
                if not lent.needed:
                    free.append(extent.object)
        self._drop(free)

    def release(self, names: Iterable[ObjectId]) -> None:
        """The client needs these no more: its own, or results that it has done with."""
        free, freed, results = [], [], []
        for name in names:
            lent = self._lent.get(name)
            if lent is not None:
                lent.held -= 1
                if not lent.needed:
                    free.append(name)
            elif self.store.length(name) is not None:
                results.append(name)
            else:  # no task ever took it
                freed.append(name)
        if results:
            self.give_up(results)
        if freed:
            self._send(messages.Freed(objects=tuple(freed)), b"")
        self._drop(free)

    def want(self, entry: Entry, names: tuple[ObjectId, ...]) -> None:
        """A host lacks these for a chunk.

        It may ask for what it was about to be told to drop: then it is told so now.
        """
        lent = {name: self._lent[name] for name in names if name in self._lent}
        known = tuple(name for name, each in lent.items() if each.needed)
        # One that is wanted again did not arrive: it counts already.
        new = [name for name in known if name not in entry.objects]
        entry.objects.update(new)
        entry.held += sum(lent[name].extent.length for name in new)
        here = tuple(name for name in known if self.store.length(name) is not None)
        if entry.host is not None and here:
            entry.host.ship(here)
        for name in known:
            if name not in here:
                self._fetch(name, entry)
        dropped = tuple(name for name in lent if name not in known)
        if dropped:
            self._roster.send(entry, messages.Drop(objects=dropped))
        for name in names:
            if name not in lent and self.store.length(name) is None:
                _ship(name, entry)

    def _drop(self, names: list[ObjectId]) -> None:
        if not names:
            return
        asked: list[tuple[Entry, tuple[ObjectId, ...]]] = []
        for entry in self._roster.up():
            # Workers of this machine see what lies here without asking.
            here = isinstance(entry.spec, EmbeddedSpec)
            theirs = tuple(name for name in names if here or name in entry.objects)
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
        """A host is gone, with its copies and its workers.

        Of what they have made nobody else has need: the calls that they submitted are cancelled.
        """
        host = entry.spec.name
        fetching = [name for name, (maker, _) in self._fetching.items() if maker is entry]
        unfetched = {name: self._fetching.pop(name)[1] for name in fetching}
        waiting = [name for name, lent in self._lent.items() if host in lent.waiting]
        self.dropped(entry, sorted({*waiting, *entry.objects}))
        entry.held = 0
        # Behind that: other hosts were not asked yet for what only workers of this one held.
        given = [name for name, lent in self._lent.items() if lent.given.pop(host, 0)]
        self._drop([name for name in given if not self._lent[name].needed])
        for name, hosts in unfetched.items():
            for each in sorted(hosts):
                _ship(name, self._roster.entries[each])

    def _free(self, names: Iterable[ObjectId]) -> None:
        """Those of them that nobody needs or reads are free."""
        freed = []
        for name in names:
            lent = self._lent.get(name)
            if lent is not None and not (lent.needed or lent.waiting):
                del self._lent[name]
                self.store.drop([name])
                if lent.maker is None:
                    freed.append(name)
        if freed:
            self._send(messages.Freed(objects=tuple(freed)), b"")

    def give_back(self, extents: Iterable[Extent]) -> tuple[Extent, ...]:
        """A task returned these of its arguments as they came; the client gets them once more.

        The task still counts as unfinished.
        """
        lent = [self._lent[extent.object] for extent in extents]
        for each in lent:
            each.held += 1
        return tuple(each.extent for each in lent)

    # ---- what nested calls take and return ------------------------------------------------------

    def lend(self, entry: Entry, extents: Iterable[Extent]) -> None:
        """Workers of this host have made these for others, and they lie there."""
        for extent in extents:
            if extent.object in self._lent:  # no host of ours does that
                continue
            self._lent[extent.object] = _LargeObject(extent, maker=entry)
            if isinstance(entry.spec, RemoteSpec):
                entry.objects.add(extent.object)
                entry.held += extent.length

    def knows(self, extents: Iterable[Extent]) -> bool:
        """Somebody needs each of these, so that it is there."""
        found = [self._lent.get(extent.object) for extent in extents]
        return all(lent is not None and lent.needed for lent in found)

    def give(self, entry: Entry, maker: Entry, message: messages.Outcomes) -> tuple[Extent, ...]:
        """A worker of this host gets the large parts of an outcome of ``maker``."""
        self.lend(maker, message.lent)
        for extent in message.objects:  # these have come here already
            self._lent.setdefault(extent.object, _LargeObject(extent, maker=maker))
        given = (*message.objects, *message.lent, *message.borrowed)
        for extent in given:
            self._lent[extent.object].given[entry.spec.name] += 1
        return given

    def given_back(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """A worker of this host needs these no more, once for each time that it got one."""
        free = []
        for name in names:
            lent = self._lent.get(name)
            if lent is not None and lent.given[entry.spec.name]:
                lent.given[entry.spec.name] -= 1
                lent.given = +lent.given
                if not lent.needed:
                    free.append(name)
        self._drop(free)

    def discard(self, entry: Entry, made: Iterable[Extent], lent: Iterable[Extent]) -> None:
        """Nobody will hear of these, which workers of this host have made."""
        self.store.drop(extent.object for extent in made)
        lent = tuple(lent)
        self.lend(entry, lent)
        self._drop([extent.object for extent in lent])

    def _fetch(self, name: ObjectId, entry: Entry) -> None:
        """A host wants what lies on another."""
        maker = self._lent[name].maker
        if maker is not None and maker.up:
            if name not in self._fetching:
                self._fetching[name] = maker, set()
                self._roster.send(maker, messages.Want(objects=(name,)))
            self._fetching[name][1].add(entry.spec.name)
        else:
            _ship(name, entry)

    def fetched(self, names: Iterable[ObjectId]) -> tuple[ObjectId, ...]:
        """These have come from a host, or never will; returns what is none of ours."""
        others = []
        for name in names:
            fetch = self._fetching.pop(name, None)
            if fetch is None:
                others.append(name)
            elif name in self._lent:
                for host in sorted(fetch[1]):
                    _ship(name, self._roster.entries[host])
            else:
                self.store.drop([name])
        return tuple(others)

    # ---- results --------------------------------------------------------------------------------

    def deliver(self, made: tuple[Extent, ...], borrowed: tuple[Extent, ...]) -> tuple[Extent, ...]:
        """The large parts of a result, as the client knows them, which holds them from now on."""
        return (self.show(made) if made else ()) + self.give_back(borrowed)

    def show(self, extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
        """The same, where they lie on this host, whose slabs the client has."""
        here = self.store.here(extents)
        for slab in dict.fromkeys(extent.slab for extent in here):
            found = self.store.descriptor(slab)
            if found is not None and slab not in self._brought:
                self._bring(slab, *found)
                self._brought.add(slab)
        return here

    def _slab_gone(self, slab: SlabId) -> None:
        if slab in self._brought:
            self._brought.discard(slab)
            self._send(messages.SlabGone(slab=slab), b"")


def _ship(name: ObjectId, entry: Entry) -> None:
    """Bring this to a host, which is told that it is gone if it is not here: so its wait ends."""
    if entry.up and entry.host is not None:
        entry.host.ship((name,))
