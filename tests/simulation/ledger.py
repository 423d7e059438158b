"""What really happened, beside what the deciders believe; whatever does not fit is a failure.

Tasks are named by their inputs (see ``workload``). The ledger knows which process is in which task,
how often each began, and what it may be charged for:

- a death of a worker that was in it, or that had it as the first of a chunk and had begun nothing
  of that, unless a refresh took the worker;
- the loss of a host that held it;
- an exception that is to be retried.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any

from scattergather.model.outcome import Kind
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Limits

if TYPE_CHECKING:
    from tests.simulation.large import Memory
    from tests.simulation.process import Process
    from tests.simulation.world import World

NOTES = 40
"""How many of the last notes a failure shows."""


class Broken(AssertionError):
    """An invariant does not hold."""


class Ledger:
    """The facts of one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.workload = world.workload
        self.large: Memory
        self.failures: list[Exception] = []
        self.notes: deque[str] = deque(maxlen=NOTES)
        self.digest = 0
        self.begun: Counter[bytes] = Counter()
        self.charges: Counter[bytes] = Counter()
        self.spared: Counter[bytes] = Counter()
        self.deaths: Counter[bytes] = Counter()
        self.kills = 0
        self._running: defaultdict[bytes, dict[int, int]] = defaultdict(dict)
        self._pids = 1000

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    def fail(self, error: Exception) -> None:
        """Remember a failure; the world stops at it."""
        self.failures.append(error)

    def check(self, truth: Any, text: str) -> None:
        """Note that the invariant ``text`` is broken, unless ``truth``."""
        if not truth:
            self.fail(Broken(text))

    def stop(self) -> None:
        """Raise the first failure, with the last notes, if there is one."""
        if self.failures:
            self.failures[0].add_note("\n".join(self.notes))
            raise self.failures[0]

    def note(self, *what: Any) -> None:
        """Write a line of the run's history; its digest tells whether two runs are the same."""
        line = f"{self.world.clock.now:.6f} " + " ".join(map(str, what))
        self.digest = zlib.crc32(line.encode(), self.digest)
        self.notes.append(line)

    # ---- what processes do ----

    def started(self, process: Process, run: messages.Run) -> None:
        """A process begins a task."""
        task, attempt, chunk = process.task, run.attempt, run.chunk
        self.note("begin", task, "attempt", attempt, "chunk", chunk, "worker", process.pid)
        if on := self.workload.bound_to(task):
            self.check(process.host in on, f"{task!r}, bound to {on}, runs on {process.host}")
        self.check(
            attempt - 1 <= self.charges[task],
            f"{task!r} is at attempt {attempt}, but may be charged {self.charges[task]} times only",
        )
        retries = self.workload.retries(task)
        self.begun[task] += 1
        self.check(
            self.begun[task] - self.spared[task] <= retries + 1,
            f"{task!r} began {self.begun[task]} times; {retries} retries are allowed",
        )
        live = self.world.scheduler.lives
        others = self._running[task]
        if others and live(chunk):
            self.check(
                all(not live(other) for other in others.values()),
                f"{task!r} runs under two live leases: {chunk} and {others}",
            )
        others[process.pid] = chunk

    def stopped(self, process: Process, kind: Kind) -> None:
        """A process is out of a task."""
        task = process.task
        self._running[task].pop(process.pid, None)
        if kind == Kind.RETRYABLE:
            self.charges[task] += 1

    def died(self, process: Process) -> None:
        """A process is dead, in whatever task it was."""
        self.note("death of", process.pid)
        if process.in_task:
            task = process.task
            self._running[task].pop(process.pid, None)
            self.deaths[task] += 1

    def buried(self, process: Process) -> None:
        """The service knows of the death: somebody is charged for it, or nobody."""
        if process.in_task:
            tally = self.spared if process.refreshed else self.charges
            tally[process.task] += 1
        elif process.held and not process.refreshed:
            run, first = next(iter(process.held.values()))
            if process.chunk != run.chunk or process.index == run.first:
                self.charges[first] += 1

    # ---- what deciders do ----

    def host_lost(self, tasks: list[bytes]) -> None:
        """A host is given up: nobody can say which of its tasks had begun."""
        self.charges.update(tasks)

    def loss(self, task: bytes, attempt: int, body: bytes) -> None:
        """A loss was delivered for good."""
        loss, retries = messages.read_loss(body), self.workload.retries(task)
        self.note("loss", task, loss.kind, loss.attempt)
        self.check(attempt == loss.attempt, f"{task!r}: attempt {attempt}, its loss says otherwise")
        self.check(
            loss.attempts == retries + 1, f"{task!r} could be tried {retries + 1} times: {loss}"
        )
        self.check(loss.host, f"nobody says where {task!r} was lost: {loss}")
        if loss.kind in ("TimeLimitExceeded", "MemoryLimitExceeded"):  # and would exceed it again
            job = self.workload.job_of(task)
            limits = job.limits if job is not None else Limits()
            self.check(limits != Limits(), f"{task!r} has no limit: {loss}")
            memory = self.workload.memory(task)
            self.check(loss.kind[0] == "T" or memory > loss.limit, f"{task!r} is small: {loss}")
            return
        if loss.kind == "RefLost":
            job = self.workload.job_of(task)
            taken = () if job is None else job.objects
            kept = [each for each in taken if each.object not in self.large.ever_lent]
            self.check(kept, f"{task!r} takes nothing that was kept: {loss}")
            return
        if loss.kind == "HostLost" and "c.hosts.drop" in loss.reason:  # charged to nobody
            on = self.workload.bound_to(task)
            self.check(on and loss.host == ", ".join(on), f"{task!r} is bound to {on}: {loss}")
            return
        if loss.kind == "TaskLost":  # by a refresh: free, but for what may not run twice
            self.check(retries == 0, f"{task!r} is lost to a refresh: {loss}")
            return
        if loss.kind in ("TimeLimitExceeded", "MemoryLimitExceeded"):  # it would do so again
            self.check(self.workload.nature(task).runs_away, f"{task!r} exceeds no limit: {loss}")
            return
        self.check(
            loss.attempt == retries + 1 <= self.charges[task],
            f"{task!r} is lost at attempt {loss.attempt} of {retries + 1}, "
            f"charged {self.charges[task]} times: {loss}",
        )

    def outcome(self, task: bytes, kind: int, attempt: int, body: bytes) -> None:
        """An outcome was delivered for good, to the client or to the task that asked."""
        nature = self.workload.nature(task)
        if kind == Kind.LOST:
            self.loss(task, attempt, body)
            return
        self.note("outcome", task, kind)
        self.check(self.begun[task], f"{task!r} has an outcome and never began")
        self.check(
            body in {self.workload.result(task, each) for each in (kind, Kind.RETRYABLE)},
            f"{task!r} was answered with {body!r}",
        )
        self.check(not nature.kills, f"{task!r} kills its worker, and has the outcome {kind}")
        wanted = {Kind.RETURNED: not nature.raises, Kind.RAISED: True}
        self.check(wanted.get(Kind(kind), False), f"{task!r} cannot end in {Kind(kind)!r}")

    def nested_outcome(self, task: bytes, kind: int, body: bytes) -> None:
        """A task hears of a call of its own."""
        if kind == Kind.LOST:
            self.loss(task, messages.read_loss(body).attempt, body)
        else:
            self.outcome(task, kind, 0, body)
