"""Scenario 9: one end of a link is frozen: it neither answers nor ends its connection."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from scattergather.link.pulse import SILENCE_SECONDS
from scattergather.link.stream.stream import GRACE
from tests.conftest import calls
from tests.pace import Promise
from tests.system.faults.ledger import Ledger, once_each
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system

MOVED = SILENCE_SECONDS + 1 + GRACE
"""Seconds after which a frozen end's work is elsewhere: its silence cuts the link, and then it has
its grace to come back; two more that the rest may take on a busy machine."""


@as_in_a_notebook
def work(n: int) -> int:
    time.sleep(0.05)
    return n


@as_in_a_notebook
def sleep_on(_: int) -> None:
    time.sleep(600)


def test_a_frozen_daemons_work_goes_elsewhere_and_a_frozen_controllers_workers_end(
    spawn, start, tmp_path
):
    first = start("--directory", str(tmp_path / "first"), "--workers", "2")
    second = start("--directory", str(tmp_path / "second"), "--workers", "4")
    second_furl = second.furl().text
    one = spawn([first.furl().text, second_furl])
    other = spawn(second_furl)
    for c in (one, other):
        c.waitForResult()
    sleepers, ledger = Ledger(tmp_path / "sleepers"), Ledger(tmp_path / "work")
    other.addJob(calls(0, 1), sleepers.keeping(sleep_on))
    job = one.addJob(calls(*range(100)), ledger.keeping(work))
    eventually(lambda: len(sleepers.runs()) == 2 and len(ledger.runs()) > 20)

    controller = psutil.Process(other._session.pipe.process.pid)
    controller.suspend()
    first.process.send_signal(signal.SIGSTOP)
    began, promise = time.monotonic(), Promise(MOVED + 2)
    try:
        outcomes = once_each(job)
        assert not promise.broken()
        moved = time.monotonic() - began
        eventually(lambda: not any(map(alive, sleepers.pids())))
        assert not promise.broken()
        ended = time.monotonic() - began
    finally:
        first.process.send_signal(signal.SIGCONT)
        os.kill(controller.pid, signal.SIGKILL)
    began = time.monotonic()
    eventually(lambda: one.command("status").workers == 6, 5 + 2)
    back = time.monotonic() - began
    print(f"moved after {moved:.1f} s, ended after {ended:.1f} s, back in {back:.1f} s")
    assert outcomes == list(range(100))
    # What ran in the frozen host or waited there was charged once and ran elsewhere; what came of
    # it there later was dropped.
    assert max(ledger.runs().values()) <= 2
    assert one.addJob(calls(*range(100)), abs).results() == list(range(100))
