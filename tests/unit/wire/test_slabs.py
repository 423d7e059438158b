"""Memory that processes share: the allocator under any sequence of calls, and private mappings."""

from __future__ import annotations

import ctypes
import errno
import gc
import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.memory import arena as arena_module
from scattergather.wire.memory import copying, slabs
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.owned import address_of
from scattergather.wire.memory.slabs import PAGE, punch, whole_pages, write
from scattergather.wire.memory.views import private, unchanged
from scattergather.wire.messages.shared import Extent
from tests.struck import struck_everywhere

pytestmark = pytest.mark.usefixtures("counted")

BOUND = 24 * PAGE
SLAB = 8 * PAGE


def descriptors() -> set[str]:
    """What this process has open of slabs, or of other files without a name."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        if target.endswith("(deleted)"):
            found.add(f"{link.name} {target}")
    return found


def mapped() -> int:
    """How many mappings of slabs this process has."""
    return Path("/proc/self/maps").read_text().count("(deleted)")


@pytest.fixture(params=["memfd", "file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(slabs.KIND, request.param)
    return str(request.param)


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = Arena(None, lambda _: None)
    yield arena
    arena.close()


def fd_of(arena: Arena, extent: Extent) -> int:
    found = arena.descriptor(extent.slab)
    assert found is not None
    return found[0]


def held(arena: Arena, extent: Extent) -> bytes:
    return os.pread(fd_of(arena, extent), extent.length, extent.offset)


class Allocator(RuleBasedStateMachine):
    """Any sequence of calls: objects keep their bytes and their places, and totals are right."""

    kind = "memfd"
    extents = Bundle("extents")

    def __init__(self) -> None:
        super().__init__()
        gc.collect()  # slabs that a test before left to the collector would close meanwhile
        self.before = descriptors()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(arena_module, "SLAB_BYTES", SLAB)
        self.patch.setenv(slabs.KIND, self.kind)
        self.gone: list[SlabId] = []
        self.seen: set[SlabId] = set()
        self.arena = Arena(BOUND, self.gone.append)
        self.live: dict[bytes, tuple[Extent, bytes]] = {}
        self.number = 0

    @rule(target=extents, length=st.integers(1, 12 * PAGE), named=st.booleans())
    def put(self, length: int, named: bool) -> Any:
        self.number += 1
        data = bytes([self.number % 251]) * length
        used = self.arena.used
        name = b"%016d" % self.number if named else None
        extent = self.arena.reserve(length, name)
        if extent is None:
            assert used + whole_pages(length) > BOUND
            return None
        self.arena.write(extent, 0, data[: length // 2])
        self.arena.write(extent, length // 2, data[length // 2 :])
        assert extent.object == (name or extent.object)
        assert extent.object not in self.live
        self.live[extent.object] = extent, data
        self.seen.add(extent.slab)
        return extent

    @rule(extent=consumes(extents))
    def free(self, extent: Any) -> None:
        if extent is not None:
            warm = self.arena.warm
            self.arena.free(extent.object)
            del self.live[extent.object]
            assert self.arena.warm <= max(BOUND // 2, warm)

    @rule()
    def free_what_is_not_there(self) -> None:
        self.arena.free(b"nobody's")

    @rule()
    def trim(self) -> None:
        self.arena.trim()
        assert self.arena.warm == 0

    @invariant()
    def objects_keep_their_bytes_and_places(self) -> None:
        places = sorted((e.slab, e.offset, e.offset + e.length) for e, _ in self.live.values())
        for (slab, _, stop), (other, start, _) in itertools.pairwise(places):
            assert slab != other or stop <= start
        for extent, data in self.live.values():
            assert extent.offset % PAGE == 0
            assert held(self.arena, extent) == data

    @invariant()
    def totals_are_right(self) -> None:
        used = sum(whole_pages(extent.length) for extent, _ in self.live.values())
        assert self.arena.used == used <= BOUND
        assert self.arena.used + self.arena.warm <= BOUND
        assert self.arena.warm <= BOUND // 2 or self.arena.used

    @invariant()
    def what_is_free_is_known_to_be(self) -> None:
        for slab in self.arena._slabs.values():
            free = []
            for ranges in (slab.warm, slab.cold):
                assert sum(ranges._sizes) == ranges.total
                free += list(zip(ranges._starts, ranges._sizes, strict=True))
            used = [
                (e.offset, whole_pages(e.length))
                for e, _ in self.live.values()
                if e.slab == slab.id
            ]
            places = sorted(free + used)
            assert [start for start, _ in places[1:]] == [a + b for a, b in places[:-1]]
            assert sum(size for _, size in places) == slab.size

    @invariant()
    def a_slab_is_open_or_was_reported_gone_once(self) -> None:
        assert len(self.gone) == len(set(self.gone))
        open_ = {slab for slab in self.seen if self.arena.descriptor(slab) is not None}
        assert open_ == self.seen - set(self.gone)
        assert len(descriptors() - self.before) == len(open_)

    def teardown(self) -> None:
        self.arena.close()
        assert descriptors() == self.before
        assert self.arena.put(b"x") is not None  # it may be used again: nobody is told of it
        self.arena.close()
        self.patch.undo()


class FileAllocator(Allocator):
    kind = "file"


TestAllocator = Allocator.TestCase
TestAllocator.settings = settings(max_examples=25, stateful_step_count=30)
TestFileAllocator = FileAllocator.TestCase
TestFileAllocator.settings = settings(max_examples=10, stateful_step_count=30)


def test_free_memory_is_used_again_before_fresh(arena: Arena) -> None:
    first = arena.put(b"1" * PAGE)
    second = arena.put(b"2" * PAGE)
    assert first is not None
    assert second is not None
    arena.free(first.object)
    again = arena.put(b"3" * PAGE)
    assert again is not None
    assert (again.slab, again.offset) == (first.slab, first.offset)
    assert again.object != first.object


def test_threads_that_write_into_one_slab_map_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = mapped()
    arena = Arena(None, lambda _: None)
    warmed = [arena.put(b"x" * PAGE) for _ in range(8)]
    for each in warmed:
        assert each is not None
        arena.free(each.object)
    real = arena_module.Mapping

    def slow(*arguments: Any) -> Any:
        time.sleep(0.02)
        return real(*arguments)

    monkeypatch.setattr(arena_module, "Mapping", slow)
    threads = [threading.Thread(target=arena.put, args=(b"y" * PAGE,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mapped() == maps + 1
    arena.close()
    assert mapped() == maps


def test_a_copy_made_by_fork_has_no_hole_where_the_original_has_mapped_a_slab(
    arena: Arena,
) -> None:
    """What it allocated there itself would be gone when it drops the arena."""
    for _ in range(2):
        extent = arena.put(b"x" * PAGE)
        assert extent is not None
        arena.free(extent.object)
    maps = mapped()
    assert maps
    child = os.fork()
    if child == 0:
        os._exit(mapped() != maps)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_name_is_never_given_twice(arena: Arena) -> None:
    names = set()
    for _ in range(100):
        extent = arena.put(b"x")
        assert extent is not None
        names.add(extent.object)
        arena.free(extent.object)
    assert len(names) == 100


def test_pages_that_are_given_back_take_no_memory(kind: str) -> None:
    arena = Arena(None, lambda _: None)
    extent, other = arena.put(b"x" * 64 * PAGE), arena.put(b"y")
    assert extent is not None
    assert other is not None
    fd = fd_of(arena, extent)
    before = os.fstat(fd).st_blocks
    arena.free(extent.object)
    arena.trim()
    assert (before - os.fstat(fd).st_blocks) * 512 >= 64 * PAGE
    arena.close()


def test_a_write_that_fails_leaves_nothing_behind(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="full"):
            arena.put(b"x" * PAGE)
    assert arena.used == 0


def test_slabs_that_made_room_are_reported_though_there_is_no_descriptor_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arena_module, "SLAB_BYTES", SLAB)
    gone: list[SlabId] = []
    arena = Arena(8 * PAGE, gone.append)
    extent = arena.put(b"x" * 4 * PAGE)
    assert extent is not None
    arena.free(extent.object)

    def none(_: int, **_options: bool) -> int:
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(arena_module, "create", none)
    with pytest.raises(OSError, match="none left"):
        arena.put(b"x" * 8 * PAGE)
    assert gone == [extent.slab]
    assert arena.used == 0


def test_whoever_writes_when_it_is_closed_writes_into_no_other_file(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, other = os.pwrite, tmp_path / "other"
    opened = []

    def closes(fd: int, data: bytes, offset: int) -> int:
        arena.close()
        opened.append(other.open("wb"))  # gets the lowest number that is free
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", closes)
    arena.put(b"x" * PAGE)
    opened[0].close()
    assert other.read_bytes() == b""


def test_nobody_can_shrink_a_slab_under_a_mapping(arena: Arena) -> None:
    extent = arena.put(b"x")
    assert extent is not None
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(fd_of(arena, extent), 0)


# ---- private mappings ---------------------------------------------------------------------------


def test_a_mapping_is_writable_its_own_and_needs_no_descriptor(kind: str) -> None:
    before, maps = descriptors(), mapped()
    arena = Arena(None, lambda _: None)
    extent = arena.put(b"abc" * PAGE)
    assert extent is not None
    fd = os.dup(fd_of(arena, extent))
    one, other = private(fd, extent), private(fd, extent)
    os.close(fd)
    memoryview(one).cast("B")[:3] = b"xyz"
    assert bytes(one)[:6] == b"xyzabc"
    assert bytes(other)[:6] == b"abcabc"
    assert held(arena, extent)[:3] == b"abc"
    arena.close()
    assert bytes(other) == b"abc" * PAGE
    assert descriptors() == before
    del one, other
    gc.collect()
    assert mapped() == maps


def test_a_mapping_lives_as_long_as_any_view_of_it_and_keeps_what_it_was_given(
    arena: Arena,
) -> None:
    class Kept:
        gone = False

        def __del__(self) -> None:
            type(self).gone = True

    extent = arena.put(bytes(range(256)) * 16)
    assert extent is not None
    maps = mapped()
    part = memoryview(private(fd_of(arena, extent), extent, Kept())).cast("B")[100:200]
    assert mapped() == maps + 1
    assert bytes(part[:3]) == bytes((100, 101, 102))
    assert not Kept.gone
    del part
    assert mapped() == maps
    assert Kept.gone


def test_what_cannot_be_mapped_is_an_error(arena: Arena) -> None:
    extent = arena.put(b"x")
    assert extent is not None
    with pytest.raises(OSError, match="cannot be mapped"):
        private(-1, extent)


@pytest.mark.parametrize("place", [0, PAGE, 3 * PAGE - 1])
def test_a_mapping_is_unchanged_until_anything_is_written(arena: Arena, place: int) -> None:
    extent = arena.put(b"x" * 3 * PAGE)
    assert extent is not None
    buffer = private(fd_of(arena, extent), extent)
    assert unchanged(buffer)
    assert sum(bytes(buffer)) == ord("x") * 3 * PAGE
    assert unchanged(buffer)
    memoryview(buffer).cast("B")[place] = ord("x")
    assert not unchanged(buffer)


def test_what_was_punched_reads_as_zeros(arena: Arena) -> None:
    extent = arena.put(b"x" * 4 * PAGE)
    assert extent is not None
    fd = fd_of(arena, extent)
    punch(fd, extent.offset + PAGE, PAGE)
    assert held(arena, extent) == b"x" * PAGE + bytes(PAGE) + b"x" * 2 * PAGE


def test_what_is_written_in_several_calls_is_whole(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "WRITE_BYTES", 1000)
    data = os.urandom(10_001)
    extent = arena.reserve(len(data))
    assert extent is not None
    write(fd_of(arena, extent), extent.offset, data)
    assert held(arena, extent) == data
    assert bytes(slabs.read(fd_of(arena, extent), extent)) == data


# ---- interrupts ---------------------------------------------------------------------------------


def test_an_interrupt_at_any_moment_of_a_copy_leaves_nobody_writing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = bytearray(os.urandom(4 * PAGE))
    target, late = bytearray(len(data)), []
    real, over = ctypes.memmove, False

    def slow(*arguments: Any) -> None:
        if threading.get_ident() != threading.main_thread().ident:
            time.sleep(0.002)
            late.append(over)
        real(*arguments)

    monkeypatch.setattr(copying, "PART_BYTES", PAGE)
    monkeypatch.setattr(copying, "COPIERS", 3)
    monkeypatch.setattr(copying.ctypes, "memmove", slow)
    rounds = 0
    for _ in struck_everywhere(lambda: copying.copy(address_of(target), memoryview(data))):
        over = True
        rounds += 1
        time.sleep(0.01)
        assert not any(late)
        over = False
    assert rounds > 10
    assert target == data


def test_an_interrupt_at_any_moment_leaves_an_arena_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arena_module, "SLAB_BYTES", SLAB)
    before, told = descriptors(), set[SlabId]()
    arena = Arena(12 * PAGE, told.add)
    stays = arena.put(b"s" * PAGE)
    assert stays is not None
    names: list[ObjectId] = []
    seen: set[SlabId] = set()

    def use() -> None:
        names[:] = (arena.new_name() for _ in range(3))
        for name, size in zip(names, (2, 6, 3), strict=True):
            extent = arena.put(b"x" * size * PAGE, name)
            assert extent is not None
        arena.free(names[0])
        arena.trim()

    for _ in struck_everywhere(use):
        seen |= arena._slabs.keys()
        for name in names:
            arena.free(name)
        assert arena.used == PAGE
        assert held(arena, stays) == b"s" * PAGE
        # All of it can be had again, and every slab that is gone was told of.
        whole = arena.put(b"y" * 11 * PAGE)
        assert whole is not None
        arena.free(whole.object)
        seen |= arena._slabs.keys()
        arena.trim()
        alive = arena._slabs.keys()
        assert told & alive == set()
        assert seen <= told | alive
        assert len(descriptors() - before) == 1
    assert len(told) > 100
    arena.close()
    assert descriptors() == before
