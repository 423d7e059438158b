"""Scenario 16: a task prints without end, as text, as bytes, or from C."""

from __future__ import annotations

import os
import statistics
import sys
import time
from itertools import pairwise

import psutil
import pytest

from tests.conftest import calls
from tests.pace import kept
from tests.system.faults.ledger import LONG
from tests.system.process_driver import as_in_a_notebook

pytestmark = [pytest.mark.system, pytest.mark.alone]

MEGABYTE = 1 << 20
FLOOD = 1024 if LONG else 100
KEPT = 1 << 16


@as_in_a_notebook
def as_text(megabytes: int) -> list[float]:
    line = "x" * 1023 + "\n"
    times = [time.monotonic()]
    for _ in range(megabytes):
        sys.stdout.write(line * 1024)
        times.append(time.monotonic())
    print("the end")
    return times


@as_in_a_notebook
def as_bytes(megabytes: int) -> list[float]:
    block = bytes(range(256)) * 4096
    times = [time.monotonic()]
    for _ in range(megabytes):
        sys.stderr.buffer.write(block)
        times.append(time.monotonic())
    print("the end")
    return times


@as_in_a_notebook
def from_c(megabytes: int) -> list[float]:
    block = (b"y" * 1023 + b"\n") * 1024
    times = [time.monotonic()]
    for _ in range(megabytes):
        os.write(1, block)
        times.append(time.monotonic())
    os.system("echo the end")
    return times


def seconds(times: list[float]) -> float:
    """For a megabyte, without the slowest tenth: then the machine may have done something else."""
    each = sorted(end - start for start, end in pairwise(times))
    return statistics.fmean(each[: -(len(each) // 10) or None])


@pytest.mark.parametrize("flood", [as_text, as_bytes, from_c], ids=lambda flood: flood.__name__)
def test_the_end_and_the_count_are_kept_and_nobody_holds_the_rest(spawn, start, tmp_path, flood):
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2")
    c = spawn(daemon.furl().text)
    c.waitForResult()
    (alone,) = c.addJob(calls(4), flood, echo=False).results()
    pool = psutil.Process(daemon.process.pid)
    before = pool.memory_info().rss
    job = c.addJob(calls(FLOOD), flood, echo=False)
    others = c.addJob(calls(*range(100)), abs)
    assert others.results() == list(range(100))
    highest = before
    while not job.done():
        highest = max(highest, pool.memory_info().rss)
        time.sleep(0.01)
    (times,) = job.results()
    said = job.output(0)
    took, unhindered = seconds(times), seconds(alone)
    print(f"{FLOOD} MB at {1 / took:.0f} MB/s, unhindered {1 / unhindered:.0f} MB/s")
    assert highest - before < 20 * MEGABYTE
    assert said.endswith("the end\n")
    dropped, _, tail = said.partition("\n")
    assert "dropped" in dropped
    assert int("".join(filter(str.isdigit, dropped))) > FLOOD * MEGABYTE - 2 * KEPT
    assert len(tail) <= 4 * KEPT  # what is no UTF-8 is shown as \xff
    # Two milliseconds a megabyte are for noise; a second is for what was left out.
    assert kept(took, 2 * unhindered + 0.002)
    assert kept(times[-1] - times[0], FLOOD * (2 * unhindered + 0.002) + 1)
