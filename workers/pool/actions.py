"""What a pool can ask for, imperative."""

from __future__ import annotations

from msgspec import Struct

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.page import FromPool, ToWorker


class ForkWorker(Struct, frozen=True, kw_only=True, gc=False):
    """Fork a worker from the tenant's zygote."""

    tenant: int
    worker: int


class Tell(Struct, frozen=True, kw_only=True, gc=False):
    """Send a message to a worker."""

    worker: int
    message: ToWorker
    body: bytes = b""


class Report(Struct, frozen=True, kw_only=True, gc=False):
    """Send a message to a tenant's controller; one that is ``patient`` may wait for others."""

    tenant: int
    message: FromPool
    body: bytes = b""
    patient: bool = False


class DropResults(Struct, frozen=True, kw_only=True, gc=False):
    """Nobody will hear of these results of a tenant's workers."""

    tenant: int
    objects: tuple[ObjectId, ...]


class EndSession(Struct, frozen=True, kw_only=True):
    """End a session, which the pool has forgotten already: this went wrong for its sake."""

    tenant: int
    error: Exception


class Overdraw(Struct, frozen=True, kw_only=True, gc=False):
    """One object that has no room gets it all the same, beyond the bound."""


class KillWorker(Struct, frozen=True, kw_only=True, gc=False):
    """Signal a worker; with ``group``, everything it started too."""

    worker: int
    signal: int
    group: bool = False


class InterruptChunk(Struct, frozen=True, kw_only=True, gc=False):
    """Mark the chunk as cancelled in the worker's journal, then interrupt the worker."""

    worker: int
    chunk: int


class WarnWorker(Struct, frozen=True, kw_only=True, gc=False):
    """Tell a task, by an exception, that it takes more memory than it may."""

    worker: int
    chunk: int
    index: int


class StopWorker(Struct, frozen=True, kw_only=True, gc=False):
    """Let no further task of this chunk, or of an earlier one, begin in a worker."""

    worker: int
    chunk: int


class RecallChunk(Struct, frozen=True, kw_only=True, gc=False):
    """Let this chunk, which a worker holds behind another, not begin there.

    If it surely has not, ``ChunkRecalled`` follows at once. Else the worker says by itself what
    becomes of it.
    """

    worker: int
    chunk: int


class RetireWorker(Struct, frozen=True, kw_only=True, gc=False):
    """Close an idle worker's socket: it ends by itself."""

    worker: int


Action = (
    ForkWorker
    | Tell
    | Report
    | KillWorker
    | InterruptChunk
    | WarnWorker
    | StopWorker
    | RecallChunk
    | DropResults
    | Overdraw
    | EndSession
    | RetireWorker
)
