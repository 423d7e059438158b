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
from scattergather.workers.daemon.zygotes import SEND_SECONDS, ZygoteLink
from tests.conftest import calls
from tests.pace import Promise
from tests.system.faults.ledger import Ledger, once_each
from tests.system.faults.traces import family_of
from tests.system.process_driver import alive, as_in_a_notebook, eventually

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
        self.began = time.monotonic()
        os.kill(self.pid, signal.SIGSTOP)
        self.promise = Promise(REPLACED)

    def kill_a_worker(self) -> None:
        """One that its zygote will not bury."""
        os.kill(next(iter(self.ledger.pids())), signal.SIGKILL)

    def await_end(self) -> None:
        """Its zygote is replaced in time."""
        while alive(self.pid):
            assert not self.promise.broken()
            time.sleep(0.01)
        assert time.monotonic() - self.began >= 9, "it might have gone on"

    def check(self) -> None:
        """Each task ends once."""
        assert once_each(self.job) == list(range(1400))
        assert self.ledger.extra() <= 2, "only what was in the two workers ran again"
        assert self.session not in self.c.run_everywhere(os.getppid).values()


def test_a_stopped_zygote_is_replaced_as_if_it_were_killed(spawn, tmp_path):
    victims = [Victim(spawn(workers=2), tmp_path, each) for each in ("root", "session")]
    victims[1].kill_a_worker()
    for victim in victims:
        victim.await_end()
    for victim in victims:
        victim.check()


def test_when_all_zygotes_are_stopped_nothing_outlives_their_controller(spawn):
    c = spawn(workers=2)
    (session,) = set(c.run_everywhere(os.getppid).values())
    root = psutil.Process(session).parent()
    below = family_of(root.pid)
    for zygote in (session, root.pid):
        os.kill(zygote, signal.SIGSTOP)
    root.parent().kill()
    eventually(lambda: not any(map(alive, below)))


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
    promise = Promise(REPLACED + 1)
    assert c.addJob([([], {})], "ping").results(timeout=60) == ["pong"]
    assert not flag.exists(), "no zygote was stopped"
    assert not promise.broken()


class NoReactor:
    """Nothing is read."""

    def addReader(self, reader: object) -> None:
        """It would wait."""

    removeReader = addReader


def test_a_zygote_that_reads_nothing_holds_nobody_up_for_long():
    """As many messages as fill its socket hardly come in the seconds until it is replaced."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ended: list[bool] = []
    with subprocess.Popen(["sleep", "600"]) as process, theirs:
        promise, sent = Promise(SEND_SECONDS + 1), 0
        zygote = ZygoteLink(
            NoReactor(), ours, print, lambda: ended.append(not promise.broken()), process
        )
        while not ended:
            zygote.signal(1, signal.SIGINT)
            sent += 1
        assert ended == [True]
        assert process.wait(10) == -signal.SIGKILL
    assert sent > 100
    assert not zygote.open
