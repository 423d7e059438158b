"""Scenario 18: a million tasks that do nothing are queued."""

from __future__ import annotations

import os
import statistics
import time

import psutil
import pytest

from scattergather.client.client import ScatterGather
from tests.conftest import calls
from tests.pace import kept
from tests.system.faults.ledger import LONG
from tests.system.process_driver import eventually

pytestmark = [pytest.mark.system, pytest.mark.alone]

TASKS = 1_000_000 if LONG else 100_000
KILOBYTE = 1 << 10
MORE = 10
"""Bytes a task that may stay when it is forgotten: a fifth of a controller, for a million."""


def lag(c: ScatterGather) -> float:
    """Seconds until the controller answers."""
    asked = time.monotonic()
    c.command("status")
    return time.monotonic() - asked


@pytest.mark.timeout(600)
def test_the_controller_stays_small_and_quick_and_what_was_queued_leaves_no_trace(spawn, tmp_path):
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
    most = before + MORE * TASKS
    eventually(lambda: controller.memory_info().rss <= most, patience=10)
    after = controller.memory_info().rss
    c.addJob(calls(*range(TASKS)), abs).results()
    eventually(lambda: controller.memory_info().rss <= most, patience=10)
    slowest = statistics.quantiles(lags, n=100)[98]
    print(
        f"{queued / TASKS:.0f} bytes a task while queued, {before >> 10} kB before and "
        f"{after >> 10} kB after; status after {1000 * slowest:.0f} ms (99 %); {rate:.0f} tasks/s"
    )
    assert queued < KILOBYTE * TASKS
    # Of the reactor, and of this process, which shares two processors.
    assert kept(slowest, 0.05 + 0.05)
