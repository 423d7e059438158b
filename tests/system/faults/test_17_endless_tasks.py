"""Scenario 17: tasks that do not end when they are told."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scattergather.errors import TimeLimitExceeded
from tests.conftest import calls
from tests.pace import Promise
from tests.system.faults.ledger import Ledger
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system

ENDED = 3.0
"""Seconds from ``cancel()`` to the end of the task, however it resists."""


# Each makes a folder when nothing is left that an interrupt would end in an ordinary way.


@as_in_a_notebook
def sleeps(_: int, ready: str = "") -> None:
    if ready:
        os.mkdir(ready)
    time.sleep(600)


@as_in_a_notebook
def swallows(_: int, ready: str) -> None:
    while True:
        try:
            if not os.path.exists(ready):
                os.mkdir(ready)
            time.sleep(600)
        except BaseException:
            pass


@as_in_a_notebook
def ignores_signals(_: int, ready: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.mkdir(ready)
    while True:
        time.sleep(600)


@as_in_a_notebook
def holds_the_interpreter(_: int, ready: str) -> int:
    # From within the sum, and without an instruction of Python.
    return sum(itertools.chain(filter(os.mkdir, [ready]), range(10**13)))


@as_in_a_notebook
def falls_without_end(_: int, ready: str) -> Any:
    sys.setrecursionlimit(10**8)

    def fall(first: bool = False) -> None:
        try:
            if first:
                os.mkdir(ready)
            fall()
        finally:
            fall()

    fall(True)


RESISTING = [sleeps, swallows, ignores_signals, holds_the_interpreter, falls_without_end]


def task(resisting: Any, folder: Path) -> list[Any]:
    """One of these, as a list of tasks."""
    return [((0, str(folder / f"{resisting.__name__}.ready")), {})]


def test_cancel_ends_what_runs_however_it_resists_and_what_waits_at_once(spawn, tmp_path):
    c = spawn(workers=len(RESISTING))
    jobs, ledgers = [], []
    done = c.addJob(calls(1, 2), abs)
    done.results()
    for resisting in RESISTING:
        ledgers.append(Ledger(tmp_path / resisting.__name__))
        jobs.append(c.addJob(task(resisting, tmp_path), ledgers[-1].keeping(resisting), retries=0))
    eventually(lambda: len(list(tmp_path.glob("*.ready"))) == len(RESISTING))
    waiting = c.addJob(calls(*range(1000)), sleeps)
    pids = set().union(*(ledger.pids() for ledger in ledgers))
    began, at_once, promise = time.monotonic(), Promise(0.5), Promise(ENDED)
    waiting.cancel()
    assert {type(each).__name__ for each in waiting.results(errors="return")} == {"CancelledError"}
    assert not at_once.broken(), "what is queued goes at once"
    for job in jobs:
        job.cancel()
    for job, resisting in zip(jobs, RESISTING, strict=True):
        (error,) = job.results(errors="return")
        if resisting is not falls_without_end:  # which may have ended itself before
            assert type(error).__name__ == "CancelledError", (resisting, error)
    print(f"all were ended within {time.monotonic() - began:.1f} s")
    assert not promise.broken()
    eventually(lambda: sum(map(alive, pids)) <= 1)  # the one that only slept goes on
    assert done.results() == [1, 2]
    assert c.addJob(calls(*range(-9, 0)), abs).results() == list(range(9, 0, -1))


def test_a_time_limit_ends_the_task_however_it_resists_and_only_that(spawn, tmp_path):
    c = spawn(workers=len(RESISTING))
    others = c.addJob(calls(*[0.05] * 20), lambda seconds: time.sleep(seconds) or os.getpid())
    promise = Promise(0.5 + ENDED + 2)
    jobs, ledgers = [], []
    for resisting in RESISTING[:-1]:
        ledgers.append(Ledger(tmp_path / resisting.__name__))
        jobs.append(
            c.addJob(task(resisting, tmp_path), ledgers[-1].keeping(resisting), time_limit=0.5)
        )
    for job, ledger in zip(jobs, ledgers, strict=True):
        (error,) = job.results(errors="return")
        assert type(error) is TimeLimitExceeded
        assert (error.limit, error.attempt) == (0.5, 1)
        assert isinstance(error, TimeoutError)
        assert "time limit of 0.5 s" in str(error)
        # Its time is up before it can write that down where a worker stands still for so long.
        assert ledger.runs() <= Counter({0: 1}), "it is not tried again"
    assert not promise.broken()
    assert len(others.results()) == 20
