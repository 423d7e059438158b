"""Descriptors: a daemon and a controller have all that they may, tasks as many as ever."""

from __future__ import annotations

import resource
import subprocess
import sys

SCRIPT = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))

from scattergather.workers.daemon.launch import launch
from scattergather.machine.kernel import allow_descriptors

allow_descriptors()
root = launch()
root.channel.recv(1 << 16)  # it is ready
of_zygote, _ = resource.prlimit(root.process.pid, resource.RLIMIT_NOFILE)
root.channel.close()
root.process.wait()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], of_zygote)
"""


def test_a_daemon_may_have_more_descriptors_than_the_tasks_that_it_starts() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = [sys.executable, "-c", SCRIPT]
    ours, theirs = map(int, subprocess.check_output(script, text=True).split())
    assert ours == min(hard % (1 << 64), 1 << 16)
    assert theirs == 200
