"""When a link is pinged, cut and dialled again; and that no clock on the wall has a say in it."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from scattergather.link.host import RemoteHost
from scattergather.link.pulse import SILENCE_SECONDS, SPEAK_SECONDS
from scattergather.link.seams import NoObjectStore
from scattergather.link.switchboard import Back, Switchboard
from scattergather.link.tubs import broker as b
from scattergather.link.tubs.tub import CONNECT_SECONDS, make_tub, new_certificate
from scattergather.wire.messages.client import RemoteSpec

FURL = f"pb://{'a' * 32}@tcp:h:1/{'q' * 32}"
HOUR = 3600.0


class Transport:
    """As much of Twisted's transport as is looked at."""

    offset, _tempDataLen, dataBuffer = 0, 0, b""

    def __init__(self) -> None:
        self.ended = False

    def write(self, data: bytes) -> None:
        pass

    def loseConnection(self, why: object = None) -> None:
        self.ended = True

    def abortConnection(self) -> None:
        self.ended = True


class Link:
    """A connection between its first byte and its end, on a clock by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.pings = Clock(), 0
        monkeypatch.setattr(b, "reactor", self.clock)
        self.broker = b.LinkBroker(None, {}, make_tub(new_certificate()).keepaliveTimeout)
        self.broker.sendPING = self.ping
        self.broker.makeConnection(Transport())
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1

    def hear(self, data: bytes = b"") -> None:
        self.broker.dataReceived(data)

    @property
    def ended(self) -> bool:
        return self.broker.transport.ended

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)


@pytest.fixture
def link(monkeypatch):
    return Link(monkeypatch)


def test_a_silent_link_is_pinged_after_two_seconds_and_cut_after_six(link):
    assert (SPEAK_SECONDS, SILENCE_SECONDS) == (2, 6)
    link.pass_(1.9)
    assert link.pings == 0
    link.pass_(0.3)
    assert link.pings == 1
    link.pass_(3.7)
    assert not link.ended
    link.pass_(0.3)
    assert link.ended
    assert link.broker.disconnected
    assert not link.clock.getDelayedCalls()


def test_one_that_is_heard_lives_and_has_its_six_seconds_from_the_last_word(link):
    for _ in range(7):
        link.pass_(1.5)
        link.hear()
    link.pass_(5.9)
    assert not link.ended
    link.pass_(0.3)
    assert link.ended


def test_one_end_of_a_link_that_only_listens_says_that_it_is_there(link):
    for _ in range(100):
        link.pass_(0.5)
        link.hear()
    assert link.pings >= 24


def test_a_link_that_carries_and_answers_is_not_pinged_as_well(link, monkeypatch):
    monkeypatch.setattr(b, "write_now", lambda _transport, _data: None)
    for _ in range(20):
        link.pass_(1)
        link.broker.carry(b"s" * 16, b.Piece(1, 0))
        link.pass_(1)
        link.hear(b"\x8e")
    assert link.pings == 0


def test_a_link_that_ends_leaves_no_timer_and_tells_a_hang_up_from_a_silence(link):
    link.broker.connectionLost(Failure(ConnectionDone()))
    assert link.broker.hung_up
    assert not link.clock.getDelayedCalls()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_of_the_wall_clock_cuts_nobody_and_spares_nobody(link, monkeypatch, jump):
    link.pass_(1)
    wall = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: wall)
    link.hear()
    link.pass_(5.8)
    assert not link.ended
    link.pass_(0.4)
    assert link.ended


class Board:
    """A switchboard that reaches nobody, after a while."""

    def __init__(self, slow: float) -> None:
        self.reactor, self.chance = Clock(), random.Random(4)
        self.slow = slow
        self.calls: list[float] = []
        self.failed: list[float] = []

    async def call(self, furl: object) -> None:
        self.calls.append(self.reactor.seconds())
        if self.slow:
            await deferLater(self.reactor, self.slow, lambda: None)
        self.failed.append(self.reactor.seconds())
        raise ConnectionRefusedError

    def hang_up(self, furl: object) -> None:
        pass


class Ear:
    def troubled(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def refused(self, reason: str) -> None:
        pass

    def shipped(self, objects: tuple[bytes, ...]) -> None:
        pass

    def measured(self, round_trip: float) -> None:
        raise AssertionError("nobody answers")


@pytest.mark.parametrize("slow", [0.0, 3.0])
def test_a_host_that_is_away_is_dialled_soon_and_then_every_five_seconds_at_most(slow):
    board = Board(slow)
    host = RemoteHost(board, RemoteSpec(name="alpha", furl=FURL), Ear(), NoObjectStore())
    host.start()
    for _ in range(20 * 100):
        board.reactor.advance(0.05)
    host.stop()
    waits = [
        dialled - failed for failed, dialled in zip(board.failed, board.calls[1:], strict=False)
    ]
    assert waits[0] <= 0.4
    assert max(waits) <= 5.05
    assert min(waits[-5:]) >= 3 - 0.05, "no flood of our own"
    assert len({round(wait, 2) for wait in waits[-5:]}) > 1, "many hosts do not call at once"
    assert not board.reactor.getDelayedCalls()


class Mute:
    """A pool that hears a hello and never answers; its connection is alive."""

    def __init__(self) -> None:
        self.tracker = SimpleNamespace(broker=self)
        self.lines: dict[bytes, object] = {}
        self.cuts: list[str] = []
        self.said: list[str] = []

    def notifyOnDisconnect(self, *_: object) -> None:
        pass

    def callRemote(self, *_: object) -> Deferred[bytes]:
        return Deferred()

    def callRemoteOnly(self, name: str, *_: object) -> None:
        self.said.append(name)

    def cut(self, reason: str) -> None:
        self.cuts.append(reason)


class Answered(Switchboard):
    """Reaches such pools, a new one each time; has no Tub."""

    def __init__(self) -> None:
        self.reactor, self.chance, self.controller = Clock(), random.Random(4), ""
        self.hash_seed = None
        self.back = Back(lambda _session, _reason: None)
        self.pools: list[Mute] = []

    async def call(self, furl: object) -> Mute:
        self.pools.append(Mute())
        return self.pools[-1]

    def hang_up(self, furl: object) -> None:
        self.hung_up = True


def test_a_connection_over_which_no_hello_is_answered_is_not_used_again():
    board = Answered()
    host = RemoteHost(board, RemoteSpec(name="alpha", furl=FURL), Ear(), NoObjectStore())
    host.start()
    board.reactor.advance(CONNECT_SECONDS - 0.1)
    assert [pool.cuts for pool in board.pools] == [[]]
    for _ in range(20):
        board.reactor.advance(0.1)
    assert [pool.cuts for pool in board.pools] == [["hello was not answered"], []]
    host.stop()
    assert board.pools[-1].said == ["goodbye"], "it may have heard the hello"
    assert board.hung_up
    assert not board.reactor.getDelayedCalls()
