"""What may be known of a scheduler from outside: frozen counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from scattergather.model.ids import JobId
from scattergather.scheduler.host import ScheduledHost
from scattergather.scheduler.job import ScheduledJob


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatistics:
    """One host: for how many workers it takes chunks, and how many it has.

    Its workers run tasks of ``jobs``.
    """

    name: str
    slots: int
    chunks: int
    jobs: tuple[JobId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatistics:
    """One unfinished job, in tasks.

    ``total`` is None while tasks may still come. ``queued`` are here or wait at a host behind
    others of their chunk; ``done`` have an outcome, whichever.
    """

    job: JobId
    total: int | None
    added: int
    queued: int
    running: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatistics:
    """Hosts that are up and jobs that are unfinished; ``rerun`` tasks had to be run again."""

    hosts: tuple[HostStatistics, ...]
    jobs: tuple[JobStatistics, ...]
    rerun: int


def statistics_of(
    hosts: Iterable[ScheduledHost], jobs: Iterable[ScheduledJob], rerun: int
) -> SchedulerStatistics:
    """Looks at each host, job and busy worker once, and at no task."""
    running: Counter[JobId] = Counter()
    counted = []
    for host in hosts:
        begun = islice(host.leases.values(), host.leaving or host.slots)
        # Of a chunk one task runs, and the rest waits for it.
        runs = Counter(lease.job.spec.job for lease in begun)
        running.update(runs)
        counted.append(
            HostStatistics(
                name=host.name, slots=host.slots, chunks=len(host.leases), jobs=tuple(runs)
            )
        )
    return SchedulerStatistics(
        hosts=tuple(counted),
        jobs=tuple(
            JobStatistics(
                job=job.spec.job,
                total=job.total,
                added=job.added,
                queued=job.queued + job.running - running[job.spec.job],
                running=running[job.spec.job],
                done=job.done,
            )
            for job in jobs
        ),
        rerun=rerun,
    )
