"""A tenant: one controller's part of a pool.

Several controllers may share the slots of a host, and nothing else. Each tenant has a queue, code,
large objects and worker processes of its own, so that one never sees or ends what is another's. Its
number is that of the controller's session with this host.

What a tenant makes the pool hold is weighed, and bounded: a stranger's chunks, code and names must
not take the memory that others need.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sized
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.pool import Everywhere, NestedOutcome, Run
from scattergather.wire.messages.shared import Code, Resident
from scattergather.wire.needs import needs_first
from scattergather.workers.pool.losses.restarts import Restarts
from scattergather.workers.pool.worker import PoolWorker


class Breach(Exception):
    """A session does what none may, or has more here than one may; the sentence says what."""


APIECE = 1 << 10
"""Bytes that a message is taken to hold beside its body, so that a flood of tiny ones counts."""

A_NAME = 1 << 9
"""Bytes that each name in it is taken to hold."""


def weight(body: bytes | str, names: Sized = (), text: str = "") -> int:
    """About how many bytes a message takes that is kept here."""
    return APIECE + len(body) + A_NAME * len(names) + len(text)


def weight_of(message: Everywhere | NestedOutcome, body: bytes) -> int:
    """About how many bytes such a message takes that is kept here."""
    if isinstance(message, Everywhere):
        return weight(body, (*message.needs, *message.objects), message.function)
    return weight(body, message.objects, message.host)


class Queued(Struct):
    """A chunk that no worker has yet, its ``weight``, and what it takes that is not here yet."""

    run: Run
    body: bytes
    weight: int
    missing: set[ObjectId] = msgspec.field(default_factory=set)


@dataclass(slots=True)
class Postponed:
    """A call everywhere, or the outcome of a nested call, and what it takes that is not here."""

    message: Everywhere | NestedOutcome
    body: bytes
    missing: set[ObjectId]


@dataclass(slots=True)
class Renewal:
    """A refresh under way: the new workers that are not ready yet, and what it took so far."""

    call: int
    waiting: set[int]
    begun: float
    interrupted: int


@dataclass(slots=True)
class RollCall:
    """A call everywhere under way: which workers have not answered."""

    message: Everywhere
    body: bytes
    waiting: set[int]


@dataclass(slots=True)
class Tenant:
    """One controller's queue, code, large objects and workers.

    ``limit`` is how many workers it may keep busy, ``running`` how many slots it holds.
    ``queue`` holds the chunks that are ready, ``waiting`` those that large objects are missing for,
    ``postponed`` the calls everywhere and the results of nested calls that are.
    ``here`` came from another host, what was taken last at its end; ``wanted`` is on its way.
    ``kept`` are the workers that keep an object, ``dropping`` what the controller needs no more.
    ``ahead`` are the workers that hold a chunk behind another which can be taken back.
    ``pressed`` says that room is wanted and that nothing could be dropped so far; because of what
    others do it is tried again at ``next_try``. While ``clogged`` no further chunk is handed out:
    too much waits for the controller already.
    While ``restarts`` makes a pause no worker is forked, and then one, until one lives.
    ``hungry_since`` is when it first had a chunk and no slot. ``held`` is about how many bytes its
    messages take here that are kept, ``most`` how many they may. ``last`` is the highest number of
    a chunk so far.
    """

    number: int
    limit: int
    most: int
    queue: OrderedDict[int, Queued] = field(default_factory=OrderedDict)
    waiting: OrderedDict[int, Queued] = field(default_factory=OrderedDict)
    kept: dict[ObjectId, set[int]] = field(default_factory=dict)
    postponed: list[Postponed] = field(default_factory=list)
    here: OrderedDict[ObjectId, None] = field(default_factory=OrderedDict)
    wanted: set[ObjectId] = field(default_factory=set)
    dropping: set[ObjectId] = field(default_factory=set)
    pressed: bool = False
    next_try: float = 0.0
    clogged: bool = False
    code: dict[bytes, tuple[Code, bytes]] = field(default_factory=dict)
    residents: list[Resident] = field(default_factory=list)
    workers: dict[int, PoolWorker] = field(default_factory=dict)
    idle: OrderedDict[int, PoolWorker] = field(default_factory=OrderedDict)
    ahead: OrderedDict[int, PoolWorker] = field(default_factory=OrderedDict)
    running: int = 0
    refresh: Renewal | None = None
    everywhere: dict[int, RollCall] = field(default_factory=dict)
    restarts: Restarts = field(default_factory=Restarts)
    hungry_since: float | None = None
    held: int = 0
    last: int = -1

    def hold(self, weight: int) -> int:
        """A message of this weight is kept here from now on; returns it.

        Raises:
            Breach: the tenant has more here than it may.
        """
        why = self.refusal(weight)
        self.held += weight
        if why:
            raise Breach(why)
        return weight

    def refusal(self, weight: int) -> str:
        """Why a message of this weight cannot be here beside the others; empty if it can."""
        if self.held + weight <= self.most:
            return ""
        return (
            f"what it has sent and what waits here takes more than {self.most:,} bytes, the "
            "most that one session may have in a pool"
        )

    @property
    def blocked(self) -> int:
        """How many workers wait for nested results."""
        return sum(worker.blocked and worker.doom is None for worker in self.workers.values())

    @property
    def alive(self) -> int:
        """How many workers live or are being forked, the doomed not counted."""
        return sum(worker.doom is None for worker in self.workers.values())

    @property
    def unborn(self) -> int:
        """How many workers are being forked."""
        return sum(not worker.born and worker.doom is None for worker in self.workers.values())

    def unqueue(self, chunk: int) -> Queued | None:
        """Take a chunk that no worker has out of the queue."""
        found = self.queue.pop(chunk, None) or self.waiting.pop(chunk, None)
        if found is not None:
            self.held -= found.weight
        return found

    def unqueue_last(self) -> tuple[int, Queued]:
        """Take the chunk out that will be ready last.

        Raises:
            KeyError: there is none.
        """
        chunk, found = (self.waiting or self.queue).popitem()
        self.held -= found.weight
        return chunk, found

    def keep_code(self, code: Code, blob: bytes) -> None:
        """Code is here for the workers, in place of an older blob of that digest.

        Raises:
            Breach: the tenant has more here than it may.
        """
        self.forget_code(code.digest)
        self.code[code.digest] = code, blob
        self.hold(weight(blob, code.needs))

    def forget_code(self, digest: bytes) -> None:
        """Code is not here any more."""
        kept = self.code.pop(digest, None)
        if kept is not None:
            self.held -= weight(kept[1], kept[0].needs)

    def missing(self, digest: bytes, known: set[bytes]) -> list[bytes]:
        """What a worker that knows ``known`` lacks of a digest and its needs, needs first."""
        return needs_first((digest,), self._needs_of, known)

    def _needs_of(self, digest: bytes) -> tuple[bytes, ...] | None:
        kept = self.code.get(digest)
        return None if kept is None else kept[0].needs
