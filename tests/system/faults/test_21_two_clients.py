"""Scenario 21: two clients share one daemon, and one of them is killed."""

from __future__ import annotations

import os
import signal
import statistics
import time

import pytest

from tests.conftest import calls
from tests.pace import kept
from tests.system.faults.ledger import LONG, Ledger, once_each
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = [pytest.mark.system, pytest.mark.alone]

SECONDS = 0.05
ROUNDS = 20 if LONG else 3


def test_each_has_its_share_and_neither_feels_the_other_cancel_or_die(spawn, start, tmp_path):
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2")
    furl = daemon.furl().text
    one, other = spawn(furl), spawn(furl)
    for c in (one, other):
        c.waitForResult()

    @as_in_a_notebook
    def work(n: int) -> int:
        time.sleep(SECONDS)
        return n

    def waited() -> float:
        began = time.monotonic()
        assert other.addJob(calls(*range(10)), work).results() == list(range(10))
        return time.monotonic() - began

    waited()
    alone = max(waited() for _ in range(ROUNDS))
    ledger = Ledger(tmp_path / "one")
    long = one.addJob(calls(*range(10_000)), ledger.keeping(work))
    eventually(lambda: len(ledger.runs()) > 10)
    shared = statistics.median(waited() for _ in range(ROUNDS))
    print(f"ten tasks take {alone:.2f} s alone and {shared:.2f} s beside 10,000 of another client")
    # Half of the workers, and what is running when they are asked for.
    assert kept(shared, 2 * alone + 2 * SECONDS)

    cancelled = other.addJob(calls(*range(100)), work)
    cancelled.cancel()
    cancelled.results(errors="return")
    done = len(ledger.runs())
    eventually(lambda: len(ledger.runs()) > done + 10)
    assert not long.done()

    rest = Ledger(tmp_path / "other")
    job = other.addJob(calls(*range(100)), rest.keeping(work))
    eventually(lambda: len(rest.runs()) > 10)
    os.kill(one._session.pipe.process.pid, signal.SIGKILL)
    assert once_each(job) == list(range(100))
    assert rest.extra() == 0
    eventually(lambda: not any(map(alive, ledger.pids())))
    assert len(set(other.run_everywhere(os.getpid).values())) == 2
