"""Scenario 2: some tasks kill their workers."""

from __future__ import annotations

import os
import signal
import time

import pytest

from scattergather.errors import TaskKilledWorker
from tests.conftest import calls
from tests.pace import Promise
from tests.system.faults.ledger import Ledger, once_each
from tests.system.process_driver import as_in_a_notebook

pytestmark = [pytest.mark.system, pytest.mark.alone]

TASKS = 210
POISON = frozenset(range(10, TASKS, 20))


def test_poison_fails_alone_after_four_deaths_and_nobody_else_is_charged(spawn, tmp_path):
    c = spawn(workers=2)
    poison = POISON

    @as_in_a_notebook
    def work(n: int) -> int:
        time.sleep(0.01)
        return n

    @as_in_a_notebook
    def maybe(n: int) -> int:
        if n in poison:
            print("about to die", n)
            os.kill(os.getpid(), signal.SIGKILL)
        return work(n)

    began = time.monotonic()
    c.addJob(calls(*range(TASKS)), work).results()
    without = time.monotonic() - began

    ledger = Ledger(tmp_path)
    began, promise = time.monotonic(), Promise(3 * without)
    outcomes = once_each(c.addJob(calls(*range(TASKS)), ledger.keeping(maybe), name="mixed"))
    assert not promise.broken()
    took = time.monotonic() - began
    print(f"{len(poison)} of {TASKS} tasks are poison: {took / without:.2f} x the time")
    assert ledger.runs() == {n: 4 if n in poison else 1 for n in range(TASKS)}
    assert [each for n, each in enumerate(outcomes) if n not in poison] == [
        n for n in range(TASKS) if n not in poison
    ]
    for n in poison:
        error = outcomes[n]
        assert type(error) is TaskKilledWorker
        assert (error.index, error.signal, error.attempt, error.attempts) == (n, 9, 4, 4)
        assert error.worker == ledger.pid(n)
        assert error.host
        assert error.peak > 1 << 20
        assert error.output == f"about to die {n}\n"
        for known in ("SIGKILL", f"task {n} of mixed", "attempt 4 of 4", f"({n},)", "about to die"):
            assert known in str(error)


def test_a_task_with_a_death_behind_it_runs_by_itself(spawn, tmp_path):
    c = spawn(workers=2)
    c.addJob(calls(*range(2000)), lambda n: n).results()  # brief: they travel in chunks

    @as_in_a_notebook
    def dies_twice(n: int, book: str) -> int:
        if n == 500:
            with open(book) as runs:
                if runs.read().count("500 ") < 3:
                    os._exit(1)
        return n

    ledger = Ledger(tmp_path)
    noted = ledger.keeping(dies_twice)
    job = c.addJob([((n, str(ledger.path)), {}) for n in range(1000)], noted)
    assert once_each(job) == list(range(1000))
    assert ledger.runs() == {n: 3 if n == 500 else 1 for n in range(1000)}
