"""What is queued, running and done of one job.

A task is at every moment in exactly one place: in a range of ``pending``, in one lease, or final.
Ranges keep that cheap: a million queued tasks are one range, and a task that is run again is a
range of one with its attempt number. So nothing is kept per task, and a late outcome of a revoked
lease cannot be delivered twice: its lease is no longer known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from scattergather.scheduler.chunking import Estimate
from scattergather.scheduler.events import JobAdded

FEW = 64
"""Ranges of a job that are looked at for one that a host had better run than others."""


@dataclass(slots=True)
class Range:
    """Tasks ``[first, stop)``, to be run for the ``attempt``-th time, best on the host ``near``."""

    first: int
    stop: int
    attempt: int = 1
    near: str = ""


@dataclass(slots=True)
class HostLease:
    """A chunk that a host has. Outcomes arrive in order: ``next`` is the first without one."""

    chunk: int
    job: ScheduledJob
    host: str
    next: int
    stop: int
    attempt: int


@dataclass(slots=True)
class ScheduledJob:
    """One job. ``total`` is None while tasks may still come.

    ``on`` are the hosts that it is bound to, none if it may run anywhere; ``turn`` says since when
    it has waited for its turn.
    """

    spec: JobAdded
    estimate: Estimate
    on: tuple[str, ...] = ()
    pending: deque[Range] = field(default_factory=deque)
    queued: int = 0
    running: int = 0
    done: int = 0
    added: int = 0
    size: int = 0
    total: int | None = None
    proven: int = 1
    cancelled: bool = False
    turn: int = 0
    leases: dict[int, HostLease] = field(default_factory=dict)
    near: bool = False
    """Some of its tasks had better run where what they take lies."""

    @property
    def attempts(self) -> int:
        """How often a task may be tried in all."""
        return self.spec.retries + 1

    @property
    def ended(self) -> bool:
        """Every task has its outcome and no more will come."""
        return self.total is not None and self.done == self.total

    def add(self, first: int, count: int, size: int, near: str = "") -> None:
        """Queue new tasks at the end."""
        last = self.pending[-1] if self.pending else None
        if last is not None and last.stop == first and last.attempt == 1 and last.near == near:
            last.stop += count
        else:
            self.pending.append(Range(first, first + count, 1, near))
            self.near = self.near or bool(near)
        self.queued += count
        self.added += count
        self.size += size

    def put_back(self, first: int, stop: int, attempt: int) -> None:
        """Queue tasks again, before all others."""
        if stop > first:
            self.pending.appendleft(Range(first, stop, attempt))
            self.queued += stop - first

    def bring_forward(self, host: str) -> str:
        """Let that be next which this host had better run; returns where the next had better run.

        Only the first few ranges are looked at. Of those that no host is near to it is the first,
        and if there is none what is next stays next: whoever has nothing else runs that.
        """
        if self.pending[0].near != host and self.pending[0].attempt == 1:
            few = [self.pending[at] for at in range(min(FEW, len(self.pending)))]
            best = next((each for each in few if each.near == host), None)
            best = best or next((each for each in few if not each.near), None)
            if best is not None and best is not self.pending[0]:
                self.pending.remove(best)
                self.pending.appendleft(best)
        return self.pending[0].near

    def take(self, count: int) -> Range:
        """The next range of at most ``count`` tasks; a task with a past is taken alone."""
        head = self.pending[0]
        if head.attempt > 1:
            count = 1
        if head.stop - head.first <= count:
            self.pending.popleft()
            taken = head
        else:
            taken = Range(head.first, head.first + count, head.attempt, head.near)
            head.first += count
        self.queued -= taken.stop - taken.first
        return taken

    def drop(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Remove what is queued of ``[first, stop)``; yields the ranges removed."""
        kept: deque[Range] = deque()
        for waiting in self.pending:
            low, high = max(first, waiting.first), min(stop, waiting.stop)
            if low >= high:
                kept.append(waiting)
                continue
            if waiting.first < low:
                kept.append(Range(waiting.first, low, waiting.attempt, waiting.near))
            if high < waiting.stop:
                kept.append(Range(high, waiting.stop, waiting.attempt, waiting.near))
            self.queued -= high - low
            yield low, high
        self.pending = kept
