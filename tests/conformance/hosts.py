"""What every ``link.seams.Host`` does, with a pool of ours behind it; each rule is a coroutine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from scattergather.link.seams import Host, ObjectStore, Peer, PoolFacts
from scattergather.model.ids import ObjectId
from scattergather.wire.messages import page as messages

A, B, GONE = (letter * 16 for letter in (b"a", b"b", b"g"))


class TwinPool:
    """A ``seams.HostPool`` without workers; as much of a service as an embedded host asks for."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = self.store = objects
        self.sessions: list[TwinSession] = []

    def start(self) -> None:
        pass

    def facts(self) -> PoolFacts:
        return PoolFacts(
            host="twin", workers=3, python="3.11", version="1.0", protocol=messages.PROTOCOL
        )

    def open(
        self,
        peer: Peer,
        *,
        controller: str,
        workers: int,
        place: Any = None,
        hash_seed: int | None = None,
    ) -> TwinSession:
        self.sessions.append(TwinSession(peer, self.objects))
        return self.sessions[-1]

    @property
    def session(self) -> TwinSession:
        (session,) = self.sessions
        return session

    def resize(self, session: TwinSession, workers: int) -> None:
        """What a service does for the host in its own process."""
        session.receive(messages.Resize(workers=workers), b"")


class TwinSession:
    """Answers every ``Run`` with its body, and writes down what it hears."""

    def __init__(self, peer: Peer, objects: ObjectStore) -> None:
        self.peer, self.objects = peer, objects
        self.chunks: list[int] = []
        self.here: list[ObjectId] = []
        self.missing: list[ObjectId] = []
        self.closed = ""

    def ready(self) -> None:
        """The first worker is."""
        self.peer.send(messages.WorkersChanged(workers=3))

    most = 1 << 30

    def refusal(self, size: int) -> str:
        assert not self.closed
        return ""

    def receive(self, message: messages.ToPool, body: bytes) -> None:
        assert not self.closed
        assert isinstance(message, messages.Run)
        self.chunks.append(message.chunk)
        self.peer.send(messages.Outcomes(chunk=message.chunk, first=0, kinds=b"\0"), body)

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        self.here += objects

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        assert reason or not objects
        self.missing += objects

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        raise AssertionError("no results were sent")

    def close(self, reason: str, *, may_return: bool = False) -> None:
        assert not self.closed
        assert reason
        self.closed = reason


class Witness:
    """A ``seams.HostListener`` that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.facts: PoolFacts | None = None
        self.workers: list[int] = []
        self.outcomes: list[tuple[int, bytes]] = []
        self.round_trips: list[float] = []

    def joined(self, facts: PoolFacts) -> None:
        self.facts = facts
        self.heard.append("joined")

    def received(self, message: messages.FromPool, body: bytes) -> None:
        assert self.heard[-1:] == ["joined"]
        if isinstance(message, messages.Outcomes):
            self.outcomes.append((message.chunk, body))
        elif isinstance(message, messages.WorkersChanged):
            self.workers.append(message.workers)

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        raise AssertionError("no results were sent")

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        raise AssertionError("no results were sent")

    def shipped(self, objects: tuple[bytes, ...]) -> None:
        pass

    def measured(self, round_trip: float) -> None:
        assert self.heard[-1:] == ["joined"]
        self.round_trips.append(round_trip)

    def troubled(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def left(self, reason: str) -> None:
        assert reason
        self.heard.append("left")

    def refused(self, reason: str) -> None:
        raise AssertionError(reason)


class Case(Protocol):
    """A host that was not started, what is at either end of it, and time."""

    host: Host
    witness: Witness
    pool: TwinPool

    def put(self, name: ObjectId, data: bytes) -> None:
        """The controller has this object."""

    async def until(self, condition: Callable[[], Any]) -> None:
        """Let time pass until this is true; fails when it never is."""

    async def pause(self) -> None:
        """Let whatever is under way arrive."""


Rule = Callable[[Case], Awaitable[None]]


async def joined(case: Case) -> TwinSession:
    case.host.start()
    await case.until(lambda: case.pool.sessions)
    case.pool.session.ready()
    await case.until(lambda: case.witness.heard == ["joined"] and case.witness.workers)
    return case.pool.session


def run(number: int) -> messages.Run:
    """A chunk of no task: its body may be anything."""
    return messages.Run(chunk=number, job=b"j" * 16, function="f", first=0, count=0)


async def nothing_is_heard_or_sent_before_it_is_started(case: Case) -> None:
    case.host.send(run(1))
    case.host.ship((A,))
    case.host.withdraw((A,))
    await case.pause()
    assert not case.pool.sessions
    assert not case.witness.heard


async def it_joins_once_and_says_what_the_pool_is(case: Case) -> None:
    await joined(case)
    await case.pause()
    assert case.witness.heard == ["joined"]
    # Peers know it by a certificate, of which the pool itself knows nothing.
    assert msgspec.structs.replace(case.witness.facts, certificate=b"") == case.pool.facts()
    assert case.witness.workers == [3]
    assert all(0 <= each < 10 for each in case.witness.round_trips)


async def messages_pass_both_ways_in_their_order(case: Case) -> None:
    session = await joined(case)
    bodies = [bytes([number]) * number * 1000 for number in range(100)]
    for number, body in enumerate(bodies):
        case.host.send(run(number), body)
    await case.until(lambda: len(case.witness.outcomes) == len(bodies))
    assert session.chunks == list(range(len(bodies)))
    assert case.witness.outcomes == list(enumerate(bodies))


async def objects_that_are_shipped_arrive_and_those_that_are_gone_are_lost(case: Case) -> None:
    session = await joined(case)
    for name in (A, B):
        case.put(name, name * 10_000)
    case.host.ship((A, GONE))
    case.host.ship((B,))
    await case.until(lambda: len(session.here) == 2 and session.missing)
    assert session.here == [A, B]
    assert session.missing == [GONE]
    for name in (A, B):
        assert case.pool.objects.read(name, 0, 1 << 20) == name * 10_000


async def what_is_not_there_can_be_withdrawn(case: Case) -> None:
    session = await joined(case)
    case.host.withdraw((A, GONE))
    case.put(A, A * 10_000)
    case.host.ship((A,))
    await case.until(lambda: session.here == [A])
    case.host.withdraw((A,))
    await case.pause()
    assert session.here == [A]


async def who_stops_hears_nothing_more_and_ends_the_session(case: Case) -> None:
    session = await joined(case)
    case.host.send(run(1), b"who will hear the answer?")
    case.host.stop()
    heard = list(case.witness.outcomes)
    await case.until(lambda: session.closed)
    case.host.send(run(2))
    case.host.ship((A,))
    case.host.withdraw((A,))
    case.host.stop()
    await case.pause()
    assert case.witness.heard == ["joined"]
    assert case.witness.outcomes == heard
    assert 2 not in session.chunks
    assert len(case.pool.sessions) == 1


async def it_can_be_stopped_before_it_has_joined(case: Case) -> None:
    case.host.start()
    case.host.stop()
    await case.pause()
    assert not case.witness.heard
    assert all(session.closed for session in case.pool.sessions)


async def it_can_be_stopped_before_it_was_started(case: Case) -> None:
    case.host.stop()
    await case.pause()
    assert not case.witness.heard
    assert not case.pool.sessions


RULES: list[Rule] = [
    nothing_is_heard_or_sent_before_it_is_started,
    it_joins_once_and_says_what_the_pool_is,
    messages_pass_both_ways_in_their_order,
    objects_that_are_shipped_arrive_and_those_that_are_gone_are_lost,
    what_is_not_there_can_be_withdrawn,
    who_stops_hears_nothing_more_and_ends_the_session,
    it_can_be_stopped_before_it_has_joined,
    it_can_be_stopped_before_it_was_started,
]
