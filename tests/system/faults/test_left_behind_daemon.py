"""A daemon ends, in any way: nothing of it is left, and the next one works at once."""

from __future__ import annotations

import signal

import pytest

from tests.system.daemons import free_port
from tests.system.faults.traces import family_of
from tests.system.faults.victims import with_family

pytestmark = pytest.mark.system


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_leaves_nothing_and_can_be_started_again(scene, start, tmp_path, number):
    options = ("--workers", "2", "--directory", str(tmp_path / "key"), "--port", str(free_port()))
    daemon = start(*options)
    c = with_family(daemon.furl().text)
    scene.spared.add(c._session.pipe.process.pid)
    first = scene.families()
    daemon.process.send_signal(number)
    scene.clears()
    scene.forget(first)
    again = start(*options)
    again.furl()
    scene.spared |= family_of(again.process.pid)
    scene.families()  # the tasks run again there
    c.command("die")
    scene.clears()
