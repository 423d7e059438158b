"""Scenario 16: a task prints without end, as text, as bytes, or from C."""

from __future__ import annotations

import os
import sys
import time

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
def as_text(megabytes: int) -> float:
    line = "x" * 1023 + "\n"
    began = time.monotonic()
    for _ in range(megabytes):
        sys.stdout.write(line * 1024)
    print("the end")
    return time.monotonic() - began


@as_in_a_notebook
def as_bytes(megabytes: int) -> float:
    block = bytes(range(256)) * 4096
    began = time.monotonic()
    for _ in range(megabytes):
        sys.stderr.buffer.write(block)
    print("the end")
    return time.monotonic() - began


@as_in_a_notebook
def from_c(megabytes: int) -> float:
    block = (b"y" * 1023 + b"\n") * 1024
    began = time.monotonic()
    for _ in range(megabytes):
        os.write(1, block)
    os.system("echo the end")
    return time.monotonic() - began


@pytest.mark.parametrize("flood", [as_text, as_bytes, from_c], ids=lambda flood: flood.__name__)
def test_the_end_and_the_count_are_kept_and_nobody_holds_the_rest(spawn, start, tmp_path, flood):
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2")
    c = spawn(daemon.furl().text)
    c.waitForResult()
    (unhindered,) = c.addJob(calls(4), flood, echo=False).results()
    pool = psutil.Process(daemon.process.pid)
    before = pool.memory_info().rss
    job = c.addJob(calls(FLOOD), flood, echo=False)
    others = c.addJob(calls(*range(100)), abs)
    assert others.results() == list(range(100))
    highest = before
    while not job.done():
        highest = max(highest, pool.memory_info().rss)
        time.sleep(0.01)
    (took,) = job.results()
    said = job.output(0)
    print(f"{FLOOD} MB at {FLOOD / took:.0f} MB/s, unhindered {4 / unhindered:.0f} MB/s")
    assert highest - before < 20 * MEGABYTE
    assert said.endswith("the end\n")
    dropped, _, tail = said.partition("\n")
    assert "dropped" in dropped
    assert int("".join(filter(str.isdigit, dropped))) > FLOOD * MEGABYTE - 2 * KEPT
    assert len(tail) <= 4 * KEPT  # what is no UTF-8 is shown as \xff
    # Two milliseconds a megabyte are for noise.
    assert kept(took / FLOOD, 2 * unhindered / 4 + 0.002)
