"""Where large objects lie: those of others, those that came, and what is closed when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather.model.ids import ObjectId
from scattergather.store.store import Store
from scattergather.wire.memory.arena import SLAB_BYTES
from scattergather.wire.memory.slabs import PAGE, create
from scattergather.wire.messages.shared import Extent

pytestmark = pytest.mark.usefixtures("counted")

A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))
SLAB = b"s" * 16


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def store() -> Iterator[Store]:
    before = descriptors()
    store = Store(4 * PAGE)
    yield store
    store.close()
    assert descriptors() == before


def store_one(store: Store, name: ObjectId, data: bytes) -> None:
    assert store.reserve(name, len(data))
    store.write(name, 0, data[:10])
    store.write(name, 10, data[10:])
    store.stored(name)


class Owner:
    """Somebody of this host, with a slab that the store adopted."""

    def __init__(self, store: Store) -> None:
        self.recycled: list[ObjectId] = []
        slab = create(4 * PAGE)
        fd = os.dup(slab.fileno())
        os.pwrite(fd, b"theirs" * PAGE, 0)
        store.adopt(SLAB, 4 * PAGE, fd, self.recycled.extend)

    def extent(self, name: ObjectId, page: int) -> Extent:
        return Extent(object=name, length=PAGE, slab=SLAB, offset=page * PAGE)


def test_what_came_is_here_once_it_is_stored_and_is_read_where_it_lies(store: Store) -> None:
    data = os.urandom(PAGE + 5)
    named = (Extent(object=A, length=len(data)),)
    assert store.reserve(A, len(data))
    store.write(A, 0, data)
    assert store.missing(named) == {A}
    assert store.length(A) is None
    store.stored(A)
    assert store.missing(named) == frozenset()
    assert store.length(A) == store.held == len(data)
    assert store.read(A, 0, 1 << 20) == data
    assert store.read(A, PAGE, 3) == data[PAGE : PAGE + 3]
    (here,) = store.here(named)
    found = store.descriptor(here.slab)
    assert found is not None
    assert os.pread(found[0], here.length, here.offset) == data
    store.drop([A, A, B])
    assert store.held == 0
    with pytest.raises(LookupError):
        store.read(A, 0, 1)


def test_what_lies_in_the_slab_of_another_is_recycled_when_it_is_dropped(store: Store) -> None:
    owner = Owner(store)
    one, two = owner.extent(A, 0), owner.extent(B, 1)
    store.learn([one, two])
    store.learn([one])
    assert store.held == 2 * PAGE
    assert store.read(A, 0, 6) == b"theirs"
    store.drop([A])
    assert owner.recycled == [A]
    store.drop([A])
    assert owner.recycled == [A]


def test_a_slab_whose_owner_is_gone_stays_until_nothing_in_it_is_known(store: Store) -> None:
    owner, gone = Owner(store), list[bytes]()
    store.slab_gone.append(gone.append)
    store.learn([owner.extent(A, 0), owner.extent(B, 1)])
    before = descriptors()
    store.abandon(SLAB)
    store.drop([A])
    assert store.descriptor(SLAB) is not None
    assert gone == []
    store.drop([B])
    assert owner.recycled == []
    assert gone == [SLAB]
    assert store.descriptor(SLAB) is None
    assert descriptors() == before - 1
    store.abandon(SLAB)
    assert gone == [SLAB]


def test_a_slab_in_which_nothing_is_known_goes_with_its_owner(store: Store) -> None:
    Owner(store)
    store.abandon(SLAB)
    assert store.descriptor(SLAB) is None


def test_without_room_it_is_asked_again_when_something_was_dropped(store: Store) -> None:
    asked, pressed = list[Any](), list[Any]()
    store.room.append(lambda: asked.append(1))
    store.pressed.append(lambda: pressed.append(1))
    store_one(store, A, b"x" * 3 * PAGE)
    assert not store.reserve(B, 2 * PAGE)
    assert pressed == [1]
    assert asked == []
    store.drop([A])
    assert asked == [1]
    assert store.reserve(B, 2 * PAGE)


def test_what_is_discarded_makes_room_and_was_never_here(store: Store) -> None:
    asked = list[Any]()
    store.room.append(lambda: asked.append(1))
    assert store.reserve(A, 4 * PAGE)
    store.write(A, 0, b"x" * 100)
    store.discard(A)
    assert asked == [1]
    assert store.length(A) is None
    store.discard(A)
    assert asked == [1]
    store_one(store, A, b"y" * 4 * PAGE)
    assert store.read(A, 0, 3) == b"yyy"


@pytest.mark.parametrize("bound", [4 * PAGE, 4 * PAGE + 1, 5 * PAGE - 1])
def test_what_never_fits_is_refused_and_does_not_wait_for_room(bound: int) -> None:
    store = Store(bound)
    for length in (bound + 1, 4 * PAGE + 1):
        with pytest.raises(ValueError, match="more than the"):
            store.reserve(A, length)
    assert store.refusal(2 * PAGE, 2 * PAGE) == ""
    assert "together" in store.refusal(2 * PAGE, 2 * PAGE + 1)
    assert store.reserve(A, 4 * PAGE)
    store.close()


def test_without_a_bound_everything_fits() -> None:
    store = Store()
    assert store.refusal(1 << 60) == ""
    assert store.reserve(A, PAGE)
    store.close()


def test_an_object_without_bytes_is_one(store: Store) -> None:
    assert store.reserve(A, 0)
    store.stored(A)
    assert store.reserve(B, 0)
    store.stored(B)
    assert store.read(A, 0, 10) == b""
    store.drop([A, B])
    assert store.held == 0
    store_one(store, C, b"z" * 4 * PAGE)


def test_what_was_stored_can_be_discarded_as_well(store: Store) -> None:
    told: list[str] = []
    store.room.append(lambda: told.append("room"))
    store_one(store, A, b"x" * PAGE)
    store.discard(A)
    assert store.length(A) is None
    assert store.held == 0
    assert told == ["room"]


def test_at_rest_free_memory_goes_back_and_who_was_given_it_is_told(store: Store) -> None:
    gone = list[bytes]()
    store.slab_gone.append(gone.append)
    store_one(store, A, b"x" * 100)
    (here,) = store.here((Extent(object=A, length=100),))
    store.drop([A])
    store.rest()
    assert gone == [here.slab]
    assert store.descriptor(here.slab) is None


def test_what_goes_to_the_disk_takes_no_descriptor_each() -> None:
    store = Store(SLAB_BYTES)
    before = descriptors()
    for name in (A, B, C):
        assert store.land(name, SLAB_BYTES, spill=True)
        store.write(name, SLAB_BYTES - 16, name)
        store.stored(name)
    assert store.land(b"d" * 16, SLAB_BYTES, spill=True)
    store.discard(b"d" * 16)
    assert descriptors() == before + 2, "one for what is in memory, one for the file"
    assert [store.read(name, SLAB_BYTES - 16, 16) for name in (A, B, C)] == [A, B, C]
    store.close()
    assert descriptors() == before


def test_what_does_not_lie_within_its_slab_is_refused(store: Store) -> None:
    owner = Owner(store)
    for extent in (owner.extent(A, 4), Extent(object=A, length=5 * PAGE, slab=SLAB)):
        with pytest.raises(ValueError, match=f"of {4 * PAGE}"):
            store.learn([owner.extent(B, 0), extent])
    assert store.held == 0
    assert store.length(B) is None, "nothing is known of a message that makes no sense"
    store.learn([owner.extent(A, 3)])


def test_a_file_that_comes_lies_on_the_disk_however_small_memory_is(store: Store) -> None:
    file = Extent(object=A, length=100 * PAGE, file=True)
    assert "more than" in store.refusal(file.length)
    assert store.unfit([file]) == ""
    store.expect([file])
    for _ in range(2):  # the connection broke, and it begins anew
        assert store.reserve(A, file.length)
        store.write(A, 0, b"data")
        store.discard(A)
    assert store.reserve(A, file.length)
    for at in range(0, file.length, PAGE):
        store.write(A, at, bytes([at // PAGE]) * PAGE)
    store.stored(A)
    assert store.read(A, 99 * PAGE, 3) == b"ccc"
    assert (store.statistics().memory, store.statistics().disk) == (0, 100 * PAGE)
    store.drop([A])
    assert store.statistics().disk == 0
    with pytest.raises(ValueError, match="more than"):
        store.reserve(A, file.length)


def test_a_file_for_which_there_is_no_room_is_refused(store: Store) -> None:
    store.disk_bound = 2 * PAGE
    store.expect([Extent(object=name, length=2 * PAGE, file=True) for name in (A, B)])
    assert store.reserve(A, 2 * PAGE)
    with pytest.raises(OSError, match="--scratch-size"):
        store.reserve(B, 2 * PAGE)
    assert store.statistics().disk == 2 * PAGE
