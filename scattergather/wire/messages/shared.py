"""What messages of several directions are made of, and the messages that pass in more than one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from scattergather.model.ids import Digest, ObjectId, SlabId
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire.blobs import WIDTH
from scattergather.wire.frame import MAX_BODY

MOST = 1 << 53
"""Of whatever a message counts or measures. Up to here floats are whole, and sums of a few fit in
64 bits, so that no struct, float or range of Python's breaks on what a peer says."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
"""How many, or which, from 0: tasks, bytes, attempts."""

MOST_NAMES = 1 << 20
"""Of code, objects or chunks in one message. Looking at more would keep others waiting for long."""

Digests = Annotated[tuple[Digest, ...], msgspec.Meta(max_length=MOST_NAMES)]
ObjectIds = Annotated[tuple[ObjectId, ...], msgspec.Meta(max_length=MOST_NAMES)]
Chunks = Annotated[tuple[Count, ...], msgspec.Meta(max_length=MOST_NAMES)]

MOST_TASKS = 1 << 17
"""Of one chunk; several of them take a megabyte at most, and each has 8 bytes for its end."""

ChunkTasks = Annotated[int, msgspec.Meta(ge=0, le=MOST_TASKS)]
"""How many tasks a chunk has."""

ChunkKinds = Annotated[bytes, msgspec.Meta(min_length=1, max_length=MOST_TASKS)]
"""The ``outcome.Kind`` of each of some tasks of a chunk, a byte each."""

Blobs = Annotated[int, msgspec.Meta(ge=0, le=MAX_BODY // WIDTH)]
"""How many blobs a body holds: each has its end offset there."""

Kinds = Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_BODY // WIDTH)]
"""The ``outcome.Kind`` of each task of a batch, a byte each."""

MaybeId = Annotated[bytes, msgspec.Meta(max_length=16)]
"""What is named by 16 bytes, or nothing where that need not be there."""

Pid = Annotated[int, msgspec.Meta(ge=0, le=1 << 22)]
"""A process, or 0 where none is known."""

Workers = Annotated[int, msgspec.Meta(ge=0, le=1 << 22)]
"""How many worker processes: Linux has no more process ids."""

Slots = Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
"""How many of them a host has, by its own word: each gets something to do at once."""

Sentence = Annotated[str, msgspec.Meta(max_length=1 << 14)]
"""What users read as it stands."""

Amount = Annotated[float, msgspec.Meta(ge=0.0, le=float(MOST))]
"""Seconds, or bytes as a float: neither infinite nor not a number."""

KindByte = Annotated[int, msgspec.Meta(ge=0, le=int(max(Kind)))]
"""One ``outcome.Kind``, as its byte in a batch of kinds."""


def sendable(text: str) -> str:
    """``text`` as a message can carry it: lone surrogates, which no UTF-8 has, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """Common ground of all messages: frozen, sent as ``[name, field, field, ...]``."""


class TaskPlace(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What tasks see of the process that their calls come from: a part of it, or nothing.

    All of it is bytes, as the system has them: none of it has to be UTF-8. Empty
    ``directory`` and ``path`` (of modules) are the worker's own, and so is an ``environment`` of
    None. ``withheld`` are names of variables that the workers were not given. ``files`` is the
    folder of files that clients have sent to the host, and ``scratch`` that of files without a
    name, both by the host's own word.
    """

    directory: bytes = b""
    path: tuple[bytes, ...] = ()
    environment: dict[bytes, bytes] | None = None
    withheld: tuple[bytes, ...] = ()
    files: bytes = b""
    scratch: bytes = b""


HashSeed = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""What PYTHONHASHSEED may be: with the same, two processes agree on ``hash(text)``."""


class Code(Message, frozen=True, kw_only=True):
    """One bundle of shipped code; the body is the blob, unpickled only in a worker.

    ``needs`` are the digests it refers to; they were sent before. ``python`` is the minor version
    whose byte code it holds (``"3.11"``), or empty.
    """

    digest: Digest
    needs: Digests = ()
    python: str = ""


class Forget(Message, frozen=True, kw_only=True):
    """Shipped code that will be sent anew before it is named again.

    Whoever has it drops it once no unfinished job uses it, and tells those whom it has sent it to.
    """

    digests: Digests


class Resident(Message, frozen=True, kw_only=True):
    """Pushed source, for the workers' ``__main__``.

    Code that was added at ``version`` or later sees this source and those of the versions before.
    """

    version: Count
    source: str


class Extent(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An object: bytes that travel beside the messages, and where they lie on this host.

    A buffer of a large array, or a whole large blob. Between hosts only ``object`` and ``length``
    mean anything; the bytes go through the block stream. A ``file`` is read and not mapped, and
    never lies in memory.
    """

    object: ObjectId
    length: Count
    slab: MaybeId = b""
    offset: Count = 0
    file: bool = False


class Excerpt(Message, frozen=True, kw_only=True):
    """``length`` bytes at ``offset`` of the object ``of`` are the object ``object`` from now on.

    It lies where that lies, which stays as long as this one does, and is a ``file`` if it is to be
    read as one.
    """

    object: ObjectId
    of: ObjectId
    offset: Count
    length: Count
    file: bool = False


Extents = Annotated[tuple[Extent, ...], msgspec.Meta(max_length=MOST_NAMES)]


class Slab(Message, frozen=True, kw_only=True):
    """Shared memory in which extents lie; its descriptor comes with this frame.

    Whoever made it writes into it, everybody else reads. One that is ``on_disk`` is a file without
    a name.
    """

    slab: SlabId
    size: Count
    on_disk: bool = False


class SlabGone(Message, frozen=True, kw_only=True):
    """Nothing more will be written to this slab: who has mapped what he needs may close it."""

    slab: SlabId


class Limits(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What each attempt of a task may take: seconds and bytes; None is unlimited."""

    time: Amount | None = None
    memory: Count | None = None


class Loss(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Why a task has no outcome of its own; ``wire.values.losses`` makes an error of it.

    ``attempt`` of ``attempts`` is filled in by the scheduler, ``host`` by the controller; the pool
    knows the rest. ``size`` is that of a result for which the controller never has room. ``limit``
    is in seconds or bytes, whichever was exceeded.
    """

    kind: LossKind
    reason: str
    host: str = ""
    worker: Pid = 0
    attempt: Count = 1
    attempts: Count = 1
    signal: int = 0
    status: int = 0
    output: str = ""
    where: str = ""
    limit: Amount = 0.0
    peak: Count = 0
    arguments: str = ""
    size: Count = 0


class Release(Message, frozen=True, kw_only=True):
    """The client, or a worker, needs these objects no more: said once for each time it got one.

    Unfinished tasks that take such an object keep it. What is the client's own is its own again
    when ``Freed`` says so.
    """

    objects: ObjectIds
