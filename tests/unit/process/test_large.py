"""Large arguments and results in a worker: what is kept, what is let go, what is sent whole."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scattergather.errors import TooLarge
from scattergather.wire.memory import stub
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.files import CreatedFile
from scattergather.wire.memory.outside import Outside
from scattergather.wire.memory.slabs import LARGE, PAGE
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.wire.values.payload import Packer
from scattergather.workers.process.task.outcomes import ResultPickler
from scattergather.workers.process.values import large, returns
from scattergather.workers.process.values.arguments import Arguments
from scattergather.workers.process.values.large import TaskValues
from scattergather.workers.process.values.returns import Returns
from tests.shelf import Shelf


class There:
    """A worker's ends, what it said, and an arena that its arguments lie in."""

    def __init__(self, **options: int) -> None:
        self.said: list[Any] = []
        line: Any = SimpleNamespace(
            send=self.said.append,
            send_with=lambda _fd, message: self.said.append(message),
            catch_up=lambda: None,
        )
        interrupts: Any = SimpleNamespace(shielded=nullcontext)
        self.arena = Arena(None, lambda _: None)
        self.arguments = Arguments(line)
        self.returns = Returns(line, interrupts, self.arguments, **options)
        self.returns.allow(64 * LARGE, 64 * LARGE)

    def lend(self, fill: int) -> Extent:
        extent = self.arena.put(bytes([fill]) * LARGE)
        assert extent is not None
        found = self.arena.descriptor(extent.slab)
        assert found is not None
        self.arguments.drop(extent.slab)
        self.arguments.adopt(extent.slab, os.dup(found[0]))
        return extent

    def load(self, *extents: Extent) -> Any:
        """The arguments of a task: an array over each extent."""
        self.arguments.open(extents)
        return self.load_next(*extents)

    def load_next(self, *extents: Extent) -> Any:
        """Those of another task of the same chunk."""
        packer = Packer(outside=Outside(Shelf()))
        packer.pack([np.zeros(LARGE, np.uint8) for _ in extents])
        blob = packer.take()[1]
        for placed, extent in zip(packer.take_objects(), extents, strict=True):
            blob = blob.replace(placed.extent.object, extent.object)
        return self.arguments.load(memoryview(blob))

    def take(self) -> list[Any]:
        said, self.said[:] = list(self.said), []
        return said


@pytest.fixture
def there() -> Iterator[There]:
    there = There()
    yield there
    there.arena.close()


def test_what_a_task_keeps_is_said_once_and_once_more_when_it_is_gone(there: There) -> None:
    one, two = there.lend(1), there.lend(2)
    kept = there.load(one, two)[0]
    there.arguments.settle()
    assert there.take() == [messages.Kept(objects=(one.object,))]
    again = there.load(one)[0]
    there.arguments.settle()
    del kept
    there.arguments.settle()
    assert there.take() == []
    assert there.arguments.kept
    del again
    there.arguments.settle()
    assert there.take() == [messages.LetGo(objects=(one.object,))]
    assert not there.arguments.kept


def test_at_rest_what_only_a_cycle_keeps_is_let_go(there: There) -> None:
    one = there.lend(1)
    gc.disable()
    try:
        cycle: list[Any] = [there.load(one)]
        cycle.append(cycle)
        del cycle
        there.arguments.settle()
        assert there.arguments.kept
        there.arguments.rest()
    finally:
        gc.enable()
    assert not there.arguments.kept


def test_an_argument_that_is_returned_as_it_came_is_borrowed_and_one_that_was_changed_is_not(
    there: There,
) -> None:
    one = there.lend(1)
    (argument,) = there.load(one)
    borrowed = there.returns.borrow(memoryview(argument))
    assert borrowed is not None
    assert borrowed.borrowed
    assert borrowed.extent == one
    assert there.returns.borrow(memoryview(argument)[:-1]) is None
    argument[5] = 1
    assert there.returns.borrow(memoryview(argument)) is None


def test_what_nobody_has_any_more_is_not_kept_though_it_stays_mapped(there: There) -> None:
    one = there.lend(1)
    places = set()
    for _ in range(3):
        (argument,) = there.load(one)
        places.update(id(spot.view) for spot in there.arguments.parking.spots)
        del argument
        there.arguments.settle()
    assert len(places) == 1
    assert there.take() == []
    assert not there.arguments.kept


def test_an_argument_that_was_parked_is_borrowed_by_the_task_that_has_it(there: There) -> None:
    one = there.lend(1)
    assert there.load(one)[0][0] == 1
    there.arguments.settle()
    (argument,) = there.load(one)
    borrowed = there.returns.borrow(memoryview(argument))
    assert borrowed is not None
    assert borrowed.extent == one
    argument[0] = 5
    assert there.returns.borrow(memoryview(argument)) is None


def test_what_an_earlier_task_took_is_not_borrowed_any_more(there: There) -> None:
    """Its own outcome may be heard by then, and its memory be another's."""
    one, two = there.lend(1), there.lend(2)
    there.arguments.open((one, two))
    (earlier,) = there.load_next(one)
    assert there.returns.borrow(memoryview(earlier)) is not None
    there.load_next(two)
    assert there.returns.borrow(memoryview(earlier)) is None


@pytest.mark.parametrize("kind", ["awaited", "refused"])
def test_a_large_result_that_takes_the_careful_way_is_whole_when_it_is_sent(
    there: There, kind: str
) -> None:
    array = np.full(LARGE, 7, np.uint8)

    async def later() -> Any:
        return array

    outside = Outside(there.returns)
    results = ResultPickler(outside)
    value: Any = later() if kind == "awaited" else [array, (lambda: array).__closure__]
    blob = results.carefully(value, "f")
    parts = outside.take()
    assert parts
    objects, borrowed = there.returns.announce(parts)
    assert borrowed == ()
    places = {extent.object: extent for extent in objects}

    def view(name: bytes) -> bytearray:
        found = there.returns._arena.descriptor(places[name].slab)
        assert found is not None
        return bytearray(os.pread(found[0], places[name].length, places[name].offset))

    loaded = stub.load(blob, view)
    assert np.array_equal(loaded if kind == "awaited" else loaded[0], array)
    # Nobody writes there before it is recycled.
    other = there.returns.put(b"x" * PAGE)
    assert other is not None
    assert all(other.extent.offset != extent.offset for extent in objects)


def test_a_worker_at_rest_parks_nothing_and_one_whose_slab_was_closed_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = There()
    worker = TaskValues(there.arguments._line, there.returns._interrupts)
    worker.arguments = there.arguments
    one = there.lend(1)
    assert worker.patience is None
    for end in ("idle", "closed"):
        assert there.load(one)[0][0] == 1
        there.arguments.settle()
        assert worker.patience == large.IDLE_SECONDS
        worker.rest()
        assert there.arguments.parking.spots, "it was given out just now"
        if end == "idle":
            with monkeypatch.context() as patch:
                patch.setattr(large, "IDLE_SECONDS", 0.0)
                worker.rest()
        else:
            worker.sort(messages.SlabGone(slab=one.slab))
        assert not there.arguments.parking.spots
        assert worker.patience is None


def test_a_worker_that_keeps_an_argument_gives_its_free_memory_back_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = There()
    idle = TaskValues(there.arguments._line, there.returns._interrupts)
    idle.arguments, idle.returns = there.arguments, there.returns
    kept = there.load(there.lend(1))
    there.arguments.settle()
    assert there.arguments.kept
    put = there.returns.put(bytes(LARGE))
    assert put is not None
    there.returns.recycle([put.extent.object])
    idle.rest()
    assert there.returns._arena.warm, "it was used just now"
    monkeypatch.setattr(large, "IDLE_SECONDS", 0.0)
    idle.rest()
    assert not there.returns._arena.warm
    assert not there.returns.dirty
    del kept


def test_a_result_that_no_message_can_carry_may_take_more_than_its_workers_part() -> None:
    there = There(message=4 * LARGE)
    there.returns.allow(2 * LARGE, 64 * LARGE)
    assert there.returns.put(bytes(3 * LARGE)) is None  # a message can
    placed = there.returns.put(bytes(5 * LARGE))
    assert placed is not None
    assert placed.extent.length == 5 * LARGE
    assert there.returns.put(bytes(LARGE)) is None  # the part is what it was
    with pytest.raises(TooLarge) as caught:
        there.returns.put(bytes(65 * LARGE))
    assert (caught.value.size, caught.value.bound) == (65 * LARGE, 64 * LARGE)


def test_without_memory_for_large_results_what_no_message_can_carry_is_too_large() -> None:
    there = There(message=4 * LARGE)
    there.returns.allow(0, 0)
    assert there.returns.put(bytes(3 * LARGE)) is None
    with pytest.raises(TooLarge) as caught:
        there.returns.put(bytes(5 * LARGE))
    assert (caught.value.size, caught.value.bound) == (5 * LARGE, 4 * LARGE)


def a_file(data: bytes) -> CreatedFile:
    file = CreatedFile()
    file.write(data)
    return file


def test_small_files_share_a_slab_and_a_large_one_is_one_until_nobody_reads_them(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returns, "ALONE", 10 * PAGE)
    put = [there.returns.put_file(a_file(bytes([n]) * n * PAGE)) for n in (0, 1, 2, 11, 12)]
    there.returns.announce(put)
    slabs = there.take()
    assert [slab.on_disk for slab in slabs] == [True] * 3
    assert len({result.extent.slab for result in put[:3]}) == 1
    assert [result.extent.length for result in put] == [n * PAGE for n in (0, 1, 2, 11, 12)]
    assert all(result.extent.file for result in put)
    there.returns.recycle([put[3].extent.object])
    assert there.take() == [messages.SlabGone(slab=put[3].extent.slab)]


def test_files_take_no_more_of_the_disk_than_they_may(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returns, "ALONE", 2 * PAGE)
    there.returns.allow(64 * LARGE, 64 * LARGE, 4 * PAGE)
    one = there.returns.put_file(a_file(b"x" * PAGE))
    two = there.returns.put_file(a_file(b"x" * 3 * PAGE))
    for size in (PAGE, 3 * PAGE):
        with pytest.raises(OSError, match=r"do not fit into files.* --scratch-size"):
            there.returns.put_file(a_file(b"x" * size))
    there.returns.free(two)
    there.returns.put_file(a_file(b"x" * 3 * PAGE))
    there.returns.free(one)
    there.returns.put_file(a_file(b"x" * PAGE))


def test_a_task_has_the_files_that_it_takes_as_long_as_it_runs(there: There) -> None:
    extent = there.lend(7)
    there.arguments.open([extent])
    blobs = [stub.lone(extent.object, stub.FILE)] * 2
    files = [there.arguments.load(memoryview(blob)) for blob in blobs]
    assert files[0].read(3) == files[1].read(3) == b"\7\7\7"
    there.arguments.settle()
    for file in files:
        with pytest.raises(ValueError, match="closed"):
            file.read()
