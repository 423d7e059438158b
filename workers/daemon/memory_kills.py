"""Whether a worker that was killed fell victim to the kernel's want of memory."""

from __future__ import annotations

import math

from scattergather.machine import proc

LATELY = 5.0
"""Seconds between a kill of the kernel's and the end of its victim: it frees the memory first."""


class MemoryKills:
    """The kernel's kills for want of memory, on the whole machine.

    A victim cannot say what happened to it, the kernel's log is often unreadable, and the counters
    of a cgroup may be another's. ``/proc/vmstat`` counts for all of them. So a worker that was
    killed, not by us, while that count rose, passes for a victim.
    """

    def __init__(self) -> None:
        self._count = proc.kills_for_memory()
        self._risen = -math.inf

    def look(self, now: float) -> None:
        """Look whether there was a kill since the last look; to be called now and then."""
        count = proc.kills_for_memory()
        if count != self._count:
            self._count, self._risen = count, now

    def lately(self, now: float) -> bool:
        """There was a kill within the last ``LATELY`` seconds."""
        self.look(now)
        return now - self._risen < LATELY
