"""What can happen to the scheduler, in the past tense."""

from __future__ import annotations

from msgspec import Struct

from scattergather.model.ids import JobId
from scattergather.model.placement import Placement


class JobAdded(Struct, frozen=True, kw_only=True, gc=False):
    """A job begins, without tasks yet.

    ``python`` is the minor version that its code is bound to, or empty; ``service`` the resident
    function it names, or empty. ``depth`` counts how many tasks submitted one another above it.
    ``stream``: the start of its tasks is reported. ``limited``: each of its tasks may take only so
    much time or memory. ``urgent``: others wait for it, so a host takes it beyond what it may have.
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
    urgent: bool = False
    placement: Placement = Placement()


class TasksAdded(Struct, frozen=True, kw_only=True, gc=False):
    """Tasks ``first`` ... ``first + count - 1`` were queued; ``size`` is their bytes together.

    What is large of what they take lies ``near``: on the host of this name, if any is named.
    """

    job: JobId
    first: int
    count: int
    size: int = 0
    near: str = ""


class TasksEnded(Struct, frozen=True, kw_only=True, gc=False):
    """The job has ``total`` tasks and no more will come."""

    job: JobId
    total: int


class JobCancelled(Struct, frozen=True, kw_only=True, gc=False):
    """The user wants no more of this job."""

    job: JobId


class JobForgotten(Struct, frozen=True, kw_only=True, gc=False):
    """The user wants no more of this job, and adds no more tasks to it."""

    job: JobId


class TasksWithdrawn(Struct, frozen=True, kw_only=True, gc=False):
    """The user wants those of ``[first, first + count)`` dropped that no pool has yet."""

    job: JobId
    first: int
    count: int


class HostJoined(Struct, frozen=True, kw_only=True, gc=False):
    """A pool is ready to work."""

    host: str
    slots: int
    python: str = ""
    services: frozenset[str] = frozenset()


class HostDraining(Struct, frozen=True, kw_only=True, gc=False):
    """A pool is to get nothing more, and to be left once it has nothing any more.

    ``closed``: its workers are ended.
    """

    host: str
    closed: bool = False


class HostsAwaited(Struct, frozen=True, kw_only=True, gc=False):
    """Hosts were added or dropped: until they have settled again, what fits none of them waits."""


class HostLeft(Struct, frozen=True, kw_only=True, gc=False):
    """A pool is gone with all that it held; ``reason`` says why."""

    host: str
    reason: str


class HostDropped(Struct, frozen=True, kw_only=True, gc=False):
    """A host that is not up is not to come any more: what is bound to it alone cannot run."""

    host: str


class HostExpected(Struct, frozen=True, kw_only=True, gc=False):
    """A host was added: what is bound to its name may wait for it, though one was dropped."""

    host: str


class SlotsChanged(Struct, frozen=True, kw_only=True, gc=False):
    """A pool can now keep ``slots`` workers busy for us."""

    host: str
    slots: int


class RoundTripMeasured(Struct, frozen=True, kw_only=True, gc=False):
    """A word to this pool and back takes ``seconds`` now, by itself: without what queues."""

    host: str
    seconds: float


class OutcomesArrived(Struct, frozen=True, kw_only=True, gc=False):
    """Outcomes of tasks ``first`` ... of a chunk; ``kinds`` is a byte a task (``outcome.Kind``)."""

    host: str
    chunk: int
    first: int
    kinds: bytes
    elapsed: float


class ChunkGivenBack(Struct, frozen=True, kw_only=True, gc=False):
    """Tasks from ``first`` on were never started there and are free again."""

    host: str
    chunk: int
    first: int


class CancelCompleted(Struct, frozen=True, kw_only=True, gc=False):
    """A cancelled chunk is gone: tasks from ``first`` on have no outcome."""

    host: str
    chunk: int
    first: int


class HostsSettled(Struct, frozen=True, kw_only=True, gc=False):
    """Every host has answered or failed once: a job that fits none of them need not wait."""


Event = (
    JobAdded
    | TasksAdded
    | TasksEnded
    | JobCancelled
    | JobForgotten
    | TasksWithdrawn
    | HostJoined
    | HostDraining
    | HostsAwaited
    | HostLeft
    | HostDropped
    | HostExpected
    | SlotsChanged
    | RoundTripMeasured
    | OutcomesArrived
    | ChunkGivenBack
    | CancelCompleted
    | HostsSettled
)
