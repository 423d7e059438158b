"""Run by test_client_interrupts in a process of its own: interrupts hail while a client works.

In pytest's process they would also hit the callbacks that hypothesis hangs on the collector.
"""

from __future__ import annotations

import itertools
import random
import signal
import sys
import time
from collections.abc import Callable

from tests.unit.client import work
from tests.unit.client.fake import connect, until


def in_a_hail(work: Callable[[], None], pause: float) -> int:
    """Call ``work`` until it returns, and interrupt it again and again; returns how often.

    Between two calls there is no interrupt, which nothing would catch. The pauses grow slowly, so
    that at last work gets through on any machine.
    """
    chance, interrupts, open_ = random.Random(5), 0, False

    def strike(_signal: int, _frame: object) -> None:
        nonlocal open_, pause
        pause *= 1.002
        signal.setitimer(signal.ITIMER_REAL, pause * chance.uniform(0.5, 1.5))
        if open_:
            open_ = False
            raise KeyboardInterrupt

    # Not a thread that sends SIGINT: between busy threads it would starve.
    signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, pause)
    while True:
        try:
            open_ = True
            work()
            open_ = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            return interrupts
        except KeyboardInterrupt:
            interrupts += 1


def iterating() -> str:
    """Nothing that iteration handed over is lost."""
    c, _ = connect()
    got: list[int] = []
    results = iter(c.addJob([((n,), {}) for n in range(20000)], work.noop))

    def step() -> None:
        nonlocal got
        for result in results:
            got += (result,)

    interrupts = in_a_hail(step, 0.002)
    assert got == list(range(20000)), sorted(set(range(20000)) - set(got))
    return f"{interrupts} interrupts"


def adding() -> str:
    """A job is added wholly or not at all."""
    c, _ = connect()
    jobs = []
    end = time.monotonic() + 0.3

    def step() -> None:
        while time.monotonic() < end:
            jobs.append(c.addJob([((n,), {}) for n in range(100)], work.noop))

    interrupts = in_a_hail(step, 0.003)
    for job in jobs:
        assert job.results() == list(range(100))
    until(lambda: not c._session.receivers.busy, 20)
    assert c.addJob([((7,), {})], work.noop).results() == [7]
    return f"{interrupts} interrupts, {len(jobs)} jobs"


def submitting() -> str:
    """The pipe stays whole, and every future that came back is resolved rightly."""
    c, _ = connect()
    futures = {}
    end, numbers = time.monotonic() + 1, itertools.count()

    def step() -> None:
        while time.monotonic() < end:
            n = next(numbers)
            futures[n] = c.submit(work.noop, n)

    interrupts = in_a_hail(step, 0.003)
    for n, future in futures.items():
        assert future.result(20) == n
    # What an interrupt left half done, the next call of the function takes away.
    assert c.submit(work.noop, -1).result(20) == -1
    until(lambda: not c._session.receivers.busy, 20)
    return f"{interrupts} interrupts, {len(futures)} calls"


def waiting() -> str:
    """Waits that are interrupted can be waited again."""
    c, _ = connect()
    jobs = [c.addJob([((n,), {}) for n in range(1000)], work.noop) for _ in range(3)]
    got: dict[int, list[int]] = {}

    def step() -> None:
        for number, job in enumerate(jobs):
            got[number] = job.results()

    interrupts = in_a_hail(step, 0.003)
    assert list(got.values()) == [list(range(1000))] * 3
    return f"{interrupts} interrupts"


if __name__ == "__main__":
    print(globals()[sys.argv[1]]())
