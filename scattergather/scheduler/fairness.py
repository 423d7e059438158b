"""Whose turn it is: the highest priority first, and among equals every job in turn.

Turns are counted in chunks, and chunks of short tasks are sized by time, so equal turns are about
equal shares of the workers. A job stands in its line exactly while it has something queued. Calls
that tasks submit go before what was added from outside, the deepest first: somebody holds a worker
and waits for them.

Jobs that are bound to hosts stand in lines of their own, those of the same hosts together: else
whoever has a worker for any job would pass all those that wait for a host that is busy, or down. A
host takes whoever has waited longest of those at the head of the lines that it may serve. So the
order is that of a single line in which each host passes what it may not run.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from scattergather.model.ids import JobId
from scattergather.scheduler.job import ScheduledJob

Rank = tuple[int, int]
On = tuple[str, ...]


@dataclass(slots=True)
class _Standing:
    """Who stands in the lines of jobs that may run on the same hosts."""

    lines: dict[Rank, deque[ScheduledJob]] = field(default_factory=dict)
    ranks: list[Rank] = field(default_factory=list)
    jobs: set[JobId] = field(default_factory=set)

    def in_order(self) -> Iterator[ScheduledJob]:
        for rank in list(self.ranks):
            yield from list(self.lines[rank])


class Lines:
    """The jobs that have something queued, in lines by rank.

    Attributes:
        ranks: those of the lines of jobs that may run anywhere, in order; empty when there are
            none.
        bound: by host, those who stand in lines that are bound to it, and to which others; no host
            that has none.
        fresh: the hosts of lines that somebody has joined, or whose hosts have changed or have
            room; whoever feeds them takes them out.
    """

    def __init__(self) -> None:
        self._turns = itertools.count()
        self._free = _Standing()
        self._bound: dict[On, _Standing] = {}
        self.ranks = self._free.ranks
        self.bound: dict[str, dict[On, _Standing]] = {}
        self.fresh: dict[On, None] = {}

    def join(self, job: ScheduledJob) -> None:
        """Let a job stand in line, at the end; nothing happens if it does already."""
        if not job.pending:
            return
        own = self._open(job.on) if job.on else self._free
        if job.spec.job in own.jobs:
            return
        own.jobs.add(job.spec.job)
        rank = (-job.spec.priority, -job.spec.depth)
        line = own.lines.get(rank)
        if line is None:
            line = own.lines[rank] = deque()
            insort(own.ranks, rank)
        job.turn = next(self._turns)
        line.append(job)

    def _open(self, on: On) -> _Standing:
        self.fresh[on] = None
        found = self._bound.get(on)
        if found is None:
            found = self._bound[on] = _Standing()
            for host in on:
                self.bound.setdefault(host, {})[on] = found
        return found

    def hosts_changed(self, host: str) -> None:
        """A host has joined, has left or has room: who is bound to it may run now, there or not."""
        self.fresh.update(dict.fromkeys(self.bound.get(host, ())))

    def all(self) -> Iterator[ScheduledJob]:
        """Everybody who stands in a line."""
        for own in (self._free, *self._bound.values()):
            yield from own.in_order()

    def in_order(self) -> Iterator[ScheduledJob]:
        """Jobs that may run anywhere, in the order of their turns.

        Whoever serves one calls ``served`` and stops.
        """
        return self._free.in_order()

    def calls(self) -> Iterator[ScheduledJob]:
        """Everybody who stands in a line of what tasks have submitted."""
        for own in (self._free, *self._bound.values()):
            for rank in own.ranks:
                if rank[1]:
                    yield from own.lines[rank]

    def first(self) -> ScheduledJob | None:
        """The job whose turn it is, of those that may run anywhere."""
        return self._free.lines[self.ranks[0]][0] if self.ranks else None

    def bound_to(self, host: str) -> list[Iterator[ScheduledJob]]:
        """Of each line that is bound to this host the jobs, in the order of their turns."""
        return [own.in_order() for own in self.bound.get(host, {}).values()]

    def waits_for(self, on: On) -> bool:
        """Somebody stands in the line that is bound to just these hosts."""
        return on in self._bound

    def served(self, job: ScheduledJob) -> None:
        """The job had its turn: to the end of the line, or out of it when nothing is queued."""
        rank = (-job.spec.priority, -job.spec.depth)
        own = self._bound[job.on] if job.on else self._free
        line = own.lines[rank]
        if line[0] is job:
            line.popleft()
        else:
            line.remove(job)
        if job.pending:
            job.turn = next(self._turns)
            line.append(job)
            return
        own.jobs.discard(job.spec.job)
        if not line:
            del own.lines[rank]
            own.ranks.remove(rank)
            if job.on and not own.ranks:
                self._close(job.on)

    def _close(self, on: On) -> None:
        del self._bound[on]
        self.fresh.pop(on, None)
        for host in on:
            del self.bound[host][on]
            if not self.bound[host]:
                del self.bound[host]

    def leave(self, job: ScheduledJob) -> None:
        """Take a job out whose queue was emptied otherwise."""
        own = self._bound.get(job.on) if job.on else self._free
        if own is not None and job.spec.job in own.jobs and not job.pending:
            self.served(job)


def before(job: ScheduledJob, other: ScheduledJob | None) -> bool:
    """Whether it is the turn of the one rather than of the other."""
    return other is None or _place(job) < _place(other)


def _place(job: ScheduledJob) -> tuple[int, int, int]:
    return -job.spec.priority, -job.spec.depth, job.turn
