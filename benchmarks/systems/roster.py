"""All systems, by name, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.system import System
from benchmarks.systems.bare import Forks, Serial, Slabs, Stream
from benchmarks.systems.dask import Dask
from benchmarks.systems.loky import Joblib
from benchmarks.systems.ours import Embedded, Foolscap
from benchmarks.systems.parallel import IPyParallel
from benchmarks.systems.ray import Ray
from benchmarks.systems.stdlib import Executor, Pool

KINDS: tuple[Callable[[], System], ...] = (
    Embedded,
    Foolscap,
    Executor,
    Pool,
    Joblib,
    Dask,
    IPyParallel,
    Ray,
    Serial,
    Forks,
    Slabs,
    Stream,
)

FLOORS = tuple(kind.name for kind in (Serial, Forks, Slabs, Stream))
"""Those that are no systems, and have no version."""


def by_name() -> dict[str, System]:
    """A fresh, unstarted adapter for each system."""
    return {system.name: system for system in (kind() for kind in KINDS)}
