"""Scenario 3: a signal stops the controller: the user is told what to do, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pace import Promise
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]

TOLD = 10 + 2 + 1
"""Seconds until the user is: after five looks, one every two seconds, and the time to show it."""

JOB = """
import os, signal, sys, time
from scattergather import spawnScatterGather
c = spawnScatterGather(workers=1)
c.waitForResult()
stop, began = int(c.command("status").controller_pid), time.monotonic()
os.kill(stop, signal.SIGSTOP)
while open(f"/proc/{stop}/stat").read().rpartition(")")[2].split()[0] != "T":
    time.sleep(0.002)
job = c.addJob([((n,), {}) for n in range(100)], abs)
print(stop, began, flush=True)
"""


def run(*lines: str) -> subprocess.Popen[str]:
    """A script that stops its controller, says so, and goes on with ``lines``."""
    return subprocess.Popen(
        [sys.executable, "-c", JOB + "\n".join(lines)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped_by(script: subprocess.Popen[str]) -> tuple[int, float]:
    """The process id of its controller, which stands still by now, and when it did not yet."""
    assert script.stdout is not None
    pid, began = script.stdout.readline().split()
    return int(pid), float(began)


def test_the_user_is_told_and_the_job_ends_when_the_controller_goes_on():
    script = run("print(job.results() == list(range(100)))")
    assert script.stderr is not None
    pid, began = stopped_by(script)
    promise = Promise(TOLD)
    told = script.stderr.readline()
    assert not promise.broken()
    assert time.monotonic() - began >= 8, "it might have gone on"
    assert f"process {pid}) was stopped by a signal" in told
    (cure,) = re.findall("kill -CONT [0-9]+", told)
    subprocess.run(cure.split(), check=True)
    out, _ = script.communicate()
    assert out == "True\n"
    assert script.returncode == 0


def test_every_wait_is_told_and_an_interrupt_says_the_cure():
    script = run(
        "signal.alarm(120)",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "def attempt(wait):",
        "    try: print(wait())",
        "    except (KeyboardInterrupt, TimeoutError) as error: print(*str(error).splitlines())",
        "    sys.stdout.flush()",
        "attempt(lambda: c.waitForResult(timeout=0.1))",
        "attempt(c.waitForResult)",
        "attempt(lambda: next(iter(job)))",
        "attempt(lambda: c.command('refresh').workers)",
    )
    assert script.stdout is not None
    assert script.stderr is not None
    pid, _ = stopped_by(script)
    cure = f"the controller (process {pid}) was stopped by a signal and does nothing. "
    cure += f"Let it go on with: kill -CONT {pid}"
    told = f"[scattergather] {cure}\n"
    assert script.stdout.readline() == f"job 1 is not through yet: 0 of 100 tasks are done {cure}\n"
    assert script.stderr.readline() == told
    script.send_signal(signal.SIGINT)
    assert script.stdout.readline() == f"stopped waiting for job 1 (0/100). {cure}\n"
    assert script.stderr.readline() == told, "the next wait was told nothing"
    script.send_signal(signal.SIGINT)
    stopped = "stopped waiting for the next result of job 1 (0/100)"
    assert script.stdout.readline() == f"{stopped}. {cure}\n"
    assert script.stderr.readline() == told, "nor the one after it"
    os.kill(pid, signal.SIGCONT)
    out, _ = script.communicate()
    assert out == "1\n"


def test_a_client_that_ends_by_an_exception_takes_its_stopped_controller_along(scene):
    script = run("1 / 0")
    _, error = script.communicate()
    assert script.returncode == 1
    assert "the script ended by ZeroDivisionError; cancelled " in error
    scene.clears()


def test_a_client_that_is_killed_takes_its_stopped_controller_along(scene):
    script = run("time.sleep(600)")
    stopped_by(script)
    script.kill()
    scene.clears()
    script.communicate()


def test_one_that_is_killed_while_it_is_stopped_is_lost():
    script = run(
        "from scattergather.errors import ControllerLost",
        "try: job.results()",
        "except ControllerLost as error: print(error)",
    )
    pid, _ = stopped_by(script)
    os.kill(pid, signal.SIGKILL)
    out, _ = script.communicate()
    assert "ended by SIGKILL" in out
    eventually(lambda: not Path(f"/proc/{pid}").exists())
