"""The block stream as a function: two ends, and a wire between them that may break anywhere."""

from __future__ import annotations

import random
import struct

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from scattergather.link.blocks import block, deliveries, shipments
from scattergather.link.blocks.block import BLOCK_BYTES, HEAD_BYTES, Cutter, Violation, pack
from scattergather.link.blocks.deliveries import Lost, ObjectArrived, Send
from scattergather.link.blocks.exchange import CutConnection, Exchange, Shipped
from tests.pour import pour
from tests.stock import Stock

NOTHING = xxhash.xxh3_64_intdigest(b"")
FIRST, SECOND = b"1" * 16, b"2" * 16


@pytest.fixture
def stock():
    stocks = []

    def make(**limits):
        stocks.append(Stock(**limits))
        return stocks[-1]

    yield make
    for each in stocks:
        each.close()


class End:
    """One end, and what it has told."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.exchange = Exchange(stock)
        self.out = bytearray()
        self.arrived: list[bytes] = []
        self.shipped: list[bytes] = []
        self.refused: list[bytes] = []
        self.lost: list[bytes] = []
        self.drops: list[str] = []

    def do(self, actions) -> None:
        for action in actions:
            match action:
                case Send(frames):
                    self.out += frames
                case ObjectArrived(name):
                    self.arrived.append(name)
                case Lost(name, _):
                    self.lost.append(name)
                case Shipped(name, refused):
                    (self.refused if refused else self.shipped).append(name)
                case CutConnection(reason):
                    self.drops.append(reason)

    def hear(self, data: bytes) -> None:
        """These bytes came."""
        pour(data, self.exchange.space, lambda count: self.do(self.exchange.filled(count)))

    def connect(self) -> None:
        self.out.clear()
        self.do(self.exchange.connected())

    def disconnect(self) -> None:
        self.exchange.disconnected()

    def ship(self, *names: bytes) -> None:
        self.do(self.exchange.ship(names))

    def fill(self) -> bool:
        """Put a block on the wire, if one is wanted."""
        parts = self.exchange.block()
        self.out += b"".join(parts)
        return bool(parts)

    def give(self, other: End, count: int | None = None) -> int:
        """Carry so many bytes over."""
        data = bytes(self.out[:count])
        del self.out[: len(data)]
        if data:
            other.hear(data)
        return len(data)


def pump(one: End, other: End) -> None:
    """Carry everything over, until nothing more is said."""
    while True:
        moved = one.fill() + other.fill()
        moved += one.give(other) + other.give(one)
        if not moved:
            return


def joined(here: Stock, there: Stock) -> tuple[End, End]:
    ends = End(here), End(there)
    for end in ends:
        end.connect()
    return ends


# ---- frames -------------------------------------------------------------------------------------


def frames(cutter: Cutter, data: bytes) -> list[tuple[bytes, int, int, bytes]]:
    """What ends in ``data``."""
    heard = []

    def filled(count: int) -> None:
        if frame := cutter.filled(count):
            heard.append((frame.kind, frame.number, frame.value, bytes(frame.payload)))

    pour(data, cutter.space, filled)
    return heard


@given(st.lists(st.integers(0, 3 * HEAD_BYTES), max_size=30))
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(cuts):
    chance = random.Random(0)
    said = [
        (block.OFFER, 1, 70_000, FIRST),
        (block.BLOCK, 1, 0, chance.randbytes(100)),
        (block.WANT, 7, 0, b""),
        (block.BLOCK, 1, 100, chance.randbytes(BLOCK_BYTES)),
        (block.REFUSED, 9, 0, b"no"),
        (block.STORED, 1, 0, b""),
    ]
    stream = b"".join(pack(*frame) for frame in said)
    cutter, heard, at = Cutter(), [], 0
    for count in [*cuts, len(stream)]:
        heard += frames(cutter, stream[at : at + count])
        at += count
    assert heard == said


def head(kind, size, check=NOTHING, number=1, value=0):
    return struct.pack("<cQQIQ", kind, number, value, size, check)


@pytest.mark.parametrize(
    "said",
    [
        head(b"?", 0),
        head(block.BLOCK, BLOCK_BYTES + 1),
        head(block.BLOCK, 0),
        head(block.BLOCK, 0xFFFFFFFF),
        head(block.OFFER, 15),
        head(block.OFFER, 17),
        head(block.GONE, 0),
        head(block.WANT, 1),
        head(block.REFUSED, block.MOST_REASON + 1),
        head(block.STORED, 0, check=1),
        pack(block.BLOCK, 1, 0, b"data")[:-1] + b"x",
    ],
)
def test_what_is_no_frame_is_refused_at_its_head(said):
    with pytest.raises(Violation):
        frames(Cutter(), said)


# ---- one end against what the other says --------------------------------------------------------


def offered(here: Stock, length: int = 1000) -> End:
    """An end that wants object 1."""
    end = End(here)
    end.connect()
    end.hear(pack(block.OFFER, 1, length, FIRST))
    assert bytes(end.out) == pack(block.WANT, 1)
    return end


@pytest.mark.parametrize(
    "said",
    [
        pack(block.BLOCK, 1, 1, b"x"),
        pack(block.BLOCK, 1, 0, b"x" * 1001),
        pack(block.BLOCK, 1, 0, b"x" * 600) + pack(block.BLOCK, 1, 0, b"x"),
        pack(block.BLOCK, 1, 0, b"x" * 600) + pack(block.BLOCK, 1, 600, b"x" * 401),
        pack(block.BLOCK, 1, 0, b"x" * 1000) + pack(block.BLOCK, 1, 1000, b"x"),
        pack(block.BLOCK, 2, 0, b"x"),
        pack(block.OFFER, 1, 1000, SECOND),
        pack(block.OFFER, 0, 1000, SECOND),
        pack(block.OFFER, 2, 1000, FIRST),
        pack(block.OFFER, 2, deliveries.LONGEST + 1, SECOND),
        pack(block.WITHDRAWN, 2),
        pack(block.GONE, 1, 0, SECOND),
        pack(block.WANT, 1),
        pack(block.STORED, 1),
        pack(block.REFUSED, 0),
        pack(block.BLOCK, 1, 0, b"x" * 600) + b"\0" * 100,
    ],
)
def test_who_breaks_the_protocol_is_dropped_and_nothing_of_it_is_kept_at_the_end(stock, said):
    here = stock()
    end = offered(here)
    end.hear(said)
    assert len(end.drops) == 1
    whole = [name for what, name in here.log if what == "stored"]
    assert end.arrived == whole
    assert whole in ([], [FIRST])
    # Nothing is heard from that connection any more.
    end.hear(pack(block.OFFER, 5, 10, SECOND))
    assert SECOND not in here.arriving
    end.exchange.close()
    assert not here.arriving


def test_bytes_are_wanted_of_an_object_and_not_beyond_it(stock):
    there = stock()
    there.put(FIRST, b"x" * 1000)
    end = End(there)
    end.connect()
    end.ship(FIRST)
    end.hear(pack(block.WANT, 1, 1000))
    assert "from 1000 on" in end.drops[0]


def test_what_had_come_when_a_connection_broke_is_not_sent_again(stock):
    here, there = stock(), stock()
    data = random.Random(1).randbytes(40 * BLOCK_BYTES + 7)
    here.put(FIRST, data)
    one, other = joined(here, there)
    one.ship(FIRST)
    for _ in range(10):
        one.give(other)
        other.give(one)
        for _ in range(4):
            one.fill()
        one.give(other, 3 * BLOCK_BYTES + 1000)
        for end in (one, other):
            end.disconnect()
        for end in (one, other):
            end.connect()
    pump(one, other)
    assert there.get(FIRST) == data
    assert (other.arrived, one.shipped) == ([FIRST], [FIRST])
    assert [what for what, _ in there.log] == ["reserve", "stored"]
    assert one.exchange.sent <= len(data) + 10 * 4 * BLOCK_BYTES
    assert other.exchange.received == len(data)


def broken_off(here: Stock, there: Stock, length: int = 3 * BLOCK_BYTES) -> tuple[End, End]:
    """Two ends without a connection, when a block of the first object had come over."""
    here.put(FIRST, b"x" * length)
    one, other = joined(here, there)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    one.fill()
    one.give(other)
    assert there.arriving == {FIRST}
    for end in (one, other):
        end.disconnect()
    assert there.arriving == {FIRST}
    return one, other


def test_what_is_withdrawn_while_there_is_no_connection_is_discarded_in_the_next(stock):
    here, there = stock(), stock()
    one, other = broken_off(here, there)
    one.do(one.exchange.withdraw([FIRST]))
    assert one.exchange.outstanding
    assert other.exchange.outstanding
    for end in (one, other):
        end.connect()
    pump(one, other)
    assert not there.arriving
    assert (other.arrived, other.lost) == ([], [])
    assert not one.exchange.outstanding
    assert not other.exchange.outstanding


def test_what_is_withdrawn_meanwhile_and_shipped_again_begins_anew(stock):
    here, there = stock(), stock()
    one, other = broken_off(here, there)
    one.do(one.exchange.withdraw([FIRST]))
    here.forget(FIRST)
    here.put(FIRST, b"y" * (3 * BLOCK_BYTES))
    one.ship(FIRST)
    for end in (one, other):
        end.connect()
    pump(one, other)
    assert there.get(FIRST) == b"y" * (3 * BLOCK_BYTES)
    assert not other.drops


def test_an_offer_of_another_length_or_name_goes_on_with_nothing(stock):
    for name, length in ((FIRST, 2 * BLOCK_BYTES), (SECOND, 3 * BLOCK_BYTES)):
        here, there = stock(), stock()
        _, other = broken_off(here, there)
        other.connect()
        other.hear(pack(block.OFFER, 1, length, name))
        assert bytes(other.out) == pack(block.WANT, 1, 0)
        assert there.arriving == {name}


def test_the_end_of_a_session_discards_what_had_come(stock):
    here, there = stock(), stock()
    _, other = broken_off(here, there)
    other.exchange.close()
    assert not there.arriving
    assert not other.exchange.outstanding


def test_what_has_come_in_part_takes_of_what_may_come_ahead(stock):
    here, there = stock(), stock()
    _, other = broken_off(here, there, deliveries.AHEAD - BLOCK_BYTES)
    other.connect()
    for number in (2, 3, 4):
        other.hear(pack(block.OFFER, number, BLOCK_BYTES, b"%16d" % number))
    assert len(there.arriving) == 1 + 2


def test_an_altered_payload_never_becomes_an_object_and_is_sent_again_on_the_next_connection(stock):
    here, there = stock(), stock()
    data = random.Random(1).randbytes(3 * BLOCK_BYTES + 7)
    here.put(FIRST, data)
    one, other = joined(here, there)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    one.fill()
    one.fill()
    one.out[HEAD_BYTES + BLOCK_BYTES + HEAD_BYTES + 77] ^= 1
    one.give(other)
    assert "check sum" in other.drops[0]
    assert (there.names, there.arriving) == (set(), {FIRST})
    one.disconnect()
    one.connect()
    other.connect()
    pump(one, other)
    assert there.get(FIRST) == data
    assert (other.arrived, one.shipped) == ([FIRST], [FIRST])


def test_a_crowd_of_offers_beyond_the_window_is_refused(stock):
    end = End(stock(capacity=0))
    end.connect()
    for number in range(1, shipments.WINDOW + 1):
        end.hear(pack(block.OFFER, number, 1, b"%16d" % number))
    assert not end.drops
    end.hear(pack(block.OFFER, shipments.WINDOW + 1, 1, FIRST))
    assert "under way" in end.drops[0]


def test_offers_that_come_and_go_leave_nothing(stock):
    end = End(stock(capacity=0))
    end.connect()
    end.hear(pack(block.OFFER, 1, 1, FIRST))
    for number in range(2, 5000):
        end.hear(pack(block.OFFER, number, 1, SECOND))
        end.hear(pack(block.WITHDRAWN, number))
    inside = end.exchange._deliveries
    assert not end.drops
    assert len(inside._queue) == len(inside._open) == len(inside._names) == 1
    assert len(inside._settled) <= 2 * shipments.WINDOW


# ---- both ends ----------------------------------------------------------------------------------


def test_objects_leave_in_the_order_in_which_they_were_shipped_both_ways_at_once(stock):
    here, there = stock(), stock()
    chance = random.Random(2)
    mine = [b"m%15d" % number for number in range(40)]
    yours = [b"y%15d" % number for number in range(40)]
    for name in mine:
        here.put(name, chance.randbytes(chance.choice([1, 70_000, 600_000])))
    for name in yours:
        there.put(name, chance.randbytes(chance.choice([1, 70_000, 600_000])))
    contents = {name: here.get(name) for name in mine} | {name: there.get(name) for name in yours}
    one, other = joined(here, there)
    one.ship(*mine)
    other.ship(*yours)
    pump(one, other)
    assert (one.shipped, other.shipped) == (mine, yours)
    assert set(other.arrived) == set(mine)
    assert all(there.get(name) == contents[name] for name in mine)
    assert all(here.get(name) == contents[name] for name in yours)
    assert not one.exchange.outstanding
    assert not other.exchange.outstanding


def test_nothing_is_sent_for_which_there_is_no_room_and_the_way_back_stays_open(stock):
    here, there = stock(capacity=1000), stock(capacity=1000)
    for number in range(5):
        here.put(b"h%15d" % number, b"h" * 200)
        there.put(b"t%15d" % number, b"t" * 200)
    one, other = joined(here, there)
    one.ship(*sorted(here.names))
    other.ship(*sorted(there.names))
    pump(one, other)  # both are full: neither gets anything
    assert (one.arrived, other.arrived) == ([], [])
    here.capacity = 1200
    one.do(one.exchange.room())
    pump(one, other)
    assert one.arrived == [b"t%15d" % 0]
    assert other.shipped == [b"t%15d" % 0]
    here.capacity = there.capacity = 1 << 20
    for end in (one, other):
        end.do(end.exchange.room())
    pump(one, other)
    assert (len(one.shipped), len(other.shipped)) == (5, 5)


def test_room_is_asked_for_in_order_so_a_large_object_gets_its_turn(stock):
    here, there = stock(), stock(capacity=500)
    sizes = {FIRST: 400, SECOND: 450, b"3" * 16: 50}
    for name, size in sizes.items():
        here.put(name, b"x" * size)
    one, other = joined(here, there)
    one.ship(*sizes)
    pump(one, other)
    assert other.arrived == [FIRST]
    there.forget(FIRST)
    other.do(other.exchange.room())
    pump(one, other)
    assert other.arrived == list(sizes)


def test_offers_take_no_more_room_ahead_than_one_may(stock):
    there = stock()
    end = End(there)
    end.connect()
    each = 1 << 20
    for number in range(1, 200):
        end.hear(pack(block.OFFER, number, each, b"%16d" % number))
    assert there.most == deliveries.AHEAD


def test_what_never_fits_is_refused_and_told_at_both_ends(stock):
    here, there = stock(), stock(longest=100)
    here.put(FIRST, b"x" * 200)
    here.put(SECOND, b"y" * 100)
    one, other = joined(here, there)
    one.ship(FIRST, SECOND)
    pump(one, other)
    assert (one.refused, one.shipped) == ([FIRST], [SECOND])
    assert (other.lost, other.arrived) == ([FIRST], [SECOND])


def test_what_cannot_be_written_is_given_up_while_its_blocks_are_under_way(stock):
    here, there = stock(), stock()
    here.put(FIRST, b"x" * (4 * BLOCK_BYTES))
    here.put(SECOND, b"y" * 100)

    def full(name, offset, data, write=there.write):
        if name == FIRST and offset:
            raise OSError("no space left")
        write(name, offset, data)

    there.write = full
    one, other = joined(here, there)
    one.ship(FIRST, SECOND)
    pump(one, other)
    assert (one.refused, one.shipped) == ([FIRST], [SECOND])
    assert (other.lost, other.arrived) == ([FIRST], [SECOND])
    assert not other.drops


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_what_the_sender_has_no_more_is_reported_gone_though_the_connection_breaks(stock, moment):
    here, there = stock(), stock()
    here.put(FIRST, b"x" * (4 * BLOCK_BYTES))
    one, other = joined(here, there)
    if moment == "before":
        here.forget(FIRST)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    if moment != "before":
        one.fill()
        here.forget(FIRST)
    if moment == "after":
        one.disconnect()
        other.disconnect()
        one.connect()
        other.connect()
    pump(one, other)
    assert other.lost == [FIRST]
    assert not there.arriving
    assert not other.drops
    assert not one.exchange.outstanding


def test_what_is_withdrawn_arrives_no_more_and_may_be_shipped_again(stock):
    here, there = stock(), stock()
    here.put(FIRST, b"x" * (4 * BLOCK_BYTES))
    one, other = joined(here, there)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    one.fill()
    one.give(other)
    assert there.arriving
    one.do(one.exchange.withdraw([FIRST]))
    pump(one, other)
    assert not there.arriving
    assert (other.arrived, other.lost, one.shipped) == ([], [], [])
    one.ship(FIRST)
    pump(one, other)
    assert (other.arrived, one.shipped) == ([FIRST], [FIRST])


def test_an_object_that_is_there_already_is_not_sent(stock):
    here, there = stock(), stock()
    here.put(FIRST, b"x" * 1000)
    there.put(FIRST, b"x" * 1000)
    one, other = joined(here, there)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    assert not one.fill()
    assert (other.arrived, one.shipped, there.log) == ([FIRST], [FIRST], [])


def test_an_object_whose_arrival_was_not_acknowledged_does_not_arrive_again_once_it_is_used(stock):
    here, there = stock(), stock()
    here.put(FIRST, b"x" * 1000)
    one, other = joined(here, there)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    one.fill()
    one.give(other)
    assert other.arrived == [FIRST]
    there.forget(FIRST)
    for end in (one, other):
        end.disconnect()
    for end in (one, other):
        end.connect()
    pump(one, other)
    assert (other.arrived, one.shipped) == ([FIRST], [FIRST])
    assert not there.held


@pytest.mark.parametrize("again", [True, False], ids=["dropped", "still there"])
def test_what_is_shipped_again_before_it_is_known_to_have_arrived_is_offered_again(stock, again):
    """Whoever has dropped it says so elsewhere, and that may overtake the answer to the first."""
    here, there = stock(), stock()
    here.put(FIRST, b"x" * 1000)
    one, other = joined(here, there)
    one.ship(FIRST)
    one.give(other)
    other.give(one)
    one.fill()
    one.give(other)
    assert other.arrived == [FIRST]
    if again:
        there.forget(FIRST)
    one.ship(FIRST)
    pump(one, other)
    assert there.get(FIRST) == b"x" * 1000
    assert other.arrived == [FIRST, FIRST]
    assert there.log.count(("stored", FIRST)) == 1 + again
    assert not one.exchange.outstanding


LENGTHS = [0, 1, 70_000, BLOCK_BYTES, BLOCK_BYTES + 1, 700_000]


@settings(max_examples=150)
@given(st.data())
def test_every_object_arrives_once_and_whole_or_is_gone_whatever_the_wire_does(data):
    """Any order of steps: bytes carried in any portions, cuts, withdrawals, room that comes."""
    draw = data.draw
    here, there = Stock(capacity=2_000_000), Stock(capacity=1_500_000)
    chance = random.Random(draw(st.integers(0, 1 << 30)))
    one, other = joined(here, there)
    contents: dict[bytes, bytes] = {}
    sides = [(one, other), (other, one)]
    vanished: set[bytes] = set()
    withdrawn: set[bytes] = set()
    shipped: dict[int, list[bytes]] = {0: [], 1: []}
    consumed: set[bytes] = set()

    def consume() -> None:
        """Whoever got an object reads it and has no use for it any more."""
        for end in (one, other):
            for name in set(end.arrived) - consumed:
                assert end.stock.get(name) == contents[name]
                end.stock.forget(name)
                consumed.add(name)

    steps = [
        "ship",
        "carry",
        "carry",
        "carry",
        "block",
        "block",
        "cut",
        "withdraw",
        "vanish",
        "use",
    ]
    for number in range(draw(st.integers(1, 60))):
        side = draw(st.integers(0, 1))
        end, peer = sides[side]
        match draw(st.sampled_from(steps)):
            case "ship":
                name = b"%16d" % number
                contents[name] = chance.randbytes(draw(st.sampled_from(LENGTHS)))
                end.stock.put(name, contents[name])
                shipped[side].append(name)
                end.ship(name)
            case "carry":
                end.give(peer, draw(st.sampled_from([1, 24, 25, 1000, 16_384, 1 << 20])))
            case "block":
                end.fill()
            case "cut":
                for each in (one, other):
                    each.disconnect()
                for each in (one, other):
                    each.connect()
            case "withdraw" if shipped[side]:
                name = draw(st.sampled_from(shipped[side]))
                if name not in end.shipped:
                    end.do(end.exchange.withdraw([name]))
                    withdrawn.add(name)
            case "vanish" if shipped[side]:
                name = draw(st.sampled_from(shipped[side]))
                if name in end.stock.names and name not in vanished:
                    end.stock.forget(name)
                    vanished.add(name)
            case "use":
                consume()
        for each in (one, other):
            each.do(each.exchange.room())
    for end in (one, other):
        end.stock.capacity = 1 << 30
        end.do(end.exchange.room())
    pump(one, other)
    consume()
    assert not one.drops + other.drops
    for side, (end, peer) in enumerate(sides):
        assert not end.exchange.outstanding
        assert not end.stock.arriving
        assert len(peer.arrived) == len(set(peer.arrived))
        for name in set(shipped[side]) - withdrawn - vanished:
            assert name in peer.arrived
            assert end.shipped.count(name) == 1
            assert name not in peer.lost
        for name in (set(shipped[side]) & vanished) - withdrawn:
            assert name in peer.arrived + peer.lost
        assert set(peer.lost) <= vanished
    for each in (here, there):
        each.close()
