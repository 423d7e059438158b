"""The hosts of one client: who is up, why not, and what each was told already."""

from __future__ import annotations

from dataclasses import dataclass, field

from scattergather.link.seams import Host, PoolFacts
from scattergather.wire import messages


@dataclass(slots=True)
class Entry:
    """One host.

    ``workers`` is how many it has for us, ``slots`` how many chunks it can work on now: more while
    workers wait for nested results and lend theirs, fewer while it is degraded. ``known`` are the
    digests that it has, forgotten when it leaves.
    """

    spec: messages.HostSpec
    host: Host | None = None
    facts: PoolFacts | None = None
    up: bool = False
    why: str = ""
    workers: int = 0
    slots: int = 0
    done: int = 0
    known: set[bytes] = field(default_factory=set)

    @property
    def settled(self) -> bool:
        """It has answered, or failed at least once."""
        return self.up or bool(self.why)

    def state(self, busy: int, queued: int) -> messages.HostState:
        """What is shown of it."""
        facts = self.facts
        return messages.HostState(
            name=self.spec.name,
            state="up" if self.up else "down" if self.why else "connecting",
            workers=self.workers if self.up else 0,
            busy=busy,
            queued=queued,
            done=self.done,
            python=facts.python if facts else "",
            version=facts.version if facts else "",
            services=facts.services if facts else (),
            why=self.why,
        )


class Roster:
    """All hosts by name, and the code that any of them may need."""

    def __init__(self, specs: tuple[messages.HostSpec, ...]) -> None:
        self.entries = {spec.name: Entry(spec) for spec in specs}
        self._code: dict[bytes, tuple[messages.Code, bytes]] = {}
        self._residents: list[messages.Resident] = []

    @property
    def settled(self) -> bool:
        """Every host has answered or failed."""
        return all(entry.settled for entry in self.entries.values())

    def up(self) -> list[Entry]:
        """The hosts that work for us now."""
        return [entry for entry in self.entries.values() if entry.up]

    def keep(self, code: messages.Code, blob: bytes) -> None:
        """Keep shipped code for every host that will need it."""
        self._code[code.digest] = (code, blob)

    def push(self, resident: messages.Resident) -> None:
        """Keep pushed source and send it to every host."""
        self._residents.append(resident)
        for entry in self.up():
            self.send(entry, resident)

    def python_of(self, digests: tuple[bytes, ...]) -> str:
        """The Python version that code is bound to: the first that any of it names."""
        for digest in digests:
            code = self._code.get(digest)
            if code is None:
                continue
            found = code[0].python or self.python_of(code[0].needs)
            if found:
                return found
        return ""

    def teach(self, entry: Entry, digests: tuple[bytes, ...]) -> None:
        """Send what the host lacks of these digests and of what they need."""
        for digest in digests:
            kept = self._code.get(digest)
            if digest in entry.known or kept is None:
                continue
            entry.known.add(digest)
            self.teach(entry, kept[0].needs)
            self.send(entry, kept[0], kept[1])

    def joined(self, entry: Entry, facts: PoolFacts) -> None:
        """A host joined, knowing nothing: it gets the pushed source at once."""
        entry.facts, entry.up, entry.why = facts, True, ""
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
