"""An interrupt while something waits: the wait ends at once, and nothing else does."""

from __future__ import annotations

import threading
import time

import pytest

from scattergather.client.waiting import Bell
from scattergather.errors import JobFailed
from tests.pace import kept
from tests.unit.client import work
from tests.waits import interrupted


def test_an_interrupted_wait_says_how_to_go_on_and_consumes_nothing(c, fake):
    fake.pause()
    job = c.addJob([((n,), {}) for n in range(5)], work.noop)
    with interrupted() as interrupt, pytest.raises(KeyboardInterrupt) as caught:
        c.waitForResult()
    assert kept(interrupt.ago(), 1)
    assert str(caught.value) == (
        "stopped waiting for job 1 (0/5). It goes on; c.waitForResult() waits again, "
        "job.cancel() stops it."
    )
    fake.resume()
    assert c.waitForResult() == list(range(5))
    assert job.results() == list(range(5))


@pytest.mark.parametrize(
    "wait",
    [
        lambda c, job: job.results(),
        lambda c, job: next(iter(job)),
        lambda c, job: next(iter(job.as_completed())),
        lambda c, job: c.shutdown(),
    ],
)
def test_every_wait_can_be_interrupted(c, fake, wait):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    with interrupted() as interrupt, pytest.raises(KeyboardInterrupt):
        wait(c, job)
    assert kept(interrupt.ago(), 1)
    fake.resume()
    assert job.results() == [1]


def test_waiting_does_not_spin(c, fake):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    before = time.thread_time()
    with pytest.raises(TimeoutError):
        job.results(timeout=0.3)
    assert time.thread_time() - before < 0.05


def test_a_failed_job_can_be_waited_for_after_an_interrupt(c, fake):
    fake.pause()
    c.addJob([((0,), {})], work.inverse)
    with interrupted(), pytest.raises(KeyboardInterrupt):
        c.waitForResult()
    fake.resume()
    with pytest.raises(JobFailed):
        c.waitForResult()


# ---- the bell ----


def test_a_bell_wakes_all_who_wait_and_keeps_nobody():
    bell, state, woken = Bell(), [], []
    threads = [
        threading.Thread(target=lambda: woken.append(bell.wait(lambda: state, 5))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    state.append(1)
    bell.ring()
    for thread in threads:
        thread.join()
    assert woken == [True] * 5
    assert not bell._waiters


def test_a_bell_that_is_not_rung_times_out_and_forgets_who_waited():
    bell = Bell()
    assert not bell.wait(lambda: False, 0.01)
    assert not bell._waiters
