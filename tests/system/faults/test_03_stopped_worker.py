"""Scenario 3: a signal stops a worker; a busy one only seems to stand still."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

import pytest

from scattergather.errors import TaskKilledWorker
from tests.conftest import calls
from tests.pace import Promise
from tests.system.faults.ledger import LONG, Ledger, once_each
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system

BUSY_SECONDS = 60 if LONG else 11
"""Longer than a stopped worker is waited for."""


def test_a_stopped_worker_is_replaced_and_one_that_holds_the_interpreter_is_not(spawn, tmp_path):
    c = spawn(workers=4)

    @as_in_a_notebook
    def holds_the_interpreter(seconds: int) -> int:
        ctypes.PyDLL(None).sleep(seconds)  # no other thread of Python runs meanwhile
        return os.getpid()

    @as_in_a_notebook
    def stops_itself() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    @as_in_a_notebook
    def work(n: int, first: str) -> int:
        if n == 30:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(first, os.O_CREAT | os.O_EXCL))
                time.sleep(600)  # and so it is stopped in the middle
        time.sleep(0.02)
        return n

    busy = Ledger(tmp_path / "busy")
    holding = c.addJob(calls(BUSY_SECONDS), busy.keeping(holds_the_interpreter))
    itself = c.addJob([((), {})], stops_itself, retries=0)
    eventually(lambda: busy.runs() == {BUSY_SECONDS: 1})

    ledger = Ledger(tmp_path / "work")
    began, promise = time.monotonic(), Promise(15)
    first = tmp_path / "first"
    job = c.addJob([((n, str(first)), {}) for n in range(100)], ledger.keeping(work))
    eventually(first.exists)
    stopped = ledger.pid(30)
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    assert once_each(job) == list(range(100))
    assert time.monotonic() - began >= 10
    assert not promise.broken()
    assert ledger.runs() == {n: 2 if n == 30 else 1 for n in range(100)}, "only that ran again"

    (error,) = itself.results(errors="return")
    assert isinstance(error, TaskKilledWorker)
    assert "stopped by a signal and did not go on" in str(error)
    assert holding.results() == [busy.pid(BUSY_SECONDS)]
    assert busy.runs() == {BUSY_SECONDS: 1}
