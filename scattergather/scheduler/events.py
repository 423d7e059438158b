"""What can happen to the scheduler, in the past tense."""

from __future__ import annotations

from dataclasses import dataclass

from scattergather.wire.messages import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAdded:
    """A job begins, without tasks yet.

    ``python`` is the minor version that its code is bound to, or empty; ``service`` the resident
    function it names, or empty. ``depth`` counts how many tasks submitted one another above it.
    ``stream``: the start of its tasks is reported.
    """

    job: JobId
    function: str
    priority: int = 0
    retries: int = 3
    python: str = ""
    service: str = ""
    depth: int = 0
    stream: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksAdded:
    """Tasks ``first`` ... ``first + count - 1`` were queued; ``size`` is their bytes together."""

    job: JobId
    first: int
    count: int
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksEnded:
    """The job has ``total`` tasks and no more will come."""

    job: JobId
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled:
    """The user wants no more of this job."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksCancelled:
    """The user wants those of ``[first, first + count)`` dropped that no pool has yet."""

    job: JobId
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJoined:
    """A pool is ready to work."""

    host: str
    slots: int
    python: str = ""
    services: frozenset[str] = frozenset()
    round_trip: float = 0.0002


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLeft:
    """A pool is gone with all that it held; ``reason`` says why."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsChanged:
    """A pool can now keep ``slots`` workers busy for us."""

    host: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesArrived:
    """Outcomes of tasks ``first`` ... of a chunk; ``kinds`` is a byte a task (``outcome.Kind``)."""

    host: str
    chunk: int
    first: int
    kinds: bytes
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkGivenBack:
    """Tasks from ``first`` on were never started there and are free again."""

    host: str
    chunk: int
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCompleted:
    """A cancelled chunk is gone: tasks from ``first`` on have no outcome."""

    host: str
    chunk: int
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsSettled:
    """Every host has answered or failed once: a job that fits none of them need not wait."""


Event = (
    JobAdded
    | TasksAdded
    | TasksEnded
    | JobCancelled
    | TasksCancelled
    | HostJoined
    | HostLeft
    | SlotsChanged
    | OutcomesArrived
    | ChunkGivenBack
    | CancelCompleted
    | HostsSettled
)
