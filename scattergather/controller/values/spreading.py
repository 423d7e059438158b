"""How a value that lies here gets to the many hosts that want it: who has it serves others.

It is sent from here to two hosts, and each host that has it gives it to two at a time. So it
crosses the way from here twice, however many hosts want it. Whoever wants it while nobody is free
waits for one. Where a host that was to give it fails, or does not reach the one that waits, another
gives it, and in the end it is sent from here. So it is to one who has waited for long: a host that
is about to have it may have no room for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.crossings import Crossings
from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Clock
from scattergather.wire.messages.shared import Extent

SPREAD_BYTES = 1 << 20
"""What is smaller is sent at once: to wait for one who has it would take longer."""

DEGREE = 2
PATIENCE = 30.0

HERE = ""


@dataclass(frozen=True, slots=True)
class _Copy:
    """An object as one host has it; implements ``crossings.Made``."""

    extent: Extent
    maker: Entry | None


@dataclass(slots=True, eq=False)
class _Spread:
    """One object, which was ``sent`` from here to so many hosts.

    Those of the names in ``has`` have it; each of ``under_way`` gets it from another host, or from
    ``HERE``, and the others ``wait``.
    """

    extent: Extent
    sent: int = 0
    has: dict[str, None] = field(default_factory=dict)
    under_way: dict[str, str] = field(default_factory=dict)
    waits: dict[str, None] = field(default_factory=dict)

    def served(self, source: str) -> int:
        """How many hosts get it from this one now."""
        return sum(each == source for each in self.under_way.values())


class Spreading:
    """What lies here and is wanted on several hosts. Reactor thread only.

    Args:
        clock: Twisted's reactor.
        roster: the hosts.
        crossings: brings it from host to host.
        send: sends it from here to a host.
    """

    def __init__(
        self,
        clock: Clock,
        roster: Roster,
        crossings: Crossings,
        send: Callable[[ObjectId, Entry], None],
    ) -> None:
        self._clock = clock
        self._roster = roster
        self._crossings = crossings
        self._send = send
        self._spreads: dict[ObjectId, _Spread] = {}

    def want(self, extent: Extent, taker: Entry) -> None:
        """A host wants this."""
        name, host = extent.object, taker.spec.name
        spread = self._spreads.setdefault(name, _Spread(extent))
        spread.has.pop(host, None)
        spread.under_way.pop(host, None)
        spread.waits[host] = None
        self._serve(name, spread)
        if host in spread.waits:
            self._clock.callLater(PATIENCE, self._lose_patience, name, spread, host)

    def came(self, name: ObjectId, taker: Entry) -> None:
        """A host has got this."""
        spread = self._spreads.get(name)
        if spread is not None and spread.under_way.pop(taker.spec.name, None) is not None:
            spread.has[taker.spec.name] = None
            self._serve(name, spread)

    def failed(self, name: ObjectId, taker: Entry) -> bool:
        """A host does not get this from another: it gets it otherwise. False: it is not ours."""
        spread, host = self._spreads.get(name), taker.spec.name
        source = HERE if spread is None else spread.under_way.get(host, HERE)
        if spread is None or source == HERE:
            return False
        del spread.under_way[host]
        spread.has.pop(source, None)
        spread.waits[host] = None
        self._serve(name, spread)
        return True

    def dropped(self, name: ObjectId, entry: Entry) -> None:
        """A host does not have this any more."""
        spread = self._spreads.get(name)
        if spread is not None:
            spread.has.pop(entry.spec.name, None)
            self._serve(name, spread)

    def forget(self, name: ObjectId) -> None:
        """Nobody needs this any more."""
        self._spreads.pop(name, None)

    def left(self, entry: Entry) -> None:
        """A host is gone; what others were to get from it has ``failed`` before."""
        for name, spread in list(self._spreads.items()):
            for places in (spread.has, spread.under_way, spread.waits):
                places.pop(entry.spec.name, None)
            self._serve(name, spread)

    def _serve(self, name: ObjectId, spread: _Spread) -> None:
        """Who waits gets it from one who is free."""
        for host in list(spread.waits):
            taker = self._roster.entries[host]
            near = [each for each in spread.has if each not in taker.apart]
            free = [each for each in near if spread.served(each) < DEGREE]
            if free:
                self._give(name, spread, taker, min(free, key=spread.served))
                continue
            coming = any(each not in taker.apart for each in spread.under_way)
            if spread.sent < DEGREE or not (near or coming):
                self._give(name, spread, taker, HERE)

    def _give(self, name: ObjectId, spread: _Spread, taker: Entry, source: str) -> None:
        host = taker.spec.name
        del spread.waits[host]
        if source != HERE:
            copy = _Copy(spread.extent, self._roster.entries[source])
            if self._crossings.hand([copy], taker):  # these two have no way to each other
                source = HERE
        spread.under_way[host] = source
        if source == HERE:
            spread.sent += 1
            self._send(name, taker)

    def _lose_patience(self, name: ObjectId, spread: _Spread, host: str) -> None:
        if self._spreads.get(name) is spread and host in spread.waits:
            self._give(name, spread, self._roster.entries[host], HERE)
