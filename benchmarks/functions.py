"""What the tasks do. Light to import: every worker of every system does it.

The peers import these by name, as they would a user's module.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

#: The arguments of one task of the seed's job.
SEED_TASK: tuple[list[Any], dict[str, Any]] = (
    [1000],
    {"distribution": "normal", "loc": 1, "scale": 1, "bins": 10},
)


def noop(x: Any) -> Any:
    """The argument, at once."""
    return x


def begun(_: Any) -> float:
    """When the task began, by the clock of all processes of the machine."""
    return time.monotonic()


def copied(x: Any) -> Any:
    """Another array with the same numbers."""
    return x.copy()


def plus_one(x: Any) -> Any:
    """``x + 1``, for systems that take no lambda."""
    return x + 1


def few(array: Any, place: int) -> float:
    """A few numbers of a large array."""
    return float(array[place]) + float(array[-1 - place])


def filled(size: int, number: float) -> Any:
    """An array of ``size`` bytes, of the same number everywhere."""
    # Here, as numpy is loaded by those workers only that need it.
    import numpy as np  # noqa: PLC0415

    return np.full(size // 8, number)


def paged(*arrays: Any) -> float:
    """The sum of one number of every page of all of them."""
    return sum(float(array[:: 4096 // 8].sum()) for array in arrays)


def whole(array: Any, place: int) -> float:
    """The sum of one number of every eighth page of a large array: all of it has to be there."""
    return float(array[place::4096].sum())


def nap(seconds: float) -> float:
    """The argument, after as many seconds."""
    time.sleep(seconds)
    return seconds


def seed(task: tuple[list[Any], dict[str, Any]]) -> Any:
    """One task of the seed's job, for systems that take one argument a task."""
    # Here, so that numpy is loaded by those workers only that need it.
    from scattergather.workers.services.all_series import all_series  # noqa: PLC0415

    args, kwargs = task
    return all_series(*args, **kwargs)


def hold(gate: str) -> int:
    """Keeps its worker busy until the file ``gate`` exists, two minutes at most.

    Says that it runs by a file of its own, ``gate`` followed by the pid and the time.
    """
    with open(f"{gate}.{os.getpid()}.{time.monotonic_ns()}", "w"):
        pass
    until = time.monotonic() + 120
    while not os.path.exists(gate) and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid()


def heavy_tailed(count: int) -> list[float]:
    """Durations from 1 to 400 ms, in seconds: many short, few long; the same at each call.

    Pareto with exponent 0.8, cut at 400 ms.
    """
    draw = random.Random(20)
    return [min(0.001 * draw.paretovariate(0.8), 0.4) for _ in range(count)]


def greedy(durations: list[float], workers: int) -> float:
    """The makespan of list scheduling (Graham 1966): the next task to whoever is free first."""
    free = [0.0] * workers
    for duration in durations:
        first = free.index(min(free))
        free[first] += duration
    return max(free)


def hundred(_number: int) -> bytes:
    """A small result."""
    return b"x" * 100
