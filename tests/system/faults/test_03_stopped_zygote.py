"""Scenario 3: a signal stops a zygote, whose workers go on: nobody hears of their deaths."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from scattergather.client.client import ScatterGather
from scattergather.workers.daemon.zygotes import SEND_SECONDS, Zygote
from tests.conftest import calls
from tests.pace import kept
from tests.system.faults.ledger import Ledger, once_each
from tests.system.process_driver import PATIENCE, alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system

REPLACED = 10 + 2 + 1
"""Seconds until a stopped zygote is: ten, as it is looked at every two; and one to end it."""


@as_in_a_notebook
def work(n: int) -> int:
    time.sleep(0.02)
    return n


class Victim:
    """A cluster of two workers on this machine, in the middle of a job, whose zygote stops."""

    def __init__(self, c: ScatterGather, folder: Path, generation: str) -> None:
        self.c = c
        (self.session,) = set(c.run_everywhere(os.getppid).values())
        root = psutil.Process(self.session).ppid()
        self.pid = root if generation == "root" else self.session
        self.ledger = Ledger(folder / generation)
        self.job: Any = c.addJob(calls(*range(1400)), self.ledger.keeping(work))
        eventually(lambda: len(self.ledger.runs()) > 20)
        os.kill(self.pid, signal.SIGSTOP)
        self.began = time.monotonic()

    def kill_a_worker(self) -> None:
        """One that its zygote will not bury."""
        os.kill(next(iter(self.ledger.pids())), signal.SIGKILL)

    def check(self) -> None:
        """Its zygote was replaced in time, and each task ends once."""
        eventually(lambda: not alive(self.pid), self.began + REPLACED - time.monotonic())
        assert time.monotonic() - self.began >= 9, "it might have gone on"
        assert once_each(self.job) == list(range(1400))
        assert self.ledger.extra() <= 2, "only what was in the two workers ran again"
        assert self.session not in self.c.run_everywhere(os.getppid).values()


def test_a_stopped_zygote_is_replaced_as_if_it_were_killed(spawn, tmp_path):
    victims = [Victim(spawn(workers=2), tmp_path, each) for each in ("root", "session")]
    victims[1].kill_a_worker()
    for victim in victims:
        victim.check()


def test_when_all_zygotes_are_stopped_nothing_outlives_their_controller(spawn):
    c = spawn(workers=2)
    (session,) = set(c.run_everywhere(os.getppid).values())
    root = psutil.Process(session).parent()
    below = [root, *root.children(recursive=True)]
    for zygote in (session, root.pid):
        os.kill(zygote, signal.SIGSTOP)
    root.parent().kill()
    assert not psutil.wait_procs(below, timeout=PATIENCE)[1]


STOPS_ITS_CHILD = """
import os, signal

def stop_once():
    if os.path.exists({flag!r}):
        os.unlink({flag!r})
        os.kill(os.getpid(), signal.SIGSTOP)

os.register_at_fork(after_in_child=stop_once)

def ping():
    return "pong"
"""


def test_a_zygote_that_is_stopped_before_it_is_ready_is_replaced(start, spawn, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    (tmp_path / "stops_its_child.py").write_text(STOPS_ITS_CHILD.format(flag=str(flag)))
    shim = f"import os; os.environ['PYTHONPATH'] = {str(tmp_path)!r}"
    pool = start("--port", "0", "--service", "ping=stops_its_child:ping", shim=shim)
    c = spawn(pool.furl().text)
    began = time.monotonic()
    assert c.addJob([([], {})], "ping").results(timeout=60) == ["pong"]
    assert not flag.exists(), "no zygote was stopped"
    assert kept(time.monotonic() - began, REPLACED + 1)


class NoReactor:
    """Nothing is read."""

    def addReader(self, reader: object) -> None:
        """It would wait."""

    removeReader = addReader


def test_a_zygote_that_reads_nothing_holds_nobody_up_for_long():
    """As many messages as fill its socket hardly come in the seconds until it is replaced."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ended: list[float] = []
    with subprocess.Popen(["sleep", "600"]) as process, theirs:
        began, sent = time.monotonic(), 0
        zygote = Zygote(NoReactor(), ours, print, lambda: ended.append(time.monotonic()), process)
        while not ended:
            zygote.signal(1, signal.SIGINT)
            sent += 1
        assert kept(ended[0] - began, SEND_SECONDS + 1)
        assert process.wait(10) == -signal.SIGKILL
    assert sent > 100
    assert not zygote.open
