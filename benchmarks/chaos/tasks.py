"""What the tasks of the scenarios do, and the ledger that they write. Runs in workers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn


class Ledger:
    """A file to which every execution adds a line when it starts and one when it ends."""

    def __init__(self, path: str) -> None:
        self.path = path

    def note(self, name: str, what: str) -> None:
        """Adds a line, whole, whoever else writes."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{name} {what} {os.getpid()}\n".encode())
        os.close(file)

    def lines(self) -> list[list[str]]:
        """All lines so far, as words."""
        path = Path(self.path)
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def runs(self) -> Counter[str]:
        """How often each task was started."""
        return Counter(name for name, what, _ in self.lines() if what == "start")

    def running(self) -> list[int]:
        """The living processes that are in a task."""
        inside: dict[int, bool] = {}
        for _, what, pid in self.lines():
            inside[int(pid)] = what == "start"
        return [pid for pid, within in inside.items() if within and os.path.exists(f"/proc/{pid}")]


def sleep(ledger: str, name: str, seconds: float) -> str:
    """An honest task."""
    book = Ledger(ledger)
    book.note(name, "start")
    time.sleep(seconds)
    book.note(name, "end")
    return name


def double(x: int) -> int:
    """What a pool that lives can do."""
    return 2 * x


# ---- poison -------------------------------------------------------------------------------------


def exits(_: str) -> NoReturn:
    """Calls sys.exit."""
    sys.exit(3)


def exits_hard(_: str) -> NoReturn:
    """Calls os._exit."""
    os._exit(3)


def segfaults(_: str) -> None:
    """Reads from address 0."""
    ctypes.string_at(0)


def is_killed(_: str) -> None:
    """Is killed as the kernel kills when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


class Odd(Exception):
    """Cannot be made again from its ``args``."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Mute(Exception):
    """Cannot be turned into text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Trap:
    """Travels, and cannot be unpacked."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def raises_unpicklable(_: str) -> NoReturn:
    """Raises an exception that holds a lock."""
    error = ValueError("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def raises_odd(_: str) -> NoReturn:
    """Raises an exception whose class takes other arguments than its ``args``."""
    raise Odd("one", "two")


def raises_mute(_: str) -> NoReturn:
    """Raises an exception whose ``str()`` raises."""
    raise Mute


def returns_a_lock(_: str) -> Any:
    """Returns what cannot be pickled."""
    return threading.Lock()


def returns_a_trap(_: str) -> Trap:
    """Returns what cannot be unpickled."""
    return Trap()


def closes_descriptors(_: str) -> str:
    """Closes what is not its own."""
    os.closerange(3, 256)
    return "closed"


def leaves_a_child(_: str) -> int:
    """Starts a process and returns."""
    return subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL).pid


def hogs(_: str) -> int:
    """Takes 600 MB, step by step, and holds them for a while."""
    held = []
    for _step in range(60):
        held.append(bytearray(os.urandom(1 << 10)) * (10 << 10))
        time.sleep(0.02)
    time.sleep(2)
    return sum(map(len, held))


def hangs(ledger: str) -> None:
    """Runs for ever and takes no hint."""
    Ledger(ledger).note("hangs", "start")
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(600)
