"""When frames leave: at once, or with others."""

from __future__ import annotations

from twisted.internet.task import Clock

from scattergather.link.stream.line import Line
from scattergather.link.stream.piece import Piece
from scattergather.model.outcome import GATHER_SECONDS

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
