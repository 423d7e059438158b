"""What was put: its value as it was, where it can go, and when its memory is given back."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scattergather.client.pipe.outbox import Outbox, Ready
from scattergather.client.values.freezing import Shipper
from scattergather.client.values.large import LargeValues
from scattergather.client.values.ref import Ref, put
from scattergather.errors import BadRequest, CannotPickle, Closed, TooLarge
from scattergather.model.ids import ObjectId
from scattergather.wire.descriptors import Escorted
from scattergather.wire.frame import FrameReader
from scattergather.wire.memory import stub
from scattergather.wire.memory.slabs import LARGE, PAGE
from scattergather.wire.messages import page as messages


class There:
    """What of a session a Ref needs."""

    def __init__(self, bound: int = 1 << 22) -> None:
        self.outbox = Outbox()
        self._released: list[ObjectId] = []
        self.large = LargeValues(self.outbox, bound)
        self.shipper = Shipper(self.outbox, self.large, print)
        self.session: Any = SimpleNamespace(
            large=self.large,
            shipper=self.shipper,
            life=SimpleNamespace(ended=False, check=lambda: None),
        )

    def put(self, value: Any) -> Ref[Any]:
        return put(self.session, value)

    def pack(self, *args: Any) -> tuple[bytes, tuple[bytes, ...], list[ObjectId]]:
        blob, needs, objects = self.shipper.pack_call(args, {})
        return blob, needs, [each.extent.object for each in objects]

    def released(self) -> list[ObjectId]:
        gc.collect()
        self.outbox.put(Ready([]))  # or it would wait for the first
        frames, pieces = FrameReader(), []
        self.outbox.drain(pieces.extend)
        for piece in pieces:
            data = piece.data if isinstance(piece, Escorted) else bytes(piece)
            for head, _ in frames.feed(data):
                message = messages.read_to_controller(head)
                if isinstance(message, messages.Release):
                    self._released += message.objects
        return list(self._released)


@pytest.fixture
def there() -> Iterator[There]:
    there = There()
    yield there
    there.large.close()


def array(fill: float = 1.0) -> Any:
    return np.full(LARGE // 8, fill)


def test_a_value_stays_as_it_was_and_comes_fresh_each_time(there: There) -> None:
    value = {"array": array(), "small": [1, 2]}
    ref = there.put(value)
    value["array"][0] = 9.0
    value["small"].append(3)
    first, second = ref.get(), ref.get()
    assert np.array_equal(first["array"], array())
    assert first["small"] == [1, 2]
    first["array"][1] = 7.0
    assert np.array_equal(second["array"], array())


def test_its_memory_rests_and_is_released_when_it_is_freed_by_any_way(there: There) -> None:
    for end in ("free", "with", "garbage"):
        before = set(there.released())
        ref = there.put([array(), array(2.0)])
        names = {placed.extent.object for placed in ref._value.objects}
        assert len(names) == 3
        assert there.large.resting == 2 * LARGE + PAGE
        match end:
            case "free":
                ref.free()
            case "with":
                with ref:
                    pass
            case _:
                del ref
        assert set(there.released()) - before == names
        assert there.large.resting == 0


def test_a_task_that_takes_it_names_its_objects_and_holds_them(there: There) -> None:
    ref = there.put(array(3.0))
    names = {placed.extent.object for placed in ref._value.objects}
    blob, _, objects = there.shipper.pack_call((ref, [ref]), {})
    assert {each.extent.object for each in objects} == names
    ref.free()
    assert there.released() == []
    views = {each.extent.object: each.view() for each in objects}
    (one, (other,)), _ = stub.load(blob, views.__getitem__)
    assert np.array_equal(one, array(3.0))
    assert np.array_equal(other, array(3.0))
    del objects, views, one, other
    assert set(there.released()) == names


def test_what_was_got_holds_its_memory(there: There) -> None:
    ref = there.put(array())
    got = ref.get()
    ref.free()
    held = len(there.released())
    assert np.array_equal(got, array())
    del got
    assert len(there.released()) == held + 1


def test_a_value_with_code_of_the_notebook_brings_it_to_whoever_takes_it(there: There) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("class Mine:\n    def __init__(self, data): self.data = data\n", namespace)
    ref = there.put(namespace["Mine"](array()))
    _, needs, _ = there.pack(ref)
    assert list(needs) == [code.digest for code in ref._value.code]


def test_where_it_cannot_go_is_said_in_a_sentence(there: There) -> None:
    other = There()
    ref = there.put(array())
    with pytest.raises(CannotPickle, match="another client"):
        other.pack(ref)
    with pytest.raises(BadRequest, match="only with the client"):
        pickle.dumps(ref)
    ref.free()
    with pytest.raises(CannotPickle, match="freed"):
        there.pack([ref])
    with pytest.raises(BadRequest, match="freed"):
        ref.get()
    assert "freed" in repr(ref)
    other.large.close()


def test_after_the_end_it_says_that_its_cluster_is_gone(there: There) -> None:
    ref = there.put(array())
    there.large.close()
    there.session.life.ended = True
    with pytest.raises(Closed):
        ref.get()
    with pytest.raises(Closed):
        there.put(array())


def test_a_value_that_does_not_fit_leaves_nothing(there: There) -> None:
    with pytest.raises(TooLarge):
        there.put([array(), np.zeros(1 << 20)])
    with pytest.raises(CannotPickle):
        there.put([array(), (each for each in ())])
    assert there.large.resting == 0
    there.large.freed(there.released())
    assert there.large.lent == 0
    assert there.put(array()).get()[0] == 1.0


def test_refs_of_any_size_fill_the_room_and_the_next_is_refused(there: There) -> None:
    refs = []

    def fill() -> None:
        while len(refs) < 1000:
            refs.append(there.put("x" * (LARGE // 2 + len(refs))))

    with pytest.raises(TooLarge, match="Refs"):
        fill()
    assert len(refs) > 50
    refs.clear()
    there.large.freed(there.released())
    assert there.large.lent == 0
