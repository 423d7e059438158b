"""What the scheduler can ask for, imperative; per chunk or range, never per task."""

from __future__ import annotations

from dataclasses import dataclass

from scattergather.wire.messages import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class SendChunk:
    """Send tasks ``[first, first + count)`` of a job to a host under the lease ``chunk``."""

    host: str
    chunk: int
    job: JobId
    first: int
    count: int
    attempt: int
    brief: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBackFrom:
    """Ask a host for queued chunks of about ``count`` tasks."""

    host: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelChunks:
    """End these chunks on a host, whatever they resist with."""

    host: str
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Outcomes ``[offset, offset + count)`` of the batch at hand are final: tasks ``first`` ..."""

    job: JobId
    first: int
    offset: int
    count: int
    attempt: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverLoss:
    """Tasks ``[first, first + count)`` are lost for good; ``kind`` names the error class."""

    job: JobId
    first: int
    count: int
    kind: str
    reason: str
    host: str
    attempt: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCancelled:
    """Tasks ``[first, first + count)`` will have no outcome but their cancellation."""

    job: JobId
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPlaced:
    """Tasks ``[first, first + count)`` of a stream went to a pool."""

    job: JobId
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJob:
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
)
