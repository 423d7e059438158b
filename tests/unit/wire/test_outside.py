"""What of a value travels beside its blob, and what is shared, kept and freed of it."""

from __future__ import annotations

import gc
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scattergather.errors import CannotPickle, TooLarge
from scattergather.model.ids import ObjectId
from scattergather.wire.memory import stub
from scattergather.wire.memory.outside import SHARED, Outside
from scattergather.wire.memory.slabs import LARGE, whole_pages
from scattergather.wire.values.payload import Packer
from tests.shelf import Shelf


def load(shelf: Shelf, blob: bytes) -> Any:
    return stub.load(blob, lambda name: bytearray(shelf.bytes[name]))


def pack(packer: Packer, value: Any) -> tuple[bytes, list[ObjectId]]:
    packer.pack(value)
    objects = [each.extent.object for each in packer.take_objects()]
    return packer.take()[1], objects


def array(fill: float, size: int = LARGE) -> Any:
    return np.full(size // 8, fill)


def test_large_buffers_and_large_blobs_go_outside_small_ones_do_not() -> None:
    shelf = Shelf()
    packer = Packer(outside=Outside(shelf))
    small = array(1.0, LARGE // 2)
    for value, count in ((small, 0), (array(2.0), 1), ("x" * LARGE, 1), (["y" * 10], 0)):
        blob, objects = pack(packer, value)
        assert len(objects) == count
        assert len(blob) < LARGE + 200
        assert np.array_equal(load(shelf, blob), value)


def test_a_buffer_and_a_large_rest_both_go_outside() -> None:
    shelf = Shelf()
    blob, objects = pack(Packer(outside=Outside(shelf)), [array(1.0), "x" * LARGE])
    assert len(objects) == 2
    assert len(blob) == 2 * 16 + 5
    loaded = load(shelf, blob)
    assert np.array_equal(loaded[0], array(1.0))
    assert loaded[1] == "x" * LARGE


def test_what_is_not_contiguous_is_sent_whole_and_what_is_read_only_comes_writable() -> None:
    shelf = Shelf()
    packer = Packer(outside=Outside(shelf))
    matrix = np.arange(2.0 * LARGE).reshape(-1, 2)
    slanted = matrix[:, 0]
    assert np.array_equal(load(shelf, pack(packer, slanted)[0]), slanted)
    fixed = array(3.0)
    fixed.flags.writeable = False
    assert np.array_equal(load(shelf, pack(packer, fixed)[0]), fixed)
    turned = np.asfortranarray(np.arange(float(LARGE)).reshape(-1, 64))
    assert np.array_equal(load(shelf, pack(packer, turned)[0]), turned)


# ---- sharing ------------------------------------------------------------------------------------


def test_values_share_a_buffer_by_identity_only_when_told_so() -> None:
    one, equal = array(1.0), array(1.0)
    for shared, expected in ((True, 2), (False, 4)):
        shelf = Shelf()
        packer = Packer(outside=Outside(shelf, shared=shared))
        for value in (one, [one], equal, {"again": equal}):
            packer.pack(value)
        assert len(packer.take_objects()) == len(shelf.bytes) == expected


def test_one_buffer_twice_in_a_value_is_one_object_in_any_case() -> None:
    one = array(1.0)
    shelf = Shelf()
    blob, objects = pack(Packer(outside=Outside(shelf)), [one, one])
    assert len(objects) == 1
    loaded = load(shelf, blob)
    assert loaded[0] is loaded[1]


def test_each_value_is_told_what_it_shares_though_it_was_put_before() -> None:
    one, shelf = array(1.0), Shelf()
    packer = Packer(outside=Outside(shelf, shared=True))
    first, second = pack(packer, one)[1], pack(packer, one)[1]
    assert first == second
    assert len(first) == 1


class Made:
    """Makes a new buffer each time that it is pickled."""

    def __init__(self, fill: int, size: int = LARGE) -> None:
        self.fill, self.size = fill, size

    def __reduce_ex__(self, protocol: Any) -> Any:
        return bytes, (pickle.PickleBuffer(bytes([self.fill]) * self.size),)


def test_buffers_that_were_made_for_one_value_are_never_taken_for_anothers() -> None:
    shelf = Shelf()
    outside = Outside(shelf, shared=True)
    packer = Packer(outside=outside)
    for fill in range(200):
        blob, _ = pack(packer, [Made(fill), Made(fill + 1)])
        loaded = load(shelf, blob)
        assert loaded == [bytes([fill]) * LARGE, bytes([fill + 1]) * LARGE]
    assert not outside._shared, "memory that nobody else has is held"


class Parts:
    """Pickles slices of one buffer, each of the same length."""

    def __init__(self, whole: bytes, at: int, size: int) -> None:
        self.part = memoryview(whole)[at : at + size]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return bytes, (pickle.PickleBuffer(self.part),)


def test_two_parts_of_one_buffer_are_not_taken_for_each_other() -> None:
    whole = b"a" * LARGE + b"b" * LARGE
    shelf = Shelf()
    packer = Packer(outside=Outside(shelf, shared=True))
    blob, _ = pack(packer, [Parts(whole, 0, LARGE), Parts(whole, LARGE, LARGE)])
    assert load(shelf, blob) == [whole[:LARGE], whole[LARGE:]]


def test_only_so_many_buffers_are_remembered_those_met_last() -> None:
    arrays = [array(float(number)) for number in range(SHARED + 1)]
    shelf = Shelf()
    packer = Packer(outside=Outside(shelf, shared=True))
    for each in arrays:
        packer.pack(each)
    packer.pack(arrays[-1])
    assert len(shelf.bytes) == SHARED + 1
    packer.pack(arrays[0])
    assert len(shelf.bytes) == SHARED + 2


def test_what_might_be_shared_is_let_go_when_there_is_no_room() -> None:
    shelf = Shelf(room=3 * LARGE)
    outside = Outside(shelf, shared=True)
    packer = Packer(outside=outside)
    arrays = [array(float(number)) for number in range(4)]
    for each in arrays[:3]:
        packer.pack(each)
        packer.take_objects()
    assert len(outside._shared) == 3
    packer.pack(arrays[3])
    assert len(outside._shared) == 1
    del arrays


def test_a_place_is_told_what_must_be_sent_before_it_can_be_free() -> None:
    shelf = Shelf()
    packer = Packer(outside=Outside(shelf))
    size = whole_pages(LARGE + 8)
    two = [array(1.0, LARGE + 8), array(2.0, LARGE + 8)]
    packer.pack(two)
    packer.pack(array(3.0, LARGE + 8))
    assert shelf.beside == [0, size, 2 * size]
    packer.take_objects()
    packer.pack(two[0])
    assert shelf.beside[-1] == 0


# ---- failure ------------------------------------------------------------------------------------


class Broken:
    def __reduce__(self) -> Any:
        raise ValueError("it is broken")


def test_a_value_that_fails_half_way_frees_what_was_put_and_the_next_is_whole() -> None:
    one, shelf = array(1.0), Shelf()
    outside = Outside(shelf, shared=True)
    packer = Packer(outside=outside)
    packer.pack(["before", array(7.0)])
    with pytest.raises(CannotPickle):
        packer.pack([one, Broken()])
    assert len(shelf.bytes) == 1
    assert not outside.used
    packer.pack([one])
    assert len(shelf.bytes) == 2
    assert len(packer.take_objects()) == 2


def test_what_the_c_pickler_refuses_goes_outside_too() -> None:
    shelf, closed_over = Shelf(), array(1.0)
    cell = (lambda: closed_over).__closure__
    blob, objects = pack(Packer(outside=Outside(shelf)), [cell, array(2.0)])
    assert len(shelf.bytes) == len(objects) >= 1
    assert np.array_equal(load(shelf, blob)[1], array(2.0))


def test_too_large_is_said_as_it_is_and_nothing_stays() -> None:
    shelf = Shelf(room=2 * LARGE)
    packer = Packer(outside=Outside(shelf))
    with pytest.raises(TooLarge):
        packer.pack([array(1.0), array(2.0, 3 * LARGE)])
    assert not shelf.bytes
    assert packer.take_objects() == ()


def test_discarding_frees_what_was_sealed_too() -> None:
    shelf = Shelf()
    outside = Outside(shelf)
    packer = Packer(outside=outside)
    packer.pack(array(1.0))
    packer.pack(array(2.0))
    outside.discard()
    assert not shelf.bytes
    assert outside.size == 0
    assert packer.take_objects() == ()


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "made", "big", "small", "broken"]), max_size=5),
        max_size=8,
    ),
    st.booleans(),
)
def test_any_values_come_out_as_they_went_in(values: list[list[str]], shared: bool) -> None:
    owned = {name: array(ord(name)) for name in "abc"}
    shelf = Shelf()
    packer = Packer(outside=Outside(shelf, shared=shared))

    def part(name: str) -> Any:
        match name:
            case "made":
                return Made(5)
            case "big":
                return "x" * LARGE
            case "small":
                return 1
            case "broken":
                return Broken()
            case _:
                return owned[name]

    told: set[ObjectId] = set()
    for value in values:
        parts = [part(name) for name in value]
        if "broken" in value:
            with pytest.raises(CannotPickle):
                packer.pack(parts)
            continue
        blob, objects = pack(packer, parts)
        told.update(objects)
        for name, loaded, sent in zip(value, load(shelf, blob), parts, strict=True):
            right = bytes([5]) * LARGE if name == "made" else sent
            assert np.array_equal(loaded, right) if name in owned else loaded == right
    assert told == shelf.bytes.keys()
    gc.collect()
