"""What our figures have to reach, as ratios taken within a round.

Times are better small and rates better large; each target says which side of its limit is met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.cases import START
from benchmarks.rounds import Figures
from benchmarks.system import WORKERS

EMBEDDED = "scattergather"
FOOLSCAP = "scattergather (Foolscap)"
EXECUTOR = "ProcessPoolExecutor"
POOL = "multiprocessing.Pool"
PEERS = (EXECUTOR, POOL, "joblib", "dask.distributed", "ipyparallel", "Ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A sentence, the value that it is about, and the limit."""

    text: str
    value: Callable[[Figures], float | None]
    limit: float
    #: Whether the value must reach the limit, rather than stay under it.
    at_least: bool = False
    unit: str = "x"

    def met(self, value: float) -> bool:
        """Whether this value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


def ratio(
    over: tuple[str, str], under: tuple[str, str], scale: float = 1.0
) -> Callable[[Figures], float | None]:
    """``over / under * scale``, the median over the rounds."""

    def value(figures: Figures) -> float | None:
        found = figures.ratio(over, under)
        return None if found is None else found * scale

    return value


def beside_best(case: str) -> Callable[[Figures], float | None]:
    """Our time over that of the peer that is fastest."""

    def value(figures: Figures) -> float | None:
        ratios = [figures.ratio((EMBEDDED, case), (peer, case)) for peer in PEERS]
        return max((one for one in ratios if one is not None), default=None)

    return value


def absolute(system: str, case: str) -> Callable[[Figures], float | None]:
    """The figure itself."""
    return lambda figures: figures.median(system, case)


TARGETS: Sequence[Target] = (
    Target(text="round trip / best peer", value=beside_best("roundtrip"), limit=0.6),
    Target(
        text="round trip over Foolscap / embedded",
        value=ratio((FOOLSCAP, "roundtrip"), (EMBEDDED, "roundtrip")),
        limit=4,
    ),
    Target(
        text="100,000 by addJob / ProcessPoolExecutor.submit",
        value=ratio((EMBEDDED, "map"), (EXECUTOR, "submit")),
        limit=40,
        at_least=True,
    ),
    Target(
        text="100,000 by addJob / joblib's map",
        value=ratio((EMBEDDED, "map"), ("joblib", "map")),
        limit=1,
        at_least=True,
    ),
    Target(
        text="100,000 by addJob / Ray's map",
        value=ratio((EMBEDDED, "map"), ("Ray", "map")),
        limit=1,
        at_least=True,
    ),
    Target(
        text="100,000 by addJob, over Foolscap / embedded",
        value=ratio((FOOLSCAP, "map"), (EMBEDDED, "map")),
        limit=0.5,
        at_least=True,
    ),
    Target(
        text="20,000 by submit / Pool.apply_async",
        value=ratio((EMBEDDED, "submit"), (POOL, "submit")),
        limit=1,
        at_least=True,
    ),
    Target(
        text="20,000 by submit / ProcessPoolExecutor",
        value=ratio((EMBEDDED, "submit"), (EXECUTOR, "submit")),
        limit=4,
        at_least=True,
    ),
    Target(
        text=f"the seed's job / (serial / {WORKERS})",
        value=ratio((EMBEDDED, "seed"), ("serial", "seed"), WORKERS),
        limit=1.15,
    ),
    Target(text="the seed's job / best peer", value=beside_best("seed"), limit=1),
    Target(
        text="heavy-tailed sleeps / greedy list scheduling",
        value=absolute(EMBEDDED, "naps"),
        limit=1.03,
    ),
    Target(text="start to first result", value=absolute(EMBEDDED, START), limit=1, unit="s"),
    Target(text="memory per queued task", value=absolute(EMBEDDED, "queued"), limit=300, unit="B"),
    Target(
        text="1,000,000 from a generator, peak",
        value=absolute(EMBEDDED, "iterate-1M"),
        limit=150e6,
        unit="B",
    ),
    Target(
        text="10,000,000 from a generator, peak",
        value=absolute(EMBEDDED, "iterate-10M"),
        limit=150e6,
        unit="B",
    ),
)
