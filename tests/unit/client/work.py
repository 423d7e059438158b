"""What tasks of the tests run; importable, so that a test and its tasks share one world."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

gates: dict[str, threading.Event] = {}


def noop(x: Any = None) -> Any:
    return x


def add(a: int, b: int = 0) -> int:
    return a + b


def inverse(x: float) -> float:
    return 1 / x


def pass_gate(name: str, x: Any = None) -> Any:
    assert gates[name].wait(60)
    return x


def gate(name: str) -> threading.Event:
    gates[name] = threading.Event()
    return gates[name]


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def leave(status: int) -> None:
    sys.exit(status)


def pid() -> int:
    return os.getpid()


def stop_at(n: int, kind: type[BaseException], x: int) -> int:
    if x == n:
        raise kind("of the task")
    return x


class Ending:
    """Cannot be rebuilt: what rebuilds it ends an iteration that does not exist."""

    def __reduce__(self) -> Any:
        return stop_at, (0, StopIteration, 0)
