"""How a thread waits: for a ring, for a time, and always with an ear for the stop button."""

from __future__ import annotations

import gc
import sys
import threading
import time

import pytest

from scattergather.client.pipe.waiting import Bell, start_thread
from tests.struck import struck_everywhere
from tests.unit.client import work
from tests.unit.client.fake import until
from tests.waits import interrupted, main_waits


def test_who_is_ready_does_not_wait():
    assert Bell().wait(lambda: True, timeout=0) is True


def test_a_time_that_is_over_says_what_it_found():
    began = time.monotonic()
    assert Bell().wait(lambda: False, timeout=0.6) is False
    assert time.monotonic() - began >= 0.6
    assert Bell().wait(lambda: False, timeout=-1) is False


def test_nothing_is_left_of_those_who_gave_up():
    bell = Bell()
    bell.wait(lambda: False, timeout=0.01)
    assert not bell._waiters


def test_a_ring_wakes_and_one_for_something_else_does_not():
    bell, found = Bell(), []

    def ring() -> None:
        while not main_waits():
            time.sleep(0.001)
        bell.ring()
        found.append(1)
        bell.ring()

    ringer = threading.Thread(target=ring)
    ringer.start()
    assert bell.wait(lambda: found, timeout=60)
    ringer.join()


@pytest.mark.parametrize(
    "wait",
    [
        lambda c, future: Bell().wait(lambda: False),
        lambda c, future: future.result(),
        lambda c, future: future.exception(30),
        lambda c, future: c.addJob([((1,), {})], work.noop).results(),
    ],
)
def test_an_interrupt_that_another_thread_gets_ends_the_wait_too(c, fake, wait):
    fake.pause()
    future = c.submit(work.noop, 1)
    with interrupted(elsewhere=True) as interrupt, pytest.raises(KeyboardInterrupt):
        wait(c, future)
    assert interrupt.heeded()


def test_a_lost_ring_is_made_up_for():
    """Whoever rang was interrupted before it could wake this one."""
    changed: list[int] = []

    def change() -> None:
        while not main_waits():
            time.sleep(0.001)
        changed.append(1)

    changer = threading.Thread(target=change)
    changer.start()
    assert Bell().wait(lambda: changed, timeout=60)
    changer.join()


@pytest.mark.filterwarnings("ignore:.*WeakSet")  # the threads that Python knows are in one
def test_an_interrupt_at_any_moment_of_starting_a_thread_leaves_one_that_runs_or_none() -> None:
    ran: list[int] = []
    moments = 0
    for _ in struck_everywhere(lambda: start_thread(lambda: ran.append(1), "starting")):
        moments += 1
        until(lambda: "starting" not in {each.name for each in threading.enumerate()})
    until(lambda: ran)
    assert moments > 3


def test_nothing_is_collected_while_the_tests_look_where_a_thread_is(monkeypatch):
    frames, collects = sys._current_frames, []

    def look():
        collects.append(gc.isenabled())
        return frames()

    monkeypatch.setattr(sys, "_current_frames", look)
    assert not main_waits()
    assert collects == [False]
    assert gc.isenabled()
