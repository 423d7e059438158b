"""What a controller says to a pool, a pool to its workers, and what comes back."""

from __future__ import annotations

from scattergather.model.ids import FunctionName, JobId
from scattergather.wire.messages.shared import (
    Amount,
    ChunkKinds,
    Chunks,
    ChunkTasks,
    Count,
    Digests,
    Extents,
    KindByte,
    Limits,
    MaybeId,
    Message,
    ObjectIds,
    Pid,
    Sentence,
    Slots,
    Workers,
)


class Run(Message, frozen=True, kw_only=True):
    """Run tasks ``first`` ... of a job, in order; the body is their blobs.

    ``chunk`` is unique within the controller and names this lease: whatever comes back names it.
    ``ahead`` says that its tasks are short enough for a worker to hold it behind another chunk.
    ``attempt`` counts from 1 and holds for the whole chunk. ``keep_children`` says that processes
    which its tasks leave stay in the worker. ``lend`` says that the results are for
    a task on the same host: their large parts stay there (``Outcomes.lent``), and ``keep`` that
    whatever is large of them does. Of its ``objects`` those of ``away`` lie on hosts only: what is
    returned of one must be made anew.
    """

    chunk: Count
    job: JobId
    function: FunctionName
    first: Count
    count: ChunkTasks
    attempt: Count = 1
    needs: Digests = ()
    retry_on: MaybeId = b""
    code_version: Count = 0
    ahead: bool = False
    limits: Limits = Limits()
    label: str = ""
    objects: Extents = ()
    lend: bool = False
    keep_children: bool = False
    keep: bool = False
    away: ObjectIds = ()


class TakeBack(Message, frozen=True, kw_only=True):
    """Give back queued chunks that no worker has, newest first, until ``count`` tasks are free.

    Any of them, or some of ``chunks``: others may run on no other host.
    """

    count: Count
    chunks: Chunks = ()


class Cancel(Message, frozen=True, kw_only=True):
    """End these chunks: the queued ones at once, the running ones however they resist."""

    chunks: Chunks


class Refresh(Message, frozen=True, kw_only=True):
    """Replace every worker of this session; answered by ``RefreshDone``."""

    call: Count


class Resize(Message, frozen=True, kw_only=True):
    """The session may keep ``workers`` busy from now on, 0: all that the pool has.

    Workers that are too many end when they are idle.
    """

    workers: Workers


class Leave(Message, frozen=True, kw_only=True):
    """The session is about to end: its workers end as by a ``Refresh``, and none is forked again.

    What they had not begun, and what is queued, is given back.
    """


class Everywhere(Message, frozen=True, kw_only=True):
    """One call on every worker, when each is free; the body is one blob ``(args, kwargs)``.

    Of its ``objects`` those of ``away`` lie on hosts only, as in ``Run``.
    """

    call: Count
    function: FunctionName
    needs: Digests = ()
    code_version: Count = 0
    objects: Extents = ()
    away: ObjectIds = ()


class NestedOutcome(Message, frozen=True, kw_only=True):
    """What came of a call that task-side code submitted; the body is one blob.

    ``objects`` are large parts of it, which the worker holds until it says ``Release``.
    """

    worker: Count
    ticket: Count
    kind: KindByte
    host: str = ""
    pid: Pid = 0
    objects: Extents = ()


class Drop(Message, frozen=True, kw_only=True):
    """No task will take these objects any more; answered by ``Dropped``, once nobody maps them."""

    objects: ObjectIds


class Allowance(Message, frozen=True, kw_only=True):
    """How many bytes of results a worker may keep in slabs; beyond, they travel in messages.

    A value of more than ``most`` bytes cannot be sent at all. What stays where it is may take
    ``disk`` bytes of files; None: what the disk has to spare.
    """

    size: Count
    most: Count
    disk: Count | None = None


class Recycle(Message, frozen=True, kw_only=True):
    """Results that their reader has done with: the worker may use their memory again."""

    objects: ObjectIds


class Want(Message, frozen=True, kw_only=True):
    """These objects lie at the other end, and are needed here.

    Of a pool: a chunk takes them, or a task that waits for a nested result. Of a controller: a pool
    wants them that does not lie on the same host.
    """

    objects: ObjectIds


class Outcomes(Message, frozen=True, kw_only=True):
    """Outcomes of tasks ``first`` ... of a chunk, in the order they ran; the body is their blobs.

    ``elapsed`` is the time in seconds that running them took (unpickling, call, pickling); 0 says
    nothing, as where the function was new to the worker. ``objects`` are large parts of them,
    ``lent`` such as stay on this host until somebody wants them, and ``borrowed`` large arguments
    that were returned as they came. To load what was kept one needs the code of ``needs``.
    """

    chunk: Count
    first: Count
    kinds: ChunkKinds
    elapsed: Amount = 0.0
    worker: Pid = 0
    objects: Extents = ()
    borrowed: Extents = ()
    lent: Extents = ()
    needs: Digests = ()


class Output(Message, frozen=True, kw_only=True):
    """What task ``index`` of a chunk printed; the body is UTF-8, unless the task printed otherwise.

    It begins behind ``start`` bytes of the task's output; ``dropped`` bytes before it are missing.
    With ``display`` it is something that the task displayed; the body is a bundle in msgpack.
    """

    chunk: Count
    index: Count
    worker: Pid = 0
    dropped: Count = 0
    display: bool = False
    start: Count = 0


class GaveBack(Message, frozen=True, kw_only=True):
    """Tasks ``first`` ... of a chunk were never started and are free to run elsewhere."""

    chunk: Count
    first: Count


class CancelDone(Message, frozen=True, kw_only=True):
    """A cancelled chunk is gone: tasks from ``first`` on have no outcome."""

    chunk: Count
    first: Count


class WorkersChanged(Message, frozen=True, kw_only=True):
    """How many workers this session may keep busy now, and how many of its own are alive.

    ``why`` says why there are fewer than there should be, or is empty.
    """

    workers: Slots
    alive: Slots = 0
    why: Sentence = ""


class Vitals(Message, frozen=True, kw_only=True):
    """How the machine is: its ``load``, and bytes of ``memory`` and ``disk`` that are free.

    ``disk`` is where temporary files go. Said a few seconds at most after a change.
    """

    load: Amount = 0.0
    memory: Count = 0
    disk: Count = 0


class RefreshDone(Message, frozen=True, kw_only=True):
    """Every worker was replaced; ``interrupted`` tasks were running."""

    call: Count
    workers: Slots
    interrupted: Count
    seconds: Amount


class EverywhereDone(Message, frozen=True, kw_only=True):
    """What one worker made of an ``Everywhere``; the body is one blob. ``last`` closes the call.

    ``objects`` are large parts of it, and ``borrowed`` large arguments that were returned as they
    came; ``printed`` is what the call printed.
    """

    call: Count
    worker: Pid
    kind: KindByte
    last: bool = False
    objects: Extents = ()
    borrowed: Extents = ()
    printed: str = ""


class NestedSubmit(Message, frozen=True, kw_only=True):
    """Task-side code submits one call; the body is one blob ``(args, kwargs)``.

    ``worker`` is filled in by the pool, ``ticket`` numbers the calls of a worker, ``index`` is the
    task of the chunk that submits. ``lent`` are large parts of the arguments, which stay on this
    host until somebody wants them, and ``borrowed`` such as the task was given itself.
    """

    ticket: Count
    function: FunctionName
    needs: Digests = ()
    worker: Count = 0
    chunk: Count = 0
    index: Count = 0
    lent: Extents = ()
    borrowed: Extents = ()


class Waiting(Message, frozen=True, kw_only=True):
    """The task in this worker waits for a nested result: its slot is free to be lent."""


class Resumed(Message, frozen=True, kw_only=True):
    """The task in this worker goes on; its slot is taken again."""


class Born(Message, frozen=True, kw_only=True):
    """A worker is ready; sent once, first."""

    pid: Pid


class Kept(Message, frozen=True, kw_only=True):
    """A task has kept arguments that lie in these objects; sent before its outcome."""

    objects: ObjectIds


class LetGo(Message, frozen=True, kw_only=True):
    """The worker keeps no more arguments that lie in these objects."""

    objects: ObjectIds


class Dropped(Message, frozen=True, kw_only=True):
    """Nobody in this pool reads these objects any more, and they are not here any more.

    The answer to ``Drop``, and said unasked when there is no room for them beside others.
    """

    objects: ObjectIds
