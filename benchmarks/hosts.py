"""Many hosts: what one task that travels alone costs the controller.

24 daemons of 8 workers each on loopback, and naps of a few tenths of a second: hardly any time of a
processor is spent on the tasks, so the controller's is what bounds how many workers it can feed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks import functions
from benchmarks.scale import Scale
from benchmarks.system import System

NAPS = (0.1, 0.5)
SEED = 24


def together(count: int) -> list[float]:
    """Naps that end at the same time on all workers."""
    return [sum(NAPS) / 2] * count


def spread(count: int) -> list[float]:
    """Naps that end at any time."""
    chance = random.Random(SEED)
    return [chance.uniform(*NAPS) for _ in range(count)]


def together_cost(system: System, scale: Scale) -> float:
    """Seconds of the controller's processor a task."""
    return _cost(system, scale, together(_tasks(scale)))


def spread_cost(system: System, scale: Scale) -> float:
    """Seconds of the controller's processor a task."""
    return _cost(system, scale, spread(_tasks(scale)))


def _tasks(scale: Scale) -> int:
    return scale.hosts * scale.host_workers * scale.host_rounds


def _cost(system: System, scale: Scale, naps: Sequence[float]) -> float:
    import psutil  # noqa: PLC0415 - comes with the extra [bench]

    with system.over_hosts(scale.hosts, scale.host_workers) as (run, middle):
        run(functions.nap, naps[: scale.hosts * scale.host_workers])
        before = psutil.Process(middle).cpu_times()
        run(functions.nap, naps)
        after = psutil.Process(middle).cpu_times()
    spent: float = after.user + after.system - before.user - before.system
    return spent / len(naps)
