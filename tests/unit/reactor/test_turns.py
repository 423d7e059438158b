"""What happens because something happened is done in turn."""

from __future__ import annotations

from typing import Any

import pytest

from scattergather.reactor.turns import Turns


def test_what_a_doing_brings_goes_to_the_end_of_the_line() -> None:
    done: list[Any] = []

    def do(thing: int) -> None:
        done.append(("begin", thing))
        if thing < 10:
            assert not turns.do([thing + 10, thing + 20])
        done.append(("end", thing))

    turns = Turns(do)
    assert turns.do([1, 2])
    order = [1, 2, 11, 21, 12, 22]
    assert done == [(moment, thing) for thing in order for moment in ("begin", "end")]


def test_one_that_fails_keeps_nothing_behind_it_waiting() -> None:
    done: list[int] = []

    def do(thing: int) -> None:
        done.append(thing)
        if thing in (2, 3):
            raise ValueError(thing)

    turns = Turns(do)
    with pytest.raises(ValueError, match="2"):
        turns.do([1, 2, 3, 4])
    assert done == [1, 2, 3, 4]
    assert turns.do([5])
    assert done == [1, 2, 3, 4, 5]


def test_what_is_withdrawn_is_not_done() -> None:
    done: list[int] = []
    withdrawn: list[int] = []

    def do(thing: int) -> None:
        done.append(thing)
        withdrawn.extend(turns.remove(lambda other: other % 2 == 0))

    turns = Turns(do)
    turns.do([1, 2, 3, 4])
    assert (done, withdrawn) == ([1, 3], [2, 4])
