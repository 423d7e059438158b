"""What a pool can ask for, imperative."""

from __future__ import annotations

from dataclasses import dataclass

from scattergather.wire.messages import FromPool, ToWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkWorker:
    """Fork a worker from the session's zygote."""

    session: int
    worker: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Send a message to a worker."""

    worker: int
    message: ToWorker
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Send a message to a session's controller."""

    session: int
    message: FromPool
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWorker:
    """Signal a worker; with ``group``, everything it started too."""

    worker: int
    signal: int
    group: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptChunk:
    """Mark the chunk as cancelled in the worker's journal, then interrupt the worker."""

    worker: int
    chunk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireWorker:
    """Close an idle worker's socket: it ends by itself."""

    worker: int


Action = ForkWorker | Tell | Report | KillWorker | InterruptChunk | RetireWorker
