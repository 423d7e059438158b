"""What everybody may rely on who puts objects into a ``wire.memory.outside.Place``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scattergather.errors import TooLarge
from scattergather.wire.memory.outside import Place, Placed
from scattergather.wire.memory.slabs import LARGE
from scattergather.wire.messages.shared import Extent


@dataclass(frozen=True, kw_only=True)
class PlaceCase:
    """A place with room for eight objects of ``LARGE`` bytes, or without a bound.

    Attributes:
        read: the bytes of an object.
        settle: whoever hears of objects that nobody has any more has done what that wants.
        bound: is there no room for more?
    """

    place: Place
    read: Callable[[Extent], bytes]
    settle: Callable[[], None] = lambda: None
    bound: bool = True


def check_place(case: PlaceCase) -> None:
    """It keeps what every place promises."""
    _check_copies(case)
    _check_names(case)
    _check_foreign_bytes(case)
    _check_freed(case)
    if case.bound:
        _check_too_large(case)


def _put(case: PlaceCase, data: bytes | memoryview, beside: int = 0) -> Placed:
    assert case.place.has_room(memoryview(data).nbytes)
    placed = case.place.put(data, beside)
    assert placed is not None, "there was room"
    assert placed.extent.length == memoryview(data).nbytes
    return placed


def _free(case: PlaceCase, *all_of_them: Placed) -> None:
    for placed in all_of_them:
        case.place.free(placed)


def _check_copies(case: PlaceCase) -> None:
    """An object is the bytes as they were, whatever becomes of the buffer, of any size."""
    for size in (1, LARGE - 1, LARGE, LARGE + 1):
        buffer = bytearray(b"a" * size)
        placed = _put(case, memoryview(buffer), beside=LARGE)
        buffer[:] = b"b" * size
        assert case.read(placed.extent) == b"a" * size
        _free(case, placed)
        del placed
        case.settle()


def _check_names(case: PlaceCase) -> None:
    """Objects that there are at once have names of their own, and do not overlap."""
    placed = [_put(case, bytes([fill]) * LARGE) for fill in range(4)]
    assert len({each.extent.object for each in placed}) == 4
    for fill, each in enumerate(placed):
        assert case.read(each.extent) == bytes([fill]) * LARGE
    _free(case, *placed)
    del placed, each
    case.settle()


def _check_foreign_bytes(case: PlaceCase) -> None:
    """Bytes that lie in nobody's object cannot be borrowed."""
    assert case.place.borrow(memoryview(bytes(LARGE))) is None
    assert case.place.borrow(memoryview(bytearray(LARGE))) is None


def _check_freed(case: PlaceCase) -> None:
    """What was freed leaves its room to others, however often."""
    for fill in range(10):
        placed: Any = _put(case, bytes([fill]) * 2 * LARGE)
        assert case.read(placed.extent) == bytes([fill]) * 2 * LARGE
        _free(case, placed)
        del placed
        case.settle()


def _check_too_large(case: PlaceCase) -> None:
    """What never fits is refused, says both sizes, and leaves nothing."""
    size = 100 * LARGE
    with pytest.raises(TooLarge) as caught:
        case.place.put(bytes(size))
    assert caught.value.size >= size
    assert caught.value.bound < size
    case.settle()
    _check_names(case)
