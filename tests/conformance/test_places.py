"""Every place where objects are put keeps what ``places.check_place`` says."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.values.large import LargeValues
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.slabs import LARGE, read
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.values.large import TaskValues
from tests.conformance.places import PlaceCase, check_place
from tests.shelf import ArenaShelf, Shelf
from tests.unit.client.test_large import Controller

ROOM = 8 * LARGE


def reader(arena: Arena) -> Any:
    """Reads an object as another process does: through the descriptor of its slab."""

    def bytes_of(extent: Extent) -> bytes:
        found = arena.descriptor(extent.slab)
        assert found is not None
        return bytes(read(found[0], extent))

    return bytes_of


def of_a_client() -> PlaceCase:
    controller = Controller(ROOM)
    large: LargeValues = controller.large
    return PlaceCase(place=large, read=reader(large._arena), settle=controller.free)


def values_of_a_worker() -> TaskValues:
    line: Any = SimpleNamespace(
        send=lambda message: None,
        send_with=lambda descriptor, message: None,
        catch_up=lambda: None,
    )
    interrupts: Any = SimpleNamespace(shielded=nullcontext)
    values = TaskValues(line, interrupts)
    values.returns.allow(ROOM, ROOM)
    return values


def results_of_a_worker() -> PlaceCase:
    returns = values_of_a_worker().returns
    return PlaceCase(place=returns, read=reader(returns._arena))


def nested_calls_of_a_worker() -> PlaceCase:
    values = values_of_a_worker()
    return PlaceCase(place=values.passed, read=reader(values.returns._arena))


def twin() -> PlaceCase:
    shelf = Shelf(ROOM)
    return PlaceCase(place=shelf, read=lambda extent: shelf.bytes[extent.object])


def twin_in_an_arena() -> PlaceCase:
    arena = Arena(None, lambda _: None)
    return PlaceCase(place=ArenaShelf(arena), read=reader(arena), bound=False)


@pytest.mark.parametrize(
    "make",
    [of_a_client, results_of_a_worker, nested_calls_of_a_worker, twin, twin_in_an_arena],
    ids=lambda make: make.__name__,
)
def test_a_place_conforms(make: Any) -> None:
    check_place(make())


def test_a_client_that_keeps_all_in_messages_puts_nothing() -> None:
    assert LargeValues(Outbox(), 0).put(bytes(LARGE)) is None
