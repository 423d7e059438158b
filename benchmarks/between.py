"""Between hosts. ``--only between`` takes all of these cases."""

from __future__ import annotations

import statistics

from benchmarks.scale import Scale
from benchmarks.system import System

GROUP = "between"
"""The names of the cases begin with this and a hyphen."""


def added(system: System, scale: Scale) -> float:
    """Seconds from the call that adds a host to the first line of a task there, the longest."""
    return max(system.added(laps=scale.added))


def kept_small(system: System, scale: Scale) -> float:
    """Time for small results that are kept over that for such as come home, one after the other.

    The median of the ratios: what else the machine does changes from one second to the next.
    """
    laps = [
        system.small_results(scale.kept, keep=True) / system.small_results(scale.kept, keep=False)
        for _ in range(KEPT_LAPS + WARM_LAPS)
    ]
    return statistics.median(laps[WARM_LAPS:])


KEPT_LAPS, WARM_LAPS = 15, 3
