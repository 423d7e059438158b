"""Scenario 15: a task starts processes that it does not wait for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import calls
from tests.pace import Promise
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system

PROMISE = 2.0


@as_in_a_notebook
def family(folder: str, then: str) -> str:
    """A child, an orphan, an orphan in a session of its own; and how the task ends."""

    def stay(name: str) -> None:
        """Holds all that it inherited: the worker's socket, for instance."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.close(os.open(f"{folder}/{name}-{os.getpid()}", os.O_CREAT))
        time.sleep(600)
        os._exit(0)

    if os.fork() == 0:
        stay("child")
    if os.fork() == 0:
        if os.fork() == 0:
            stay("orphan")
        os._exit(0)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if os.fork() == 0:
                stay("stranger's child")
            stay("stranger")
        os._exit(0)
    subprocess.Popen(["setsid", "sleep", "600"], env={})
    while len(os.listdir(folder)) < 4:
        time.sleep(0.001)
    if then == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "is cancelled":
        os.close(os.open(f"{folder}/ready-0", os.O_CREAT))
        time.sleep(600)
    if then == "raises":
        raise ValueError("on purpose")
    return "done"


def ended(folder: Path) -> Callable[[], bool]:
    pids = [int(path.name.rpartition("-")[2]) for path in folder.iterdir()]
    assert len(pids) >= 4
    return lambda: not any(alive(pid) for pid in pids if pid)


@pytest.mark.parametrize("then", ["returns", "raises", "dies", "is cancelled"])
def test_all_of_them_are_gone_within_two_seconds_when_the_task(spawn, tmp_path, gate, then):
    c = spawn(workers=2)
    folder = tmp_path / "family"
    folder.mkdir()
    other = c.addJob(calls(0), gate.before(as_in_a_notebook(lambda _: os.getpid())))
    gate.reached(1)  # and so it has a worker for itself
    promise = Promise(5)
    job = c.addJob([((str(folder), then), {})], family, retries=0)
    if then == "is cancelled":
        eventually((folder / "ready-0").exists)
        promise = Promise(5)
        job.cancel()
    job.results(errors="return")
    eventually(ended(folder), PROMISE)
    assert not promise.broken()
    gate.open()
    (pid,) = other.results()
    assert alive(pid), "the neighbour's worker was not touched"


def test_what_a_call_everywhere_started_stays(spawn):
    c = spawn(workers=1)
    start = as_in_a_notebook(lambda: subprocess.Popen(["sleep", "600"]).pid)
    (server,) = c.run_everywhere(start).values()
    (child,) = c.addJob([((), {})], start).results()
    eventually(lambda: not alive(child), PROMISE)
    assert alive(server)
