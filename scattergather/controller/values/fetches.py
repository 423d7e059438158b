"""What lies on one host and is wanted on another: it comes here first, and goes on from here."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.controller.roster import Entry, Roster
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages


class Fetches:
    """Objects that are under way to here, and the hosts that wait for each. Reactor thread only.

    Args:
        roster: the hosts.
        expect: hears of each object that is to come, before it is asked for.
    """

    def __init__(
        self, roster: Roster, expect: Callable[[ObjectId], None] = lambda _name: None
    ) -> None:
        self._roster = roster
        self._expect = expect
        self._waiting: dict[ObjectId, tuple[Entry, set[str]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def fetch(self, name: ObjectId, maker: Entry | None, entry: Entry) -> None:
        """A host wants what lies where it was made."""
        if maker is None or not maker.up:
            ship(name, entry)
            return
        self.bring(name, maker)
        self._waiting[name][1].add(entry.spec.name)

    def bring(self, name: ObjectId, maker: Entry) -> None:
        """What lies where it was made is wanted here."""
        if name not in self._waiting:
            self._waiting[name] = maker, set()
            self._expect(name)
            self._roster.send(maker, messages.Want(objects=(name,)))

    def awaits(self, maker: Entry) -> bool:
        """Something is to come from this host."""
        return any(entry is maker for entry, _ in self._waiting.values())

    def ended(self, name: ObjectId, maker: Entry) -> list[Entry] | None:
        """This has come from a host, or never will; returns who waits for it.

        None if it was not fetched from there. What another host says of it counts for nothing.
        """
        found = self._waiting.get(name)
        if found is None or found[0] is not maker:
            return None
        del self._waiting[name]
        return self._hosts(found[1])

    def left(self, maker: Entry) -> list[tuple[ObjectId, list[Entry]]]:
        """A host is gone; returns what will not come from there, and who waits for each."""
        for _, waiting in self._waiting.values():
            waiting.discard(maker.spec.name)
        names = [name for name, (entry, _) in self._waiting.items() if entry is maker]
        return [(name, self._hosts(self._waiting.pop(name)[1])) for name in names]

    def _hosts(self, names: set[str]) -> list[Entry]:
        return [self._roster.entries[name] for name in sorted(names)]


def ship(name: ObjectId, entry: Entry) -> None:
    """Bring this to a host, which is told that it is gone if it is not here: so its wait ends."""
    if entry.up and entry.host is not None:
        entry.host.ship((name,))
