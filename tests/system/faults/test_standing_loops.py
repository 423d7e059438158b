"""A loop that stands still for ever takes its process with it, and its stacks are in the log."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from scattergather.machine import watchman
from scattergather.machine.watchman import LOOK_SECONDS, STACKS_SECONDS
from tests.pace import Promise
from tests.system.daemons import Daemon
from tests.system.faults.traces import PROMISE, ROOT, family_of
from tests.system.process_driver import alive, eventually

pytestmark = pytest.mark.system

ORPHANED = 1.0
SILENT = 4.0
"""Longer than a loop stands still on a machine that is busy, which is ended by nobody."""

ALONE = f"""
import ctypes, sys, threading
from scattergather.reactor.heartbeat import Heartbeat
from twisted.internet import reactor

def spins():
    while True:
        pass

def waits():
    threading.Event().wait()

def holds_the_interpreter():
    ctypes.PyDLL(None).sleep(1000)

def goes_on():
    print("here", flush=True)

reactor.callWhenRunning(Heartbeat(sys.stderr, silent={SILENT}).beat, reactor)
reactor.callLater(0.5, globals()[sys.argv[1]])
reactor.run()
"""

SPINS_WHEN_TOLD = """
import signal
def spin(*_):
    while True:
        pass
signal.signal(signal.SIGUSR1, spin)
"""

ONLY_ORPHANED = f"""
from scattergather.reactor.heartbeat import Heartbeat
Heartbeat.__init__.__kwdefaults__["orphaned"] = {ORPHANED}
"""

IMPATIENT = f"""
from scattergather.reactor.heartbeat import Heartbeat
Heartbeat.__init__.__kwdefaults__["silent"] = {SILENT}
"""

CLIENT = """
import sys, time
from scattergather import spawnScatterGather
c = spawnScatterGather(workers=2, logFile=sys.argv[1])
c.addJob([((600,), {})] * 2, time.sleep)
while c.command("status").hosts[0].busy < 2:
    time.sleep(0.05)
print(c._session.pipe.process.pid, flush=True)
time.sleep(600)
"""

WAYS = ("spins", "waits", "holds_the_interpreter")


@dataclass
class Scenes:
    """What has come of them: exit codes, logs, and who was left."""

    codes: dict[str, int] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    went_on: bool = False
    watched: int = 0
    in_time: bool = False


def watchmen(pids: set[int]) -> set[int]:
    """Those who watch these processes."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        for program, watched in itertools.pairwise(words):
            if program == watchman.__file__ and int(watched) in pids:
                found.add(process.pid)
    return found


def program(source: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **more},
        cwd=ROOT,
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """All at once: each of them takes its seconds."""
    folder: Path = tmp_path_factory.mktemp("standing")
    (folder / "sitecustomize.py").write_text(f"{ONLY_ORPHANED}{SPINS_WHEN_TOLD}")
    seen = Scenes()
    client = program(CLIENT, str(folder / "log"), PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")
    daemon = Daemon("--directory", str(folder / "pool"), shim=IMPATIENT + SPINS_WHEN_TOLD)
    alone = {way: program(ALONE, way) for way in (*WAYS, "goes_on")}
    try:
        assert client.stdout is not None
        controller = int(client.stdout.readline())
        daemon.furl()
        families = [family_of(controller), family_of(daemon.process.pid)]
        for pid in (controller, daemon.process.pid):
            os.kill(pid, signal.SIGUSR1)
        stopped = alone["goes_on"]
        assert stopped.stdout is not None
        stopped.stdout.readline()
        three = {controller, daemon.process.pid, stopped.pid}
        eventually(lambda: len(watchmen(three)) == 3)
        watching = watchmen(three)
        stopped.send_signal(signal.SIGSTOP)
        promise = Promise(SILENT + 2 * LOOK_SECONDS + STACKS_SECONDS + PROMISE)
        client.kill()
        time.sleep(SILENT + 2 * LOOK_SECONDS)  # so long it is stopped
        stopped.send_signal(signal.SIGCONT)
        for way in WAYS:
            _, seen.logs[way] = alone[way].communicate(timeout=60)
            seen.codes[way] = alone[way].returncode
        seen.codes["daemon"], seen.logs["daemon"] = daemon.ended(60), daemon.errors
        seen.left = [pid for family in families for pid in family]
        while any(map(alive, seen.left)) and not promise.broken():
            time.sleep(0.05)
        seen.left = [pid for pid in seen.left if alive(pid)]
        seen.logs["controller"] = (folder / "log").read_text()
        time.sleep(1.5 * LOOK_SECONDS)
        seen.went_on = stopped.poll() is None
        stopped.kill()
        eventually(lambda: not any(map(alive, watching)), PROMISE)
        seen.watched = len(watching)
        yield seen
    finally:
        for each in [client, daemon.process, *alone.values()]:
            each.kill()
            each.communicate()


@pytest.mark.parametrize("who", [*WAYS, "daemon"])
def test_a_process_whose_loop_stands_still_ends_whatever_holds_it_up(scenes, who):
    assert scenes.codes[who] == -signal.SIGABRT
    assert "its loop has stood still for" in scenes.logs[who]
    assert f"in {'spin' if who == 'daemon' else who}\n" in scenes.logs[who]


def test_a_controller_that_spins_ends_after_its_client_and_says_where_it_was(scenes):
    assert "its client ended" in scenes.logs["controller"]
    assert "in spin\n" in scenes.logs["controller"]


def test_each_had_a_watchman_who_ended_with_him(scenes):
    assert scenes.watched == 3


def test_nothing_is_left_of_those_who_were_ended(scenes):
    assert scenes.left == []


def test_who_was_stopped_and_goes_on_is_let_be(scenes):
    assert scenes.went_on
