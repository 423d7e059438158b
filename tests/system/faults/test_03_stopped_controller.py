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

from tests.pace import kept
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
stop = int(c.command("status").controller_pid)
os.kill(stop, signal.SIGSTOP)
job = c.addJob([((n,), {}) for n in range(100)], abs)
print(stop, flush=True)
"""


def run(*lines: str) -> subprocess.Popen[str]:
    """A script that stops its controller, says its process id, and goes on with ``lines``."""
    return subprocess.Popen(
        [sys.executable, "-c", JOB + "\n".join(lines)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_user_is_told_and_the_job_ends_when_the_controller_goes_on():
    script = run("print(job.results() == list(range(100)))")
    assert script.stdout is not None
    assert script.stderr is not None
    pid = int(script.stdout.readline())
    began = time.monotonic()
    told = script.stderr.readline()
    assert kept(time.monotonic() - began, TOLD)
    assert time.monotonic() - began >= 8, "it might have gone on"
    assert f"process {pid}) was stopped by a signal" in told
    (cure,) = re.findall("kill -CONT [0-9]+", told)
    subprocess.run(cure.split(), check=True)
    out, _ = script.communicate()
    assert out == "True\n"
    assert script.returncode == 0


def test_a_client_that_exits_takes_its_stopped_controller_along(scene):
    script = run("sys.exit()")
    _, error = script.communicate()
    assert (script.returncode, error) == (0, "")
    scene.clears()


def test_one_that_is_killed_while_it_is_stopped_is_lost():
    script = run(
        "from scattergather.errors import ControllerLost",
        "try: job.results()",
        "except ControllerLost as error: print(error)",
    )
    assert script.stdout is not None
    pid = int(script.stdout.readline())
    os.kill(pid, signal.SIGKILL)
    out, _ = script.communicate()
    assert "ended by SIGKILL" in out
    eventually(lambda: not Path(f"/proc/{pid}").exists())
