"""Whose turn it is: the highest priority first, and among equals every job in turn.

Turns are counted in chunks, and chunks of short tasks are sized by time, so equal turns are about
equal shares of the workers. A job stands in its line exactly while it has something queued. Calls
that tasks submit go before what was added from outside, the deepest first: somebody holds a worker
and waits for them.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator

from scattergather.scheduler.job import ScheduledJob

Rank = tuple[int, int]


class Lines:
    """The jobs that have something queued, in lines by rank.

    Attributes:
        ranks: those of the lines that there are, in order; empty when nothing is queued.
    """

    def __init__(self) -> None:
        self._lines: dict[Rank, deque[ScheduledJob]] = {}
        self.ranks: list[Rank] = []
        self._standing: set[bytes] = set()

    def join(self, job: ScheduledJob) -> None:
        """Let a job stand in line, at the end; nothing happens if it does already."""
        if job.spec.job in self._standing or not job.pending:
            return
        self._standing.add(job.spec.job)
        rank = (-job.spec.priority, -job.spec.depth)
        line = self._lines.get(rank)
        if line is None:
            line = self._lines[rank] = deque()
            insort(self.ranks, rank)
        line.append(job)

    def in_order(self) -> Iterator[ScheduledJob]:
        """Jobs in the order of their turns. Whoever serves one calls ``served`` and stops."""
        for rank in list(self.ranks):
            yield from list(self._lines[rank])

    def calls(self) -> Iterator[ScheduledJob]:
        """Those of them that a task has submitted."""
        for rank in self.ranks:
            if rank[1]:
                yield from self._lines[rank]

    def first(self) -> ScheduledJob | None:
        """The job whose turn it is."""
        return self._lines[self.ranks[0]][0] if self.ranks else None

    def served(self, job: ScheduledJob) -> None:
        """The job had its turn: to the end of the line, or out of it when nothing is queued."""
        rank = (-job.spec.priority, -job.spec.depth)
        line = self._lines[rank]
        if line[0] is job:
            line.popleft()
        else:
            line.remove(job)
        if job.pending:
            line.append(job)
            return
        self._standing.discard(job.spec.job)
        if not line:
            del self._lines[rank]
            self.ranks.remove(rank)

    def leave(self, job: ScheduledJob) -> None:
        """Take a job out whose queue was emptied otherwise."""
        if job.spec.job in self._standing and not job.pending:
            self.served(job)
