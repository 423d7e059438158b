"""Which chunk is where.

A lease names a chunk on a host, and whatever comes back names the lease. One that is over is not
known any more, so what comes of it late, or twice, counts for nothing.
"""

from __future__ import annotations

from scattergather.scheduler.fleet import Fleet
from scattergather.scheduler.host import ScheduledHost
from scattergather.scheduler.job import HostLease, Range, ScheduledJob


class Leases:
    """All leases that are not over; those of a job, and of a host, are listed there, too."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._leases: dict[int, HostLease] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._leases)

    def of(self, chunk: int, host: str) -> HostLease | None:
        """The lease of this number, if this host has it."""
        lease = self._leases.get(chunk)
        return lease if lease is not None and lease.host == host else None

    def begin(self, job: ScheduledJob, host: ScheduledHost, taken: Range) -> HostLease:
        """These tasks go to a host."""
        self._last += 1
        lease = HostLease(self._last, job, host.name, taken.first, taken.stop, taken.attempt)
        self._leases[lease.chunk] = job.leases[lease.chunk] = host.leases[lease.chunk] = lease
        job.running += taken.stop - taken.first
        if len(host.leases) == host.slots + 1 and host.leaving is None:
            self._fleet.crowded[host.name] = host
        return lease

    def end(self, lease: HostLease) -> None:
        """Nothing more will come of a chunk."""
        del self._leases[lease.chunk]
        del lease.job.leases[lease.chunk]
        host = self._fleet.hosts[lease.host]
        del host.leases[lease.chunk]
        host.recalling = False
        has = len(host.leases)
        if has == host.slots or has < host.listed * host.slots:
            self._fleet.relieved(host)
        lease.job.running -= lease.stop - lease.next

    def shorten(self, lease: HostLease, first: int) -> tuple[int, int]:
        """Remove the tasks from ``first`` on from a lease; those before have outcomes to come.

        Returns the first of those removed, and the one behind the last.
        """
        first, stop = min(max(first, lease.next), lease.stop), lease.stop
        lease.stop = first
        lease.job.running -= stop - first
        self._fleet.hosts[lease.host].recalling = False
        if lease.next >= first:
            self.end(lease)
        return first, stop
