"""What a host can take and what it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scattergather.scheduler.job import HostLease

LOCAL_ROUND_TRIP = 0.0002
"""Seconds to a worker of the controller's own pool and back."""


@dataclass(slots=True)
class ScheduledHost:
    """One pool that joined.

    ``round_trip`` is what was measured last, in seconds; a pool in the controller's own process is
    never measured. ``recalling``: it was asked to give chunks back and has not yet. ``order`` tells
    which of two hosts joined first. ``listed`` is the load under which it stands in the list of its
    fleet, and ``stamp`` the number of its place there, 0 for none. Once it is ``leaving`` it has no
    slots, so that it gets nothing more; that field says how many it has for what it has begun, and
    for calls that this has submitted. When it is ``closed`` it gets none of those either.
    """

    name: str
    slots: int
    python: str
    services: frozenset[str]
    round_trip: float = LOCAL_ROUND_TRIP
    order: int = 0
    leases: dict[int, HostLease] = field(default_factory=dict)
    recalling: bool = False
    listed: float = math.inf
    stamp: int = 0
    leaving: int | None = None
    closed: bool = False

    @property
    def load(self) -> float:
        """Chunks held for each worker."""
        return len(self.leases) / self.slots if self.slots else math.inf

    @property
    def surplus(self) -> int:
        """How many chunks it holds that no worker can have started."""
        return len(self.leases) - self.slots
