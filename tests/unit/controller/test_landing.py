"""Results of other hosts: within the bound in memory, and never waited for without end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock

from scattergather.controller.values.landing import PATIENCE, Landing
from scattergather.model.ids import ObjectId
from scattergather.store.store import Store
from scattergather.wire.memory import scratch
from scattergather.wire.memory.scratch import MOST_SPARED
from scattergather.wire.memory.slabs import PAGE
from scattergather.wire.messages.shared import Extent

A, B, C, D = (letter * 16 for letter in (b"a", b"b", b"c", b"d"))
BOUND = 2 * PAGE


class Here:
    """A landing with room for two pages, and the hosts' offers that wait."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.store = Store(BOUND)
        self.landing = Landing(self.clock, self.store, self.ask)
        self.store.spills = True
        self.store.room.append(self.ask)
        self.waiting: list[ObjectId] = []

    def offer(self, *names: ObjectId) -> None:
        self.waiting += names
        self.ask()

    def ask(self) -> None:
        while self.waiting and self.landing.reserve(self.waiting[0], PAGE):
            name = self.waiting.pop(0)
            self.landing.write(name, 0, name)
            self.landing.stored(name)

    def lies(self, name: ObjectId) -> str:
        """In what."""
        (extent,) = self.store.here([Extent(object=name, length=PAGE)])
        found = self.store.descriptor(extent.slab)
        assert found is not None
        assert self.store.read(name, 0, 16) == name
        link = os.readlink(f"/proc/self/fd/{found[0]}")
        return "memory" if link.startswith("/memfd:") else "file"

    @property
    def used(self) -> int:
        return self.store._arena.used


@pytest.fixture
def here() -> Iterator[Here]:
    here = Here()
    yield here
    here.store.close()


def test_who_reads_is_waited_for_and_makes_room(here: Here) -> None:
    here.offer(A, B)
    here.landing.drop([A])
    here.offer(C, D)
    assert here.waiting == [D]
    here.clock.advance(PATIENCE / 2)
    here.landing.drop([B])
    assert here.waiting == []
    assert [here.lies(name) for name in (C, D)] == ["memory", "memory"]
    assert here.used == BOUND


def test_who_reads_no_more_is_waited_for_no_longer_than_a_moment(here: Here) -> None:
    here.offer(A, B)
    here.landing.drop([A])
    here.offer(C, D)
    here.clock.advance(PATIENCE - 0.1)
    assert here.waiting == [D]
    here.clock.advance(0.2)
    assert here.waiting == []
    assert here.lies(D) == "file"
    assert here.used == BOUND
    assert not here.clock.getDelayedCalls()


def test_who_has_read_nothing_is_not_waited_for(here: Here) -> None:
    here.offer(A, B, C, D)
    assert here.waiting == []
    assert [here.lies(name) for name in (A, B, C, D)] == ["memory", "memory", "file", "file"]
    here.store.drop([C, D])
    assert here.store._disk.used == 0


def test_what_others_free_does_not_count_as_reading(here: Here) -> None:
    here.offer(A, B)
    here.store.drop([A])
    here.offer(C, D)
    assert here.waiting == []
    assert [here.lies(name) for name in (C, D)] == ["memory", "file"]


def test_where_no_file_can_be_had_it_is_memory_after_all(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_named", "/nowhere")
    here.offer(A, B, C)
    assert here.waiting == []
    assert here.lies(C) == "memory"
    here.store.drop([A, B, C])
    assert here.store._beyond.used == 0


def _a_disk(monkeypatch: pytest.MonkeyPatch, *, blocks: int, left: int) -> None:
    disk = SimpleNamespace(f_frsize=PAGE, f_blocks=blocks, f_bavail=left)
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: disk)


def test_of_a_large_disk_that_is_nearly_full_no_part_is_left_but_so_many_bytes(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared = MOST_SPARED // PAGE
    _a_disk(monkeypatch, blocks=1000 * spared, left=spared + 1)
    here.offer(A, B, C)
    assert here.lies(C) == "file"
    _a_disk(monkeypatch, blocks=1000 * spared, left=spared)
    here.offer(D)
    assert here.lies(D) == "memory"


def test_where_the_disk_is_left_to_others_as_much_memory_again_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _a_disk(monkeypatch, blocks=100, left=5)
    store = Store(BOUND)
    landing = Landing(Clock(), store, lambda: None)
    store.spills = True
    for name in (A, B, C, D):
        assert landing.reserve(name, PAGE)
        store.stored(name)
    with pytest.raises(
        OSError, match=r"no room for a value of .* of the disk of .* are left to others.* memory="
    ):
        landing.reserve(b"e" * 16, PAGE)
    assert store.statistics().memory == 2 * BOUND
    assert store.statistics().disk == 0
    store.drop([D])
    assert landing.reserve(b"e" * 16, PAGE)
    store.close()


def test_files_take_no_more_than_they_may() -> None:
    store = Store(BOUND)
    store.spills, store.disk_bound = True, 2 * PAGE
    landing = Landing(Clock(), store, lambda: None)
    for number in range(2 * BOUND // PAGE + 2):
        name = number.to_bytes(16, "big")
        assert landing.reserve(name, PAGE)
        store.stored(name)
    with pytest.raises(OSError, match=f"files take {2 * PAGE:,} bytes at most: --scratch-size"):
        landing.reserve(b"e" * 16, PAGE)
    assert store.statistics().disk == 2 * PAGE
    store.close()


def test_what_comes_from_one_host_another_cannot_bring(here: Here) -> None:
    assert here.landing.reserve(A, PAGE)
    here.landing.write(A, 0, b"one")
    with pytest.raises(ValueError, match="from elsewhere"):
        here.landing.reserve(A, PAGE)
    here.landing.stored(A)
    assert here.store.read(A, 0, 3) == b"one"
    with pytest.raises(ValueError, match="from elsewhere"):
        here.landing.reserve(A, PAGE)
    here.landing.drop([A])
    assert here.store.statistics().memory == 0
    assert here.landing.reserve(A, PAGE)


def test_what_is_larger_than_all_the_room_is_refused(here: Here) -> None:
    with pytest.raises(ValueError, match=f"more than the {BOUND:,}"):
        here.landing.reserve(A, BOUND + 1)
