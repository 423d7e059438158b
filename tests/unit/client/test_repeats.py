"""What is packed for call after call: the user is told of ``put``, once, and nothing is kept."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.values.freezing import Shipper
from scattergather.client.values.large import LargeValues
from scattergather.client.values.repeats import REPEATED_BYTES, Repeats
from tests.struck import struck_everywhere

SIZE = REPEATED_BYTES


def array(size: int = SIZE) -> Any:
    return np.zeros(size, np.uint8)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def submit(said: list[str]) -> Callable[..., None]:
    """Packs a call of these as ``submit`` does."""
    outbox = Outbox()
    shipper = Shipper(outbox, LargeValues(outbox, 1 << 30), said.append)
    return lambda *args, **kwargs: void(shipper.pack_call(args, kwargs))


def void(_: object) -> None:
    """Nobody has it any more."""


def test_the_third_call_that_takes_a_large_array_says_put_and_no_other_does(
    submit: Callable[..., None], said: list[str]
) -> None:
    big, other = array(), array(3 * SIZE)
    for n in range(20):
        submit(big, n)
        assert len(said) == (n >= 2)
    assert "ndarray of 1.05 MB" in said[0]
    assert "c.put" in said[0]
    for _ in range(3):
        submit(x=[other, big])
    assert len(said) == 2
    assert "3.15 MB" in said[1]


def test_small_arrays_and_those_that_are_other_ones_each_time_are_let_be(
    submit: Callable[..., None], said: list[str]
) -> None:
    small = array(SIZE - 1)
    for n in range(20):
        submit(small, n)
        submit(array(), b"x" * (2 * SIZE))  # which often gets the id of the one before
    assert said == []


def test_an_array_that_one_call_takes_often_is_packed_once(
    submit: Callable[..., None], said: list[str]
) -> None:
    big = array()
    submit(big, [big, {"x": big}], big=big)
    submit(big)
    assert said == []


def test_nothing_is_kept_alive_or_remembered() -> None:
    repeats = Repeats(void)
    big = array()
    for _ in range(5):
        repeats.packed(big, SIZE)
    gone = weakref.ref(big)
    assert repeats._counts
    del big
    gc.collect()
    assert gone() is None
    assert not repeats._counts


def test_what_nobody_tells_the_end_of_is_not_counted(said: list[str]) -> None:
    repeats = Repeats(said.append)
    data = bytes(SIZE)
    for _ in range(5):
        repeats.packed(data, SIZE)
    assert said == []


def test_of_many_threads_one_says_it(said: list[str]) -> None:
    repeats, big, begin = Repeats(said.append), array(), threading.Barrier(8)

    def pack() -> None:
        begin.wait()
        for _ in range(50):
            repeats.packed(big, SIZE)

    threads = [threading.Thread(target=pack) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(said) == 1


def test_an_interrupt_at_any_moment_counts_a_call_or_not() -> None:
    def pack() -> None:
        repeats, big = Repeats(told.append), array()
        kept.append(repeats)
        for _ in range(4):
            repeats.packed(big, SIZE)

    told: list[str] = []
    kept: list[Repeats] = []
    for _ in struck_everywhere(pack):
        gc.collect()
        assert not any(each._counts for each in kept)
        assert len(told) <= 1
        kept.clear()
        told.clear()
