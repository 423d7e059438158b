"""Mappings that stay for the next task: whoever is given one sees the object, and is alone."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from scattergather.machine import proc
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.owned import address_of
from scattergather.wire.memory.slabs import PAGE, punch, whole_pages
from scattergather.wire.memory.views import PrivateView, private, unchanged
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.values.parking import FEW_PAGES, PARKED, Parking
from tests.struck import struck_everywhere

pytestmark = pytest.mark.usefixtures("counted")

SIZE = 6 * PAGE
LENGTH = SIZE - 100
_libc: Any = ctypes.CDLL(None)
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_longlong]


class Lot:
    """An arena of somebody's, and a parking for what lies there."""

    def __init__(self) -> None:
        self.parking = Parking()
        self.arena = Arena(None, lambda _: None)

    def put(self, fill: int, length: int = LENGTH) -> Extent:
        extent = self.arena.put(bytes([fill]) * length)
        assert extent is not None
        return extent

    def fd(self, extent: Extent) -> int:
        found = self.arena.descriptor(extent.slab)
        assert found is not None
        return found[0]

    def give(self, extent: Extent) -> PrivateView:
        return self.parking.give(self.fd(extent), extent)

    def taken(self, extent: Extent) -> Any:
        """As a task has it."""
        return np.frombuffer(memoryview(self.give(extent)), np.uint8)

    def read(self, extent: Extent) -> int:
        """A task reads all of it; returns where it was."""
        array = self.taken(extent)
        assert len(set(array.tolist())) == 1
        return address_of(array)


@pytest.fixture
def lot() -> Iterator[Lot]:
    lot = Lot()
    yield lot
    lot.arena.close()


def mapped() -> int:
    """Bytes of private mappings of slabs. Neighbours are one to the kernel, so it counts bytes."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, kind, *_ = line.split()
        if "scattergather-slab" in line and kind.endswith("p"):
            begin, end = (int(edge, 16) for edge in span.split("-"))
            total += end - begin
    return total


def own_pages(view: PrivateView) -> int:
    """How many pages of a mapping are this process's own, as the kernel counts them."""
    taking = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in (first := line.split()[0]):
            begin, end = (int(edge, 16) for edge in first.split("-"))
            taking = begin <= view.address < end
        elif taking and first == "Anonymous:":
            return int(line.split()[1]) * 1024 // mmap.PAGESIZE
    raise LookupError


# ---- who gets one -------------------------------------------------------------------------------


def test_the_next_task_gets_the_mapping_and_its_page_tables(lot: Lot) -> None:
    pages = 4096
    one = lot.put(7, pages * PAGE)
    before = mapped()
    first = lot.give(one)
    name = id(first)
    assert first[::PAGE] == b"\7" * pages
    del first
    assert lot.parking.settle() == set()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    again = lot.give(one)
    assert again[::PAGE] == b"\7" * pages
    # Of a fresh mapping it would be one in 16 pages at least; a few are the interpreter's own.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults < pages // 64
    assert id(again) == name
    assert mapped() == before + pages * PAGE


def test_what_somebody_has_is_given_to_nobody_else(lot: Lot) -> None:
    one = lot.put(7)
    array = lot.taken(one)[5:]
    other = lot.taken(one)
    array[0] = 1
    assert other[5] == 7
    assert lot.parking.settle() == {one.object}
    del array
    assert lot.parking.settle() == {one.object}
    del other
    assert lot.parking.settle() == set()


def test_a_thread_that_outlives_its_task_still_has_the_array(lot: Lot) -> None:
    one = lot.put(7)
    go, done = threading.Event(), threading.Event()

    def write(array: Any) -> None:
        go.wait(30)
        array[:] = 1
        del array
        done.set()

    thread = threading.Thread(target=write, args=(lot.taken(one),))
    thread.start()
    assert lot.parking.settle() == {one.object}
    other = lot.taken(one)
    go.set()
    assert done.wait(30)
    thread.join()
    assert set(other.tolist()) == {7}
    del other
    assert lot.parking.settle() == set()
    assert {lot.read(one) for _ in range(4)}


def test_another_object_at_the_same_place_is_mapped_anew(lot: Lot) -> None:
    old = lot.put(7)
    array = lot.taken(old)
    name = id(array.base.obj)
    assert array[0] == 7
    del array
    lot.parking.settle()
    lot.arena.free(old.object)
    new = lot.put(8)
    assert (new.slab, new.offset) == (old.slab, old.offset)
    array = lot.taken(new)
    assert id(array.base.obj) != name
    assert set(array.tolist()) == {8}


def test_those_that_were_given_out_last_stay(lot: Lot) -> None:
    extents = [lot.put(n) for n in range(1, PARKED + 3)]
    places = [lot.read(each) for each in extents]
    before = mapped()
    lot.parking.settle()
    assert mapped() == before - 2 * SIZE
    assert [lot.read(each) for each in extents[2:]] == places[2:]
    assert mapped() == before - 2 * SIZE


# ---- what was written ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, LENGTH // 2, LENGTH - 1])
@pytest.mark.parametrize("older", [False, True], ids=["scan", "pagemap"])
def test_what_was_written_to_is_mapped_anew(
    lot: Lot, place: int, older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if older:
        monkeypatch.setattr(fcntl, "ioctl", _unknown)
    one = lot.put(7)
    lot.taken(one)[place] = 1
    lot.parking.settle()
    before = mapped()
    array = lot.taken(one)
    assert set(array.tolist()) == {7}
    assert mapped() == before


def _unknown(*_: Any) -> int:
    raise OSError(errno.ENOTTY, "an older kernel")


def test_who_writes_without_being_counted_is_found_out(lot: Lot) -> None:
    one = lot.put(7)
    address = lot.read(one)
    lot.parking.settle()
    ctypes.memset(address + PAGE, 1, 1)
    assert set(lot.taken(one).tolist()) == {7}


def test_where_the_kernel_says_nothing_nothing_is_given_twice(lot: Lot) -> None:
    one = lot.put(7)
    fd = lot.fd(one)
    first = lot.give(one)
    name = id(first)
    first[0] = 1
    del first
    lot.parking.settle()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        again = lot.parking.give(fd, one)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert id(again) != name
    assert again[0] == 7


def test_a_mapping_with_many_pages_of_its_own_does_not_stay(lot: Lot) -> None:
    one = lot.put(7, 2 * FEW_PAGES * PAGE)
    before = mapped()
    lot.taken(one)[:] = 1
    lot.parking.settle()
    assert mapped() == before
    # Only read, with as many page faults elsewhere: it stays.
    array = lot.taken(one)
    elsewhere = np.ones(3 * FEW_PAGES * PAGE, np.uint8)
    assert array[0] == elsewhere[0] + 6
    del array
    lot.parking.settle()
    assert mapped() == before + one.length


@settings(max_examples=40, deadline=None)
@given(
    pages=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["read", "write", "forget", "punch"])),
        max_size=8,
    ),
    older=st.booleans(),
)
def test_the_kernel_knows_of_each_page_whether_it_was_written_to(
    pages: list[tuple[int, str]], older: bool
) -> None:
    arena = Arena(None, lambda _: None)
    extent = arena.put(b"\7" * LENGTH)
    assert extent is not None
    found = arena.descriptor(extent.slab)
    assert found is not None
    view = private(found[0], extent)
    written = set()
    for page, what in pages:
        match what:
            case "read":
                assert view[page * PAGE] in (0, 7, 9)
            case "write":
                view[page * PAGE + 1] = 9
                written.add(page)
            case "forget":
                view.madvise(mmap.MADV_DONTNEED, page * PAGE, PAGE)
                written.discard(page)
            case "punch":  # by the owner: it takes no page of ours away
                punch(found[0], extent.offset + page * PAGE, PAGE)
    with pytest.MonkeyPatch.context() as patch:
        if older:
            patch.setattr(fcntl, "ioctl", _unknown)
        assert unchanged(view) == (not written)
    assert own_pages(view) == len(written)
    arena.close()


# ---- what tasks do to their process -------------------------------------------------------------


def test_what_a_child_of_a_task_writes_is_the_childs(lot: Lot) -> None:
    one = lot.put(7)
    array = lot.taken(one)
    assert array[0] == 7
    pid = os.fork()
    if pid == 0:
        array[:] = 1
        # The child looks at pages of its own.
        os._exit(0 if unchanged(array.base.obj) else 5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    address = address_of(array)
    del array
    lot.parking.settle()
    assert lot.read(one) == address


@pytest.mark.parametrize("what", ["protected", "not for children", "closed", "shorter"])
def test_what_a_task_did_to_its_mapping_does_not_hold_for_the_next(lot: Lot, what: str) -> None:
    one = lot.put(7)
    view = lot.give(one)
    assert view[0] == 7
    match what:
        case "protected":
            _libc.mprotect(ctypes.c_void_p(view.address), PAGE, mmap.PROT_READ)
        case "not for children":
            view.madvise(mmap.MADV_DONTFORK)
        case "closed":
            view.close()
            _fill(view.address, SIZE)
        case "shorter":
            view.resize(PAGE)
            _fill(view.address + PAGE, SIZE - PAGE)
    del view
    lot.parking.settle()
    array = lot.taken(one)
    if (pid := os.fork()) == 0:  # which may be killed
        array[:] = array + 1
        os._exit(int(array.min()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8


def _fill(address: int, length: int) -> None:
    """Something else is mapped where nothing was."""
    fixed = 0x100000  # MAP_FIXED_NOREPLACE
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed
    _libc.mmap(address, length, mmap.PROT_READ | mmap.PROT_WRITE, kind, -1, 0)


# ---- what it does not keep ----------------------------------------------------------------------


def test_pages_that_their_owner_gives_back_are_not_kept_by_what_is_parked(lot: Lot) -> None:
    one, two = lot.put(7), lot.put(8)
    lot.read(one)
    lot.parking.settle()
    lot.arena.free(one.object)
    lot.arena.trim()
    assert os.fstat(lot.fd(two)).st_blocks * 512 == whole_pages(LENGTH)


def test_a_slab_that_was_closed_is_not_kept_by_what_is_parked(lot: Lot) -> None:
    one = lot.put(7, 40 << 20)  # which has a slab of its own
    two, three = lot.put(8), lot.put(9)
    before = mapped()
    assert lot.taken(one)[0] == 7
    lot.read(two)
    kept = lot.taken(three)
    lot.parking.settle()
    assert mapped() == before + (40 << 20) + 2 * SIZE
    lot.parking.leave(one.slab)
    assert mapped() == before + 2 * SIZE
    lot.parking.leave(two.slab)
    assert mapped() == before + SIZE
    assert kept[0] == 9
    assert lot.parking.settle() == {three.object}


def test_what_nobody_took_for_long_is_unmapped(lot: Lot) -> None:
    one, two = lot.put(7), lot.put(8)
    before = mapped()
    lot.read(one)
    kept = lot.taken(two)
    lot.parking.settle()
    lot.parking.rest(3600.0)
    assert mapped() == before + 2 * SIZE
    lot.parking.rest(0.0)
    assert mapped() == before + SIZE
    assert kept[0] == 8


def test_what_is_parked_counts_little_against_the_memory_limit_of_the_next_task(lot: Lot) -> None:
    extents = [lot.put(n, 4 * FEW_PAGES * PAGE) for n in range(PARKED)]
    before = proc.anonymous_memory(os.getpid())
    for each in extents:
        lot.taken(each)[:] = 9
        lot.parking.settle()
    few = PARKED * FEW_PAGES * PAGE
    assert proc.anonymous_memory(os.getpid()) - before < few + (2 << 20)


# ---- interrupts, and any order of things --------------------------------------------------------


def test_an_interrupt_at_any_moment_leaves_it_whole(lot: Lot) -> None:
    one, two = lot.put(7), lot.put(8)
    before = mapped()

    def tasks() -> None:
        lot.taken(one)[0] = 1
        lot.parking.settle()
        array = lot.taken(one)
        other = lot.taken(two)
        array[-1] = other[-1]
        del array, other
        lot.parking.settle()
        lot.parking.leave(two.slab)

    for _ in struck_everywhere(tasks):
        assert lot.parking.settle() == set()
        assert set(lot.taken(one).tolist()) == {7}
        assert set(lot.taken(two).tolist()) == {8}
        assert mapped() <= before + PARKED * SIZE
    lot.parking.rest(0.0)
    assert mapped() == before


class Tasks(RuleBasedStateMachine):
    """Objects come and go, tasks take them, write and keep: each sees what it took and wrote."""

    objects = Bundle("objects")
    taken = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.lot = Lot()
        self.before = mapped()
        self.fill = 0
        self.live: dict[bytes, int] = {}
        self.held: dict[int, tuple[Any, Extent, Any]] = {}

    def taken_bytes(self) -> int:
        return sum(extent.length for _, extent, _ in self.held.values())

    @rule(target=objects, pages=st.integers(1, 4))
    def put(self, pages: int) -> Extent:
        self.fill = self.fill % 200 + 1
        extent = self.lot.put(self.fill, pages * PAGE)
        self.live[extent.object] = self.fill
        return extent

    @rule(extent=objects)
    def drop(self, extent: Extent) -> None:
        """As the pool does it: nobody keeps it."""
        self.lot.parking.settle()
        if extent.object not in {each.object for _, each, _ in self.held.values()}:
            self.lot.arena.free(extent.object)
            self.live.pop(extent.object, None)

    @rule(target=taken, extent=objects)
    def take(self, extent: Extent) -> int:
        if extent.object not in self.live:
            return 0
        array = self.lot.taken(extent)
        assert set(array.tolist()) == {self.live[extent.object]}
        self.held[id(array)] = array, extent, array.copy()
        return id(array)

    @rule(key=taken, page=st.integers(0, 3))
    def write(self, key: int, page: int) -> None:
        if key in self.held:
            array, _, model = self.held[key]
            array[page * PAGE % len(array)] = model[page * PAGE % len(array)] = 255

    @rule(key=consumes(taken))
    def let_go(self, key: int) -> None:
        self.held.pop(key, None)

    @rule()
    def settle(self) -> None:
        kept = self.lot.parking.settle()
        assert kept == {extent.object for _, extent, _ in self.held.values()}
        assert mapped() <= self.before + self.taken_bytes() + PARKED * 4 * PAGE

    @rule()
    def rest(self) -> None:
        self.lot.parking.rest(0.0)
        assert mapped() == self.before + self.taken_bytes()

    @invariant()
    def everybody_sees_his_own(self) -> None:
        for array, _, model in self.held.values():
            assert np.array_equal(array, model)

    def teardown(self) -> None:
        self.held.clear()
        self.lot.parking.rest(0.0)
        assert mapped() == self.before
        self.lot.arena.close()


TestTasks = Tasks.TestCase
TestTasks.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
