"""Every message that may pass, one union a direction.

::

    client  --ToController-->  controller  --ToPool-->   pool  --ToWorker-->   worker
            <--ToClient------              <--FromPool-        <--FromWorker-
    pool daemon  --ToZygote-->  zygote  (with file descriptors, see workers.process)

A message is the head of a frame; its body, where it has one, is said in its docstring. *Blobs*
means: ``count`` uint64 end offsets, then the blobs themselves, back to back (``wire.blobs``).
Heads are msgpack arrays, checked against these types when they are read, so that a stranger's or a
broken peer's message is refused as a whole. Whatever a message does not name, it cannot do.

``PROTOCOL`` changes with every incompatible change here; a hello names it before anything else.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

PROTOCOL = 1

JobId = bytes
"""16 random bytes, made by the client: unique without asking anyone."""

Digest = bytes
"""16 bytes of sha256 over shipped code."""

ObjectId = bytes
"""16 bytes: eight random ones of the process that made the object, and its number there."""

SlabId = bytes
"""16 random bytes."""

FunctionName = str
"""``#`` and the hex digest of shipped code, or the name of a service or of pushed code."""

Count = Annotated[int, msgspec.Meta(ge=0)]


def shipped(digest: Digest) -> FunctionName:
    """The function name of shipped code."""
    return "#" + digest.hex()


def digest_of(function: FunctionName) -> Digest | None:
    """The digest of shipped code, or None for the name of a service."""
    return bytes.fromhex(function[1:]) if function.startswith("#") else None


def code_of(function: FunctionName, needs: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """The digests of a function and of what is needed beside it."""
    digest = digest_of(function)
    return needs if digest is None else (digest, *needs)


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """Common ground of all messages: frozen, sent as ``[name, field, field, ...]``."""


# ---- shared by several directions -----------------------------------------------------------


class Code(Message, frozen=True, kw_only=True):
    """One bundle of shipped code; the body is the blob, unpickled only in a worker.

    ``needs`` are the digests it refers to; they were sent before. ``python`` is the minor version
    whose byte code it holds (``"3.11"``), or empty.
    """

    digest: Digest
    needs: tuple[Digest, ...] = ()
    python: str = ""


class Forget(Message, frozen=True, kw_only=True):
    """Shipped code that will be sent anew before it is named again.

    Whoever has it drops it once no unfinished job uses it, and tells those whom it has sent it to.
    """

    digests: tuple[Digest, ...]


class Resident(Message, frozen=True, kw_only=True):
    """Source to run in the workers' ``__main__``: version ``version`` adds it to those before."""

    version: int
    source: str


class Extent(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An object: bytes that travel beside the messages, and where they lie on this host.

    A buffer of a large array, or a whole large blob. Between hosts only ``object`` and ``length``
    mean anything; the bytes go through the block stream.
    """

    object: ObjectId
    length: Count
    slab: SlabId = b""
    offset: Count = 0


class Slab(Message, frozen=True, kw_only=True):
    """Shared memory in which extents lie; its descriptor comes with this frame.

    Whoever made it writes into it, everybody else reads.
    """

    slab: SlabId
    size: Count


class SlabGone(Message, frozen=True, kw_only=True):
    """Nothing more will be written there: who has mapped what he needs closes his descriptor."""

    slab: SlabId


class Limits(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What each attempt of a task may take: seconds and bytes; None is unlimited."""

    time: float | None = None
    memory: int | None = None


class Loss(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Why a task has no outcome of its own: the wire form of a ``TaskLost``.

    ``kind`` is the name of the error class. ``attempt`` of ``attempts`` is filled in by the
    scheduler, ``host`` by the controller; the pool knows the rest. ``size`` is that of a result for
    which the controller never has room.
    """

    kind: str
    reason: str
    host: str = ""
    worker: int = 0
    attempt: int = 1
    attempts: int = 1
    signal: int = 0
    status: int = 0
    output: str = ""
    where: str = ""
    limit: float = 0.0
    peak: int = 0
    arguments: str = ""
    size: int = 0


# ---- client -> controller -------------------------------------------------------------------


class HostSpec(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One host to use: ``furl`` is empty for the embedded pool. ``workers`` 0 means all it has."""

    name: str
    furl: str = ""
    workers: int = 0
    service: str = ""

    def __repr__(self) -> str:
        """Without the FURL, which is a secret."""
        return f"HostSpec({self.name!r}, workers={self.workers}, service={self.service!r})"


class Versions(Message, frozen=True, kw_only=True, tag="Spawn"):
    """The beginning of a ``Spawn``, which stays as it is in every protocol."""

    protocol: int
    version: str


class Spawn(Versions, frozen=True, kw_only=True, tag=True):
    """The first message of a client: what to connect to, and the place that its tasks see.

    ``memory`` is how many bytes large values may take on its machine, arguments and results.
    """

    python: str
    hosts: tuple[HostSpec, ...]
    client_pid: int
    directory: str = ""
    path: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    memory: Count = 0


class AddJob(Message, frozen=True, kw_only=True):
    """A job begins. ``total`` None: tasks go on coming until ``EndTasks`` says how many.

    ``needs`` are the digests that the function refers to. ``stream`` marks the open job behind
    ``submit``: its tasks are independent, and their start is reported.
    """

    job: JobId
    name: str
    function: FunctionName
    needs: tuple[Digest, ...] = ()
    retry_on: Digest = b""
    priority: int = 0
    retries: Count = 3
    limits: Limits = Limits()
    code_version: int = 0
    stream: bool = False


class AddTasks(Message, frozen=True, kw_only=True):
    """Tasks ``first`` ... ``first + count - 1`` of a job; the body is their blobs.

    ``objects`` are those that the blobs refer to (``wire.stub``). The client holds each from its
    first mention on, until it says ``Release``.
    """

    job: JobId
    first: Count
    count: Count
    needs: tuple[Digest, ...] = ()
    objects: tuple[Extent, ...] = ()


class EndTasks(Message, frozen=True, kw_only=True):
    """The job has ``total`` tasks and no more will come."""

    job: JobId
    total: Count


class CancelJob(Message, frozen=True, kw_only=True):
    """End what runs and drop what waits; what is done stays."""

    job: JobId


class CancelTasks(Message, frozen=True, kw_only=True):
    """Drop those of ``[first, first + count)`` that no pool has yet.

    Answered by ``Answer``: the list of ``[first, count]`` that were dropped.
    """

    call: int
    job: JobId
    first: Count
    count: Count


class ForgetJob(Message, frozen=True, kw_only=True):
    """The client needs nothing more of a finished job."""

    job: JobId


class Command(Message, frozen=True, kw_only=True):
    """``refresh``, ``die`` or ``status``; answered by ``Answer``."""

    call: int
    word: str


class RunEverywhere(Message, frozen=True, kw_only=True):
    """One call on every worker; the body is one blob ``(args, kwargs)``.

    Answered by as many ``EverywhereOutcome`` as there are workers, then ``Answer``.
    """

    call: int
    function: FunctionName
    needs: tuple[Digest, ...] = ()
    code_version: int = 0
    objects: tuple[Extent, ...] = ()


class Release(Message, frozen=True, kw_only=True):
    """The client, or a worker, needs these objects no more. Once for each time that it got one.

    Unfinished tasks that take one keep it. What is the client's own comes back by ``Freed``.
    """

    objects: tuple[ObjectId, ...]


ToController = (
    Spawn
    | Slab
    | SlabGone
    | Release
    | Code
    | Forget
    | Resident
    | AddJob
    | AddTasks
    | EndTasks
    | CancelJob
    | CancelTasks
    | ForgetJob
    | Command
    | RunEverywhere
)


# ---- controller -> client -------------------------------------------------------------------


class HostState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is known of one host. ``state``: connecting, up, down. ``why`` says why it is down."""

    name: str
    state: str
    workers: int = 0
    busy: int = 0
    queued: int = 0
    done: int = 0
    python: str = ""
    version: str = ""
    services: tuple[str, ...] = ()
    why: str = ""
    round_trip: float = 0.0
    memory: int = 0


class GoReady(Message, frozen=True, kw_only=True):
    """Every host has answered or failed, or five seconds have passed."""

    hosts: tuple[HostState, ...]


class JobState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Counts of one job, in tasks; ``rate`` in tasks per second."""

    job: JobId
    name: str
    total: int | None
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int = 0
    rate: float = 0.0


class Status(Message, frozen=True, kw_only=True):
    """Pushed twice a second while something changes; the client's reprs read only this.

    ``lost`` counts tasks that had to be run again, ``held`` bytes of inputs kept for retries.
    """

    hosts: tuple[HostState, ...]
    jobs: tuple[JobState, ...]
    controller_pid: int
    uptime: float = 0.0
    rerun: int = 0
    held: int = 0


class Placed(Message, frozen=True, kw_only=True):
    """Tasks of a stream job went to a pool: their futures are running and cannot be cancelled."""

    job: JobId
    first: Count
    count: Count


class TaskOutcomes(Message, frozen=True, kw_only=True):
    """Final outcomes of tasks ``first`` ...; the body is their blobs.

    ``kinds`` is one ``outcome.Kind`` byte a task; ``host`` and ``worker`` (process id) say where
    they ran. ``objects`` are large parts of the outcomes, which the client holds until it says
    ``Release``: among them may be some of its own, which it then holds once more.
    """

    job: JobId
    first: Count
    kinds: bytes
    host: str = ""
    worker: int = 0
    attempt: int = 1
    objects: tuple[Extent, ...] = ()


class Freed(Message, frozen=True, kw_only=True):
    """Nobody reads these objects of the client any more: their memory is his again."""

    objects: tuple[ObjectId, ...]


class TasksCancelled(Message, frozen=True, kw_only=True):
    """Tasks ``[first, first + count)`` will have no other outcome."""

    job: JobId
    first: Count
    count: Count


class TaskOutput(Message, frozen=True, kw_only=True):
    """What a task printed, sent before its outcome; the body is UTF-8.

    ``dropped`` counts bytes that are missing at its beginning.
    """

    job: JobId
    index: Count
    host: str = ""
    worker: int = 0
    dropped: int = 0


class EverywhereOutcome(Message, frozen=True, kw_only=True):
    """What one worker made of a ``RunEverywhere``; the body is the one blob.

    ``objects`` as in ``TaskOutcomes``.
    """

    call: int
    host: str
    worker: int
    kind: int
    objects: tuple[Extent, ...] = ()


class Answer(Message, frozen=True, kw_only=True):
    """The answer to a numbered call: ``error`` is empty, or a sentence; ``value`` plain data."""

    call: int
    error: str = ""
    value: Any = None


class Refused(Message, frozen=True, kw_only=True):
    """The only answer to the ``Spawn`` of another protocol; it too stays as it is in every one."""

    protocol: int
    version: str


class Notice(Message, frozen=True, kw_only=True):
    """A sentence that the user should see: a host went down, a host was left out."""

    text: str


ToClient = (
    GoReady
    | Slab
    | SlabGone
    | Freed
    | Status
    | Placed
    | TaskOutcomes
    | TasksCancelled
    | TaskOutput
    | EverywhereOutcome
    | Answer
    | Notice
    | Refused
)


# ---- controller -> pool -> worker -----------------------------------------------------------


class Run(Message, frozen=True, kw_only=True):
    """Run tasks ``first`` ... of a job, in order; the body is their blobs.

    ``chunk`` is unique within the controller and names this lease: whatever comes back names it.
    ``brief`` says that its tasks are short, so that a worker may be handed the next chunk early.
    ``attempt`` counts from 1 and holds for the whole chunk. ``lend`` says that the results are for
    a task on the same host: their large parts stay there (``Outcomes.lent``).
    """

    chunk: int
    job: JobId
    function: FunctionName
    first: Count
    count: Count
    attempt: int = 1
    needs: tuple[Digest, ...] = ()
    retry_on: Digest = b""
    code_version: int = 0
    brief: bool = False
    limits: Limits = Limits()
    label: str = ""
    objects: tuple[Extent, ...] = ()
    lend: bool = False


class TakeBack(Message, frozen=True, kw_only=True):
    """Give back queued chunks that no worker has, newest first, until ``count`` tasks are free."""

    count: Count


class Cancel(Message, frozen=True, kw_only=True):
    """End these chunks: the queued ones at once, the running ones however they resist."""

    chunks: tuple[int, ...]


class Refresh(Message, frozen=True, kw_only=True):
    """Replace every worker of this session; answered by ``Refreshed``."""

    call: int


class Everywhere(Message, frozen=True, kw_only=True):
    """One call on every worker, when each is free; the body is one blob ``(args, kwargs)``."""

    call: int
    function: FunctionName
    needs: tuple[Digest, ...] = ()
    code_version: int = 0
    objects: tuple[Extent, ...] = ()


class NestedOutcome(Message, frozen=True, kw_only=True):
    """What came of a call that task-side code submitted; the body is one blob.

    ``objects`` are large parts of it, which the worker holds until it says ``Release``.
    """

    worker: int
    ticket: int
    kind: int
    host: str = ""
    pid: int = 0
    objects: tuple[Extent, ...] = ()


class Drop(Message, frozen=True, kw_only=True):
    """No task will take these objects any more; answered by ``Dropped``, once nobody maps them."""

    objects: tuple[ObjectId, ...]


class Allowance(Message, frozen=True, kw_only=True):
    """How many bytes of results a worker may keep in slabs; beyond, they travel in messages.

    A value of more than ``most`` bytes cannot be sent at all.
    """

    size: Count
    most: Count


class Recycle(Message, frozen=True, kw_only=True):
    """Results that their reader has done with: the worker may use their memory again."""

    objects: tuple[ObjectId, ...]


class Want(Message, frozen=True, kw_only=True):
    """These objects lie at the other end, and are needed here.

    Of a pool: a chunk takes them, or a task that waits for a nested result. Of a controller: a pool
    wants them that does not lie on the same host.
    """

    objects: tuple[ObjectId, ...]


ToPool = (
    Code
    | Forget
    | Resident
    | Run
    | TakeBack
    | Cancel
    | Refresh
    | Everywhere
    | NestedOutcome
    | Drop
    | Want
)
ToWorker = (
    Code
    | Forget
    | Resident
    | Run
    | Everywhere
    | NestedOutcome
    | Slab
    | SlabGone
    | Allowance
    | Recycle
)


# ---- worker -> pool -> controller -----------------------------------------------------------


class Outcomes(Message, frozen=True, kw_only=True):
    """Outcomes of tasks ``first`` ... of a chunk, in the order they ran; the body is their blobs.

    ``elapsed`` is the time in seconds that running them took (unpickling, call, pickling); 0 says
    nothing, as where the function was new to the worker. ``objects`` are large parts of them,
    ``lent`` such as stay on this host until somebody wants them, and ``borrowed`` large arguments
    that were returned as they came.
    """

    chunk: int
    first: Count
    kinds: bytes
    elapsed: float = 0.0
    worker: int = 0
    objects: tuple[Extent, ...] = ()
    borrowed: tuple[Extent, ...] = ()
    lent: tuple[Extent, ...] = ()


class Output(Message, frozen=True, kw_only=True):
    """What task ``index`` of a chunk printed; the body is UTF-8."""

    chunk: int
    index: Count
    worker: int = 0
    dropped: int = 0


class GaveBack(Message, frozen=True, kw_only=True):
    """Tasks ``first`` ... of a chunk were never started and are free to run elsewhere."""

    chunk: int
    first: Count


class CancelDone(Message, frozen=True, kw_only=True):
    """A cancelled chunk is gone: tasks from ``first`` on have no outcome."""

    chunk: int
    first: Count


class WorkersChanged(Message, frozen=True, kw_only=True):
    """How many workers this session may keep busy, and how many live."""

    workers: Count
    alive: Count = 0
    why: str = ""


class Refreshed(Message, frozen=True, kw_only=True):
    """Every worker was replaced; ``interrupted`` tasks were running."""

    call: int
    workers: Count
    interrupted: Count
    seconds: float


class EverywhereDone(Message, frozen=True, kw_only=True):
    """What one worker made of an ``Everywhere``; the body is one blob. ``last`` closes the call.

    ``objects`` and ``borrowed`` as in ``Outcomes``.
    """

    call: int
    worker: int
    kind: int
    last: bool = False
    objects: tuple[Extent, ...] = ()
    borrowed: tuple[Extent, ...] = ()


class NestedSubmit(Message, frozen=True, kw_only=True):
    """Task-side code submits one call; the body is one blob ``(args, kwargs)``.

    ``worker`` is filled in by the pool, ``ticket`` numbers the calls of a worker. ``lent`` are
    large parts of the arguments, which stay on this host until somebody wants them, and
    ``borrowed`` such as the task was given itself.
    """

    ticket: int
    function: FunctionName
    needs: tuple[Digest, ...] = ()
    worker: int = 0
    chunk: int = 0
    lent: tuple[Extent, ...] = ()
    borrowed: tuple[Extent, ...] = ()


class Waiting(Message, frozen=True, kw_only=True):
    """The task in this worker waits for a nested result: its slot is free to be lent."""


class Resumed(Message, frozen=True, kw_only=True):
    """The task in this worker goes on; its slot is taken again."""


class Born(Message, frozen=True, kw_only=True):
    """A worker is ready; sent once, first."""

    pid: int


class Kept(Message, frozen=True, kw_only=True):
    """Sent before the outcome of a task: it has kept arguments that lie in these objects."""

    objects: tuple[ObjectId, ...]


class LetGo(Message, frozen=True, kw_only=True):
    """What was kept is not any more."""

    objects: tuple[ObjectId, ...]


class Dropped(Message, frozen=True, kw_only=True):
    """Nobody in this pool reads these objects any more, and they are not here any more.

    The answer to ``Drop``, and said unasked when there is no room for them beside others.
    """

    objects: tuple[ObjectId, ...]


FromWorker = (
    Born
    | Outcomes
    | Output
    | GaveBack
    | EverywhereDone
    | NestedSubmit
    | Code
    | Waiting
    | Resumed
    | Slab
    | SlabGone
    | Kept
    | LetGo
    | Release
)
FromPool = (
    Outcomes
    | Output
    | GaveBack
    | CancelDone
    | WorkersChanged
    | Refreshed
    | EverywhereDone
    | NestedSubmit
    | Code
    | Want
    | Dropped
    | Release
)


# ---- pool daemon <-> zygote, one message a SOCK_SEQPACKET datagram --------------------------


class OpenSession(Message, frozen=True, kw_only=True):
    """Fork a session zygote that listens on the one descriptor passed along.

    Empty ``directory`` and ``path`` keep the daemon's own; ``environment`` is added to it.
    """

    directory: str = ""
    path: tuple[str, ...] = ()
    environment: dict[str, str] = {}


class Fork(Message, frozen=True, kw_only=True):
    """Fork a worker. Descriptors passed along: its socket, its journal, its output file."""

    worker: int


class Kill(Message, frozen=True, kw_only=True):
    """Signal a worker, and with ``group`` all that it started. Ignored if it is gone."""

    worker: int
    signal: int
    group: bool = False


ToZygote = OpenSession | Fork | Kill


class ZygoteReady(Message, frozen=True, kw_only=True):
    """A zygote has imported what every worker needs; ``problems`` says which services failed."""

    pid: int
    services: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Forked(Message, frozen=True, kw_only=True):
    """A worker lives; from a root zygote: the zygote of the session that was opened as this one."""

    worker: int
    pid: int


SPENT = 75
"""Exit status of a worker that ends because a task bent its process for good. Whatever it had not
begun is free."""


class Exited(Message, frozen=True, kw_only=True):
    """A worker ended: exit ``status`` or ``signal``; ``peak`` is its largest memory, in bytes."""

    worker: int
    pid: int
    status: int = 0
    signal: int = 0
    peak: int = 0


FromZygote = ZygoteReady | Forked | Exited


_ENCODER = msgspec.msgpack.Encoder()

encode = _ENCODER.encode
"""The head of a frame for a message (or the bytes of a ``Loss``)."""

read_versions = msgspec.msgpack.Decoder(Versions).decode
read_to_controller = msgspec.msgpack.Decoder(ToController).decode
read_to_client = msgspec.msgpack.Decoder(ToClient).decode
read_to_pool = msgspec.msgpack.Decoder(ToPool).decode
read_from_pool = msgspec.msgpack.Decoder(FromPool).decode
read_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
read_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
read_to_zygote = msgspec.msgpack.Decoder(ToZygote).decode
read_from_zygote = msgspec.msgpack.Decoder(FromZygote).decode
read_loss = msgspec.msgpack.Decoder(Loss).decode
