"""The stream, between two ends that are joined by a link which a test may mistreat."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scattergather.link.pulse import SILENCE_SECONDS
from scattergather.link.stream import stream as s
from scattergather.link.stream.piece import HEAD, MICROSECONDS, MOST_HELD, Piece, pack, unpack
from scattergather.link.stream.round_trip import LONGEST, WINDOW_SECONDS
from scattergather.model.outcome import GATHER_SECONDS
from scattergather.wire.frame import frame


class End:
    """A stream, and what its driver would do."""

    def __init__(self) -> None:
        self.stream = s.Stream(0.0)
        self.sent: deque[Piece] = deque()
        self.delivered: list[tuple[bytes, bytes]] = []
        self.flush = False
        self.dropped = ""
        self.lost = ""

    def do(self, event: s.Event, now: float = 0.0) -> list[s.Action]:
        actions = self.stream.handle(event, now)
        for action in actions:
            match action:
                case s.Transmit(piece):
                    self.sent.append(piece)
                case s.DeliverFrame(head, body):
                    self.delivered.append((head, body))
                case s.FlushLater():
                    self.flush = True
                case s.CutLink(reason):
                    self.dropped = reason
                case s.Lose(reason):
                    self.lost = reason
        return actions

    def end_turn(self, now: float = 0.0) -> None:
        if self.flush:
            self.flush = False
            self.do(s.TurnEnded(), now)


def held(end: End) -> tuple[int, int]:
    """Bytes that are to be sent, and that were sent and not acknowledged."""
    seen = end.stream.statistics()
    return seen.waiting, seen.under_way


class Pair:
    """Two ends; ``cut`` loses what is under way, as a broken connection does."""

    def __init__(self) -> None:
        self.ends = (End(), End())
        self.now = 0.0
        self.join()

    def join(self) -> None:
        one, two = self.ends
        received = one.stream.received, two.stream.received
        one.do(s.Connected(received[1]), self.now)
        two.do(s.Connected(received[0]), self.now)

    def cut(self) -> None:
        for end in self.ends:
            end.do(s.Disconnected("cut"), self.now)
            end.sent.clear()

    def pass_one(self, source: int, *, twice: bool = False) -> bool:
        if not self.ends[source].sent:
            return False
        piece = self.ends[source].sent.popleft()
        for _ in range(1 + twice):
            self.ends[1 - source].do(s.PieceArrived(piece), self.now)
        return True

    def settle(self) -> None:
        """Until nothing more happens by itself."""
        moved = True
        while moved:
            for end in self.ends:
                end.end_turn(self.now)
            moved = any([self.pass_one(0), self.pass_one(1)])
            if not moved:
                self.now += s.ACKNOWLEDGE_SECONDS
                for end in self.ends:
                    end.do(s.DeadlinePassed(), self.now)
                moved = any(end.sent for end in self.ends)


STEPS = st.one_of(
    st.tuples(st.just("offer"), st.integers(0, 1), st.integers(0, 3000)),
    st.tuples(st.just("patient"), st.integers(0, 1), st.integers(0, 3000)),
    st.tuples(st.just("large"), st.integers(0, 1), st.integers(0, 3 * s.PIECE_BYTES)),
    st.tuples(st.just("pass"), st.integers(0, 1), st.integers(1, 12)),
    st.tuples(st.just("twice"), st.integers(0, 1), st.just(1)),
    st.tuples(st.just("turn"), st.integers(0, 1), st.just(1)),
    st.tuples(st.just("lose"), st.integers(0, 1), st.just(1)),
    st.tuples(st.just("cut"), st.just(0), st.just(0)),
    st.tuples(st.just("tick"), st.integers(0, 1), st.integers(1, 60)),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=60))
def test_frames_arrive_once_and_in_order_however_the_link_is_mistreated(steps):
    pair = Pair()
    offered: tuple[list[tuple[bytes, bytes]], ...] = ([], [])
    for number, (step, which, size) in enumerate(steps):
        end = pair.ends[which]
        match step:
            case "offer" | "large" | "patient":
                sent = (b"head %d" % number, bytes([number % 256]) * size)
                offered[which].append(sent)
                end.do(
                    s.Offered(*sent, within=GATHER_SECONDS if step == "patient" else None), pair.now
                )
            case "pass":
                for _ in range(size):
                    pair.pass_one(which)
            case "twice":
                pair.pass_one(which, twice=True)
            case "turn":
                end.end_turn(pair.now)
            case "lose":
                if end.sent:
                    end.sent.popleft()
            case "cut":
                pair.cut()
                pair.join()
            case "tick":
                pair.now += size / 1000
                end.do(s.DeadlinePassed(), pair.now)
        if any(each.dropped for each in pair.ends):
            for each in pair.ends:
                each.dropped = ""
            pair.cut()
            pair.join()
        for each in pair.ends:
            assert each.stream.statistics().under_way <= s.WINDOW * s.PIECE_BYTES
    pair.settle()
    pair.cut()  # whatever was lost without a trace is noticed at the latest here
    pair.join()
    pair.settle()
    for which, end in enumerate(pair.ends):
        assert pair.ends[1 - which].delivered == offered[which]
        assert not end.lost
        assert held(end) == (0, 0)


def test_small_frames_of_one_turn_share_a_piece_and_the_first_leaves_at_once():
    pair = Pair()
    one, two = pair.ends
    for number in range(100):
        one.do(s.Offered(b"%d" % number))
    assert len(one.sent) == 1
    one.end_turn()
    assert len(one.sent) == 2
    pair.settle()
    assert [head for head, _ in two.delivered] == [b"%d" % number for number in range(100)]


def test_a_large_body_is_cut_into_pieces_and_at_most_a_window_is_under_way():
    pair = Pair()
    one, two = pair.ends
    body = bytes(range(256)) * 20_000
    one.do(s.Offered(b"x", body))
    assert len(one.sent) == s.WINDOW
    assert all(len(piece.data) <= s.PIECE_BYTES for piece in one.sent)
    assert sum(held(one)) == len(body) + 9
    pair.settle()
    assert two.delivered == [(b"x", body)]
    assert held(one) == (0, 0)


def test_an_acknowledgement_waits_a_moment_for_a_piece_to_ride_on():
    pair = Pair()
    one, two = pair.ends
    one.do(s.Offered(b"question"))
    pair.pass_one(0)
    assert not two.sent
    assert two.stream.deadline == pytest.approx(s.ACKNOWLEDGE_SECONDS)
    two.do(s.Offered(b"answer"), 0.01)
    assert two.sent[0].acknowledged == 1
    assert two.stream.deadline == pytest.approx(0.01 + s.PATIENCE)
    pair.pass_one(1)
    one.do(s.DeadlinePassed(), 0.02)
    assert not one.sent
    one.do(s.DeadlinePassed(), s.ACKNOWLEDGE_SECONDS)
    assert (one.sent[-1].number, one.sent[-1].acknowledged) == (0, 1)


def test_half_a_window_of_pieces_is_acknowledged_at_once():
    pair = Pair()
    one, two = pair.ends
    one.do(s.Offered(b"x", bytes(s.WINDOW * s.PIECE_BYTES)))
    for _ in range(s.ACKNOWLEDGE_PIECES):
        pair.pass_one(0)
    assert [piece.acknowledged for piece in two.sent] == [s.ACKNOWLEDGE_PIECES]


def test_after_a_break_both_ends_go_on_where_the_other_stopped():
    pair = Pair()
    one, two = pair.ends
    for number in range(3):
        one.do(s.Offered(b"%d" % number))
        one.end_turn()
    pair.pass_one(0)
    two.do(s.Offered(b"back"))
    pair.cut()
    one.do(s.Offered(b"3"))
    assert not one.sent
    pair.join()
    assert one.sent[0].number == 2
    pair.settle()
    assert [head for head, _ in two.delivered] == [b"0", b"1", b"2", b"3"]
    assert [head for head, _ in one.delivered] == [b"back"]
    assert one.stream.statistics().resumed == 1


def test_a_missing_piece_drops_the_link():
    pair = Pair()
    one, two = pair.ends
    for _ in range(2):
        one.do(s.Offered(b"x"))
        one.end_turn()
    one.sent.popleft()
    pair.pass_one(0)
    assert two.dropped == "piece 1 is missing"
    assert not two.delivered
    pair.cut()
    pair.join()
    pair.settle()
    assert len(two.delivered) == 2


def test_a_frozen_end_is_given_up_after_ten_seconds():
    assert SILENCE_SECONDS + s.GRACE == 10


def test_no_acknowledgement_for_long_drops_the_link():
    pair = Pair()
    one, _ = pair.ends
    one.do(s.Offered(b"x"), 5.0)
    assert one.stream.deadline == 5.0 + s.PATIENCE
    one.do(s.DeadlinePassed(), 4.9 + s.PATIENCE)
    assert not one.dropped
    one.do(s.DeadlinePassed(), 5.0 + s.PATIENCE)
    assert one.dropped == "nothing was acknowledged in 38 s"


def crawl(pair: Pair, speed: float, frames: int) -> None:
    """One piece after the other passes in each direction, until both ends have so many frames."""
    passed: list[float | None] = [None, None]
    while any(len(end.delivered) < frames for end in pair.ends):
        for side, end in enumerate(pair.ends):
            if passed[side] is None and end.sent:
                passed[side] = pair.now + (HEAD.size + len(end.sent[0].data)) / speed
        deadlines = [end.stream.deadline for end in pair.ends]
        pair.now = min(time for time in [*passed, *deadlines] if time is not None)
        for side, end in enumerate(pair.ends):
            if passed[side] == pair.now:
                pair.pass_one(side)
                passed[side] = None
            end.end_turn(pair.now)
            if end.stream.deadline == pair.now:
                end.do(s.DeadlinePassed(), pair.now)
            assert not end.dropped


@pytest.mark.parametrize("back", [1, 3 * s.WINDOW * s.PIECE_BYTES])
@pytest.mark.parametrize("speed", [s.SLOWEST, 30_000, 10_000_000])
def test_a_slow_way_is_not_taken_for_a_dead_one_whatever_comes_back_over_it(speed, back):
    pair = Pair()
    for end, length in zip(pair.ends, (3 * s.WINDOW * s.PIECE_BYTES, back), strict=True):
        end.do(s.Offered(b"first", bytes(length)))
        end.end_turn()
        end.do(s.Offered(b"second"))
        end.end_turn()
    crawl(pair, speed, frames=2)


def test_the_grace_without_a_link_loses_the_session():
    pair = Pair()
    one, _ = pair.ends
    pair.now = 3.0
    pair.cut()
    end = 3.0 + s.GRACE
    assert one.stream.deadline == end
    one.do(s.DeadlinePassed(), end)
    assert one.lost == "no connection for 4 s (cut)"
    assert one.do(s.Connected(0), end + 0.1) == []
    assert one.do(s.Offered(b"x"), end + 0.1) == []
    assert one.stream.deadline is None


@pytest.mark.parametrize("event", [s.Connected(3), s.PieceArrived(Piece(0, 3))])
def test_an_end_that_claims_what_was_never_sent_loses_the_session(event):
    pair = Pair()
    pair.ends[0].do(event)
    assert "3" in pair.ends[0].lost


def test_a_stream_without_frames_in_it_loses_the_session():
    pair = Pair()
    pair.ends[0].do(s.PieceArrived(Piece(1, 0, b"\xff" * 8)))
    assert pair.ends[0].lost.startswith("the stream is broken")


def test_a_frame_may_be_cut_at_any_byte():
    data = b"".join(frame(b"head", b"body")) * 2
    for at in range(len(data)):
        pair = Pair()
        pair.ends[0].do(s.PieceArrived(Piece(1, 0, data[:at])))
        pair.ends[0].do(s.PieceArrived(Piece(2, 0, data[at:])))
        assert pair.ends[0].delivered == [(b"head", b"body")] * 2


def test_a_piece_survives_packing_and_a_short_one_is_refused():
    piece = Piece(7, 2**40, b"data", 0.25)
    assert unpack(b"".join(pack(b"s" * 16, piece))) == (b"s" * 16, piece)
    with pytest.raises(ValueError, match="35 bytes"):
        unpack(bytes(HEAD.size - 1))


def test_a_disconnection_may_leave_less_than_the_usual_grace():
    pair = Pair()
    one, _ = pair.ends
    one.do(s.Disconnected("it hung up", 1.5), 3.0)
    assert one.stream.deadline == 4.5
    one.do(s.DeadlinePassed(), 4.5)
    assert one.lost == "no connection for 1.5 s (it hung up)"


def test_a_hold_beyond_what_can_be_said_is_cut_short():
    longest = MOST_HELD / MICROSECONDS
    assert unpack(b"".join(pack(b"s" * 16, Piece(0, 1, b"", 1e9))))[1].held == longest


WAY = 0.025
"""Seconds from one end to the other."""


class Far:
    """Two ends that are ``way`` seconds apart; ``told`` is what the first hears of it."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.told: list[float] = []
        self.now = 0.0

    def ask(self, *, way: float = WAY, hold: float = 0.0) -> None:
        """A frame goes there, and an answer comes after ``hold`` seconds."""
        one, two = self.pair.ends
        self.end(one, s.Offered(b"question"))
        self.now += way
        self.end(two, s.PieceArrived(one.sent.popleft()))
        self.now += hold
        self.end(two, s.DeadlinePassed())
        if not two.sent:
            self.end(two, s.Offered(b"answer"))
        self.now += way
        self.end(one, s.PieceArrived(two.sent.popleft()))

    def end(self, end: End, event: s.Event) -> None:
        actions = end.do(event, self.now)
        end.end_turn(self.now)
        if end is self.pair.ends[0]:
            self.told += [each.seconds for each in actions if isinstance(each, s.RoundTripChanged)]

    @property
    def measured(self) -> float | None:
        return self.pair.ends[0].stream.statistics().round_trip


@pytest.mark.parametrize("hold", [0.0, 0.03, s.ACKNOWLEDGE_SECONDS, 1.0])
def test_the_time_for_which_the_other_end_held_a_piece_is_no_part_of_the_round_trip(hold):
    far = Far()
    far.ask(hold=hold)
    assert far.measured == pytest.approx(2 * WAY, abs=2e-6)
    assert far.told == [far.measured]


def test_what_queues_on_its_way_makes_no_longer_round_trip():
    far = Far()
    for delay in (0.3, 0.0, 0.8, 0.1, 0.5):
        far.ask(way=WAY + delay)
    assert far.measured == pytest.approx(2 * WAY)
    assert far.told == [pytest.approx(2 * (WAY + 0.3)), pytest.approx(2 * WAY)]


def test_a_longer_way_is_believed_after_ten_seconds():
    far = Far()
    while far.now < 4.0:
        far.ask(way=0.001)
    assert far.told == [pytest.approx(0.002)]
    moved = far.now
    while len(far.told) == 1:
        far.ask()
    assert WINDOW_SECONDS <= far.now - moved <= 2 * WINDOW_SECONDS + 0.1
    assert far.told[1:] == [pytest.approx(2 * WAY)]


def test_small_changes_are_not_told():
    far = Far()
    for step in range(1000):
        far.ask(way=WAY * (1 + 0.1 * (step % 2)), hold=0.01)
    assert far.told == [pytest.approx(2 * WAY * 1.0)]
    near = Far()
    for step in range(1000):
        near.ask(way=1e-5 + 1e-6 * (step % 100))
    assert len(near.told) == 1


def test_a_silence_forgets_nothing():
    far = Far()
    far.ask()
    far.now += 1000
    assert far.measured == pytest.approx(2 * WAY)
    far.ask(way=0.2)
    assert far.measured == pytest.approx(0.4)


def test_the_answer_to_a_hello_is_a_measurement_too():
    far = Far()
    far.end(far.pair.ends[0], s.Connected(0, 0.07))
    assert far.told == [0.07]
    far.ask()
    assert far.told == [0.07, pytest.approx(2 * WAY)]


def test_a_piece_that_was_sent_again_is_measured_from_then_on():
    far = Far()
    one, two = far.pair.ends
    far.end(one, s.Offered(b"x"))
    far.pair.cut()
    far.now += 3.0
    far.end(one, s.Connected(0, 0.05))
    two.do(s.Connected(0), far.now)
    far.now += WAY
    far.end(two, s.PieceArrived(one.sent.popleft()))
    far.end(two, s.Offered(b"y"))
    far.now += WAY
    far.end(one, s.PieceArrived(two.sent.popleft()))
    assert far.measured == pytest.approx(0.05)


def test_what_was_acknowledged_by_a_hello_is_not_measured():
    far = Far()
    one, _ = far.pair.ends
    far.end(one, s.Offered(b"x"))
    far.now += 0.001
    far.end(one, s.Disconnected("cut"))
    far.end(one, s.Connected(1))
    assert far.measured is None
    assert far.told == []


def test_after_a_break_the_new_way_is_measured_alone():
    far = Far()
    far.ask(way=0.001)
    far.pair.cut()
    far.pair.now = far.now
    far.pair.join()
    far.ask()
    assert far.measured == pytest.approx(2 * WAY)
    assert far.told == [pytest.approx(0.002), pytest.approx(2 * WAY)]


def test_an_end_that_says_what_cannot_be_true_is_not_believed():
    far = Far()
    one, _ = far.pair.ends
    for number, held in enumerate((1.0, 0.0), 1):
        far.end(one, s.Offered(b"x"))
        far.now += 0.5 if held else 5.0
        far.end(one, s.PieceArrived(Piece(0, number, b"", held)))
        if held:
            assert far.measured is None
    assert far.measured == LONGEST
