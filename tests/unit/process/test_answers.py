"""What nested calls return in a worker: given back once, when nobody has it any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.outside import Outside
from scattergather.wire.memory.slabs import LARGE
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.wire.values.payload import Packer
from scattergather.workers.process.values.answers import Answers
from tests.shelf import ArenaShelf


class There:
    """Somebody's arena, and a worker that is given what lies in it; ``said`` is what it says."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.arena = Arena(None, lambda _: None)
        line: Any = SimpleNamespace(send=self.said.append)
        self.answers = Answers(line, lambda slab: (self.arena.descriptor(slab) or [None])[0])

    def value(self, *fills: int) -> tuple[bytes, list[Extent]]:
        """A list of arrays as a blob, and its objects."""
        outside = Outside(ArenaShelf(self.arena))
        packer = Packer(outside=outside)
        packer.pack([np.full(LARGE, fill, np.uint8) for fill in fills])
        extents = [placed.extent for placed in packer.take_objects()]
        return packer.take()[1], extents

    def given_back(self) -> list[bytes]:
        self.answers.settle()
        said, self.said[:] = list(self.said), []
        return [name for message in said for name in message.objects]


@pytest.fixture
def there() -> There:
    return There()


def test_a_result_is_given_back_when_its_value_is_gone(there: There) -> None:
    blob, extents = there.value(1, 2)
    holds = there.answers.hold(extents)
    value = there.answers.load(blob, holds)
    del holds
    assert [int(each[-1]) for each in value] == [1, 2]
    assert there.given_back() == []
    assert there.answers.held
    kept = value[1][5:]
    del value
    assert there.given_back() == [extents[0].object]
    assert kept[0] == 2
    del kept
    assert there.given_back() == [extents[1].object]
    assert not there.answers.held


def test_what_nobody_reads_is_given_back_too_and_twice_if_it_was_given_twice(there: There) -> None:
    _, extents = there.value(1)
    first, second = there.answers.hold(extents), there.answers.hold(extents)
    assert there.given_back() == []
    first.clear()
    assert there.given_back() == [extents[0].object]
    second.clear()
    assert there.given_back() == [extents[0].object]
    assert there.given_back() == []


def test_what_was_not_written_to_is_known_again_as_long_as_it_is_here(there: There) -> None:
    blob, extents = there.value(1)
    (array,) = there.answers.load(blob, there.answers.hold(extents))
    assert there.answers.unchanged(memoryview(array)) == extents[0]
    assert there.answers.unchanged(memoryview(array)[1:]) is None
    array[0] = 9
    assert there.answers.unchanged(memoryview(array)) is None


def test_a_result_whose_memory_is_not_here_says_so(there: There) -> None:
    blob, extents = there.value(1)
    holds = there.answers.hold(extents)
    there.arena.close()
    with pytest.raises(LookupError, match="did not arrive"):
        there.answers.load(blob, holds)
    with pytest.raises(LookupError, match="did not arrive"):
        there.answers.load(blob, {})


def test_release_names_what_was_held(there: There) -> None:
    _, extents = there.value(1)
    there.answers.hold(extents)
    there.answers.settle()
    assert there.said == [messages.Release(objects=(extents[0].object,))]
