"""Scenario 10: the wall clock jumps by an hour, in every process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

from scattergather.errors import TimeLimitExceeded
from tests.conftest import calls
from tests.system.faults.ledger import LONG, Ledger, once_each
from tests.system.faults.test_09_frozen_ends import MOVED
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]

CLOCK = """
import os, time
true_time = time.time
def jumping_time():
    try:
        return true_time() + float(open({jump!r}).read())
    except (OSError, ValueError):
        return true_time()
time.time = jumping_time
"""
"""Loaded by every interpreter at its start; the jump is in a file, and so comes when we like."""


@as_in_a_notebook
def resist(_: int) -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(60)


@pytest.mark.parametrize("jump", [3600, -3600] if LONG else [-3600])
def test_a_jump_loses_nobody_and_hides_no_loss(spawn, start, tmp_path, monkeypatch, jump):
    told = tmp_path / "jump"
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(jump=str(told)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    first = start("--directory", str(tmp_path / "first"), "--workers", "1")
    second = start("--directory", str(tmp_path / "second"), "--workers", "1")
    c = spawn([first.furl().text, second.furl().text])
    eventually(lambda: c.command("status").workers == 2)

    @as_in_a_notebook
    def work(n: int, jump: str) -> float:
        while n >= 100 and not os.path.exists(jump):
            time.sleep(0.01)
        time.sleep(0.02)
        return time.time()

    ledger = Ledger(tmp_path)
    tasks = [((n, str(told)), {}) for n in range(200)]
    job = c.addJob(tasks, ledger.keeping(work), time_limit=60)
    eventually(lambda: len(ledger.runs()) > 100)
    (tmp_path / "written").write_text(str(jump))
    (tmp_path / "written").rename(told)
    outcomes = once_each(job)
    assert abs(max(outcomes) - min(outcomes)) > 3000, "the workers' clock did not jump"
    assert ledger.extra() == 0
    assert c.command("status").workers == 2
    resisting = c.addJob(calls(0), resist, time_limit=0.5)
    (error,) = resisting.results(errors="return", timeout=30)
    assert isinstance(error, TimeLimitExceeded), "the daemons' timers stood still"
    if not LONG:  # scenario 9 waits for that, too
        return
    first.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: c.command("status").workers == 1, MOVED + 2)
    finally:
        first.process.send_signal(signal.SIGCONT)


def test_no_decision_looks_at_the_wall_clock():
    named = re.compile(r"(?<!banana\.)\btime\.time\(|datetime\.now\(\)")
    for folder in ("scheduler", "link", "controller", "client", "workers", "wire"):
        for path in (ROOT / "scattergather" / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                # Foolscap's own (``banana.time``) is replaced by the monotonic clock.
                assert not named.search(line), (path, number)
