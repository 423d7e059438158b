"""A daemon whose log nobody reads, and one that adopts orphans."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.conftest import calls
from tests.system.daemons import COMMAND, Daemon
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system

ADOPTS = """
import subprocess
from scattergather.machine.kernel import adopt_orphans
adopt_orphans()
subprocess.Popen(["sh", "-c", "sleep 0.1 & sleep 0.1 & exit 0"])
"""


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """The end for writing of a pipe into which nothing goes any more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def test_a_daemon_whose_log_nobody_reads_works(spawn) -> None:
    with full_pipe() as log:
        daemon = subprocess.Popen(
            [*COMMAND, "pool", "--workers", "1"], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert daemon.stdout is not None
        try:
            c = spawn(daemon.stdout.readline().strip())
            square = as_in_a_notebook(lambda x: x * x)
            assert c.addJob(calls(*range(5)), square).results(timeout=20) == [0, 1, 4, 9, 16]
        finally:
            daemon.terminate()
            assert daemon.wait(20) == 0
            daemon.stdout.close()


def test_a_daemon_that_is_the_first_process_of_a_container_reaps_orphans(start) -> None:
    daemon: Daemon = start(shim=ADOPTS)
    daemon.furl()

    def zombies() -> list[psutil.Process]:
        children = psutil.Process(daemon.process.pid).children()
        return [each for each in children if each.status() == psutil.STATUS_ZOMBIE]

    def commands() -> list[str]:
        children = psutil.Process(daemon.process.pid).children()
        return [each.name() for each in children if each.status() != psutil.STATUS_ZOMBIE]

    eventually(lambda: "sleep" not in commands())
    eventually(lambda: not zombies())
