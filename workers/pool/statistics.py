"""What a pool tells of itself to whoever watches it: values that stay as they are.

All of it is counted over tenants, workers and chunks, never over tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import PoolWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatistics:
    """One worker.

    Attributes:
        number: names it in its pool.
        tenant: whose it is.
        pid: its process; 0 until it is born.
        chunks: how many it has: the one at work, and one that it holds ready.
        chunk: the one at work, or None.
        waiting: its task waits for a nested result.
        ending: why the pool has told it to end; empty when it has not.
        peak: the most memory that it was seen to take, in bytes; 0 where no task had a limit.
    """

    number: int
    tenant: int
    pid: int
    chunks: int
    chunk: int | None
    waiting: bool
    ending: str
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatistics:
    """One controller's part of a pool.

    Attributes:
        number: names it in its pool.
        limit: how many workers it may keep busy.
        running: how many slots it holds.
        alive: how many workers it has that are not told to end; ``unborn`` of them are not ready.
        blocked: how many of its workers wait for nested results.
        queued: chunks that are ready and that no worker has.
        waiting: chunks that large objects are missing for.
        coming: large objects that are on their way here.
        pause_until: when a worker is forked next, after too many died at their start; else None.
    """

    number: int
    limit: int
    running: int
    alive: int
    unborn: int
    blocked: int
    queued: int
    waiting: int
    coming: int
    pause_until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """A pool at one moment; ``slots`` is how many workers run at a time."""

    slots: int
    tenants: tuple[TenantStatistics, ...]
    workers: tuple[WorkerStatistics, ...]

    @property
    def working(self) -> int:
        """How many workers have a chunk."""
        return sum(worker.chunks > 0 for worker in self.workers)


def statistics_of(crew: Crew) -> PoolStatistics:
    """The state of a crew as values."""
    return PoolStatistics(
        slots=crew.slots,
        tenants=tuple(map(_of_tenant, crew.tenants.values())),
        workers=tuple(map(_of_worker, crew.workers.values())),
    )


def _of_tenant(tenant: Tenant) -> TenantStatistics:
    return TenantStatistics(
        number=tenant.number,
        limit=tenant.limit,
        running=tenant.running,
        alive=tenant.alive,
        unborn=tenant.unborn,
        blocked=tenant.blocked,
        queued=len(tenant.queue),
        waiting=len(tenant.waiting),
        coming=len(tenant.wanted),
        pause_until=tenant.restarts.until if tenant.restarts.pause else None,
    )


def _of_worker(worker: PoolWorker) -> WorkerStatistics:
    return WorkerStatistics(
        number=worker.number,
        tenant=worker.tenant,
        pid=worker.pid,
        chunks=len(worker.leases),
        chunk=worker.leases[0].run.chunk if worker.leases else None,
        waiting=worker.blocked,
        ending=worker.doom.value if worker.doom is not None else "",
        peak=worker.peak,
    )
