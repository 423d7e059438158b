"""When a link is pinged, cut and dialled again; and that no clock on the wall has a say in it."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace

import pytest
from foolscap import banana
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from scattergather.link.host import RemoteHost
from scattergather.link.seams import NoObjectStore
from scattergather.link.switchboard import Back, Switchboard
from scattergather.link.tubs import broker as b
from scattergather.link.tubs.tub import (
    CONNECT_SECONDS,
    DISCONNECT,
    KEEPALIVE,
    make_tub,
    new_certificate,
)
from scattergather.wire.messages.client import RemoteSpec

FURL = f"pb://{'a' * 32}@tcp:h:1/{'q' * 32}"
HOUR = 3600.0


class Transport:
    """As much of Twisted's transport as is looked at."""

    offset, _tempDataLen, dataBuffer = 0, 0, b""

    def __init__(self) -> None:
        self.ended = False

    def loseConnection(self, why: object = None) -> None:
        self.ended = True

    def abortConnection(self) -> None:
        self.ended = True


class Link:
    """A connection between its first byte and its end, on a clock by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tub = make_tub(new_certificate())
        self.clock, self.pings = Clock(), 0
        monkeypatch.setattr(b, "reactor", self.clock)
        monkeypatch.setattr(time, "monotonic", self.clock.seconds)
        monkeypatch.setattr(b.Monotonic, "time", staticmethod(self.clock.seconds))
        self.broker = b.LinkBroker(None, {})
        self.broker.transport = Transport()
        self.broker.keepaliveTimeout = tub.keepaliveTimeout
        self.broker.disconnectTimeout = tub.disconnectTimeout
        self.broker.useKeepalives = True
        self.broker.sendPING = self.ping
        self.broker.connectionTimedOut = self.time_out
        self.ended_at: float | None = None
        self.hear()
        self.broker.keepaliveTimerFired()
        self.broker.disconnectTimerFired()

    def ping(self) -> None:
        self.pings += 1

    def time_out(self) -> None:
        self.ended_at = self.clock.seconds()

    def hear(self) -> None:
        self.broker.dataReceived(b"")

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)


@pytest.fixture
def link(monkeypatch):
    return Link(monkeypatch)


def test_foolscap_measures_silence_by_the_monotonic_clock():
    make_tub(new_certificate())
    assert banana.time is b.Monotonic
    assert b.Monotonic.time is time.monotonic


def test_a_silent_link_is_pinged_after_two_seconds_and_cut_after_six(link):
    assert (KEEPALIVE, DISCONNECT) == (2, 6)
    link.pass_(1.9)
    assert link.pings == 0
    link.pass_(0.3)
    assert link.pings == 1
    link.pass_(3.7)
    assert link.ended_at is None
    link.pass_(0.3)
    assert link.ended_at == pytest.approx(6, abs=0.11)


def test_one_that_is_heard_lives_and_has_its_six_seconds_from_the_last_word(link):
    for _ in range(7):
        link.pass_(1.5)
        link.hear()
    assert (link.pings, link.ended_at) == (0, None)
    link.pass_(7)
    assert link.ended_at == pytest.approx(10.5 + 6, abs=0.11)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_of_the_wall_clock_cuts_nobody_and_spares_nobody(link, monkeypatch, jump):
    link.pass_(1)
    wall = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: wall)
    link.hear()
    link.pass_(5)
    assert link.ended_at is None
    link.pass_(1.3)
    assert link.ended_at == pytest.approx(7, abs=0.11)


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


class Ear:
    def troubled(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def refused(self, reason: str) -> None:
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

    def notifyOnDisconnect(self, *_: object) -> None:
        pass

    def callRemote(self, *_: object) -> Deferred[bytes]:
        return Deferred()

    def cut(self, reason: str) -> None:
        self.cuts.append(reason)


class Answered(Switchboard):
    """Reaches such pools, a new one each time; has no Tub."""

    def __init__(self) -> None:
        self.reactor, self.chance, self.controller = Clock(), random.Random(4), ""
        self.back = Back(lambda _session, _reason: None)
        self.pools: list[Mute] = []

    async def call(self, furl: object) -> Mute:
        self.pools.append(Mute())
        return self.pools[-1]


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
    assert not board.reactor.getDelayedCalls()
