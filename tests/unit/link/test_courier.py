"""One session's end of the block stream, as its session and its dialler see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from scattergather.link.blocks.block import BLOCK, GONE, OFFER, pack
from scattergather.link.blocks.courier import Courier
from scattergather.model.ids import ObjectId
from tests.pour import pour
from tests.stock import Stock

A, B, C, D = (letter * 16 for letter in (b"a", b"b", b"c", b"d"))


class Road:
    """A connection of which the test is the other end."""

    def write(self, frames: bytes) -> None:
        pass

    def go_on(self) -> None:
        pass

    def cut(self, reason: str) -> None:
        pass


class Here:
    """A courier with a connection, and what it reported."""

    def __init__(self, *, expects: bool = True) -> None:
        self.stock = Stock()
        self.arrived: list[ObjectId] = []
        self.lost: list[ObjectId] = []
        self.on_arrival: Callable[[], None] = lambda: None
        self.courier = Courier(
            self.stock,
            arrived=self._arrived,
            lost=lambda name, _: self.lost.append(name),
            shipped=lambda _: None,
            expects=expects,
        )
        self.road = Road()
        self.courier.attach(self.road)

    def _arrived(self, name: ObjectId) -> None:
        self.arrived.append(name)
        self.on_arrival()

    def hear(self, *frames: bytes) -> None:
        """These came with one read from the socket."""
        road, courier = self.road, self.courier
        pour(b"".join(frames), lambda: courier.space(road), lambda n: courier.filled(road, n))


@pytest.fixture
def here() -> Iterator[Here]:
    here = Here()
    yield here
    here.stock.close()


def offers(*names: ObjectId) -> list[bytes]:
    return [pack(OFFER, number, 4, name) for number, name in enumerate(names, 1)]


def test_what_had_come_and_was_not_reported_when_the_session_ended_leaves_nothing(
    here: Here,
) -> None:
    here.on_arrival = here.courier.close  # the session fails on the first
    here.stock.put(D, b"dddd")
    here.hear(*offers(A, B, C))
    here.hear(
        *(pack(BLOCK, 1, 0, b"aaaa"), pack(BLOCK, 2, 0, b"bbbb"), pack(BLOCK, 3, 0, b"cc")),
        pack(OFFER, 4, 4, D),
    )
    assert here.arrived == [A]
    assert here.stock.names == {A, D}, "who heard of them drops them"
    assert not here.stock.arriving


def test_nothing_is_expected_of_what_was_lost_whichever_is_heard_first(here: Here) -> None:
    here.courier.expect([A])
    assert here.courier.outstanding
    here.hear(pack(GONE, 1, 0, A), pack(GONE, 2, 0, B))
    assert here.lost == [A, B]
    assert not here.courier.outstanding
    here.courier.expect([B])
    assert not here.courier.outstanding, "nothing will come for which to keep a connection"
    here.hear(pack(GONE, 3, 0, C))
    here.courier.expect([C], asked=True)
    assert here.courier.outstanding, "it may be there by now"


def test_an_end_that_expects_nothing_keeps_no_names_of_what_was_lost() -> None:
    daemon = Here(expects=False)
    daemon.hear(pack(GONE, 1, 0, A))
    assert daemon.lost == [A]
    assert not daemon.courier._missed
    daemon.stock.close()


def test_a_connection_is_dialled_again_when_its_break_may_have_cut_off_that_an_object_arrived(
    here: Here,
) -> None:
    here.courier.expect([A])
    here.hear(*offers(A), pack(BLOCK, 1, 0, b"aaaa"))
    assert here.arrived == [A]
    assert not here.courier.outstanding, "while it lasts, that is on its way"
    here.courier.detach(here.road, "it broke")
    assert here.courier.outstanding
    here.courier.attach(here.road)
    assert not here.courier.outstanding
    here.courier.hang_up()
    assert not here.courier.outstanding, "for a minute nothing broke"
