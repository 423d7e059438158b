"""What a client and its controller say to each other."""

from __future__ import annotations

from typing import Any

import msgspec

from scattergather.model.ids import Digest, FunctionName, JobId, ObjectId
from scattergather.wire.messages.shared import Count, Extent, Limits, Message


class HostSpec(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One host to use: ``furl`` is empty for the embedded pool. ``workers`` 0 means all it has."""

    name: str
    furl: str = ""
    workers: int = 0
    service: str = ""

    def __repr__(self) -> str:
        """Without the FURL, which is a secret."""
        return f"HostSpec({self.name!r}, workers={self.workers}, service={self.service!r})"


class SpawnVersions(Message, frozen=True, kw_only=True, tag="Spawn"):
    """The beginning of a ``Spawn``, which stays as it is in every protocol."""

    protocol: int
    version: str


class Spawn(SpawnVersions, frozen=True, kw_only=True, tag=True):
    """The first message of a client: what to connect to, and the place that its tasks see.

    ``memory`` is how many bytes large values may take on its machine, arguments and results.
    """

    python: str
    hosts: tuple[HostSpec, ...]
    client_pid: int
    directory: str = ""
    path: tuple[str, ...] = ()
    environment: dict[str, str] = msgspec.field(default_factory=dict)
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

    ``objects`` are those that the blobs refer to (``wire.memory.stub``). The client holds each
    from its first mention on, until it says ``Release``.
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


class TasksPlaced(Message, frozen=True, kw_only=True):
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
