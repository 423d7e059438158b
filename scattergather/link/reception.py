"""Who visits a pool: what a hello is answered with, and which sessions are open."""

from __future__ import annotations

import hmac
from typing import Any

import msgspec

import scattergather
from scattergather.link import remote
from scattergather.link.blocks.courier import Courier
from scattergather.link.logs import in_one_line
from scattergather.link.peers.streams import PeerStreams
from scattergather.link.seams import HostPool
from scattergather.link.sentences import mismatch
from scattergather.link.visit import Visit
from scattergather.reactor.seam import Clock
from scattergather.wire.messages import page as messages

MOST_SESSIONS = 64
MOST_OF_ONE = MOST_SESSIONS // 2
"""No user can take all of them."""


class Reception:
    """Opens sessions of a pool to those who are past the gate, and knows them again.

    Reactor thread only.

    Args:
        pool: whose sessions they are.
        streams: connects it to other pools; None: it has no peers.

    Attributes:
        visits: the sessions that are open, by their ids.
    """

    def __init__(self, clock: Clock, pool: HostPool, streams: PeerStreams | None = None) -> None:
        self.visits: dict[bytes, Visit] = {}
        self._streams = streams
        self._certificate = streams.certificate if streams is not None else b""
        self._clock = clock
        self._pool = pool
        self._count = 0

    def hello(self, who: str, said: bytes, back: Any) -> remote.Welcome | remote.Refusal:
        """What a controller's hello is answered with. It has the FURL of the user ``who``."""
        begun = self._clock.seconds()
        theirs = remote.read_versions(said)
        if theirs.protocol != messages.PROTOCOL:
            return _refusal(mismatch(theirs, "this controller", "that pool"))
        greeting = remote.read_greeting(said)
        if not greeting.session:
            return self._welcome(0, b"", begun)
        if greeting.received != remote.NEW:
            visit = self._visit_of(who, greeting.session)
            if visit is None:
                return _refusal("it does not know this session", unknown=True)
            return self._welcome(visit.connect(back, greeting.received), visit.ticket, begun)
        if greeting.session in self.visits or len(greeting.session) != remote.SESSION_BYTES:
            return _refusal("a session needs a new id of 16 bytes")
        if len(self.visits) >= MOST_SESSIONS:
            return _refusal(f"the pool has {MOST_SESSIONS} controllers already")
        if sum(visit.who == who for visit in self.visits.values()) >= MOST_OF_ONE:
            return _refusal(f"{MOST_OF_ONE} controllers of one FURL are the most it takes")
        visit = self._open(who, greeting, back)
        return self._welcome(visit.connect(back, 0), visit.ticket, begun)

    def _open(self, who: str, greeting: remote.Greeting, back: Any) -> Visit:
        self._count += 1
        called = in_one_line(greeting.controller) or "a controller"
        visit = Visit(
            self._clock,
            self._pool,
            greeting,
            back,
            who=who,
            name=f"{called} #{self._count} ({who}, {_place(back)})",
            over=lambda visit: self.visits.pop(visit.id, None) is not None,
            streams=self._streams,
        )
        self.visits[visit.id] = visit
        return visit

    def goodbye(self, who: str, session: bytes, reason: str) -> None:
        """A controller has ended its session."""
        visit = self._visit_of(who, session)
        if visit is not None:
            visit.end(in_one_line(reason))

    def claim(self, session: bytes, ticket: bytes) -> Courier | None:
        """The courier of this session, if that is its ticket."""
        visit = self.visits.get(session)
        if visit is None or not hmac.compare_digest(visit.ticket, ticket):
            return None
        return visit.courier

    def room(self) -> None:
        """There may be room again for objects of controllers."""
        for visit in list(self.visits.values()):
            visit.room()
        if self._streams is not None:
            self._streams.poke()

    def end(self, who: str, reason: str) -> None:
        """End all sessions of this user."""
        for visit in [visit for visit in self.visits.values() if visit.who == who]:
            visit.end(reason)

    def dismiss(self, reason: str) -> None:
        """End all sessions, and tell the controllers."""
        for visit in list(self.visits.values()):
            visit.dismiss(reason)

    def _visit_of(self, who: str, session: bytes) -> Visit | None:
        """The visit with this id; another user's is as good as none."""
        visit = self.visits.get(session)
        return visit if visit is not None and visit.who == who else None

    def _welcome(self, received: int, ticket: bytes, begun: float) -> remote.Welcome:
        facts = self._pool.facts()
        return remote.Welcome(
            protocol=messages.PROTOCOL,
            version=scattergather.__version__,
            facts=msgspec.structs.replace(facts, certificate=self._certificate),
            received=received,
            ticket=ticket,
            held=max(0.0, self._clock.seconds() - begun),
        )


def _place(back: Any) -> str:
    """From where a controller has called, in words."""
    transport: Any = getattr(back.tracker.broker, "transport", None)
    return f"from {transport.getPeer().host}" if transport is not None else "from nowhere"


def _refusal(reason: str, *, unknown: bool = False) -> remote.Refusal:
    return remote.Refusal(
        protocol=messages.PROTOCOL,
        version=scattergather.__version__,
        reason=reason,
        unknown=unknown,
    )
