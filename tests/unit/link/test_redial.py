"""One attempt after the other: never two at a time, and none after the end."""

from __future__ import annotations

import random

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from scattergather.link.pauses import Pauses
from scattergather.link.redial import Redial


class There:
    """Attempts that end when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.under_way: list[Deferred[bool]] = []
        self.cancelled = 0
        self.redial = Redial(self.clock, Pauses(1.0, 4.0, random.Random(1)), self.attempt)

    async def attempt(self) -> bool:
        self.under_way.append(Deferred())
        try:
            return await self.under_way[-1]
        except CancelledError:
            self.cancelled += 1
            return False

    def settle(self) -> None:
        for _ in range(200):
            self.clock.advance(0.05)


@pytest.fixture
def there() -> There:
    return There()


def test_whoever_succeeds_rests_until_told_to_try_again(there: There) -> None:
    there.redial.begin()
    assert len(there.under_way) == 1
    there.under_way[0].callback(True)
    there.settle()
    assert len(there.under_way) == 1
    there.redial.later()
    there.settle()
    assert len(there.under_way) == 2


def test_whoever_fails_tries_again_by_himself(there: There) -> None:
    there.redial.begin()
    for count in range(1, 5):
        assert len(there.under_way) == count
        there.under_way[-1].callback(False)
        there.settle()


def test_however_often_he_is_told_there_is_one_attempt_at_a_time(there: There) -> None:
    for _ in range(3):
        there.redial.later()
        there.redial.begin()
    there.settle()
    for _ in range(3):
        there.redial.later()
        there.redial.begin()
    there.settle()
    assert len(there.under_way) == 1
    there.under_way[0].callback(True)
    there.settle()
    assert len(there.under_way) == 1, "what was asked for meanwhile was that one"


@pytest.mark.parametrize("when", ["resting", "planned", "trying"])
def test_after_the_end_nothing_is_tried_and_no_timer_is_left(there: There, when: str) -> None:
    if when == "planned":
        there.redial.later()
    elif when == "trying":
        there.redial.begin()
    there.redial.stop()
    before = len(there.under_way)
    there.redial.begin()
    there.redial.later()
    there.settle()
    assert len(there.under_way) == before
    assert there.cancelled == (when == "trying")
    assert not there.clock.getDelayedCalls()


def test_a_fault_of_ours_is_logged_and_ends_no_trying(there: There) -> None:
    logged: list[str] = []
    observer = lambda event: logged.append(str(event.get("log_failure")))  # noqa: E731
    globalLogPublisher.addObserver(observer)
    there.redial.begin()
    there.under_way[0].errback(KeyError("a slip"))
    globalLogPublisher.removeObserver(observer)
    assert any("a slip" in each for each in logged)
    there.settle()
    assert len(there.under_way) == 2


def test_pauses_grow_up_to_a_bound_and_differ_from_one_another() -> None:
    pauses = Pauses(1.0, 4.0, random.Random(2))
    assert pauses.pause() == 0.0
    taken = [pauses.pause() for _ in range(20)]
    assert 0.75 <= taken[0] <= 1.25
    assert all(3.0 <= each <= 5.0 for each in taken[5:])
    assert len(set(taken)) == len(taken)
    pauses.short()
    assert 0.75 <= pauses.pause() <= 1.25
    pauses.at_once()
    assert pauses.pause() == 0.0
