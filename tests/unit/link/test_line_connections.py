"""One end of a session, as its connections come and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from scattergather.link.stream.line import Line
from scattergather.link.stream.piece import Piece
from scattergather.link.stream.stream import GRACE
from scattergather.wire.frame import frame

SESSION = b"s" * 16


class Carrier:
    """A connection that keeps what it carries."""

    def __init__(self) -> None:
        self.lines: dict[bytes, Callable[[Piece], None]] = {}
        self.carried: list[Piece] = []
        self.cuts: list[str] = []

    def carry(self, session: bytes, piece: Piece) -> None:
        assert session == SESSION
        self.carried.append(piece)

    def cut(self, reason: str) -> None:
        self.cuts.append(reason)


class OneEnd:
    def __init__(self) -> None:
        self.clock = Clock()
        self.delivered: list[bytes] = []
        self.lost: list[str] = []
        self.line = Line(
            self.clock, SESSION, lambda head, _body: self.delivered.append(head), self.lost.append
        )


@pytest.fixture
def end() -> OneEnd:
    return OneEnd()


def piece(number: int, head: bytes) -> Piece:
    return Piece(number, 0, b"".join(frame(head)))


def test_pieces_that_come_before_the_answer_to_a_hello_wait_for_it(end: OneEnd) -> None:
    carrier = Carrier()
    end.line.expect(carrier)
    carrier.lines[SESSION](piece(1, b"early"))
    end.line.offer(b"ours")
    assert not end.line.connected
    assert not end.delivered
    assert not carrier.carried
    end.line.attach(0)
    assert end.line.connected
    assert end.delivered == [b"early"]
    assert [each.number for each in carrier.carried] == [1]


def test_a_connection_that_breaks_while_its_hello_is_answered_is_none(end: OneEnd) -> None:
    carrier = Carrier()
    end.line.expect(carrier)
    end.line.detach(carrier, "it broke")
    end.line.attach(0)
    assert not end.line.connected
    end.clock.advance(GRACE - 0.1)
    assert not end.lost
    end.clock.advance(0.2)
    assert end.lost == [f"no connection for {GRACE:g} s (never connected)"]
    assert not carrier.lines


def test_a_newer_connection_takes_the_place_of_an_older_one(end: OneEnd) -> None:
    first, second = Carrier(), Carrier()
    end.line.expect(first)
    end.line.attach(0)
    end.line.expect(second)
    assert not first.lines
    end.line.detach(first, "it broke, and nobody minds")
    end.line.attach(0)
    end.line.offer(b"x")
    assert end.line.connected
    assert (len(first.carried), len(second.carried)) == (0, 1)


def test_what_is_closed_takes_no_connection_and_keeps_no_timer(end: OneEnd) -> None:
    carrier, late = Carrier(), Carrier()
    end.line.expect(carrier)
    end.line.attach(0)
    end.line.offer(b"x")
    end.line.close()
    end.line.expect(late)
    end.line.attach(1)
    end.line.offer(b"y")
    end.line.close()
    assert not carrier.lines
    assert not late.lines
    assert not late.carried
    end.clock.advance(0)
    assert not end.clock.getDelayedCalls()
    assert not end.lost
