"""Whatever keeps large objects keeps them alike: in a daemon, in a controller, in tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.task import Clock

from scattergather.controller.values.landing import Landing
from scattergather.link.seams import NoObjectStore, ObjectStore
from scattergather.store.store import Store
from scattergather.wire.memory.slabs import PAGE
from tests.conformance import objects
from tests.simulation.large import CheckedStore
from tests.simulation.world import Shape, World
from tests.stock import Stock

ROOM = 4 * PAGE

Made = contextlib.AbstractContextManager[ObjectStore]


@contextlib.contextmanager
def a_store(bound: int | None) -> Iterator[ObjectStore]:
    with contextlib.closing(Store(bound)) as store:
        yield store


@contextlib.contextmanager
def a_landing(bound: int | None) -> Iterator[ObjectStore]:
    with contextlib.closing(Store(bound)) as store:
        store.spills = True
        yield Landing(Clock(), store, lambda: None)


@contextlib.contextmanager
def a_stock(bound: int | None) -> Iterator[ObjectStore]:
    room = 1 << 40 if bound is None else bound
    with contextlib.closing(Stock(room, room)) as stock:
        yield stock


@contextlib.contextmanager
def a_simulated_store(bound: int | None) -> Iterator[ObjectStore]:
    world = World(1, Shape(daemons=0, workers=1))
    with contextlib.closing(CheckedStore(world.ledger, bound)) as store:
        yield store
    world.large.close()


@contextlib.contextmanager
def none(bound: int | None) -> Iterator[ObjectStore]:
    yield NoObjectStore()


@pytest.mark.parametrize("rule", objects.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize(
    ("make", "room"),
    [
        (a_store, None),
        (a_store, ROOM),
        (a_landing, None),
        (a_landing, ROOM),
        (a_stock, None),
        (a_stock, ROOM),
        (a_simulated_store, ROOM),
        (none, 0),
    ],
)
def test_a_store_of_objects_keeps_to_the_rules(
    make: Callable[[int | None], Made], room: int | None, rule: objects.Rule
) -> None:
    with make(room) as store:
        rule(store, room)
