"""An interrupt while something waits: the wait ends at once, and nothing else does."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from scattergather.client.waiting import Bell
from scattergather.errors import JobFailed
from tests.unit.client import work
from tests.unit.client.fake import until


@contextlib.contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """SIGINT to this process, as the stop button sends it."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def test_an_interrupted_wait_says_how_to_go_on_and_consumes_nothing(c, fake):
    fake.pause()
    job = c.addJob([((n,), {}) for n in range(5)], work.noop)
    started = time.monotonic()
    with interrupt_after(0.1), pytest.raises(KeyboardInterrupt) as caught:
        c.waitForResult()
    assert time.monotonic() - started < 1
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
    started = time.monotonic()
    with interrupt_after(0.05), pytest.raises(KeyboardInterrupt):
        wait(c, job)
    assert time.monotonic() - started < 1
    fake.resume()
    assert job.results() == [1]


def test_waiting_does_not_spin(c, fake):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    before = time.thread_time()
    with pytest.raises(TimeoutError):
        job.results(timeout=0.3)
    assert time.thread_time() - before < 0.05


def test_iteration_that_is_interrupted_anywhere_loses_no_result(c):
    chance = random.Random(5)
    stop = threading.Event()

    def annoy():
        while not stop.wait(chance.uniform(0.0005, 0.003)):
            os.kill(os.getpid(), signal.SIGINT)

    got = []
    results = iter(c.addJob([((n,), {}) for n in range(3000)], work.noop))
    thread = threading.Thread(target=annoy)
    interrupts = 0
    try:
        thread.start()
        while True:
            try:
                for result in results:
                    got.append(result)  # noqa: PERF402  (interrupted between any two)
                break
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        while True:
            try:
                stop.set()
                thread.join()
                break
            except KeyboardInterrupt:
                continue
    # The append itself may be interrupted, after the result was handed over.
    assert len(set(got)) >= 3000 - interrupts
    assert got == sorted(got)


def test_adding_that_is_interrupted_leaves_nothing_or_a_whole_job(c):
    jobs = []
    for delay in [n / 3000 for n in range(1, 25)]:
        with contextlib.suppress(KeyboardInterrupt), interrupt_after(delay):
            jobs.append(c.addJob([((n,), {}) for n in range(2000)], work.noop))
            time.sleep(0.05)
    for job in jobs:
        assert job.results() == list(range(2000))
    until(lambda: not c._session.busy)
    assert c.addJob([((7,), {})], work.noop).results() == [7]


def test_submitting_that_is_interrupted_leaves_the_pipe_whole(c):
    for delay in [n / 4000 for n in range(1, 25)]:
        with contextlib.suppress(KeyboardInterrupt), interrupt_after(delay):
            for n in range(100_000):
                c.submit(work.noop, n)
    assert c.submit(work.noop, 7).result(20) == 7
    until(lambda: not c._session.busy, 20)


def test_a_failed_job_can_be_waited_for_after_an_interrupt(c, fake):
    fake.pause()
    c.addJob([((0,), {})], work.inverse)
    with interrupt_after(0.05), pytest.raises(KeyboardInterrupt):
        c.waitForResult()
    fake.resume()
    with pytest.raises(JobFailed):
        c.waitForResult()


# ---- the bell ----


def test_a_bell_wakes_all_who_wait_and_keeps_nobody():
    bell, state, woken = Bell(), [], []
    threads = [
        threading.Thread(target=lambda: woken.append(bell.wait(lambda: state, 5)))
        for _ in range(5)
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
