"""Large objects that tasks take: who needs them, which hosts have a copy, when they are free.

An object is needed while the client holds it and while an unfinished task takes it. Hosts ask for
what a chunk takes and they lack (``Want``), so each has one copy at most, and may drop what it does
not need just now. When nobody needs an object any more, every host that may have it is told
(``Drop``) and says when no worker maps it (``Dropped``); then its memory is the client's again.

Workers make such objects, too: what a nested call takes, and what it returns. Those are needed
while a worker holds them, lie where they were made, and go from there to the hosts that want them,
past the controller where these reach each other (``crossings``), else by way of it (``fetches``).

What a job keeps lies where it was made, too, and is needed while the client holds it. A range of it
is an object of its own (``Excerpt``), which needs that of which it is a part. To read it the client
has such a range brought here, of all of it perhaps.

Other results of tasks are not counted here: the client holds each of them once, and they
are dropped when it releases them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scattergather.controller.jobs.lineage import Cut, Lineage, Recipe
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.crossings import Crossings, has_streams
from scattergather.controller.values.fetches import Fetches, ship
from scattergather.controller.values.shown import ShownSlabs
from scattergather.controller.values.spreading import SPREAD_BYTES, Spreading
from scattergather.model.ids import ObjectId
from scattergather.model.outcome import LossKind
from scattergather.reactor.seam import Clock
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Brought, EmbeddedSpec, Missed, RemoteSpec
from scattergather.wire.messages.shared import Extent, Loss

MOST_OF_ONE_HOST = 1 << 21
"""Objects that lie on one host, or are under way to it: of 64 KiB at least, if it means well."""


@dataclass(slots=True)
class _LargeObject:
    """An object of the client, or of a worker of ``maker``.

    Who holds it, each as often as is counted: ``tasks`` that are unfinished, by runs of them; the
    ``client``, which got it when it made it, and with each result that it is a part of; ``workers``
    of each host; excerpts of it, ``parts``. ``asked`` are the hosts that were told to drop it and
    have not answered. An excerpt is a part ``of`` another, at ``offset``. ``lost`` is the host that
    has taken it with it, or empty; where it cannot be made again, ``dead`` says why. So many
    ``recipes`` of what is ``kept`` take it.
    """

    extent: Extent
    maker: Entry | None = None
    client: int = 0
    tasks: int = 0
    workers: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    recipes: int = 0
    kept: bool = False
    dead: str = ""
    of: ObjectId = b""
    offset: int = 0
    parts: int = 0
    lost: str = ""

    @property
    def needed(self) -> bool:
        return bool(self.client or self.tasks or self.workers or self.parts or self.recipes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatistics:
    """How many objects are ``known``, and how many of them are being fetched for another host."""

    known: int
    fetching: int


class ObjectLedger:
    """Counts who holds what, and says when it is free. Reactor thread only.

    Args:
        drop_results: drops results that the client has released.
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        roster: Roster,
        shown: ShownSlabs,
        send: Callable[[messages.ToClient, bytes], None],
        drop_results: Callable[[Iterable[ObjectId]], None],
    ) -> None:
        self._store = store
        self._roster = roster
        self._shown = shown
        self._send = send
        self._drop_results = drop_results
        self._objects: dict[ObjectId, _LargeObject] = {}
        self._fetches = Fetches(roster, self._expect)
        self._nobody = Entry(EmbeddedSpec(name=""))
        """Where lies what was freed, and is needed again."""
        self.lineage = Lineage()
        self.remake: Callable[[ObjectId], None] = lambda _: None
        """Makes again what is lost; answers by :meth:`made_again` or :meth:`give_up`."""
        self.dead: set[ObjectId] = set()
        """What is lost for good, and still needed."""
        self._awaiting: dict[ObjectId, dict[str, None]] = {}
        """The hosts that wait for what is made again."""
        self._readers: dict[ObjectId, list[int]] = {}
        """The calls of the client that wait until it can read an object."""
        self.crossings = Crossings(
            clock,
            roster,
            self._reroute,
            lambda sentence: send(messages.Notice(text=sentence), b""),
            lambda name, entry: self._spreading.came(name, entry),
        )
        self._spreading = Spreading(clock, roster, self.crossings, ship)

    def statistics(self) -> LedgerStatistics:
        """How many objects there are."""
        return LedgerStatistics(known=len(self._objects), fetching=len(self._fetches))

    def needs(self, extents: Iterable[Extent]) -> bool:
        """Somebody needs each of these, so that it is there."""
        found = [self._objects.get(extent.object) for extent in extents]
        return all(each is not None and each.needed for each in found)

    def are_new(self, extents: Iterable[Extent]) -> bool:
        """None of these has the name of an object that is known, or of another of them."""
        names = [extent.object for extent in extents]
        return len(set(names)) == len(names) and not any(name in self._objects for name in names)

    # ---- tasks ----------------------------------------------------------------------------------

    def hold_for_tasks(self, extents: Iterable[Extent]) -> int:
        """A run of tasks takes these; returns how many bytes are new here.

        Raises:
            ValueError: one does not lie within its slab; those before it are held.
        """
        fresh = 0
        for extent in extents:
            known = self._objects.get(extent.object)
            if known is None:
                self._store.learn([extent])
                known = self._objects[extent.object] = _LargeObject(extent, client=1)
                fresh += extent.length
            known.tasks += 1
        return fresh

    def release_from_tasks(self, extents: Iterable[Extent]) -> None:
        """All tasks of a run that takes these have their outcomes."""
        free = []
        for extent in extents:
            known = self._objects.get(extent.object)
            if known is not None:
                known.tasks -= 1
                if not known.needed:
                    free.append(extent.object)
        self._drop(free)

    # ---- the client -----------------------------------------------------------------------------

    def hold_for_client(
        self, made: tuple[Extent, ...], borrowed: tuple[Extent, ...]
    ) -> tuple[Extent, ...]:
        """The client gets a result; returns its large parts, where the client finds them.

        Tasks have ``made`` some of them, and returned others as they had ``borrowed`` them: the
        client holds those once more. Somebody needs them, as their task counts as unfinished.
        """
        objects = [self._objects[extent.object] for extent in borrowed]
        for each in objects:
            each.client += 1
        shown = self._shown.show(made) if made else ()
        return shown + tuple(each.extent for each in objects)

    def hold_kept(
        self, entry: Entry, lent: tuple[Extent, ...], recipe: Recipe | None
    ) -> tuple[Extent, ...]:
        """The client gets a result that stays on this host, and is made as in ``recipe``."""
        self.register(entry, lent)
        for extent in lent:
            known = self._objects[extent.object]
            known.kept, known.client = True, known.client + 1
            if recipe is not None:
                self._note(extent.object, recipe)
        return lent

    def own(self, extents: Iterable[Extent]) -> tuple[ObjectId, ...]:
        """Those of these that the client has lent."""
        return tuple(
            extent.object
            for extent in extents
            if (known := self._objects.get(extent.object)) is not None and known.maker is None
        )

    def near(self, extents: Iterable[Extent]) -> str:
        """The host on which most bytes of these lie that were kept; empty if none were."""
        held: Counter[str] = Counter()
        for extent in extents:
            known = self._objects.get(extent.object)
            if known is not None and known.kept and known.maker is not None and not known.lost:
                held[known.maker.spec.name] += known.extent.length
        return held.most_common(1)[0][0] if held else ""

    # ---- what is lost, and made again -----------------------------------------------------------

    def _note(self, name: ObjectId, recipe: Recipe | Cut) -> None:
        if isinstance(recipe, Recipe):
            for own in recipe.own:
                self._objects[own].recipes += 1
        self._let_go(self.lineage.enter(name, recipe))

    def _let_go(self, names: Iterable[ObjectId]) -> None:
        """Recipes take these no more."""
        free = []
        for name in names:
            known = self._objects.get(name)
            if known is not None:
                known.recipes -= 1
                if not known.needed:
                    free.append(name)
        self._drop(free)

    def press(self, size: int) -> None:
        """The client lacks so many bytes of room."""
        self._let_go(self.lineage.press(size))

    def is_there(self, name: ObjectId) -> bool:
        """An object can be taken as it is."""
        known = self._objects.get(name)
        return known is not None and not known.lost

    def is_going(self, name: ObjectId) -> bool:
        """A host was told to drop it, and has not answered."""
        known = self._objects.get(name)
        return known is not None and bool(known.asked)

    def revive(self, name: ObjectId) -> None:
        """What was freed is known again, as lost; and so is that of which it is a part."""
        if name in self._objects:
            return
        extent = Extent(object=name, length=0)
        known = _LargeObject(extent, maker=self._nobody, lost="a host", kept=True)
        self._objects[name] = known
        if isinstance(cut := self.lineage.find(name), Cut):
            known.of, known.offset = cut.of, cut.offset
            known.extent = Extent(object=name, length=cut.length, file=cut.file)
            self.revive(cut.of)
            self._objects[cut.of].parts += 1

    def await_whole(self, name: ObjectId, of: ObjectId) -> None:
        """A part that is lost is there when that is there of which it is a part."""
        if self.is_there(of):
            self._recut(name, self._objects[of])
        else:
            self.remake(of)

    def made_again(self, name: ObjectId, host: str, made: Extent | bytes, recipe: Recipe) -> None:
        """What was lost is there again: as an object on this host, or small, as these bytes.

        It is made as in ``recipe`` if it is lost once more.
        """
        known = self._objects.get(name)
        if known is None or not known.lost:
            return
        before = self._objects.get(known.of)
        if isinstance(made, Extent):
            known.maker, known.of, known.offset = self._roster.entries[host], made.object, 0
            known.extent = Extent(object=name, length=made.length, file=made.file)
            self._objects[made.object].parts += 1
            self._place_part(name, known)
        else:
            known.of = b""
            known.extent = Extent(object=name, length=len(made))
            self._store.put(name, made)
        known.lost = ""
        if before is not None:
            self._release_part(before)
        self._note(name, recipe)
        self._found(name, known)

    def _place_part(self, name: ObjectId, known: _LargeObject) -> None:
        """An object is a part of another, and lies where that lies."""
        if known.of in self._objects and self._store.length(known.of) is not None:
            self._store.excerpt(name, known.of, known.offset, known.extent.length)
        elif known.maker is not None:
            known.maker.objects.setdefault(name, 0)
        if known.maker is not None:
            part = messages.Excerpt(
                object=name,
                of=known.of,
                offset=known.offset,
                length=known.extent.length,
                file=known.extent.file,
            )
            self._roster.send(known.maker, part)

    def _recut(self, name: ObjectId, whole: _LargeObject) -> None:
        """What is a part of something is there again, as that is."""
        known = self._objects[name]
        if known.offset + known.extent.length > whole.extent.length:
            self.give_up(name, "made again it is shorter")
            return
        known.maker, known.lost = whole.maker, ""
        self._place_part(name, known)
        self._found(name, known)

    def _found(self, name: ObjectId, known: _LargeObject) -> None:
        """Something is there again: whoever waits for it gets it, and so do parts of it."""
        for part, each in list(self._objects.items()):
            if each.of == name and each.lost:
                self._recut(part, known)
        waiting = [self._roster.entries.get(host) for host in self._awaiting.pop(name, ())]
        here = self._store.length(name) is not None
        for entry in waiting:
            if entry is None or entry is known.maker:
                continue  # it was told where it lies
            if here:
                ship(name, entry)
            else:
                self._fetches.fetch(name, known.maker, entry)
        if name in self._readers:
            self._read(name, known)

    def give_up(self, name: ObjectId, why: str) -> None:
        """What is lost cannot be made again: whoever waits for it hears why."""
        known = self._objects.get(name)
        if known is None or known.dead:
            return
        recipe = self.lineage.find(name)
        while isinstance(recipe, Cut):
            recipe = self.lineage.find(recipe.of)
        made = recipe.label if isinstance(recipe, Recipe) else "a task"
        known.dead = (
            f"{known.extent.length:,} bytes that {made} had made were kept on {known.lost}, which "
            f"is lost, and cannot be made again: {why}"
        )
        self.dead.add(name)
        if name in self._readers:
            self._miss(self._readers.pop(name), known.dead)
        for host in self._awaiting.pop(name, ()):
            if (entry := self._roster.entries.get(host)) is not None:
                ship(name, entry)
        for part, each in list(self._objects.items()):
            if each.of == name and each.lost and not each.dead:
                self.give_up(part, why)

    def why_dead(self, extents: Iterable[Extent]) -> str:
        """Why one of these is lost for good; empty if none is."""
        lost = (self._objects[each.object] for each in extents if each.object in self.dead)
        return next((each.dead for each in lost), "")

    def away(self, extents: Iterable[Extent]) -> tuple[ObjectId, ...]:
        """Those of these that lie where they were made, so that the client does not have them."""
        return tuple(
            extent.object
            for extent in extents
            if (known := self._objects.get(extent.object)) is not None and known.maker is not None
        )

    def excerpt(self, message: messages.Excerpt) -> None:
        """The client has named a part of what it holds, and holds that, too.

        Raises:
            ValueError: it is no part of it, or has the name of another.
        """
        whole = self._objects.get(message.of)
        if whole is None or whole.maker is None or message.object in self._objects:
            raise ValueError("a part of what is not kept, or by a name that is taken")
        if message.offset + message.length > whole.extent.length:
            raise ValueError(f"{message.length} bytes at {message.offset} of a shorter object")
        whole.parts += 1
        extent = Extent(object=message.object, length=message.length, file=message.file)
        self._objects[message.object] = _LargeObject(
            extent, maker=whole.maker, kept=True, client=1, of=message.of, offset=message.offset
        )
        self._note(
            message.object,
            Cut(of=message.of, offset=message.offset, length=message.length, file=message.file),
        )
        self._objects[message.object].lost = whole.lost
        if self._store.length(message.of) is not None:
            self._store.excerpt(message.object, message.of, message.offset, message.length)
        elif not whole.lost:
            whole.maker.objects[message.object] = 0
            self._roster.send(whole.maker, message)

    def bring(self, message: messages.Bring) -> None:
        """The client wants to read what it holds; it is answered when that is here."""
        name = message.object
        known = self._objects.get(name)
        if known is None:
            self._miss([message.call], "it was freed")
            return
        self._readers.setdefault(name, []).append(message.call)
        self._read(name, known)

    def _read(self, name: ObjectId, known: _LargeObject) -> None:
        """The client waits for this."""
        if self._store.length(name) is not None:
            self._here(name, known)
        elif known.dead or known.maker is None:
            self._miss(self._readers.pop(name), known.dead or "it is not there any more")
        elif known.lost:
            self.remake(name)
        else:
            self._fetches.bring(name, known.maker)

    def _here(self, name: ObjectId, known: _LargeObject) -> None:
        """What the client wants to read is here."""
        for call in self._readers.pop(name, ()):
            known.client += 1
            extent = self._shown.show((known.extent,))[0]
            self._send(messages.Answer(call=call, value=Brought(extent=extent)), b"")

    def _part_with(self, name: ObjectId, known: _LargeObject, entry: Entry) -> None:
        """What has come for the client to read needs nothing of the host that it came from."""
        whole = self._objects.get(known.of)
        known.of = b""
        entry.held -= entry.objects.pop(name, 0)
        self._roster.send(entry, messages.Drop(objects=(name,)))
        if whole is not None:
            self._release_part(whole)

    def _release_part(self, whole: _LargeObject) -> None:
        whole.parts -= 1
        if not whole.needed:
            self._drop([whole.extent.object])

    def _miss(self, calls: Iterable[int], reason: str) -> None:
        loss = Loss(kind=LossKind.REF_LOST, reason=reason)
        for call in calls:
            self._send(messages.Answer(call=call, value=Missed(loss=loss)), b"")

    def release_from_client(self, names: Iterable[ObjectId]) -> None:
        """The client needs these no more: its own, or results that it has done with."""
        free, freed, results = [], [], []
        for name in names:
            known = self._objects.get(name)
            if known is not None:
                known.client -= 1
                if not known.needed:
                    free.append(name)
            elif self._store.length(name) is not None:
                results.append(name)
            else:  # no task ever took it
                freed.append(name)
        if results:
            self._drop_results(results)
        if freed:
            self._send(messages.Freed(objects=tuple(freed)), b"")
        self._drop(free)

    # ---- workers --------------------------------------------------------------------------------

    def register(self, entry: Entry, extents: Iterable[Extent]) -> None:
        """Workers of this host have made these for others, and they lie there.

        Raises:
            ValueError: it has made more than anybody can keep track of.
        """
        if len(entry.objects) > MOST_OF_ONE_HOST:
            raise ValueError(f"more than {MOST_OF_ONE_HOST:,} large objects are there")
        for extent in extents:
            if extent.object in self._objects:  # no host of ours does that
                continue
            self._objects[extent.object] = _LargeObject(extent, maker=entry)
            if isinstance(entry.spec, RemoteSpec):
                entry.objects[extent.object] = extent.length
                entry.held += extent.length

    def hold_for_worker(
        self, entry: Entry, maker: Entry, message: messages.Outcomes
    ) -> tuple[Extent, ...]:
        """A worker of this host gets the outcome of a call that ``maker`` ran: its parts."""
        self.register(maker, message.lent)
        for extent in message.objects:  # these have come here already
            self._objects.setdefault(extent.object, _LargeObject(extent, maker=maker))
        parts = (*message.objects, *message.lent, *message.borrowed)
        for extent in parts:
            self._objects[extent.object].workers[entry.spec.name] += 1
        return parts

    def release_from_worker(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """A worker of this host needs these no more, once for each time that it got one."""
        free = []
        for name in names:
            known = self._objects.get(name)
            if known is not None and known.workers[entry.spec.name]:
                known.workers[entry.spec.name] -= 1
                known.workers = +known.workers
                if not known.needed:
                    free.append(name)
        self._drop(free)

    def drop_unheard(
        self, entry: Entry, made: Iterable[Extent], lent: Iterable[Extent] = ()
    ) -> None:
        """Nobody hears of these, which workers of this host have made.

        What has the name of an object that is known is not theirs to make, and stays as it is.
        """
        self._store.drop(each.object for each in made if each.object not in self._objects)
        lent = tuple(each for each in lent if each.object not in self._objects)
        self.register(entry, lent)
        self._drop([extent.object for extent in lent])

    # ---- hosts ----------------------------------------------------------------------------------

    def want(self, entry: Entry, names: tuple[ObjectId, ...]) -> None:
        """A host lacks these for a chunk.

        It may ask for what it was about to be told to drop: then it is told so now.
        """
        known = {name: self._objects[name] for name in names if name in self._objects}
        needed = tuple(name for name, each in known.items() if each.needed)
        # One that is wanted again did not arrive: it counts already.
        new = [name for name in needed if name not in entry.objects]
        sizes = {name: known[name].extent.length for name in new}
        entry.objects.update(sizes)
        entry.held += sum(sizes.values())
        here = tuple(name for name in needed if self._store.length(name) is not None)
        spread = {name for name in here if known[name].extent.length >= SPREAD_BYTES}
        if spread and not has_streams(entry):
            spread = set()
        for name in sorted(spread):  # so that it can be replayed
            self._spreading.want(known[name].extent, entry)
        if entry.host is not None and len(spread) < len(here):
            entry.host.ship(tuple(name for name in here if name not in spread))
        away = [known[name] for name in needed if name not in here]
        lost = [each for each in away if each.lost]
        there = [each for each in away if not each.lost]
        for each in (*self.crossings.hand(there, entry), *lost):
            name = each.extent.object
            self._fetch(name, known[name], entry)
        dropped = tuple(name for name in known if name not in needed)
        if dropped:
            self._roster.send(entry, messages.Drop(objects=dropped))
        for name in names:
            if name not in known and self._store.length(name) is None:
                ship(name, entry)

    def _fetch(self, name: ObjectId, known: _LargeObject, entry: Entry) -> None:
        """A host wants what is not here."""
        if self._store.length(name) is not None:
            ship(name, entry)
        elif known.kept and known.lost and not known.dead:
            self._awaiting.setdefault(name, {})[entry.spec.name] = None
            self.remake(name)
        elif known.kept and known.maker is entry and not known.lost:
            pass  # it has asked before it heard that it lies there now
        else:
            self._fetches.fetch(name, None if known.lost else known.maker, entry)

    def _expect(self, name: ObjectId) -> None:
        """This is to come here: a file goes to the disk."""
        known = self._objects.get(name)
        if known is not None:
            self._store.expect([known.extent])

    def _reroute(self, name: ObjectId, maker: Entry | None, entry: Entry) -> None:
        """What does not come from where it lies goes to a host by way of here."""
        if self._spreading.failed(name, entry):
            return
        known = self._objects.get(name)
        if known is None:
            self._fetches.fetch(name, maker, entry)
        else:
            self._fetch(name, known, entry)

    def shipped(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """A host has got these from here."""
        for name in names:
            self._spreading.came(name, entry)

    def fetched(
        self, entry: Entry, names: Iterable[ObjectId], reason: str = ""
    ) -> tuple[ObjectId, ...]:
        """These have come from a host, or never will; returns what was not fetched from there.

        ``reason`` says why they never will.
        """
        others = []
        for name in names:
            waiting = self._fetches.ended(name, entry)
            if waiting is None:
                others.append(name)
            elif (known := self._objects.get(name)) is not None:
                if self._store.length(name) is not None:
                    if name in self._readers:
                        self._part_with(name, known, entry)
                        self._here(name, known)
                else:
                    self._not_brought(name, known, entry, reason)
                for each in waiting:
                    self._fetch(name, known, each)
            else:
                self._store.drop([name])
        return tuple(others)

    def _not_brought(self, name: ObjectId, known: _LargeObject, entry: Entry, reason: str) -> None:
        """This cannot come from the host that it is on, which may have lost it, or be lost."""
        if known.kept and not known.lost:
            known.lost = entry.spec.name
            why = "" if known.extent.file else self._store.refusal(known.extent.length)
            if why:
                self.give_up(name, why)
        if name in self._readers:
            if known.kept:
                self._read(name, known)
            else:
                self._miss(self._readers.pop(name), reason)

    def dropped(self, entry: Entry, names: Iterable[ObjectId]) -> None:
        """A host does not have these any more, because it was told to or for want of room."""
        for name in names:
            known = self._objects.get(name)
            entry.held -= entry.objects.pop(name, 0)
            if known is not None:
                known.asked.discard(entry.spec.name)
                self._spreading.dropped(name, entry)
                if known.kept and known.maker is entry:
                    # Something that is to be made again may take it, until all have dropped it.
                    known.lost = known.lost or self._unless_here(name, entry.spec.name)
        self._free(names)

    def _unless_here(self, name: ObjectId, host: str) -> str:
        return "" if self._store.length(name) is not None else host

    def bring_home(self, entry: Entry) -> bool:
        """What others need and lies on this host only comes here; True once all of it has come.

        What could not be brought is not asked for again.
        """
        for name, each in self._objects.items():
            others = each.workers.keys() - {entry.spec.name}
            elsewhere = each.client or each.tasks or each.parts or others
            # What is a part of another comes with that.
            if each.maker is entry and elsewhere and not each.of and name not in entry.brought:
                entry.brought.add(name)
                if self._store.length(name) is None:
                    self._fetches.bring(name, entry)
        return not (self._fetches.awaits(entry) or self.crossings.leave(entry))

    def left(self, entry: Entry) -> None:
        """A host is gone, with its copies and its workers.

        Of what they have made nobody else has need: the calls that they submitted are cancelled.
        """
        host = entry.spec.name
        unfetched = [*self._fetches.left(entry), *self.crossings.left(entry)]
        for hosts in self._awaiting.values():
            hosts.pop(host, None)
        for name, each in self._objects.items():
            if each.maker is entry and self._store.length(name) is None:
                if self._store.length(each.of) is None:
                    each.lost = host
                else:
                    self._store.excerpt(name, each.of, each.offset, each.extent.length)
        asked = [name for name, each in self._objects.items() if host in each.asked]
        self.dropped(entry, sorted({*asked, *entry.objects}))
        entry.held = 0
        self._spreading.left(entry)
        # Behind that: other hosts were not asked yet for what only workers of this one held.
        held = [name for name, each in self._objects.items() if each.workers.pop(host, 0)]
        self._drop([name for name in held if not self._objects[name].needed])
        for name, waiting in unfetched:
            known = self._objects.get(name)
            if known is not None and name in self._readers:
                self._read(name, known)
            for there in waiting:
                if self._spreading.failed(name, there):
                    continue
                if known is None:
                    ship(name, there)
                else:
                    self._fetch(name, known, there)

    def _drop(self, names: list[ObjectId]) -> None:
        """Nobody needs these any more: every host that may have one is told."""
        if not names:
            return
        for name in names:
            self._spreading.forget(name)
        told: list[tuple[Entry, tuple[ObjectId, ...]]] = []
        for entry in self._roster.up():
            # Workers of this machine see what lies here without asking.
            here = isinstance(entry.spec, EmbeddedSpec)
            theirs = tuple(name for name in names if here or name in entry.objects)
            if theirs:
                told.append((entry, theirs))
            for name in theirs:
                self._objects[name].asked.add(entry.spec.name)
        # Only now: a pool in this process answers at once.
        for entry, theirs in told:
            if entry.host is not None:
                entry.host.withdraw(theirs)
            self._roster.send(entry, messages.Drop(objects=theirs))
        self._free(names)

    def _free(self, names: Iterable[ObjectId]) -> None:
        """Those of them that nobody needs or reads are free."""
        freed: list[ObjectId] = []
        parted: list[_LargeObject] = []
        released: list[ObjectId] = []
        for name in names:
            known = self._objects.get(name)
            if known is not None and not (known.needed or known.asked):
                del self._objects[name]
                self._store.drop([name])
                if name in self._readers:
                    self._miss(self._readers.pop(name), "it was freed")
                self.dead.discard(name)
                self._awaiting.pop(name, None)
                released += self.lineage.freed(name)
                if known.maker is None:
                    freed.append(name)
                if (whole := self._objects.get(known.of)) is not None:
                    parted.append(whole)
        for whole in parted:
            self._release_part(whole)
        if released:
            self._let_go(released)
        if freed:
            self._send(messages.Freed(objects=tuple(freed)), b"")
