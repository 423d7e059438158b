"""What a pool does about a controller that does not keep up, wants too much, or fails it."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from scattergather.link import remote
from scattergather.link.host import MOST_WANTED as MOST_OF_HOST
from scattergather.link.host import RemoteHost, _Joined
from scattergather.link.seams import NoObjectStore
from scattergather.link.stream.piece import Piece
from scattergather.link.visit import CLOGGED, MOST_WAITING, MOST_WANTED, Visit
from scattergather.wire.frame import LENGTHS, frame
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec

FURL = f"pb://{'a' * 32}@tcp:127.0.0.1:1/{'s' * 32}"


class Pool:
    """Opens a session, of which it knows whether it is clogged, and that it is over."""

    def __init__(self) -> None:
        self.clogs: list[bool] = []
        self.heard: list[Any] = []
        self.closed: list[str] = []
        self.may_return: list[bool] = []

    def open(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(
            objects=NoObjectStore(),
            most=2 * MOST_WAITING,
            refusal=lambda size: "too much" if size > 1 << 20 else "",
            clog=self.clogs.append,
            receive=lambda message, body: self.heard.append(message),
            close=self.close,
        )

    def close(self, reason: str, *, may_return: bool) -> None:
        self.closed.append(reason)
        self.may_return.append(may_return)


class There:
    def __init__(self) -> None:
        self.clock, self.pool = Clock(), Pool()
        self.said: list[tuple[Any, ...]] = []
        back = SimpleNamespace(callRemoteOnly=lambda *said: self.said.append(said))
        greeting = remote.Greeting(
            protocol=1,
            version="",
            python="",
            controller="",
            workers=0,
            session=b"i" * 16,
            received=0,
        )
        self.visit = Visit(
            self.clock,
            self.pool,  # type: ignore[arg-type]
            greeting,
            back,
            who="owner",
            name="one",
            over=lambda _: not self.pool.closed,
        )

    def send(self, size: int) -> None:
        self.visit.send(messages.Output(chunk=1, index=0), b"x" * size)

    def hear(self, message: messages.ToPool) -> None:
        self.visit._received(messages.encode(message), b"")

    def connect(self, *, hung_up: bool) -> SimpleNamespace:
        """A connection, whose ``end`` is how it will end."""
        carrier = SimpleNamespace(lines={}, hung_up=hung_up, cut=lambda _: None)
        carrier.carry = lambda *_: None

        def notify(then: Any, *args: Any) -> None:
            carrier.end = lambda: then(*args)

        back = SimpleNamespace(
            callRemoteOnly=lambda *said: self.said.append(said),
            tracker=SimpleNamespace(broker=carrier),
            notifyOnDisconnect=notify,
        )
        self.visit.connect(back, 0)
        return carrier


@pytest.fixture
def there() -> There:
    return There()


def test_tasks_wait_for_a_controller_that_does_not_keep_up_and_go_on_when_it_does(
    there: There,
) -> None:
    for _ in range(9):
        there.send(CLOGGED // 8)
    assert there.pool.clogs == [True]
    there.clock.advance(1.0)
    there.send(CLOGGED // 8)
    assert there.pool.clogs == [True]
    carried: list[Piece] = []
    carrier = SimpleNamespace(
        lines={}, carry=lambda _, piece: carried.append(piece), cut=lambda _: None
    )
    line = there.visit._line
    line.expect(carrier)  # type: ignore[arg-type]
    line.attach(0)
    while carried:  # it takes all there is
        last = carried.pop().number
        carried.clear()
        line._arrived(Piece(0, last, b"", 0.0))
    there.clock.advance(1.0)
    assert there.pool.clogs == [True, False]
    assert not there.pool.closed


def test_a_controller_that_never_keeps_up_is_not_waited_for_whatever_its_tasks_print(
    there: There,
) -> None:
    body = b"x" * (MOST_WAITING // 8)
    for _ in range(9):
        there.visit.send(messages.Output(chunk=1, index=0), body)
    there.clock.advance(1.0)
    assert there.pool.closed == [f"more than {MOST_WAITING:,} bytes wait for it"]
    assert there.said[-1][0] == "goodbye"


def test_what_tasks_return_may_be_more_as_long_as_it_is_no_more_than_one_value_may_have(
    there: There,
) -> None:
    body = b"x" * (MOST_WAITING // 8)
    outcomes = messages.Outcomes(chunk=1, first=0, kinds=b"\0")
    for _ in range(20):
        there.visit.send(outcomes, body)
    there.clock.advance(1.0)
    assert not there.pool.closed
    for _ in range(20):
        there.visit.send(outcomes, body)
    there.clock.advance(1.0)
    assert there.pool.closed == [f"more than {3 * MOST_WAITING:,} bytes wait for it"]


def test_a_frame_that_is_too_much_ends_the_session_by_name_before_it_has_come(
    there: There,
) -> None:
    carrier = SimpleNamespace(lines={}, carry=lambda *_: None, cut=lambda _: None)
    line = there.visit._line
    line.expect(carrier)  # type: ignore[arg-type]
    line.attach(0)
    line._arrived(Piece(1, 0, LENGTHS.pack(9, 1000) + b"x", 0.0))
    assert not there.pool.closed
    line._arrived(Piece(2, 0, b"x" * 1008 + LENGTHS.pack(9, 1 << 20), 0.0))
    assert there.pool.closed == ["too much"]
    assert there.said == [("goodbye", b"i" * 16, b"too much")]
    line._arrived(Piece(3, 0, b"x" * 1000, 0.0))
    assert there.pool.closed == ["too much"]


def test_a_stream_that_holds_no_frames_ends_on_both_sides(there: There) -> None:
    carrier = SimpleNamespace(lines={}, carry=lambda *_: None, cut=lambda _: None)
    line = there.visit._line
    line.expect(carrier)  # type: ignore[arg-type]
    line.attach(0)
    line._arrived(Piece(1, 0, b"\xff" * 100, 0.0))
    assert len(there.pool.closed) == 1
    assert there.said[0][:2] == ("goodbye", b"i" * 16)


def test_a_controller_that_wants_objects_without_end_is_sent_away(there: There) -> None:
    for number in range(0, 1 << 20, 1 << 14):
        names = (each.to_bytes(16, "big") for each in range(number, number + (1 << 14)))
        there.hear(messages.Want(objects=tuple(names)))
        if there.pool.closed:
            break
    assert there.pool.closed == [f"it wants more than {MOST_WANTED:,} objects at a time"]


@pytest.mark.parametrize("what", ["message", "arrived", "lost"])
def test_a_host_on_whose_word_the_controller_fails_is_thrown_out_and_returns_its_leases(
    what: str,
) -> None:
    def fails(*_: Any) -> None:
        raise KeyError(what)

    left: list[str] = []
    said: list[tuple[Any, ...]] = []
    listener: Any = SimpleNamespace(
        received=fails, arrived=fails, lost=fails, measured=fails, troubled=fails, left=left.append
    )
    board: Any = SimpleNamespace(reactor=Clock(), chance=random.Random(1), hang_up=lambda _: None)
    host = RemoteHost(board, RemoteSpec(name="far", furl=FURL), listener, NoObjectStore())
    line = host._new_line()
    dialler = host._make_dialler(line.session, b"t" * 32)
    pool = SimpleNamespace(callRemoteOnly=lambda *each: said.append(each))
    host._state = _Joined(line, pool, dialler)
    match what:
        case "message":
            host._received(messages.encode(messages.Want(objects=())), b"")
        case "arrived":
            dialler.courier._arrived(b"a" * 16)
        case _:
            dialler.courier._lost(b"a" * 16, "gone")
    assert left == ["the controller failed on a message of it; its log says how"]
    assert said[0][0] == "goodbye"
    host.stop()


def test_a_controller_that_says_hello_again_and_again_is_watched_once(there: There) -> None:
    watched: list[Any] = []

    def connect(carrier: Any) -> None:
        back = SimpleNamespace(
            tracker=SimpleNamespace(broker=carrier),
            notifyOnDisconnect=lambda *each: watched.append(each),
        )
        there.visit.connect(back, 0)

    for _ in range(2):
        carrier = SimpleNamespace(lines={}, carry=lambda *_: None, cut=lambda _: None)
        for _ in range(9):
            connect(carrier)
    assert len(watched) == 2


def test_a_host_that_wants_objects_without_end_is_thrown_out() -> None:
    left: list[str] = []
    listener: Any = SimpleNamespace(
        received=lambda *_: None, left=left.append, measured=print, troubled=print
    )
    board: Any = SimpleNamespace(reactor=Clock(), chance=random.Random(1), hang_up=lambda _: None)
    host = RemoteHost(board, RemoteSpec(name="far", furl=FURL), listener, NoObjectStore())
    line = host._new_line()
    dialler = host._make_dialler(line.session, b"t" * 32)
    pool = SimpleNamespace(callRemoteOnly=lambda *_: None)
    host._state = _Joined(line, pool, dialler)
    dialler.courier.ship(number.to_bytes(16, "big") for number in range(MOST_OF_HOST - 1))
    for name in (b"a" * 16, b"b" * 16):
        host._received(messages.encode(messages.Want(objects=(name, name))), b"")
    assert left[0].endswith("objects at a time")
    host.stop()


def test_what_comes_before_a_hello_is_answered_is_bounded() -> None:
    line = There().visit._line
    carrier = SimpleNamespace(lines={}, carry=lambda *_: None, cut=lambda _: None)
    line.expect(carrier)  # type: ignore[arg-type]
    data = b"".join(frame(b"head", b"x"))
    for number in range(1, 1000):
        line._arrived(Piece(number, 0, data, 0.0))
    assert len(line._state.early) < 20  # type: ignore[union-attr]


@pytest.mark.parametrize("hung_up", [True, False])
def test_a_controller_that_was_lost_in_silence_may_return_and_one_that_hung_up_may_not(
    there: There, hung_up: bool
) -> None:
    there.connect(hung_up=not hung_up).end()
    there.connect(hung_up=hung_up).end()
    there.clock.advance(60)
    assert there.pool.may_return == [not hung_up]


def test_a_controller_that_says_goodbye_does_not_return(there: There) -> None:
    there.connect(hung_up=False)
    there.visit.end("it leaves")
    assert there.pool.may_return == [False]
