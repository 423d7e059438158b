"""What the tasks of a simulated job do; a task is named by its input, ``job.index``.

A nested call is named ``parent/number@attempt.worker``: so an outcome that reaches a task which did
not ask for it is seen.
"""

from __future__ import annotations

import random
import signal
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from scattergather.model.ids import ObjectId
from scattergather.wire.messages.shared import Extent, Limits

NESTED_RETRIES = 3
"""What ``messages.AddJob`` says when nobody else does."""

DEEPEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What one task does.

    ``kills`` is the signal that it ends its worker with, always. ``flaky`` is how often it raises
    what is to be retried. ``stubborn`` ignores SIGINT, ``immune`` SIGTERM too. ``runs_away`` ends
    only when somebody ends it, ``slow`` is how many seconds longer than its siblings it lasts.
    ``children`` calls are submitted and waited for.
    """

    kills: int = 0
    raises: bool = False
    flaky: int = 0
    stubborn: bool = False
    immune: bool = False
    runs_away: bool = False
    slow: float = 0.0
    memory: int = 0
    children: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Which large objects a task takes, if it keeps them for a while, and what large it returns.

    ``returns`` is ``new``, ``same`` for an argument as it came, or nothing.
    """

    takes: tuple[ObjectId, ...] = ()
    keeps: bool = False
    returns: str = ""


PLAIN = Nature()
LIGHT = Load()
MOST_OBJECTS = 5
"""As many as the tasks of a job take together."""

POISON = Nature(kills=signal.SIGSEGV)
LIMITS = Limits(time=0.5, memory=1000)


@dataclass(slots=True, kw_only=True)
class Job:
    """A job of the client; ``natures`` holds the tasks that are not plain.

    ``loads`` are the large objects of its tasks, which the client ``lets_go`` when all tasks are
    added, or holds until all have their outcomes. What is large of its results stays where it is
    made if it is to ``keep`` them. Its tasks, and what they call, run ``on`` these
    hosts only, if any are named.
    """

    number: int
    identity: bytes
    tasks: int
    retries: int
    priority: int
    limits: Limits
    stream: bool
    seconds: float
    plain: bool = False
    natures: dict[int, Nature] = field(default_factory=dict)
    objects: list[Extent] = field(default_factory=list)
    loads: dict[int, Load] = field(default_factory=dict)
    lets_go: bool = True
    keep: bool = False
    on: tuple[str, ...] = ()

    def blob(self, index: int) -> bytes:
        return b"%d.%d" % (self.number, index)


class Workload:
    """All jobs of a run."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.hosts: list[str] = []
        self.jobs: list[Job] = []
        self._by_identity: dict[bytes, Job] = {}
        self._nested: dict[bytes, Load] = {}
        self.nested_seconds = chance.choice((2e-3, 0.3))

    def new_job(self, tasks: int, *, plain: bool = False, retries: int | None = None) -> Job:
        """Make up a job."""
        chance, number = self._chance, len(self.jobs)
        limited = not plain and chance.random() < 0.2
        job = Job(
            number=number,
            identity=number.to_bytes(16, "big"),
            tasks=tasks,
            retries=chance.choice((0, 1, 3, 10)) if retries is None else retries,
            priority=chance.randrange(3),
            limits=LIMITS if limited else Limits(),
            stream=chance.random() < 0.3,
            seconds=chance.choice((1e-5, 1e-3, 0.01, 0.2)),
            plain=plain,
        )
        if not plain and chance.random() < 0.3:
            count = chance.randrange(1, 3)
            job.on = tuple(chance.sample(self.hosts, min(count, len(self.hosts))))
        if not plain:
            self._give_natures(job)
        self.jobs.append(job)
        self._by_identity[job.identity] = job
        return job

    def _give_natures(self, job: Job) -> None:
        chance = self._chance
        natures = [
            POISON,
            Nature(raises=True),
            Nature(flaky=chance.randrange(1, 4)),
            Nature(children=chance.randrange(1, 4)),
            Nature(children=1),
            Nature(slow=1.0),
        ]
        if job.limits != Limits():
            natures += [
                Nature(runs_away=True, stubborn=True, immune=True),
                Nature(runs_away=True, memory=2000),
                Nature(runs_away=True, memory=2000, stubborn=True),
            ]
        else:
            natures += [
                Nature(stubborn=True, slow=4.0),
                Nature(stubborn=True, immune=True, slow=4.0),
            ]
        share = chance.choice((0.0, 0.03, 0.15))
        for index in range(job.tasks):
            if chance.random() < share:
                job.natures[index] = chance.choice(natures)

    def furnish(self, job: Job, objects: list[Extent], share: float) -> None:
        """Let this share of the tasks take some of these objects, or return large results."""
        chance, job.objects = self._chance, objects
        names = [extent.object for extent in objects]
        for index in range(job.tasks):
            if chance.random() < share:
                takes = tuple(chance.sample(names, chance.randrange(len(names) + 1)))
                returns = chance.choice(("", "new", "same" if takes else ""))
                job.loads[index] = Load(takes=takes, keeps=chance.random() < 0.2, returns=returns)

    def load(self, task: bytes) -> Load:
        """The large objects of a task."""
        job = self.job_of(task)
        if job is None:
            return self._nested.get(task, LIGHT)
        return job.loads.get(int(task.partition(b".")[2]), LIGHT)

    def furnish_nested(self, task: bytes, objects: Iterable[Extent]) -> None:
        """A nested call takes these, and may return something large."""
        takes = tuple(extent.object for extent in objects)
        returns = self._chance.choice(("", "new", "same" if takes else ""))
        self._nested[task] = Load(takes=takes, keeps=self._chance.random() < 0.2, returns=returns)

    def taken(self, job: bytes, first: int, stop: int) -> set[ObjectId]:
        """What these tasks of a job take."""
        known = self._by_identity.get(job)
        if known is None or not known.loads:
            return set()
        loads = (known.loads.get(index, LIGHT) for index in range(first, stop))
        return {name for load in loads for name in load.takes}

    def job_of(self, task: bytes) -> Job | None:
        """The client's job that a task is of; None for a nested call."""
        return None if b"/" in task else self.jobs[int(task.partition(b".")[0])]

    def bound_to(self, task: bytes) -> tuple[str, ...]:
        """The hosts that a task may run on, or the task that has called it; none if any may."""
        return self.jobs[int(task.partition(b".")[0])].on

    def nature(self, task: bytes) -> Nature:
        """What a task does."""
        job = self.job_of(task)
        if job is not None:
            return job.natures.get(int(task.partition(b".")[2]), PLAIN)
        lot = zlib.crc32(task) % 16
        if lot == 0:
            return POISON
        if lot == 1:
            return Nature(raises=True)
        if lot == 2 and task.count(b"/") < DEEPEST:
            return Nature(children=1)
        return PLAIN

    def retries(self, task: bytes) -> int:
        """How often a task may run again."""
        job = self.job_of(task)
        return NESTED_RETRIES if job is None else job.retries

    def seconds(self, job: bytes) -> float:
        """How long a task of a job takes."""
        known = self._by_identity.get(job)
        return (
            self.nested_seconds if known is None else known.seconds * (0.5 + self._chance.random())
        )

    def memory(self, task: bytes) -> int:
        """What a task holds."""
        return self.nature(task).memory

    def children(self, task: bytes, attempt: int, pid: int) -> list[bytes]:
        """The calls that a task submits."""
        count = self.nature(task).children
        return [b"%s/%d@%d.%d" % (task, number, attempt, pid) for number in range(count)]

    def result(self, task: bytes, kind: int) -> bytes:
        """The blob of an outcome; it names its task."""
        return b"%d=%s" % (kind, task)
