"""The hosts of one client: who is up, why not, and what each was told already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from scattergather.controller.values.shelf import Shelf
from scattergather.link.seams import Host, PoolFacts, Traffic
from scattergather.model.ids import Digest
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostSpec, RemoteSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryStatistics:
    """One host as others may know it: ``done`` tasks, ``held`` bytes of large objects there.

    ``round_trip`` is what was measured last of the way there and back, in seconds, 0.0 before.
    ``why`` says why it is down, or less than it should be. ``most`` are the workers that it has, 0
    where it may have as many as are wanted.
    """

    name: str
    remote: bool
    up: bool
    why: str
    workers: int
    done: int
    held: int
    round_trip: float
    python: str
    version: str
    services: tuple[str, ...]
    chosen: tuple[str, ...]
    most: int
    leaving: bool
    platform: str
    cpus: int
    vitals: messages.Vitals
    traffic: Traffic
    apart: tuple[str, ...]


COMES_AGAIN = "it was added again and comes again when it is gone"

UNKNOWN = messages.Vitals()
"""Of a machine that has said nothing yet."""


class Leaving(Enum):
    """How a host is left that was dropped."""

    DRAINED = auto()
    """What has begun there is waited for."""
    AT_ONCE = auto()
    """Its workers were ended."""


@dataclass(slots=True, eq=False)
class Entry:
    """One host.

    ``workers`` is how many it has for us, ``slots`` how many chunks it can work on now: more while
    workers wait for nested results and lend theirs, fewer while it is degraded. ``known`` are the
    digests that it has, forgotten when it leaves; ``objects`` what is large and there or under way,
    with its bytes, 0 of a part of another; ``held`` their sum. ``round_trip`` is what was measured
    of the way to it, 0.0 before. Once it is ``leaving``, ``brought`` are the objects that were
    fetched from there before it is gone, and ``successor`` is what is to be used in its place then.
    It did not reach the hosts that it is ``apart`` from when that was tried last.
    """

    spec: HostSpec
    host: Host | None = None
    facts: PoolFacts | None = None
    up: bool = False
    why: str = ""
    workers: int = 0
    slots: int = 0
    done: int = 0
    known: set[bytes] = field(default_factory=set)
    objects: dict[bytes, int] = field(default_factory=dict)
    held: int = 0
    round_trip: float = 0.0
    leaving: Leaving | None = None
    brought: set[bytes] = field(default_factory=set)
    successor: HostSpec | None = None
    vitals: messages.Vitals = UNKNOWN
    apart: set[str] = field(default_factory=set)

    @property
    def settled(self) -> bool:
        """It has answered, or failed at least once."""
        return self.up or bool(self.why)

    def runs(self, python: str) -> bool:
        """It runs byte code of this minor version of Python."""
        return self.facts is not None and self.facts.python == python

    def statistics(self) -> EntryStatistics:
        """What is known of it."""
        facts = self.facts
        return EntryStatistics(
            name=self.spec.name,
            remote=isinstance(self.spec, RemoteSpec),
            up=self.up,
            why=self.why or (COMES_AGAIN if self.successor is not None else ""),
            workers=self.workers,
            done=self.done,
            held=self.held,
            round_trip=self.round_trip,
            python=facts.python if facts else "",
            version=facts.version if facts else "",
            services=facts.services if facts else (),
            chosen=facts.chosen if facts else (),
            most=facts.workers if facts and isinstance(self.spec, RemoteSpec) else 0,
            leaving=self.leaving is not None,
            platform=facts.platform if facts else "",
            cpus=facts.cpus if facts else 0,
            vitals=self.vitals,
            apart=tuple(sorted(self.apart)),
            traffic=self.host.traffic() if self.host is not None else Traffic(),
        )


class Roster:
    """All hosts by name, and the code that any of them may need: ``shelf``.

    ``code_users`` say which digests of that are in use, some more than once.
    """

    def __init__(self, specs: tuple[HostSpec, ...]) -> None:
        self.entries = {spec.name: Entry(spec) for spec in specs}
        self.shelf = Shelf()
        self.code_users: list[Callable[[], Iterable[Digest]]] = []
        self._residents: list[messages.Resident] = []

    @property
    def settled(self) -> bool:
        """Every host has answered or failed."""
        return all(entry.settled for entry in self.entries.values())

    def up(self) -> list[Entry]:
        """The hosts that work for us now."""
        return [entry for entry in self.entries.values() if entry.up]

    def staying(self) -> list[Entry]:
        """Those of the hosts that work for us now which are not being left."""
        return [entry for entry in self.entries.values() if entry.up and entry.leaving is None]

    def push(self, resident: messages.Resident) -> None:
        """Keep pushed source and send it to every host."""
        self._residents.append(resident)
        for entry in self.up():
            self.send(entry, resident)

    def teach(self, entry: Entry, digests: tuple[bytes, ...]) -> None:
        """Send what the host lacks of these digests and of what they need."""
        for digest in self.shelf.in_order(digests, entry.known):
            kept = self.shelf.get(digest)
            if kept is not None:
                entry.known.add(digest)
                self.send(entry, *kept)

    def statistics(self) -> tuple[EntryStatistics, ...]:
        """What is known of each host, in the order in which the client named them."""
        return tuple(entry.statistics() for entry in self.entries.values())

    def clear_shelf(self) -> None:
        """What nobody needs any more is forgotten, here and on every host."""
        gone = self.shelf.clear(digest for used in self.code_users for digest in used())
        for entry in self.up():
            known = tuple(digest for digest in gone if digest in entry.known)
            if known:
                entry.known.difference_update(known)
                self.send(entry, messages.Forget(digests=known))

    def joined(self, entry: Entry, facts: PoolFacts) -> None:
        """A host joined, knowing nothing: it gets the pushed source at once."""
        entry.facts, entry.up, entry.why = facts, True, ""
        entry.vitals = facts.vitals
        limit = entry.spec.workers
        entry.workers = min(limit, facts.workers) if limit else facts.workers
        entry.slots = entry.workers
        entry.known.clear()
        for resident in self._residents:
            self.send(entry, resident)

    def left(self, entry: Entry, reason: str) -> None:
        """A host is gone."""
        entry.up, entry.why = False, reason
        entry.known.clear()

    def send(self, entry: Entry, message: messages.ToPool, body: bytes = b"") -> None:
        """Send to a host that is up."""
        if entry.host is not None and entry.up:
            entry.host.send(message, body)
