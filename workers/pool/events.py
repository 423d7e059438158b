"""What can happen to a pool, in the past tense."""

from __future__ import annotations

from msgspec import Struct, field

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.page import FromWorker, ToPool


class TenantJoined(Struct, frozen=True, kw_only=True, gc=False):
    """A controller joined and wants at most ``workers`` (0: all)."""

    tenant: int
    workers: int = 0


class TenantLeft(Struct, frozen=True, kw_only=True, gc=False):
    """A controller left; nothing may be reported to it any more."""

    tenant: int


class MessageReceived(Struct, frozen=True, kw_only=True, gc=False):
    """A controller sent a message; ``missing`` is what it names and is not on this host yet.

    ``refused`` says why all that it names can never be here at a time, if it cannot.
    """

    tenant: int
    message: ToPool
    body: bytes = b""
    missing: frozenset[ObjectId] = frozenset()
    refused: str = ""


class ObjectsArrived(Struct, frozen=True, kw_only=True, gc=False):
    """Large objects that were wanted are on this host now."""

    tenant: int
    objects: tuple[ObjectId, ...]


class ObjectsLost(Struct, frozen=True, kw_only=True, gc=False):
    """Large objects that were wanted will not come to this host; ``reason`` is a sentence."""

    tenant: int
    objects: tuple[ObjectId, ...]
    reason: str


class Clogged(Struct, frozen=True, kw_only=True, gc=False):
    """A controller takes what it is sent more slowly than its tasks make it, or does not any more.

    What waits for it is here.
    """

    tenant: int
    clogged: bool


class RoomWanted(Struct, frozen=True, kw_only=True, gc=False):
    """Objects that are on their way here have no room."""

    tenant: int


class WorkerSaid(Struct, frozen=True, kw_only=True, gc=False):
    """A worker sent a message."""

    worker: int
    message: FromWorker
    body: bytes = b""


class Harvest(Struct, frozen=True, kw_only=True, gc=False):
    """What a dead worker left in its journal: finished outcomes, and the task it was in.

    ``outcomes`` are ``(index, kind, blob)`` of ``chunk``; ``running`` is None between tasks, and
    ``finished`` the first task without an outcome, where the journal tells it. ``bent`` says what
    in it cannot be, and then nothing of it is believed.
    ``output`` are the last lines it printed, ``where`` the last frames of its threads if the
    faulthandler could tell, ``arguments`` those of its task in short, if they were noted.
    ``untold`` is what its task had printed behind what was told while it ran, if anything was, and
    ``dropped`` how many bytes before that are missing.
    """

    chunk: int = 0
    running: int | None = None
    finished: int | None = None
    outcomes: tuple[tuple[int, int, bytes], ...] = ()
    bent: str = ""
    output: str = ""
    where: str = ""
    arguments: str = ""
    untold: bytes = b""
    dropped: int = 0


class WorkerExited(Struct, frozen=True, kw_only=True, gc=False):
    """A worker is dead and all it had written was read; ``why`` says why it was never born."""

    worker: int
    status: int = 0
    signal: int = 0
    peak: int = 0
    why: str = ""
    out_of_memory: bool = False
    harvest: Harvest = field(default_factory=Harvest)


class FoundStopped(Struct, frozen=True, kw_only=True, gc=False):
    """A worker that has work was looked at, and does not run: a signal stopped it (state T)."""

    worker: int


class FoundAsleep(Struct, frozen=True, kw_only=True, gc=False):
    """A worker that has work was looked at: it is in no task, and sleeps.

    ``used`` is the processor time, in seconds, that it has taken since it was born.
    """

    worker: int
    used: float


class Sampled(Struct, frozen=True, kw_only=True, gc=False):
    """A worker was looked at and runs: its task, since when, and its memory (0: not asked)."""

    worker: int
    chunk: int
    index: int
    started: float
    memory: int


class ChunkRecalled(Struct, frozen=True, kw_only=True, gc=False):
    """A chunk that a worker held behind another has not begun there, and never will."""

    worker: int
    chunk: int


class Contradicted(Struct, frozen=True, kw_only=True, gc=False):
    """What a worker says, or has left in shared memory, cannot be; ``why`` is half a sentence."""

    worker: int
    why: str


class Ticked(Struct, frozen=True, kw_only=True, gc=False):
    """Time passed: ``Pool.wake_at`` came."""


Event = (
    TenantJoined
    | TenantLeft
    | MessageReceived
    | ObjectsArrived
    | ObjectsLost
    | Clogged
    | RoomWanted
    | WorkerSaid
    | WorkerExited
    | FoundStopped
    | FoundAsleep
    | Sampled
    | ChunkRecalled
    | Contradicted
    | Ticked
)
