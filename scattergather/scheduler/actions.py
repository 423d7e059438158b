"""What the scheduler can ask for, imperative; per chunk or range, never per task."""

from __future__ import annotations

from msgspec import Struct

from scattergather.model.ids import JobId


class SendChunk(Struct, frozen=True, kw_only=True, gc=False):
    """Send tasks ``[first, first + count)`` of a job to a host under the lease ``chunk``."""

    host: str
    chunk: int
    job: JobId
    first: int
    count: int
    attempt: int
    ahead: bool


class TakeBackFrom(Struct, frozen=True, kw_only=True, gc=False):
    """Ask a host for queued chunks of about ``count`` tasks: any, or some of ``chunks``."""

    host: str
    count: int
    chunks: tuple[int, ...] = ()


class CancelChunks(Struct, frozen=True, kw_only=True, gc=False):
    """End these chunks on a host, whatever they resist with."""

    host: str
    chunks: tuple[int, ...]


class Deliver(Struct, frozen=True, kw_only=True, gc=False):
    """Outcomes ``[offset, offset + count)`` of the batch at hand are final: tasks ``first`` ..."""

    job: JobId
    first: int
    offset: int
    count: int
    attempt: int
    attempts: int


class HostGone(Struct, frozen=True, kw_only=True, gc=False):
    """Why tasks are lost: ``host`` left while it had them; ``reason`` is what it left with."""

    host: str
    reason: str


class NoHostFits(Struct, frozen=True, kw_only=True, gc=False):
    """Why tasks are lost: their code is bound to ``python``, and no host runs that.

    ``hosts`` are the hosts that there are, each with the version it runs.
    """

    python: str
    hosts: tuple[tuple[str, str], ...]


class HostsDropped(Struct, frozen=True, kw_only=True, gc=False):
    """Why tasks are lost: they are bound to ``hosts``, all of which were dropped."""

    hosts: tuple[str, ...]


Cause = HostGone | NoHostFits | HostsDropped


class DeliverLoss(Struct, frozen=True, kw_only=True, gc=False):
    """Tasks ``[first, first + count)`` are lost for good."""

    job: JobId
    first: int
    count: int
    cause: Cause
    attempt: int
    attempts: int


class ReportCancelled(Struct, frozen=True, kw_only=True, gc=False):
    """Tasks ``[first, first + count)`` will have no outcome but their cancellation."""

    job: JobId
    first: int
    count: int


class ReportPlaced(Struct, frozen=True, kw_only=True, gc=False):
    """Tasks ``[first, first + count)`` of a stream went to a pool."""

    job: JobId
    first: int
    count: int


class LeaveHost(Struct, frozen=True, kw_only=True, gc=False):
    """A host that was to be drained has nothing any more."""

    host: str


class EndJob(Struct, frozen=True, kw_only=True, gc=False):
    """Every task of the job has its outcome."""

    job: JobId


Action = (
    SendChunk
    | TakeBackFrom
    | CancelChunks
    | Deliver
    | DeliverLoss
    | ReportCancelled
    | ReportPlaced
    | EndJob
    | LeaveHost
)
