"""What is told of things that have become garbage."""

from __future__ import annotations

from collections import deque
from typing import Any

from scattergather.wire.memory.garbage import Gone, Watch
from tests.struck import struck_everywhere


class Thing:
    """Something that can be watched."""


def test_the_key_is_told_once_when_the_thing_is_garbage() -> None:
    told: deque[Gone[str, Any]] = deque()
    watch = Watch[str](told.append)
    one, other = Thing(), Thing()
    watch.begin(one, "one")
    watch.begin(other, "other")
    assert not told
    assert (len(watch), sorted(watch.keys())) == (2, ["one", "other"])
    del one
    assert watch.over(told.popleft()) == "one"
    assert not told
    assert list(watch.keys()) == ["other"]


def test_a_thing_may_be_watched_under_several_keys() -> None:
    told: deque[Gone[str, Any]] = deque()
    watch = Watch[str](told.append)
    thing = Thing()
    watch.begin(thing, "one")
    watch.begin(thing, "other")
    del thing
    assert sorted(map(watch.over, told)) == ["one", "other"]
    assert not watch


def test_nothing_is_told_after_it_was_cleared() -> None:
    told: deque[Gone[str, Any]] = deque()
    watch = Watch[str](told.append)
    thing = Thing()
    watch.begin(thing, "one")
    watch.clear()
    del thing
    assert not told


def test_no_interrupt_keeps_the_end_of_a_thing_from_being_told() -> None:
    told: deque[Gone[str, Any]] = deque()
    watch = Watch[str](told.append)

    def drop() -> None:
        thing = Thing()
        watch.begin(thing, "one")
        del thing

    rounds = 0
    for _ in struck_everywhere(drop):
        rounds += 1
        for gone in told:
            watch.over(gone)
        told.clear()
        assert not watch
    assert rounds > 5
