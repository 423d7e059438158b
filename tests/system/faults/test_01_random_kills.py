"""Scenario 1: a random worker is killed every 100 ms."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.conftest import calls
from tests.pace import Promise, kept
from tests.system.faults.ledger import LONG, Killer, Ledger, once_each
from tests.system.process_driver import as_in_a_notebook

pytestmark = [pytest.mark.system, pytest.mark.alone]

TASKS = 10_000 if LONG else 1000


def test_no_task_is_lost_or_delivered_twice_and_only_the_killed_run_again(spawn, tmp_path):
    c = spawn(workers=4)

    @as_in_a_notebook
    def work(n: int) -> int:
        time.sleep(0.005)
        return n * n

    c.addJob(calls(*range(100)), work).results()  # its length is known from now on
    began = time.monotonic()
    c.addJob(calls(*range(TASKS)), work).results()
    without = time.monotonic() - began

    ledger = Ledger(tmp_path)
    with Killer(c, 0.1, seed=1) as killer:
        began, promise = time.monotonic(), Promise(2 * without)
        outcomes = once_each(c.addJob(calls(*range(TASKS)), ledger.keeping(work)))
        assert not promise.broken()
        took = time.monotonic() - began
        while killer.kills < 10:  # this process, and so the killer, may have stood still
            assert once_each(c.addJob(calls(*range(100)), work)) == [n * n for n in range(100)]
    print(
        f"{TASKS} tasks, {killer.kills} kills: {ledger.extra()} extra runs, {took / without:.2f} x "
        f"the time; a worker is back after {1000 * statistics.median(killer.back):.0f} ms (median)"
    )
    assert outcomes == [n * n for n in range(TASKS)]
    assert ledger.extra() <= killer.kills
    assert kept(statistics.median(killer.back), 0.1)
