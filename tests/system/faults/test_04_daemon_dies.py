"""Scenario 4: a daemon is killed in the middle of a job, and comes back."""

from __future__ import annotations

import ctypes
import os
import signal
import time

import psutil
import pytest

from scattergather.errors import HostLost
from tests.conftest import calls
from tests.system.daemons import free_port
from tests.system.faults.ledger import LONG, Ledger, once_each
from tests.system.faults.traces import PROMISE
from tests.system.faults.victims import with_family
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system

TASKS = 3000 if LONG else 400


def test_another_host_ends_the_job_nothing_is_left_and_the_daemon_joins_again(
    spawn, start, tmp_path
):
    options = ("--directory", str(tmp_path / "first"), "--port", str(free_port()))
    first = start(*options, "--workers", "2")
    second = start("--directory", str(tmp_path / "second"), "--workers", "2")
    c = spawn([first.furl().text, second.furl().text])
    eventually(lambda: c.command("status").workers == 4)
    c.run_everywhere(os.getpid)  # each of them is ready

    @as_in_a_notebook
    def work(n: int) -> int:
        time.sleep(0.02)
        return n

    ledger = Ledger(tmp_path)
    job = c.addJob(calls(*range(TASKS)), ledger.keeping(work))
    family = psutil.Process(first.process.pid).children(recursive=True)
    lost = {each.pid for each in family}
    eventually(lambda: len(lost & ledger.pids()) == 2 and len(ledger.runs()) > 50)
    first.end(signal.SIGKILL)
    eventually(lambda: not any(map(alive, lost)), patience=2.0)

    again = start(*options, "--workers", "2")
    again.furl()
    began = time.monotonic()
    eventually(lambda: c.command("status").workers == 4, 5.5)  # five, and the time to see it
    rejoined = time.monotonic() - began
    print(f"{ledger.extra()} extra runs, joined again after {rejoined:.1f} s")
    assert once_each(job) == list(range(TASKS))


def test_the_workers_of_a_daemon_whose_zygotes_die_are_replaced(spawn, tmp_path):
    c = spawn(workers=2)
    (session,) = set(c.run_everywhere(os.getppid).values())
    root = psutil.Process(session).ppid()
    for zygote in (session, root):
        ledger = Ledger(tmp_path / str(zygote))

        @as_in_a_notebook
        def work(n: int) -> int:
            time.sleep(0.01)
            return n

        job = c.addJob(calls(*range(200)), ledger.keeping(work))
        eventually(lambda ledger=ledger: len(ledger.runs()) > 20)
        os.kill(zygote, signal.SIGKILL)
        assert once_each(job) == list(range(200))
        assert ledger.extra() <= 2


def test_what_may_not_run_twice_is_lost_with_its_host(spawn, start, tmp_path):
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2")
    c = spawn(daemon.furl().text)
    c.waitForResult()
    ledger = Ledger(tmp_path)
    sleep = as_in_a_notebook(lambda n: time.sleep(600))
    job = c.addJob(calls(0, 1), ledger.keeping(sleep), retries=0, name="once")
    eventually(lambda: len(ledger.runs()) == 2)
    daemon.end(signal.SIGKILL)
    for index, error in enumerate(job.results(errors="return")):
        assert type(error) is HostLost
        assert (error.index, error.attempt, error.attempts) == (index, 1, 1)
        assert error.host in str(error)
        assert error.reason in str(error)
    assert ledger.runs() == {0: 1, 1: 1}


def test_workers_end_with_a_daemon_whose_zygotes_are_killed_at_once(scene, start, tmp_path):
    """The exception that docs/reliability.md names: only what tasks have started is left."""
    daemon = start("--workers", "4", "--directory", str(tmp_path / "key"))
    c = with_family(daemon.furl().text)
    families, ledger = scene.families(), Ledger(tmp_path)
    holds_the_interpreter = as_in_a_notebook(lambda _: ctypes.PyDLL(None).sleep(600))
    c.addJob(calls(0), ledger.keeping(holds_the_interpreter))
    eventually(lambda: ledger.runs() == {0: 1})
    (root,) = psutil.Process(daemon.process.pid).children()
    (session,) = root.children()
    # Two with families, one that holds the interpreter, one idle.
    eventually(lambda: len(session.children()) == 4)
    workers = [worker.pid for worker in session.children()]
    try:
        doomed = (daemon.process.pid, root.pid, session.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # none of them sees another's end
            for pid in doomed:
                os.kill(pid, number)
        eventually(lambda: not any(map(alive, workers)), PROMISE)
        assert all(map(alive, families)), "then the promise is better than its words"
    finally:
        for pid in filter(alive, families):
            os.kill(pid, signal.SIGKILL)
        c.command("die")
    scene.clears()
