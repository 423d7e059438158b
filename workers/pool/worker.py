"""One worker process as the pool sees it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.pool import Run


class Doom(Enum):
    """Why the pool itself ended a worker; anything else is the task's or the kernel's doing."""

    REFRESH = "refresh"
    LEFT = "left"
    CANCEL = "cancel"
    TIME = "time limit"
    MEMORY = "memory limit"
    STOPPED = "stopped"
    ASLEEP = "asleep"
    UNREAD = "unread"
    RETIRED = "retired"
    BENT = "bent"


class Stillness(Struct, frozen=True):
    """A worker that has a chunk was found asleep in no task at so many ``looks`` ``since`` then.

    ``used`` is the processor time that it had taken at the first of them, ``next`` its first task
    without an outcome.
    """

    since: float
    used: float
    next: int
    looks: int = 1


class WorkerLease(Struct):
    """A chunk that a worker has, up to ``stop``. Outcomes come in order: ``next`` has none yet.

    What is known of the task at work is known of the chunk at work, and is gone with it.
    ``escalation`` are the signals that a cancelled task is sent next, and when. ``stuck`` is the
    task that takes long while others wait behind it: none of those will begin here.
    ``body`` is kept while it may be taken back and given to another worker: behind another chunk.
    ``stopped_since`` is when its worker was first found stopped by a signal (state T),
    ``strayed_since`` when in a task of another chunk, and ``still`` since when in none, asleep.
    """

    run: Run
    next: int
    stop: int
    body: bytes = b""
    cancelled: bool = False
    escalation: tuple[tuple[float, int], ...] = ()
    stuck: int | None = None
    stopped_since: float | None = None
    strayed_since: float | None = None
    still: Stillness | None = None


@dataclass(slots=True)
class PoolWorker:
    """A process that runs one task at a time, for one tenant.

    ``pid`` is 0 until it is born. ``leases[0]`` is what it works on, a second one is what it holds
    ready. ``skipping`` is a chunk that it was told not to begin, and has not yet said that it did
    not. While ``blocked`` its task waits for a nested result and its slot is lent. ``since`` is
    when it became idle. ``over_since`` is when its task was told that it takes too much memory: the
    worker is replaced when its last chunk is over. ``held`` are the large results of nested calls
    that it has, and how often it got each; ``asked`` counts its calls that have no answer, and
    ``unread`` are about how many bytes of answers it was sent since it last waited for one.
    ``highest`` is the highest number of a chunk that it had, ``halted`` that of one up to which it
    was told to begin no more. ``bent`` tells what it has said, or left in shared memory, that
    cannot be.
    """

    number: int
    tenant: int
    pid: int = 0
    leases: deque[WorkerLease] = field(default_factory=deque)
    known: set[bytes] = field(default_factory=set)
    skipping: int | None = None
    blocked: bool = False
    doom: Doom | None = None
    peak: int = 0
    over_since: float | None = None
    held: Counter[ObjectId] = field(default_factory=Counter)
    since: float = 0.0
    highest: int = -1
    halted: int = -1
    asked: int = 0
    unread: int = 0
    bent: str = ""

    @property
    def born(self) -> bool:
        """The worker has said that it is ready; it may have been doomed since."""
        return self.pid > 0

    @property
    def idle(self) -> bool:
        """The worker may be given a chunk."""
        return self.born and not self.leases and self.doom is None

    @property
    def busy(self) -> bool:
        """The worker holds a slot of its host."""
        return bool(self.leases) and not self.blocked
