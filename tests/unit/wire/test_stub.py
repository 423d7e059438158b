"""Values of which parts lie outside: what is cut or garbled never becomes a wrong value."""

from __future__ import annotations

import os
import pickle
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattergather.errors import CannotImport
from scattergather.model.ids import ObjectId
from scattergather.wire.memory import stub

ONE, TWO, THREE = (b"%016d" % number for number in (1, 2, 3))


class Bytes:
    """Pickles its bytes out of band."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Bytes, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bytes) and bytes(self.data) == bytes(other.data)

    __hash__ = None  # type: ignore[assignment]


VALUE = [Bytes(b"first"), "between", Bytes(b"second")]


def packed() -> tuple[bytes, dict[ObjectId, bytes]]:
    buffers: list[pickle.PickleBuffer] = []
    blob = pickle.dumps(VALUE, 5, buffer_callback=buffers.append)
    objects = dict(zip((ONE, TWO), (bytes(each.raw()) for each in buffers), strict=True))
    return blob, objects


def inside() -> tuple[bytes, dict[ObjectId, bytes]]:
    blob, objects = packed()
    return blob + stub.trailer(list(objects)), objects


def outside() -> tuple[bytes, dict[ObjectId, bytes]]:
    blob, objects = packed()
    return stub.trailer(list(objects), THREE), objects | {THREE: blob}


def test_the_objects_of_a_value_are_known_without_loading_it() -> None:
    assert stub.parts(inside()[0]) == [ONE, TWO]
    assert stub.parts(outside()[0]) == [THREE, ONE, TWO]
    assert stub.parts(pickle.dumps("whole")) == []
    with pytest.raises(ValueError, match="cannot have"):
        stub.parts(b"garbage")


@pytest.mark.parametrize("made", [inside, outside])
def test_a_value_comes_out_as_it_went_in(made: Any) -> None:
    blob, objects = made()
    assert stub.is_stub(blob)
    assert stub.load(blob, objects.__getitem__) == VALUE
    assert stub.load(memoryview(blob), objects.__getitem__) == VALUE


def test_what_is_no_stub_is_a_pickle() -> None:
    assert not stub.is_stub(pickle.dumps(7))
    assert stub.load(pickle.dumps(7), {}.__getitem__) == 7


def damaged(blob: bytes, objects: dict[ObjectId, bytes]) -> Any:
    """The value, or the error that says it is none."""
    try:
        return stub.load(blob, objects.__getitem__)
    except (ValueError, LookupError, EOFError, pickle.UnpicklingError) as error:
        return error


@pytest.mark.parametrize("made", [inside, outside])
def test_a_stub_that_is_cut_anywhere_is_an_error(made: Any) -> None:
    blob, objects = made()
    for end in range(len(blob)):
        if end and blob[end - 1] == stub.STOP and made is inside:
            continue  # a pickle without its buffers: below
        assert isinstance(damaged(blob[:end], objects), Exception), end


def test_a_pickle_without_its_buffers_is_an_error() -> None:
    blob, objects = packed()
    assert isinstance(damaged(blob, objects), pickle.UnpicklingError)


@pytest.mark.parametrize("made", [inside, outside])
def test_a_trailer_with_another_count_or_flag_is_an_error(made: Any) -> None:
    blob, objects = made()
    right = blob[-5:]
    for count in range(5):
        for flag in range(256):
            end = count.to_bytes(4, "little") + bytes([flag])
            if end != right:
                found = damaged(blob[:-5] + end, objects)
                assert isinstance(found, Exception), (count, flag, found)


@given(st.data())
def test_ids_that_are_garbled_are_an_error_unless_they_name_nothing_else(data: Any) -> None:
    blob, objects = data.draw(st.sampled_from((inside, outside)))()
    place = data.draw(st.integers(len(blob) - 5 - 16 * len(objects), len(blob) - 6))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != blob[place]))
    garbled = blob[:place] + bytes([other]) + blob[place + 1 :]
    found = damaged(garbled, objects)
    # One digit of a name may make it the other buffer's: that is a right name of a wrong object.
    assert isinstance(found, Exception) or garbled[place - 15 : place + 1] in objects


@given(st.binary(max_size=80))
def test_noise_is_an_error(noise: bytes) -> None:
    blob = noise + bytes([stub.INSIDE])
    assert isinstance(damaged(blob, {}), Exception)


# ---- what was put -------------------------------------------------------------------------------


class Put:
    def __init__(self, name: ObjectId) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return stub.resolve, (self.name,)


def test_what_was_put_is_resolved_where_the_value_is_loaded_and_only_there() -> None:
    blob, objects = inside()
    objects[THREE] = blob
    taken = pickle.dumps((Put(THREE), Put(THREE)))
    one, other = stub.load(taken, objects.__getitem__)
    assert one == other == VALUE
    assert one is not other
    with pytest.raises(LookupError, match="only where it was sent to"):
        pickle.loads(taken)


def test_each_thread_resolves_for_itself() -> None:
    seen: list[Any] = []

    def view(name: ObjectId) -> bytes:
        thread = threading.Thread(target=lambda: seen.append(_refused()))
        thread.start()
        thread.join()
        return pickle.dumps("value")

    def _refused() -> bool:
        try:
            stub.resolve(THREE)
        except LookupError:
            return True
        return False

    assert stub.load(pickle.dumps([Put(THREE)]), view) == ["value"]
    assert seen == [True]


def test_a_load_within_a_load_has_its_own_objects() -> None:
    def view(name: ObjectId) -> bytes:
        if name == TWO:
            return pickle.dumps("outer")
        assert stub.load(pickle.dumps([Put(TWO)]), lambda _: pickle.dumps("inner")) == ["inner"]
        return pickle.dumps("outer too")

    loaded = stub.load(pickle.dumps([Put(ONE), Put(TWO)]), view)
    assert loaded == ["outer too", "outer"]


def test_a_load_that_fails_leaves_nothing_to_resolve_with() -> None:
    with pytest.raises(LookupError):
        stub.load(pickle.dumps([Put(ONE)]), {}.__getitem__)
    with pytest.raises(LookupError, match="only where it was sent to"):
        stub.resolve(ONE)


def test_random_bytes_behind_a_pickle_do_not_change_it() -> None:
    blob, objects = inside()
    for _ in range(200):
        noise = os.urandom(21)
        found = damaged(blob[:-37] + noise, objects)
        assert isinstance(found, Exception)


@pytest.mark.parametrize("inside", [True, False])
def test_a_large_value_of_a_module_that_is_not_here_says_so_with_the_cure(inside: bool) -> None:
    blob = b"\x80\x02cmodule_that_nobody_has\nthing\n."
    ends = trailer_of(blob, inside=inside)
    with pytest.raises(CannotImport, match="'module_that_nobody_has', which a large value needs"):
        stub.load(ends, {ONE: memoryview(blob)}.__getitem__)


def trailer_of(blob: bytes, *, inside: bool) -> bytes:
    return blob + stub.trailer([ONE]) if inside else stub.trailer([], ONE)
