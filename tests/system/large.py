"""Large values in tests: arrays, where they lie, and tasks that wait at a gate with them."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import RUN, left_behind
from tests.system.process_driver import PATIENCE, as_in_a_notebook, eventually

MB = 1 << 20
NOISE = 8 * MB
"""What stays in store in small pieces."""

PAUSE = 0.03
"""Seconds between two looks at the slabs, each of which takes milliseconds of a processor."""


def array(megabytes: float) -> Any:
    """Numbers, each another one."""
    return np.arange(int(megabytes * MB) // 8, dtype=np.float64)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in kind and content, arrays inside them too."""
    if type(one) is not type(other):
        return False
    match one:
        case np.ma.MaskedArray():
            return same(one.data, other.data) and same(one.mask, other.mask)
        case np.ndarray():
            if one.dtype != other.dtype or one.shape != other.shape:
                return False
            return bool(np.array_equal(one, other))
        case dict():
            return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case _:
            return bool(one == other)


@as_in_a_notebook
def extent(array: Any) -> tuple[str, int, int]:
    """Device, inode and offset of the shared memory where an array of this process begins.

    An inode of 0 is private memory.
    """
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, _, offset, device, inode, *_ = line.split()
            begin, end = (int(edge, 16) for edge in span.split("-"))
            if begin <= address < end:
                return device, int(inode), int(offset, 16) + address - begin
    raise LookupError(address)


class Gate:
    """Where tasks wait until it is opened, a minute at most."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function behind the gate."""
        path = str(self.path)

        @as_in_a_notebook
        def waits(*args: Any, **kwargs: Any) -> Any:
            open(f"{path}.{os.getpid()}.{time.monotonic_ns()}", "w").close()
            until = time.monotonic() + 60
            while not os.path.exists(path):
                if time.monotonic() > until:
                    raise TimeoutError("the gate was not opened")
                time.sleep(0.005)
            return function(*args, **kwargs)

        return waits

    def waiting(self) -> int:
        """How many calls have come to the gate."""
        return sum(1 for _ in self.path.parent.glob("gate.*"))

    def reached(self, count: int) -> None:
        """Returns when so many calls have come to the gate."""
        eventually(lambda: self.waiting() >= count)

    def open(self) -> None:
        """Lets all through."""
        self.path.touch()


def slabs() -> dict[int, int]:
    """Bytes of every slab that a process of this run of tests has open, or mapped, by inode."""
    found: dict[int, int] = {}
    for pid in os.getpid(), *(each.pid for each in left_behind(RUN)):
        process = Path("/proc", str(pid))
        for folder in ("fd", "map_files"):
            with contextlib.suppress(OSError):  # it has ended, or is not ours
                for link in os.scandir(process / folder):
                    with contextlib.suppress(OSError):
                        if "scattergather-slab" in os.readlink(link.path):
                            facts = os.stat(link.path)
                            found[facts.st_ino] = 512 * facts.st_blocks
    return found


class Held:
    """Shared memory in slabs that were not there at the beginning."""

    def __init__(self) -> None:
        gc.collect()
        self.before = slabs()

    def now(self) -> int:
        """Bytes, mapped by somebody or not."""
        return sum(size for inode, size in slabs().items() if inode not in self.before)

    def reaches(self, size: int) -> None:
        """Fails if it never becomes as large."""
        eventually(lambda: self.now() > size - NOISE, pause=PAUSE)

    def returns(self, within: float = PATIENCE, kept: int = 0) -> None:
        """Fails if it is not, in time, down to ``kept``."""

        def low() -> bool:
            gc.collect()
            return self.now() < kept + NOISE

        eventually(low, within, pause=PAUSE)


def by_hand(value: Any) -> bytes:
    """What a user's own pickling makes of it."""
    return pickle.dumps(value)
