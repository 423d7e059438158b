"""For how long a loop may stand still, and a process outlive its client."""

from __future__ import annotations

import pytest

from scattergather.machine.watchman import LOOK_SECONDS, Vigil
from scattergather.reactor.heartbeat import ORPHANED_SECONDS, SILENT_SECONDS


class Watched:
    """A vigil over a process, which is looked at once a second."""

    def __init__(self) -> None:
        self.now, self.beats = 0.0, 0
        self.vigil = Vigil(self.now, SILENT_SECONDS, ORPHANED_SECONDS)

    def passes(
        self, seconds: int, *, beats: bool = True, held: bool = False, gone: bool = False
    ) -> list[tuple[int, str]]:
        """The second, counted from here, and the reason, of each look that ends the process."""
        found = []
        for second in range(1, seconds + 1):
            self.now += LOOK_SECONDS
            self.beats += beats
            why = self.vigil.look(
                self.now, self.beats.to_bytes(8, "little"), held=held, client_gone=gone
            )
            found += [(second, why)] if why else []
        return found


@pytest.fixture
def watched():
    watched = Watched()
    watched.passes(10)
    return watched


def test_a_loop_that_turns_is_let_be_for_ever(watched):
    assert watched.passes(10_000) == []


def test_one_that_stands_still_for_a_minute_is_ended(watched):
    assert watched.passes(61, beats=False)[0] == (60, "its loop has stood still for 60 s")


def test_one_that_never_begins_to_turn_is_ended_after_a_minute():
    assert Watched().passes(65, beats=False)[0][0] == 61


def test_one_beat_forgives_all_silence(watched):
    for _ in range(3):
        assert watched.passes(59, beats=False) == []
        assert watched.passes(1) == []


def test_one_that_outlives_its_client_is_ended_after_five_seconds_whatever_its_loop_does(watched):
    assert watched.passes(6, gone=True)[0] == (5, "its client ended 5 s ago, and it goes on")


def test_the_time_in_which_it_was_stopped_does_not_count(watched):
    assert watched.passes(30, beats=False) == []
    assert watched.passes(3600, beats=False, held=True) == []
    assert watched.passes(20, beats=False) == []
    assert watched.passes(20, beats=False)[0][0] == 10


@pytest.mark.parametrize("gone", [False, True])
def test_who_was_not_there_to_look_himself_counts_no_more_than_two_looks(watched, gone):
    watched.now += 3600
    assert watched.passes(2, beats=False, gone=gone) == []
