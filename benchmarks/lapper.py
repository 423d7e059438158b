"""One process of ``benchmarks.trees``: a client of whatever scattergather it finds.

Run as a file, so that nothing but that tree is imported. Reads the name of a case from each line of
stdin and answers with the seconds of one lap.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from scattergather import spawnScatterGather

WARM_UP = 200
SERIES: tuple[tuple[int], dict[str, Any]] = (
    (1000,),
    {"distribution": "normal", "loc": 1, "scale": 1, "bins": 10},
)


def noop(x: Any) -> Any:
    """The argument, at once."""
    return x


class Laps:
    """The core's cases, small enough to go in turn with another tree's."""

    def __init__(self) -> None:
        self.c = spawnScatterGather(workers=2)
        for x in range(WARM_UP):
            self.c.submit(noop, x).result()

    def roundtrip(self) -> float:
        """One call, waited for: the median of 150."""
        took = []
        for x in range(150):
            began = time.perf_counter()
            self.c.submit(noop, x).result()
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    def submit(self) -> float:
        """20,000 calls, then all results."""
        began = time.perf_counter()
        for future in [self.c.submit(noop, x) for x in range(20_000)]:
            future.result()
        return time.perf_counter() - began

    def map(self) -> float:
        """100,000 tasks by one ``addJob``."""
        began = time.perf_counter()
        self.c.addJob([((x,), {}) for x in range(100_000)], noop).results()
        return time.perf_counter() - began

    def seed(self) -> float:
        """2,500 tasks of the seed's job."""
        from scattergather.workers.services.all_series import all_series  # noqa: PLC0415

        began = time.perf_counter()
        self.c.addJob([SERIES] * 2500, all_series).results()
        return time.perf_counter() - began


def main() -> None:
    """Until stdin ends."""
    laps = Laps()
    for line in sys.stdin:
        print(getattr(laps, line.strip())(), flush=True)
    laps.c.command("die")


if __name__ == "__main__":
    main()
