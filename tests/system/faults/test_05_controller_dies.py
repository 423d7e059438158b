"""Scenario 5: the controller is killed; the client is told, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from scattergather.errors import ControllerLost
from tests.pace import Promise
from tests.system.faults.ledger import LONG
from tests.system.faults.traces import PROMISE, family_of
from tests.system.faults.victims import with_family
from tests.system.process_driver import alive, eventually

pytestmark = pytest.mark.system

SPAWNING_LASTS = 0.6


def controller_of(c: Any) -> int:
    return int(c._session.pipe.process.pid)


def hears(request: Callable[[], object]) -> bool:
    """Does this request hear in time that the controller is lost?"""
    promise = Promise(PROMISE)
    with pytest.raises(ControllerLost, match="SIGKILL"):
        request()
    return not promise.broken()


def works(c: Any) -> bool:
    return bool(c.addJob([((n,), {}) for n in range(100)], abs).results() == list(range(100)))


@pytest.mark.pythons
def test_who_waits_hears_that_the_controller_was_killed(scene, spawn):
    c = with_family()
    os.kill(controller_of(c), signal.SIGKILL)
    assert hears(c.waitForResult)
    scene.clears()
    assert works(spawn(workers=2))


def test_who_sends_hears_that_the_controller_was_killed(scene, spawn):
    c = spawn(workers=2)
    load = os.urandom(1 << 20)
    c.addJob([((load + bytes([n]),), {}) for n in range(100)], len)
    os.kill(controller_of(c), signal.SIGKILL)

    def send() -> None:
        while True:
            c.addJob([((load + bytes([n]),), {}) for n in range(32)], len)

    assert hears(send)
    scene.clears()
    assert works(spawn(workers=2))


@pytest.mark.parametrize("seed", range(40 if LONG else 3))
def test_who_spawns_hears_that_the_controller_was_killed(scene, spawn, seed):
    c = spawn(workers=2)
    # Any moment will do: this is where the seed says, not a wait for something.
    time.sleep(random.Random(seed).uniform(0, SPAWNING_LASTS))
    os.kill(controller_of(c), signal.SIGKILL)
    assert hears(lambda: works(c))
    scene.clears()
    assert works(spawn(workers=2))


def test_nothing_is_left_when_the_root_zygote_dies_with_the_controller(scene):
    c = with_family()
    zygote, *_ = psutil.Process(controller_of(c)).children()
    zygote.kill()
    os.kill(controller_of(c), signal.SIGKILL)
    assert hears(c.waitForResult)
    scene.clears()


@pytest.mark.parametrize("generation", ["root", "session"])
def test_nothing_is_left_of_the_workers_of_a_zygote_that_was_killed(scene, generation):
    """And the pool forks others: the tasks run again, with families of their own."""
    c = with_family()
    controller = psutil.Process(controller_of(c))
    (root,) = controller.children()
    (session,) = root.children()
    ours = family_of(session.pid) | scene.families()
    (root if generation == "root" else session).kill()
    eventually(lambda: not any(map(alive, ours)), PROMISE)
    scene.forget(ours)
    assert not ours & scene.families()
    c.command("die")
    scene.clears()


def test_nothing_is_left_on_a_daemon_whose_guest_was_killed(scene, start):
    daemon = start("--workers", "2")
    furl = daemon.furl().text
    scene.spared |= family_of(daemon.process.pid)
    c = with_family(furl)
    os.kill(controller_of(c), signal.SIGKILL)
    assert hears(c.waitForResult)
    scene.clears()
