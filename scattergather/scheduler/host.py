"""What a host can take and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from scattergather.scheduler.job import HostLease, ScheduledJob


@dataclass(slots=True)
class ScheduledHost:
    """One pool that joined. ``recalling``: it was asked to give chunks back and has not yet."""

    name: str
    slots: int
    python: str
    services: frozenset[str]
    round_trip: float
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
