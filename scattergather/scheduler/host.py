"""What a host can take and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from scattergather.scheduler.job import HostLease, ScheduledJob

LOCAL_ROUND_TRIP = 0.0002
"""Seconds to a worker of the controller's own pool and back."""


@dataclass(slots=True)
class ScheduledHost:
    """One pool that joined.

    ``round_trip`` is what was measured last, in seconds; a pool in the controller's own process is
    never measured. ``recalling``: it was asked to give chunks back and has not yet.
    """

    name: str
    slots: int
    python: str
    services: frozenset[str]
    round_trip: float = LOCAL_ROUND_TRIP
    leases: dict[int, HostLease] = field(default_factory=dict)
    recalling: bool = False

    @property
    def load(self) -> float:
        """Chunks held for each worker."""
        return len(self.leases) / self.slots if self.slots else float("inf")

    @property
    def surplus(self) -> int:
        """How many chunks it holds that no worker can have started."""
        return len(self.leases) - self.slots

    def fits(self, job: ScheduledJob) -> bool:
        """Whether the job's code can run here at all."""
        return not job.spec.python or job.spec.python == self.python
