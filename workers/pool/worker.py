"""One worker process as the pool sees it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.pool import Run


class Doom(Enum):
    """Why the pool itself ended a worker; anything else is the task's or the kernel's doing."""

    REFRESH = "refresh"
    CANCEL = "cancel"
    TIME = "time limit"
    MEMORY = "memory limit"
    STOPPED = "stopped"
    RETIRED = "retired"


@dataclass(slots=True)
class WorkerLease:
    """A chunk that a worker has, up to ``stop``. Outcomes come in order: ``next`` has none yet.

    ``body`` is kept while it may be taken back and given to another worker: behind another chunk.
    """

    run: Run
    next: int
    stop: int
    body: bytes = b""
    cancelled: bool = False


@dataclass(slots=True)
class PoolWorker:
    """A process that runs one task at a time.

    ``leases[0]`` is what it works on, a second one is what it holds ready. While ``blocked`` its
    task waits for a nested result and its slot is lent. ``since`` is when it became idle. ``stuck``
    is the task that takes long while others wait behind it: none of those will begin here.
    ``skipping`` is a chunk that it was told not to begin, and has not yet said that it did not.
    ``over_since`` is when its task was told that it takes too much memory: the worker is replaced
    when that task is over. ``stopped_since`` is when it was first found stopped (state T).
    ``given`` are the large results of nested calls that it has, and how often it got each.
    """

    number: int
    session: int
    born: bool = False
    pid: int = 0
    leases: deque[WorkerLease] = field(default_factory=deque)
    known: set[bytes] = field(default_factory=set)
    blocked: bool = False
    doom: Doom | None = None
    escalation: list[tuple[float, int]] = field(default_factory=list)
    peak: int = 0
    stuck: int | None = None
    skipping: int | None = None
    over_since: float | None = None
    given: Counter[ObjectId] = field(default_factory=Counter)
    stopped_since: float | None = None
    since: float = 0.0

    @property
    def idle(self) -> bool:
        """Ready for a chunk."""
        return self.born and not self.leases and self.doom is None

    @property
    def busy(self) -> bool:
        """Holds a slot."""
        return bool(self.leases) and not self.blocked
