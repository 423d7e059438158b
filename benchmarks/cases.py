"""What is measured. Each case gets a started system and gives one figure.

``LAST`` are those that leave tasks behind in the system; nothing is measured after them.
"""

from __future__ import annotations

import gc
import glob
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import between, functions, hosts, large, memory
from benchmarks.scale import FULL, Scale
from benchmarks.system import WORKERS, Lacking, System


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A figure, what it is called, and how often it is taken."""

    name: str
    title: str
    unit: str
    measure: Callable[[System, Scale], float]
    #: Taken in the first round only: it hardly varies, or it takes minutes.
    once: bool = False
    #: Left out of a short run.
    long: bool = False


def rate(run: Callable[[int], object], full: int, patience: float) -> float:
    """Tasks a second of ``run(count)``, at ``full`` tasks or as many as patience allows."""
    count = min(full, 250)
    while True:
        began = time.perf_counter()
        run(count)
        took = time.perf_counter() - began
        if count == full or took > patience / 4:
            return count / took
        count = min(full, count * 4)


def roundtrip(system: System, scale: Scale) -> float:
    """Seconds for one no-op, the median of many."""
    for x in range(20):
        system.roundtrip(functions.noop, x)
    laps: list[float] = []
    until = time.perf_counter() + scale.patience
    while len(laps) < scale.roundtrips and time.perf_counter() < until:
        began = time.perf_counter()
        system.roundtrip(functions.noop, len(laps))
        laps.append(time.perf_counter() - began)
    return statistics.median(laps)


def mapped(system: System, scale: Scale) -> float:
    """No-ops a second in one call of the system's own map, or one ``addJob``."""

    def run(count: int) -> None:
        results = system.map_many(functions.noop, list(range(count)))
        assert results[-1] == count - 1
        assert len(results) == count

    run(100)
    return rate(run, scale.mapped, scale.patience)


def submitted(system: System, scale: Scale) -> float:
    """No-ops a second, one call each."""

    def run(count: int) -> None:
        assert system.submit_many(functions.noop, range(count)) == list(range(count))

    run(20)
    return rate(run, scale.submitted, scale.patience)


def seeded(system: System, scale: Scale) -> float:
    """Seconds for the 10,000 tasks of the seed's job."""

    def run(count: int) -> None:
        system.seed_job([functions.SEED_TASK] * count)

    run(50)  # numpy is loaded by then
    return FULL.seeds / rate(run, scale.seeds, scale.patience * 2)


def napping(system: System, scale: Scale) -> float:
    """Elapsed time of heavy-tailed sleeps, divided by greedy list scheduling."""
    durations = functions.heavy_tailed(scale.naps)
    system.submit_many(functions.nap, [0.0] * 10)
    run = system.map_many if system.ours else system.submit_many
    began = time.perf_counter()
    run(functions.nap, durations)
    return (time.perf_counter() - began) / functions.greedy(durations, WORKERS)


def refreshed(system: System, scale: Scale) -> float:
    """Seconds until all of eight idle workers are replaced, the median of some."""
    return statistics.median(system.refresh(workers=8, laps=scale.refreshes))


def queued(system: System, scale: Scale) -> float:
    """Bytes that one queued no-op takes, all workers being busy with something else."""
    xs = list(range(system.queue_count))
    handles: list[object] = []  # what queue() gives keeps the tasks alive
    with tempfile.TemporaryDirectory() as folder:
        gate = os.path.join(folder, "gate")
        handles += [system.queue(functions.hold, [gate]) for _ in range(WORKERS)]
        until = time.monotonic() + 30
        while len(glob.glob(f"{gate}.*")) < WORKERS:
            assert time.monotonic() < until, "the workers did not become busy"
            time.sleep(0.02)
        gc.collect()
        before = memory.settled(system.keepers())
        handles.append(system.queue(functions.noop, xs))
        gc.collect()
        grown = memory.settled(system.keepers()) - before
        Path(gate).touch()
        time.sleep(0.1)
    return grown / len(xs)


def iterated(count: int) -> Callable[[System, Scale], float]:
    """Bytes by which client and middle peak above idle while ``count`` results stream by."""

    def measure(system: System, scale: Scale) -> float:
        for _ in system.iterate(functions.noop, iter(range(10_000))):
            pass  # what every job needs once is in place
        gc.collect()
        keepers = system.keepers()
        idle = memory.settled(keepers)
        watch = memory.Watch(keepers)
        began = time.perf_counter()
        seen = 0
        until = began + 20 * scale.patience
        for _ in system.iterate(functions.noop, iter(range(count))):
            seen += 1
            if not system.ours and time.perf_counter() > until:
                watch.peak()
                raise Lacking(f"{seen} of {count} after {until - began:.0f} s")
        assert seen == count, (seen, count)
        return max(watch.peak() - idle, 0)

    return measure


CASES: Sequence[Case] = (
    Case(name="roundtrip", title="no-op round trip", unit="s", measure=roundtrip),
    Case(name="map", title="no-ops by one map / addJob", unit="/s", measure=mapped),
    Case(name="submit", title="no-ops by submit, one by one", unit="/s", measure=submitted),
    Case(name="seed", title="the seed's job, 10,000 tasks", unit="s", measure=seeded),
    Case(name="naps", title="heavy-tailed sleeps / greedy", unit="x", measure=napping),
    Case(name="refresh", title="refresh of 8 workers", unit="s", measure=refreshed),
    *(
        Case(
            name=f"iterate-{count // 1_000_000}M",
            title=f"{count:,} from a generator, peak",
            unit="B",
            measure=iterated(count),
            once=True,
            long=True,
        )
        for count in (1_000_000, 10_000_000)
    ),
    # What is held comes first: nobody has memory for large values in store yet.
    Case(
        name="shared-held",
        title="held while many tasks share it / its size",
        unit="x",
        measure=large.shared_held,
        once=True,
    ),
    Case(
        name="plus-one-held",
        title="held in x + 1 / size of x",
        unit="x",
        measure=large.computed_held,
        once=True,
    ),
    Case(
        name="plus-one-middle",
        title="the middle's growth in x + 1",
        unit="B",
        measure=large.middle_grown,
        once=True,
    ),
    Case(
        name="shared-sent",
        title="sent over loopback for all of them / its size",
        unit="x",
        measure=large.shared_sent,
        once=True,
    ),
    Case(name="echo", title="a large array echoed", unit="B/s", measure=large.echoed),
    Case(name="copied", title="a large array copied", unit="B/s", measure=large.replaced),
    Case(name="plus-one", title="x + 1 of a large array", unit="s", measure=large.computed),
    Case(name="arrays", title="arrays of 1 MB echoed", unit="B/s", measure=large.arrays_echoed),
    Case(
        name="arrays-map",
        title="the same by a map in chunks",
        unit="B/s",
        measure=large.arrays_mapped,
    ),
    Case(name="shared", title="a large array in many tasks", unit="s", measure=large.shared),
    Case(name="put", title="the same by c.put", unit="s", measure=large.put),
    Case(name="whole", title="a large array read whole", unit="s", measure=large.read_whole),
    Case(name="whole-put", title="the same by c.put", unit="s", measure=large.put_read_whole),
    *(
        Case(
            name=f"hosts-{name}",
            title=f"the controller's time a task of many hosts, {how}",
            unit="s",
            measure=measure,
            once=True,
            long=True,
        )
        for name, how, measure in (
            ("together", "which end together", hosts.together_cost),
            ("spread", "which end at any time", hosts.spread_cost),
        )
    ),
    Case(
        name="between-added",
        title="a host that is added, until a task runs there",
        unit="s",
        measure=between.added,
    ),
    Case(
        name="between-handed",
        title="a large array from a task to one on another host",
        unit="B/s",
        measure=between.handed,
    ),
    Case(
        name="between-handed-passed",
        title="what passes the middle for it",
        unit="B",
        measure=between.handed_passed,
        once=True,
        long=True,
    ),
    Case(
        name="between-exchanged",
        title="all to all: parts between tasks on 4 hosts",
        unit="s",
        measure=between.exchanged,
        long=True,
    ),
    Case(
        name="between-exchanged-grown",
        title="growth of the process that grows most in it",
        unit="B",
        measure=between.exchanged_grown,
        once=True,
        long=True,
    ),
    Case(
        name="between-kept-small",
        title="small results that are kept / that come home",
        unit="x",
        measure=between.kept_small,
    ),
    Case(name="queued", title="memory per queued task", unit="B", measure=queued, once=True),
)

#: The name of a group picks all cases that begin with it.
GROUPS = (between.GROUP,)

#: Taken by the stage itself while it starts the system.
START = "start"
LAST = ("queued",)


def figures_of(case: Case, system: System, scale: Scale) -> dict[str, Any]:
    """What the stage writes down for one case: a figure, why there is none, or what went wrong."""
    try:
        return {"case": case.name, "figure": case.measure(system, scale)}
    except Lacking as lacking:
        return {"case": case.name, "lacking": str(lacking)}
    except Exception as error:  # one case that fails must not hide the others
        return {"case": case.name, "error": f"{type(error).__name__}: {error}"}
