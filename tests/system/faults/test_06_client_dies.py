"""Scenario 6: the client's process ends, in any way and at any moment, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.system.faults.ledger import LONG
from tests.system.faults.traces import PROMISE, family_of
from tests.system.process_driver import alive, eventually

pytestmark = pytest.mark.system

SPAWNING_LASTS = 0.6
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV)


@pytest.mark.parametrize("moment", ["idle", "sending", "waiting"])
def test_a_killed_client_leaves_nothing_while(scene, moment):
    victim = scene.victim(moment)
    assert scene.heard(victim) == "now"
    victim.kill()
    scene.clears()
    victim.wait()


@pytest.mark.parametrize("seed", range(40 if LONG else 4))
def test_a_client_killed_while_it_spawns_leaves_nothing(scene, seed):
    victim = scene.victim("spawning")
    assert scene.heard(victim) == "now"
    # Any moment will do: this is where the seed says, not a wait for something.
    time.sleep(random.Random(seed).uniform(0, SPAWNING_LASTS))
    victim.kill()
    scene.clears()
    victim.wait()


@pytest.mark.parametrize(
    "way",
    [
        "leaves_with_by_an_exception",
        "falls_off_the_end",
        "keeps_its_client_to_the_end",
        "calls_hard_exit",
        "becomes_another_program",
        "ends_in_a_thread",
        "exits_while_a_thread_waits",
        "starts_in_a_thread_that_ends",
    ],
)
def test_a_client_leaves_nothing_that(scene, way):
    victim = scene.victim(way)
    assert scene.heard(victim) == "now"
    scene.clears()  # the victim, too
    victim.wait()


@pytest.mark.parametrize("number", SIGNALS if LONG else SIGNALS[:1])
def test_a_client_leaves_nothing_when_it_is_ended_by(scene, number):
    victim = scene.victim("waiting")
    assert scene.heard(victim) == "now"
    victim.send_signal(number)
    scene.clears()
    victim.wait()


@pytest.mark.parametrize(
    "way",
    [
        "forks_behind_our_back",
        "forks_before_it_spawned",
        "forks_in_the_middle_of_the_start",
        "forks_all_the_time",
    ],
)
def test_a_copy_of_the_client_that_holds_the_pipe_keeps_nothing_alive(scene, way):
    victim = scene.victim(way)
    copies = set(map(int, scene.heard(victim).split()))
    scene.spared |= copies
    try:
        victim.kill()
        scene.clears()
        assert all(map(alive, copies))
    finally:
        for copy in copies:
            os.kill(copy, signal.SIGKILL)
        victim.wait()


def test_a_controller_ends_whose_client_died_before_it_said_a_word(scene):
    """A copy holds the pipe, of which nothing can be read."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-P", "-m", "scattergather.controller"]
        command += [str(theirs.fileno()), str(gone.pid)]
        controller = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        scene.clears()
        assert controller.wait() == 0


@pytest.mark.parametrize("moment", ["spawning", "sending", "waiting"])
def test_a_killed_client_leaves_nothing_on_a_daemon_while(scene, start, moment):
    daemon = start("--workers", "2")
    furl = daemon.furl().text
    process = psutil.Process(daemon.process.pid)
    scene.spared |= family_of(process.pid)
    before = process.num_fds()
    victim = scene.victim(moment, furl)
    assert scene.heard(victim) == "now"
    victim.kill()
    scene.clears()
    eventually(lambda: process.num_fds() <= before, PROMISE)
    victim.wait()
