"""When frames leave: at once, or with others."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from scattergather.link.stream.line import Line
from scattergather.link.stream.piece import Piece
from scattergather.link.stream.stream import ACKNOWLEDGE_SECONDS
from scattergather.model.outcome import GATHER_SECONDS
from scattergather.wire.frame import frame

SESSION = b"s" * 16


class Wire:
    """A connection that keeps what it carries."""

    def __init__(self) -> None:
        self.lines: dict[bytes, object] = {}
        self.pieces: list[Piece] = []

    def carry(self, session: bytes, piece: Piece) -> None:
        assert session == SESSION
        self.pieces.append(piece)

    def cut(self, reason: str) -> None:
        raise AssertionError(reason)


def connected() -> tuple[Clock, Line, Wire]:
    clock, wire = Clock(), Wire()
    line = Line(clock, SESSION, lambda head, body: None, lambda reason: None)
    line.expect(wire)
    line.attach(0)
    wire.pieces.clear()
    return clock, line, wire


def sent(wire: Wire) -> list[bytes]:
    """The frames in each piece, back to back."""
    return [piece.data for piece in wire.pieces if piece.data]


def test_patient_frames_leave_in_one_piece_after_a_moment() -> None:
    clock, line, wire = connected()
    line.offer(b"one", within=GATHER_SECONDS)
    clock.advance(GATHER_SECONDS / 2)
    line.offer(b"two", within=GATHER_SECONDS)
    assert sent(wire) == []
    clock.advance(GATHER_SECONDS / 2)
    (data,) = sent(wire)
    assert data.index(b"one") < data.index(b"two")


def test_frames_that_wait_for_the_end_of_a_turn_leave_in_one_piece() -> None:
    clock, line, wire = connected()
    line.offer(b"one", within=0.0)
    line.offer(b"two", within=0.0)
    assert sent(wire) == []
    clock.advance(0)
    (data,) = sent(wire)
    assert data.index(b"one") < data.index(b"two")


def test_a_patient_frame_leaves_at_once_before_one_that_is_not() -> None:
    clock, line, wire = connected()
    line.offer(b"one", within=GATHER_SECONDS)
    line.offer(b"two")
    clock.advance(0)
    together = b"".join(sent(wire))
    assert together.index(b"one") < together.index(b"two")
    wire.pieces.clear()
    clock.advance(1.0)
    assert not sent(wire), "once"


def test_a_closed_line_sends_nothing_that_waited() -> None:
    clock, line, wire = connected()
    line.offer(b"one", within=GATHER_SECONDS)
    line.close()
    line.offer(b"two", within=GATHER_SECONDS)
    clock.advance(1.0)
    assert not sent(wire)


class Ticking(Clock):
    """Goes on with every look at it, and counts what is planned and planned anew."""

    def __init__(self) -> None:
        Clock.__init__(self)
        self.planned = 0

    def seconds(self) -> float:
        self.rightNow += 1e-6
        return self.rightNow

    def callLater(self, when: float, what: Any, *args: Any, **kwargs: Any) -> Any:
        self.planned += 1
        timer: Any = Clock.callLater(self, when, what, *args, **kwargs)
        reset = timer.reset

        def counted(seconds: float) -> None:
            self.planned += 1
            reset(seconds)

        timer.reset = counted
        return timer


def test_a_deadline_that_is_the_same_is_planned_once() -> None:
    clock = Ticking()
    line = Line(clock, SESSION, lambda head, body: None, lambda reason: None)
    wire = Wire()
    line.expect(wire)
    line.attach(0)
    arrived: Any = wire.lines[SESSION]
    arrived(Piece(1, 0, b"".join(frame(b"head"))))  # type: ignore[arg-type]
    before = clock.planned
    for number in (2, 3, 4):
        arrived(Piece(number, 0, b"".join(frame(b"head"))))  # type: ignore[arg-type]
    assert clock.planned == before
    wire.pieces.clear()
    clock.advance(ACKNOWLEDGE_SECONDS + 0.002)
    assert [piece.acknowledged for piece in wire.pieces] == [4]
