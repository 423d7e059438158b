"""Scenario 18: a million tasks that do nothing are queued."""

from __future__ import annotations

import os
import statistics
import time

import psutil
import pytest

from scattergather.client.client import ScatterGather
from tests.system.faults.ledger import LONG, calls
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system

TASKS = 1_000_000 if LONG else 100_000
KILOBYTE = 1 << 10


def lag(c: ScatterGather) -> float:
    """Seconds until the controller answers."""
    asked = time.monotonic()
    c.command("status")
    return time.monotonic() - asked


@pytest.mark.timeout(600)
def test_the_controller_stays_small_and_quick_and_grows_no_further(spawn, tmp_path):
    c = spawn(workers=2)
    c.waitForResult()
    c.addJob(calls(*range(1000)), abs).results()
    controller = psutil.Process(c._session.pipe.process.pid)
    gates = [str(tmp_path / "one"), str(tmp_path / "other")]
    for gate in gates:
        os.mkfifo(gate)

    def wait(gate: str) -> None:
        with open(gate, "rb") as file:
            file.read()

    before = controller.memory_info().rss
    blocking = c.addJob(calls(*gates), wait, priority=1)
    job = c.addJob(calls(*range(TASKS)), abs)
    eventually(lambda: c.command("status").jobs[-1].queued == TASKS, patience=60)
    lags = [lag(c) for _ in range(100)]
    queued = controller.memory_info().rss - before
    for gate in gates:
        with open(gate, "wb") as file:
            file.write(b"go")
    began = time.monotonic()
    while not job.done():
        lags.append(lag(c))
    assert job.results() == list(range(TASKS))
    rate = TASKS / (time.monotonic() - began)
    blocking.results()
    after = controller.memory_info().rss
    c.addJob(calls(*range(TASKS)), abs).results()
    again = controller.memory_info().rss
    slowest = statistics.quantiles(lags, n=100)[98]
    print(
        f"{queued / TASKS:.0f} bytes a task while queued, {(after - before) >> 20} MB "
        f"kept by the heap, {(again - after) >> 20} more after as many again; status after "
        f"{1000 * slowest:.0f} ms (99 %); {rate:.0f} tasks/s"
    )
    assert queued < KILOBYTE * TASKS
    assert again < 1.2 * after, "what the heap keeps serves the next job"
    assert slowest < 0.05 + 0.05  # of the reactor, and of this process, which shares two processors
