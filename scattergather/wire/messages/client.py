"""What a client and its controller say to each other."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import msgspec

from scattergather.model.ids import Digest, FunctionName, JobId, ObjectId
from scattergather.model.placement import Placement
from scattergather.model.snapshot import HostPhase
from scattergather.wire.messages.shared import (
    Amount,
    Blobs,
    Count,
    Extent,
    HashSeed,
    KindByte,
    Kinds,
    Limits,
    Loss,
    MaybeId,
    Message,
    Pid,
    TaskPlace,
    Workers,
)


class EmbeddedSpec(Message, frozen=True, kw_only=True):
    """The pool that the controller has in its own process; ``workers`` 0 means one a core."""

    name: str
    workers: Workers = 0


class RemoteSpec(Message, frozen=True, kw_only=True):
    """A pool that a daemon keeps; ``workers`` 0 means all that it has.

    ``service`` is what a job calls there that names no function, or empty.
    """

    name: str
    furl: str
    workers: Workers = 0
    service: str = ""

    def __repr__(self) -> str:
        """Without the FURL, which is a secret."""
        return f"RemoteSpec({self.name!r}, workers={self.workers}, service={self.service!r})"


HostSpec = EmbeddedSpec | RemoteSpec
"""One host to use."""


class SpawnVersions(Message, frozen=True, kw_only=True, tag="Spawn"):
    """The beginning of a ``Spawn``, which stays as it is in every protocol."""

    protocol: int
    version: str


class Spawn(SpawnVersions, frozen=True, kw_only=True, tag=True):
    """The first message of a client: what to connect to, and the place that its tasks see.

    ``place`` is for the embedded pool; ``hash_seed`` is the client's where it is known.
    ``memory`` is how many bytes large values may take on the client's machine, arguments and
    results, and ``scratch`` the folder for files without a name there, if not the usual one.
    """

    python: str
    hosts: tuple[HostSpec, ...]
    client_pid: int
    place: TaskPlace = TaskPlace()
    hash_seed: HashSeed | None = None
    memory: Count = 0
    scratch: bytes = b""


class AddJob(Message, frozen=True, kw_only=True):
    """A job begins. Its tasks come in ``AddTasks``, until ``EndTasks`` says how many there are.

    ``name`` is what the user calls it. ``needs`` are the digests that ``function`` refers to,
    ``retry_on`` is that of the exceptions after which a task runs again, or empty, and
    ``code_version`` the last ``Resident`` that it sees. A task runs ``retries`` times more at most,
    within ``limits`` each time, where ``placement`` allows; tasks of a higher ``priority`` go
    first. ``stream`` marks the open job behind the calls that a user submits: its tasks are
    independent, and their start is reported. With ``keep_children`` processes that a task leaves
    stay in its worker. With ``keep`` what is large of its results stays where it was made
    (``TaskOutcomes.kept``).
    """

    job: JobId
    name: str
    function: FunctionName
    needs: tuple[Digest, ...] = ()
    retry_on: MaybeId = b""
    priority: int = 0
    retries: Annotated[int, msgspec.Meta(ge=0, le=sys.maxsize)] = 3
    limits: Limits = Limits()
    code_version: Count = 0
    stream: bool = False
    placement: Placement = Placement()
    keep_children: bool = False
    keep: bool = False


class AddTasks(Message, frozen=True, kw_only=True):
    """Tasks ``first`` ... ``first + count - 1`` of a job; the body is their blobs.

    ``objects`` are those that the blobs refer to (``wire.memory.stub``). The client holds each
    from its first mention on, until it says ``Release``. If the controller does not know the job,
    each of the tasks is answered by a loss; a client that has forgotten the job drops it.
    """

    job: JobId
    first: Count
    count: Blobs
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

    Answered by ``Answer`` with ``TasksDropped``.
    """

    call: Count
    job: JobId
    first: Count
    count: Count


class ForgetJob(Message, frozen=True, kw_only=True):
    """The client needs nothing more of a job; what of it is not finished is cancelled."""

    job: JobId


CommandWord = Literal["refresh", "die", "status"]
"""Replace every worker; end the controller and its own workers; say what is going on."""


class Command(Message, frozen=True, kw_only=True):
    """What the user tells the controller; ``place`` is what tasks are to see after a refresh.

    Answered by ``Answer``: of a refresh with ``HostsAnswered``, else with ``Done``.
    """

    call: Count
    word: CommandWord
    place: TaskPlace = TaskPlace()


class RunEverywhere(Message, frozen=True, kw_only=True):
    """One call on every worker, or every one ``on`` these hosts, once all of those are up.

    The body is one blob ``(args, kwargs)``.

    ``needs`` are the digests that ``function`` and the blob refer to, ``objects`` the large parts
    of the blob, ``code_version`` is the last ``Resident`` that the call sees. Answered by as many
    ``EverywhereOutcome`` as there are workers, then by ``Answer`` with ``HostsAnswered``.
    """

    call: Count
    function: FunctionName
    needs: tuple[Digest, ...] = ()
    code_version: Count = 0
    objects: tuple[Extent, ...] = ()
    on: tuple[str, ...] = ()


class AddHost(Message, frozen=True, kw_only=True):
    """One host more is to be used; ``place`` is what its tasks see if it is the embedded pool.

    Answered by ``Answer`` with ``Done`` at once; the host joins when it answers.
    """

    call: Count
    spec: HostSpec
    place: TaskPlace = TaskPlace()


class DropHost(Message, frozen=True, kw_only=True):
    """The host of this ``name`` is to be left, once what runs there is through.

    It gets nothing more, and gives back what it has not begun. With ``now`` its workers end at
    once, as by a refresh. Answered by ``Answer`` with ``Done`` at once.
    """

    call: Count
    name: str
    now: bool = False


class ResizeHost(Message, frozen=True, kw_only=True):
    """The host of this ``name`` is to work for this client with so many workers.

    Answered by ``Answer`` with ``Done`` at once; workers that are too many end when they are idle.
    """

    call: Count
    name: str
    workers: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]


class HostState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is known of one host; ``why`` says why it is down.

    ``workers`` of the ``most`` that it has work for this client, ``busy`` of them do; ``queued``
    counts chunks that wait there, ``done`` tasks that came back. It runs ``python``, and
    ``version`` of ours. ``round_trip`` is in seconds; ``memory`` are the bytes of large values
    there. ``load`` is the average number of processes that ran there, on ``cpus`` processors;
    ``free_memory`` and ``free_disk`` are in bytes, and so are ``sent`` to it and ``received``.
    ``jobs`` are names of some whose tasks its workers run. It does not reach the hosts that it is
    ``apart`` from. Those of its ``services`` are ``chosen`` that whoever started the pool named.
    """

    name: str
    state: HostPhase
    workers: Workers = 0
    busy: Count = 0
    queued: Count = 0
    done: Count = 0
    python: str = ""
    version: str = ""
    services: tuple[str, ...] = ()
    why: str = ""
    round_trip: float = 0.0
    memory: int = 0
    chosen: tuple[str, ...] = ()
    most: Workers = 0
    platform: str = ""
    cpus: Workers = 0
    load: Amount = 0.0
    free_memory: Count = 0
    free_disk: Count = 0
    sent: Count = 0
    received: Count = 0
    jobs: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


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

    ``rerun`` counts tasks that had to be run again because something died under them, ``held`` the
    bytes of inputs that are kept for retries. ``uptime`` are the controller's seconds so far.
    """

    hosts: tuple[HostState, ...]
    jobs: tuple[JobState, ...]
    controller_pid: int
    uptime: float = 0.0
    rerun: int = 0
    held: int = 0


class TasksPlaced(Message, frozen=True, kw_only=True):
    """Tasks of a stream job went to a pool: their futures are running and cannot be cancelled."""

    job: JobId
    first: Count
    count: Count


class TaskOutcomes(Message, frozen=True, kw_only=True):
    """Final outcomes of tasks ``first`` ...; the body is their blobs.

    ``kinds`` is one ``outcome.Kind`` byte a task; ``host`` and ``worker`` (process id) say where
    they ran. ``objects`` are large parts of the outcomes, which the client holds until it says
    ``Release``: among them may be some of its own, which it then holds once more. ``kept`` are such
    as stayed where they were made; to load them one needs the code of the digests ``needs``.
    """

    job: JobId
    first: Count
    kinds: Kinds
    host: str = ""
    worker: Pid = 0
    attempt: Count = 1
    objects: tuple[Extent, ...] = ()
    kept: tuple[Extent, ...] = ()
    needs: tuple[Digest, ...] = ()


class Bring(Message, frozen=True, kw_only=True):
    """The client wants to read this object, which it holds and does not have.

    Answered by ``Answer`` with ``Brought``, or with ``Missed`` where it cannot be had.
    """

    call: Count
    object: ObjectId


class MakeRoom(Message, frozen=True, kw_only=True):
    """The client lacks room for so many bytes.

    What of its own is held only so that results can be made again is held no more.
    """

    size: Count


class Freed(Message, frozen=True, kw_only=True):
    """Nobody reads these objects of the client any more: their memory is his again."""

    objects: tuple[ObjectId, ...]


class TasksCancelled(Message, frozen=True, kw_only=True):
    """Tasks ``[first, first + count)`` will have no other outcome."""

    job: JobId
    first: Count
    count: Count


class TaskOutput(Message, frozen=True, kw_only=True):
    """What a task printed, sent before its outcome; the body is UTF-8, unless the task's is not.

    ``dropped`` counts bytes that are missing at its beginning. With ``display`` it is something
    that the task displayed; the body is a bundle in msgpack.
    """

    job: JobId
    index: Count
    host: str = ""
    worker: Pid = 0
    dropped: Count = 0
    display: bool = False


class EverywhereOutcome(Message, frozen=True, kw_only=True):
    """What one worker made of a ``RunEverywhere``; the body is the one blob.

    ``objects`` are large parts of it, which the client holds until it says ``Release``;
    ``printed`` is what the call printed there.
    """

    call: Count
    host: str
    worker: Pid
    kind: KindByte
    objects: tuple[Extent, ...] = ()
    printed: str = ""


class Done(Message, frozen=True, kw_only=True):
    """What was asked for is done, and there is nothing to tell of it."""


class Declined(Message, frozen=True, kw_only=True):
    """What was asked for cannot be done; ``why`` is a sentence for the user."""

    why: str


class TasksDropped(Message, frozen=True, kw_only=True):
    """Which tasks a ``CancelTasks`` has dropped: pairs of the first and how many."""

    ranges: tuple[tuple[Count, Count], ...] = ()


class Brought(Message, frozen=True, kw_only=True):
    """The object is here, in a slab that the client has; it is held once more."""

    extent: Extent


class Missed(Message, frozen=True, kw_only=True):
    """The object that was to be brought is not to be had."""

    loss: Loss


class HostsAnswered(Message, frozen=True, kw_only=True):
    """What all hosts together said to a refresh, or to a call on every worker.

    ``workers`` were replaced or called, ``interrupted`` tasks were running, ``seconds`` the slowest
    host took; ``problems`` names hosts that were lost meanwhile.
    """

    workers: Count = 0
    interrupted: Count = 0
    seconds: Amount = 0.0
    problems: tuple[str, ...] = ()


class Answer(Message, frozen=True, kw_only=True):
    """The answer to the call that the client has numbered ``call``."""

    call: Count
    value: Done | Declined | TasksDropped | HostsAnswered | Brought | Missed = Done()


class Refused(Message, frozen=True, kw_only=True):
    """The only answer to the ``Spawn`` of another protocol; it too stays as it is in every one."""

    protocol: int
    version: str


class Notice(Message, frozen=True, kw_only=True):
    """A sentence that the user should see: a host went down, a host was left out."""

    text: str
