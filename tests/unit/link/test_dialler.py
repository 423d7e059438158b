"""What a user is told of a block stream that does not come about, or does not last."""

from __future__ import annotations

import random

import pytest
from twisted.internet.task import Clock

from scattergather.link.blocks.block import WANT, pack
from scattergather.link.blocks.courier import Courier
from scattergather.link.blocks.dialler import TELLING, Dialler
from scattergather.settings.furl import Furl
from tests.pour import pour
from tests.stock import Stock
from tests.unit.link.test_courier import Road

OBJECT = b"o" * 16


class There:
    """A dialler whose connections the test makes and breaks."""

    def __init__(self) -> None:
        self.stock, self.told = Stock(), []
        self.courier = Courier(
            self.stock,
            arrived=lambda _: None,
            lost=lambda _name, _why: None,
            shipped=lambda _: None,
            changed=lambda: self.dialler.look(),
        )
        self.dialler = Dialler(
            Clock(),  # it never moves, so nothing is dialled
            Furl.parse(f"pb://{'a' * 32}@tcp:h:1/{'q' * 32}"),
            b"s" * 16,
            b"t" * 32,
            self.courier,
            name="alpha",
            trouble=self.told.append,
            chance=random.Random(1),
        )

    def connect(self, *frames: bytes) -> None:
        """A connection over which this comes, and which then lets nothing through."""
        road = Road()
        self.courier.attach(road)
        space, filled = self.courier.space, self.courier.filled
        pour(b"".join(frames), lambda: space(road), lambda count: filled(road, count))
        self.courier.detach(road, "nothing was heard for 6 s")

    def ship(self) -> None:
        self.stock.put(OBJECT, b"x" * 100)
        self.courier.ship((OBJECT,))


@pytest.fixture
def there():
    there = There()
    yield there
    there.dialler.stop()
    there.stock.close()


def test_of_connections_that_end_before_any_object_has_made_it_the_user_is_told_once(there):
    there.ship()
    for number in range(1, 10):
        there.connect(pack(WANT, 1))
        assert len(there.told) == (number >= TELLING)
    assert there.told[0].startswith(
        "alpha: large values do not get through (nothing was heard for 6 s); tasks that take"
    )


def test_as_long_as_objects_make_it_breaks_are_no_trouble(there):
    there.ship()
    for _ in range(3 * TELLING):
        there.connect(pack(WANT, 1))
        there.courier.settled += 1  # another one
    assert there.told == []


def test_a_connection_that_nobody_needs_may_end_as_often_as_it_likes(there):
    for _ in range(3 * TELLING):
        there.connect()
    assert there.told == []
