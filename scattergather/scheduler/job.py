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


@dataclass(slots=True)
class Range:
    """Tasks ``[first, stop)``, to be run for the ``attempt``-th time."""

    first: int
    stop: int
    attempt: int = 1


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

    @property
    def attempts(self) -> int:
        """How often a task may be tried in all."""
        return self.spec.retries + 1

    @property
    def ended(self) -> bool:
        """Every task has its outcome and no more will come."""
        return self.total is not None and self.done == self.total

    def add(self, first: int, count: int, size: int) -> None:
        """Queue new tasks at the end."""
        last = self.pending[-1] if self.pending else None
        if last is not None and last.stop == first and last.attempt == 1:
            last.stop += count
        else:
            self.pending.append(Range(first, first + count))
        self.queued += count
        self.added += count
        self.size += size

    def put_back(self, first: int, stop: int, attempt: int) -> None:
        """Queue tasks again, before all others."""
        if stop > first:
            self.pending.appendleft(Range(first, stop, attempt))
            self.queued += stop - first

    def take(self, count: int) -> Range:
        """The next range of at most ``count`` tasks; a task with a past is taken alone."""
        head = self.pending[0]
        if head.attempt > 1:
            count = 1
        if head.stop - head.first <= count:
            self.pending.popleft()
            taken = head
        else:
            taken = Range(head.first, head.first + count, head.attempt)
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
                kept.append(Range(waiting.first, low, waiting.attempt))
            if high < waiting.stop:
                kept.append(Range(high, waiting.stop, waiting.attempt))
            self.queued -= high - low
            yield low, high
        self.pending = kept
