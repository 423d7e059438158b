"""What our figures have to reach, as ratios taken within a round.

Times are better small and rates better large; each target says which side of its limit is met.
"""

from __future__ import annotations

import statistics
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


Values = Callable[[Figures], list[float]]
"""What a target is about, in each round that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A sentence, the values that it is about, and the limit of their median."""

    text: str
    values: Values
    limit: float
    #: Whether the value must reach the limit, rather than stay under it.
    at_least: bool = False
    unit: str = "x"

    def met(self, value: float) -> bool:
        """Whether this value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


def ratio(over: tuple[str, str], under: tuple[str, str], scale: float = 1.0) -> Values:
    """``over / under * scale``."""
    return lambda figures: [each * scale for each in figures.ratios(over, under)]


def beside_best(case: str) -> Values:
    """Our time over that of the peer beside whom we look worst."""

    def values(figures: Figures) -> list[float]:
        beside = [figures.ratios((EMBEDDED, case), (peer, case)) for peer in PEERS]
        return max(filter(None, beside), key=statistics.median, default=[])

    return values


def beside_fastest(case: str) -> Values:
    """Our rate over that of the peer beside whom we look worst."""

    def values(figures: Figures) -> list[float]:
        beside = [figures.ratios((EMBEDDED, case), (peer, case)) for peer in PEERS]
        return min(filter(None, beside), key=statistics.median, default=[])

    return values


def absolute(system: str, case: str) -> Values:
    """The figure itself."""
    return lambda figures: figures.all(system, case)


TARGETS: Sequence[Target] = (
    Target(text="round trip / best peer", values=beside_best("roundtrip"), limit=0.6),
    Target(
        text="round trip over Foolscap / embedded",
        values=ratio((FOOLSCAP, "roundtrip"), (EMBEDDED, "roundtrip")),
        limit=4,
    ),
    Target(
        text="100,000 by addJob / ProcessPoolExecutor.submit",
        values=ratio((EMBEDDED, "map"), (EXECUTOR, "submit")),
        limit=40,
        at_least=True,
    ),
    Target(
        text="100,000 by addJob / joblib's map",
        values=ratio((EMBEDDED, "map"), ("joblib", "map")),
        limit=1,
        at_least=True,
    ),
    Target(
        text="100,000 by addJob / Ray's map",
        values=ratio((EMBEDDED, "map"), ("Ray", "map")),
        limit=1,
        at_least=True,
    ),
    Target(
        text="100,000 by addJob, over Foolscap / embedded",
        values=ratio((FOOLSCAP, "map"), (EMBEDDED, "map")),
        limit=0.5,
        at_least=True,
    ),
    Target(
        text="20,000 by submit / Pool.apply_async",
        values=ratio((EMBEDDED, "submit"), (POOL, "submit")),
        limit=1,
        at_least=True,
    ),
    Target(
        text="20,000 by submit / ProcessPoolExecutor",
        values=ratio((EMBEDDED, "submit"), (EXECUTOR, "submit")),
        limit=4,
        at_least=True,
    ),
    Target(
        text=f"the seed's job / (serial / {WORKERS})",
        values=ratio((EMBEDDED, "seed"), ("serial", "seed"), WORKERS),
        limit=1.15,
    ),
    Target(
        text=f"the seed's job / {WORKERS} bare forks",
        values=ratio((EMBEDDED, "seed"), ("forks", "seed")),
        limit=1.15,
    ),
    Target(text="the seed's job / best peer", values=beside_best("seed"), limit=1),
    Target(
        text="heavy-tailed sleeps / greedy list scheduling",
        values=absolute(EMBEDDED, "naps"),
        limit=1.03,
    ),
    Target(text="start to first result", values=absolute(EMBEDDED, START), limit=1, unit="s"),
    Target(text="refresh of 8 workers", values=absolute(EMBEDDED, "refresh"), limit=0.15, unit="s"),
    Target(
        text="a large array echoed / best peer",
        values=beside_fastest("echo"),
        limit=1,
        at_least=True,
    ),
    Target(
        text="a large array echoed",
        values=absolute(EMBEDDED, "echo"),
        limit=2e9,
        at_least=True,
        unit="B/s",
    ),
    Target(
        text="x + 1 of a large array / through bare slabs",
        values=ratio((EMBEDDED, "plus-one"), ("slabs", "plus-one")),
        limit=1.3,
    ),
    Target(
        text="arrays of 1 MB / best peer",
        values=beside_fastest("arrays"),
        limit=2,
        at_least=True,
    ),
    Target(
        text="arrays of 1 MB / best peer's map in chunks",
        values=beside_fastest("arrays-map"),
        limit=1,
        at_least=True,
    ),
    Target(
        text="a large array in many tasks / Ray's",
        values=ratio((EMBEDDED, "shared"), ("Ray", "shared")),
        limit=0.7,
    ),
    Target(
        text="the same by c.put / Ray's",
        values=ratio((EMBEDDED, "put"), ("Ray", "shared")),
        limit=0.7,
    ),
    Target(
        text="a large array read whole by many tasks / Ray's",
        values=ratio((EMBEDDED, "whole"), ("Ray", "whole")),
        limit=1.2,
    ),
    Target(
        text="the same by c.put / Ray's",
        values=ratio((EMBEDDED, "whole-put"), ("Ray", "whole")),
        limit=1.2,
    ),
    Target(
        text="copies held while many tasks share it",
        values=absolute(EMBEDDED, "shared-held"),
        limit=1.2,
    ),
    Target(
        text="copies sent to another host",
        values=absolute(FOOLSCAP, "shared-sent"),
        limit=1.1,
    ),
    Target(
        text="a large array copied by another host / a bare TLS stream",
        values=ratio((FOOLSCAP, "copied"), ("TLS stream", "copied")),
        limit=0.8,
        at_least=True,
    ),
    Target(
        text="held in x + 1 / size of x",
        values=absolute(EMBEDDED, "plus-one-held"),
        limit=3.3,
    ),
    Target(
        text="the controller's time a task of many hosts, which end together",
        values=absolute(EMBEDDED, "hosts-together"),
        limit=100e-6,
        unit="s",
    ),
    Target(
        text="the controller's time a task of many hosts, which end at any time",
        values=absolute(EMBEDDED, "hosts-spread"),
        limit=180e-6,
        unit="s",
    ),
    *(
        Target(
            text=f"a host that is added, until a task runs there{how}",
            values=absolute(system, "between-added"),
            limit=0.5,
            unit="s",
        )
        for system, how in ((EMBEDDED, ", on this machine"), (FOOLSCAP, ""))
    ),
    Target(
        text="a large array from a task to one on another host / a bare TLS stream",
        values=ratio((FOOLSCAP, "between-handed"), ("TLS stream", "between-handed")),
        limit=0.8,
        at_least=True,
    ),
    *(
        Target(
            text=f"a large array from a task to one on another host / {peer}'s",
            values=ratio((FOOLSCAP, "between-handed"), (peer, "between-handed")),
            limit=3,
            at_least=True,
        )
        for peer in ("Ray", "dask.distributed")
    ),
    Target(
        text="what passes the controller for it",
        values=absolute(FOOLSCAP, "between-handed-passed"),
        limit=100e3,
        unit="B",
    ),
    Target(
        text="all to all: parts between tasks on 4 hosts / a bare TLS stream",
        values=ratio((FOOLSCAP, "between-exchanged"), ("TLS stream", "between-exchanged")),
        limit=1.5,
    ),
    Target(
        text="growth of the process that grows most in it",
        values=absolute(FOOLSCAP, "between-exchanged-grown"),
        limit=64e6,
        unit="B",
    ),
    Target(
        text="small results that are kept / that come home",
        values=absolute(EMBEDDED, "between-kept-small"),
        limit=1.1,
    ),
    Target(text="memory per queued task", values=absolute(EMBEDDED, "queued"), limit=300, unit="B"),
    Target(
        text="1,000,000 from a generator, peak",
        values=absolute(EMBEDDED, "iterate-1M"),
        limit=150e6,
        unit="B",
    ),
    Target(
        text="10,000,000 from a generator, peak",
        values=absolute(EMBEDDED, "iterate-10M"),
        limit=150e6,
        unit="B",
    ),
)
