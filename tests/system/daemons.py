"""``scattergather pool`` as a process of its own, for tests.

A *shim* is source that runs in that process before the command does: it makes the daemon one that
another release, or another Python, would be.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scattergather.settings.furl import Furl
from tests.pace import Promise

COMMAND = [sys.executable, "-m", "scattergather"]

OTHER_PROTOCOL = """
import scattergather
from scattergather.wire.messages import page as messages
scattergather.__version__, messages.PROTOCOL = "9.9", 99
"""

OTHER_PYTHON = """
import platform
platform.python_version_tuple = lambda: ("3", "99", "1")
"""

SEES_TESTS = f"""
import os
os.environ["PYTHONPATH"] = {str(Path(__file__).parents[2])!r}
"""
"""Its workers can import what a test module defines."""


class Daemon:
    """A daemon that was started; ``errors`` is what it wrote to stderr, once it ended.

    What is ``within`` stands before its command, and becomes it.
    """

    def __init__(self, *options: str, shim: str = "", within: Sequence[str] = ()) -> None:
        launch = COMMAND
        if shim:
            source = f"{shim}\nfrom scattergather.cli.main import main\nmain()"
            launch = [sys.executable, "-c", source]
        self.process = subprocess.Popen(
            [*within, *launch, "pool", "--workers", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors = ""

    def furl(self) -> Furl:
        """The FURL that it prints once it can be joined."""
        assert self.process.stdout is not None
        return Furl.parse(self.process.stdout.readline())

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after this signal."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self, seconds: float = 10) -> int:
        """Its exit code; it ends by itself."""
        promise = Promise(seconds)
        while True:
            try:
                _, errors = self.process.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                if promise.broken():
                    raise
                continue
            self.errors += errors
            return self.process.returncode


@contextlib.contextmanager
def daemons() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons; those that still run at the end are killed."""
    started: list[Daemon] = []

    def begin(*options: str, shim: str = "", within: Sequence[str] = ()) -> Daemon:
        started.append(Daemon(*options, shim=shim, within=within))
        return started[-1]

    try:
        yield begin
    finally:
        for daemon in started:
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.ended()


def free_port() -> int:
    """A port of this machine where nothing listens.

    None of those that the kernel gives to whoever asks for any: before a test comes to use it, and
    while it is closed between two daemons, another process would be given it.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [*range(10_000, first), *range(last + 1, 1 << 16)]
    chance = random.SystemRandom()
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", chance.choice(others or [0])))
            port: int = probe.getsockname()[1]
            return port
