"""Bounds in seconds that mean the same on a machine that is slow, or has other things to do.

A promise such as "within two seconds" is made for a machine with a free processor of today. Who
misses it is given more time: by as much as this machine is slower than that at the moment, and by
the time in which something here stood and waited for a processor or a disk, which a machine that
was busy and is idle again does not show any more. Neither ever shortens a bound. So a test fails
where a promise is broken, and not where nobody could have kept it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

MOST = 5.0
"""No promise is stretched further."""

NOMINAL = 0.08
"""Seconds that the crowd below takes on two idle processors of 2024, with a little to spare."""

_WORK = [sys.executable, "-I", "-S", "-c", "sum(range(1_000_000))"]


def slowness() -> float:
    """How many times slower this machine is now than an idle one: two programs a processor."""
    began = time.monotonic()
    for each in [subprocess.Popen(_WORK) for _ in range(2 * len(os.sched_getaffinity(0)))]:
        each.wait()
    return min(MOST, max(1.0, (time.monotonic() - began) / NOMINAL))


def stalled() -> float:
    """Seconds so far in which something on this machine was held up; 0 where nobody counts them."""
    seconds = 0.0
    for what in ("cpu", "io"):
        with contextlib.suppress(OSError), open(f"/proc/pressure/{what}") as told:
            seconds += int(told.readline().rpartition("total=")[2]) / 1e6
    return seconds


class Promise:
    """Something that is to happen within so many seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._promised = seconds
        self._began = time.monotonic()
        self._stalled = stalled()
        self._slowness = 0.0

    def broken(self) -> bool:
        """True when its time is over, on this machine."""
        if time.monotonic() - self._began <= self.seconds:
            return False
        if not self._slowness:
            self._slowness = slowness()
        stretched = self._promised * self._slowness + stalled() - self._stalled
        self.seconds = min(stretched, self._promised * MOST)
        return time.monotonic() - self._began > self.seconds


def kept(took: float, promised: float) -> bool:
    """True when ``took`` seconds keep a promise of ``promised``, on this machine as it is now.

    A ``Promise`` that is made when they begin knows how it was meanwhile, too.
    """
    return took <= promised or took <= promised * slowness()
