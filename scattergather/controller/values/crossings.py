"""What goes from host to host past this process: who gives what to whom, and who meets whom.

Two hosts are a pair once one wants what lies on the other. The owner is told what it may give, the
taker what it may take, and when they have no stream they ask for one: then this desk has a key made
at one of them and carries it to the other. Which of them dials is decided here, since one may be
behind a wall that the other is not: where one has tried in vain, the other tries. A pair that
cannot meet at all is left apart for a minute. What it was to pass goes by way of this process then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from scattergather.controller.roster import Entry, Roster
from scattergather.link.blocks.tunnel import tub_of
from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Clock
from scattergather.settings.furl import Furl
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from scattergather.wire.messages.shared import Extent

APART_SECONDS = 60.0
"""After so long it is tried again whether two hosts reach each other."""


class Made(Protocol):
    """An object that may lie on a host."""

    @property
    def extent(self) -> Extent:
        """What it is."""

    @property
    def maker(self) -> Entry | None:
        """Where it lies; None: nowhere but here."""


@dataclass(slots=True, eq=False)
class _Pair:
    """Two hosts.

    ``caller`` is the one that dials, and ``tried`` who has done so in vain. A key is being
    ``minting`` at the other. ``under_way`` is what passes, by name and taker.
    """

    hosts: tuple[Entry, Entry]
    caller: Entry
    tried: list[Entry] = field(default_factory=list)
    minting: bool = False
    apart_until: float = -math.inf
    under_way: dict[tuple[ObjectId, str], None] = field(default_factory=dict)

    def other(self, entry: Entry) -> Entry:
        return self.hosts[self.hosts[0] is entry]


class Crossings:
    """All pairs. Reactor thread only.

    Args:
        clock: Twisted's reactor.
        roster: the hosts.
        fetch: brings an object from one host to another by way of this process.
        notice: tells the user something.
        came: hears what a host has got.
    """

    def __init__(
        self,
        clock: Clock,
        roster: Roster,
        fetch: Callable[[ObjectId, Entry | None, Entry], None],
        notice: Callable[[str], None],
        came: Callable[[ObjectId, Entry], None],
    ) -> None:
        self._clock = clock
        self._roster = roster
        self._fetch = fetch
        self._notice = notice
        self._came = came
        self._pairs: dict[frozenset[str], _Pair] = {}

    def leave(self, entry: Entry) -> bool:
        """Something is on its way from this host to another."""
        return any(
            taker != entry.spec.name
            for pair in self._pairs.values()
            if entry in pair.hosts
            for _, taker in pair.under_way
        )

    # ---- what is wanted -------------------------------------------------------------------------

    def hand(self, wanted: Iterable[Made], taker: Entry) -> list[Made]:
        """A host wants these; returns those that it cannot get from where they lie."""
        others: list[Made] = []
        by_pair: dict[_Pair, list[Extent]] = {}
        for each in wanted:
            pair = None if each.maker is None else self._pair(each.maker, taker)
            if pair is None:
                others.append(each)
            else:
                by_pair.setdefault(pair, []).append(each.extent)
        for pair, extents in by_pair.items():
            owner = pair.other(taker)
            names = tuple(extent.object for extent in extents)
            pair.under_way.update(dict.fromkeys((name, taker.spec.name) for name in names))
            self._roster.send(taker, messages.Await(peer=owner.spec.name, objects=tuple(extents)))
            self._roster.send(owner, messages.Hand(peer=taker.spec.name, objects=names))
        return others

    def _pair(self, owner: Entry, taker: Entry) -> _Pair | None:
        if owner is taker or not (has_streams(owner) and has_streams(taker)):
            return None
        key = frozenset((owner.spec.name, taker.spec.name))
        pair = self._pairs.get(key)
        if pair is None or pair.other(taker) is not owner:
            pair = self._pairs[key] = _Pair((owner, taker), caller=taker)
        return None if pair.apart_until > self._clock.seconds() else pair

    # ---- what hosts say -------------------------------------------------------------------------

    def said(self, entry: Entry, message: messages.OfPeersFromPool) -> None:
        """A host says something of a peer. Of one that it does not have it may have just left."""
        pair = self._pairs.get(frozenset((entry.spec.name, message.peer)))
        if pair is None or entry not in pair.hosts:
            if isinstance(message, messages.AskKey):
                self._roster.send(entry, messages.PartPeers(peer=message.peer))
            return
        match message:
            case messages.AskKey():
                self._asked(pair, entry)
            case messages.KeyMinted():
                self._minted(pair, entry, message.key)
            case messages.Fetched():
                pair.tried.clear()
                self._mark(pair, apart=False)
                for name in message.objects:
                    if pair.under_way.pop((name, entry.spec.name), 0) is None:
                        self._came(name, entry)
            case messages.NotFetched():
                self._missed(pair, entry, message)
            case _:
                assert_never(message)

    def _asked(self, pair: _Pair, entry: Entry) -> None:
        if pair.apart_until > self._clock.seconds():
            self._roster.send(entry, messages.PartPeers(peer=pair.other(entry).spec.name))
        elif not pair.minting:
            self._begin(pair)

    def _begin(self, pair: _Pair) -> None:
        facts = pair.caller.facts
        assert facts is not None
        pair.minting = True
        self._roster.send(
            pair.other(pair.caller),
            messages.MintKey(peer=pair.caller.spec.name, certificate=facts.certificate),
        )

    def _minted(self, pair: _Pair, entry: Entry, key: str) -> None:
        facts = entry.facts
        if not pair.minting or entry is pair.caller or facts is None:
            return
        pair.minting = False
        assert isinstance(entry.spec, RemoteSpec)
        self._roster.send(
            pair.caller,
            messages.MeetPeer(
                peer=entry.spec.name,
                addresses=tuple(Furl.parse(entry.spec.furl).addresses),
                certificate=facts.certificate,
                key=key,
            ),
        )

    def _missed(self, pair: _Pair, entry: Entry, message: messages.NotFetched) -> None:
        if not message.unreachable:
            for name in message.objects:
                if pair.under_way.pop((name, entry.spec.name), 0) is None:
                    self._fetch(name, pair.other(entry), entry)
            return
        if not message.objects and entry is pair.caller and pair.other(entry) not in pair.tried:
            pair.tried.append(entry)
            pair.caller = pair.other(entry)
            self._begin(pair)
            return
        self._part(pair, message.why)

    def _part(self, pair: _Pair, why: str) -> None:
        """These two do not meet for now."""
        pair.apart_until = self._clock.seconds() + APART_SECONDS
        pair.minting = False
        if pair.hosts[1].spec.name not in pair.hosts[0].apart:
            self._mark(pair, apart=True)
            one, other = (each.spec.name for each in pair.hosts)
            self._notice(
                f"{one} and {other} do not reach each other ({why}): what lies on the one and is "
                "taken on the other goes by way of this machine. It is tried again after a minute"
            )
        pair.tried.clear()
        under_way, pair.under_way = pair.under_way, {}
        for each in pair.hosts:
            self._roster.send(each, messages.PartPeers(peer=pair.other(each).spec.name))
        for name, taker in under_way:
            entry = self._roster.entries[taker]
            self._fetch(name, pair.other(entry), entry)

    def _mark(self, pair: _Pair, *, apart: bool) -> None:
        for entry in pair.hosts:
            name = pair.other(entry).spec.name
            if apart:
                entry.apart.add(name)
            else:
                entry.apart.discard(name)

    # ---- hosts that go --------------------------------------------------------------------------

    def left(self, entry: Entry) -> list[tuple[ObjectId, list[Entry]]]:
        """A host is gone; returns what will not come from there, and who waits for each."""
        gone: list[tuple[ObjectId, list[Entry]]] = []
        for key, pair in [*self._pairs.items()]:
            if entry in pair.hosts:
                del self._pairs[key]
                self._mark(pair, apart=False)
                other = pair.other(entry)
                self._roster.send(other, messages.PartPeers(peer=entry.spec.name))
                gone += [
                    (name, [other]) for name, taker in pair.under_way if taker == other.spec.name
                ]
        return gone


def has_streams(entry: Entry) -> bool:
    """It may call others and be called by them: it has the certificate that its FURL names."""
    facts = entry.facts
    return (
        entry.up
        and facts is not None
        and bool(facts.certificate)
        and isinstance(entry.spec, RemoteSpec)
        and tub_of(facts.certificate) == Furl.parse(entry.spec.furl).tub
    )
