"""What a chunk costs the scheduler: a number of calls that does not grow with the hosts.

Calls are counted, as they are the same on every machine; a look at each of a thousand hosts would
be a thousand of them, or one that is written as a loop, so lines are counted, too.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from scattergather.model.placement import Placement
from scattergather.scheduler import actions, events
from scattergather.scheduler.scheduler import Scheduler

JOB = b"j" * 16
SLOTS = 8
STEPS = 100
MOST_CALLS = 60
MOST_LINES = 300
"""Of Python, for one step: about twice as many as there are."""


class Cluster:
    """A scheduler with hosts that answer in the order in which they were sent chunks."""

    def __init__(self, hosts: int, seconds: float) -> None:
        self.scheduler = Scheduler()
        self.seconds = seconds
        self.sent: deque[actions.SendChunk] = deque()
        self.added = 0
        for number in range(hosts):
            self.tell(events.HostJoined(host=f"host{number}", slots=SLOTS, services=SERVICES))
        self.tell(events.JobAdded(job=JOB, function="f", service="pushed"))

    def tell(self, event: events.Event) -> None:
        done = self.scheduler.handle(event)
        self.sent.extend(each for each in done if isinstance(each, actions.SendChunk))

    def add(self, count: int = 1) -> None:
        self.tell(events.TasksAdded(job=JOB, first=self.added, count=count))
        self.added += count

    def answer(self) -> None:
        chunk = self.sent.popleft()
        self.tell(
            events.OutcomesArrived(
                host=chunk.host,
                chunk=chunk.chunk,
                first=chunk.first,
                kinds=bytes(chunk.count),
                elapsed=self.seconds * chunk.count,
            )
        )

    def cost(self, step: Callable[[], None]) -> tuple[float, float]:
        """Calls and lines of a step, in the mean."""
        counted = {"call": 0, "line": 0}

        def trace(frame: FrameType, what: str, argument: Any) -> Any:
            if what in counted:
                counted[what] += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for _ in range(STEPS):
                step()
        finally:
            sys.settrace(before)
        return counted["call"] / STEPS, counted["line"] / STEPS


SERVICES = frozenset({"all_series"})


def saturated(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """All are full of brief tasks, and a chunk comes back."""
    cluster = Cluster(hosts, 1e-3)
    cluster.add(10**7)
    for _ in range(20 * hosts):
        cluster.answer()
    return cluster, cluster.answer


def naps(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """The same with tasks that travel alone."""
    cluster = Cluster(hosts, 0.5)
    cluster.add(10**6)
    for _ in range(20 * hosts):
        cluster.answer()
    return cluster, cluster.answer


def calls(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """Half of the workers have something to do; one call is submitted when another is over."""
    cluster = Cluster(hosts, 1e-3)
    for _ in range(hosts * SLOTS // 2):
        cluster.add()

    def step() -> None:
        cluster.answer()
        cluster.add()

    return cluster, step


def pile(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """All are full, and still more calls are submitted."""
    cluster = Cluster(hosts, 1e-3)
    cluster.add(hosts * SLOTS + 1)
    return cluster, cluster.add


def jobs(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """All are full, and each call is a job, as nested ones are."""
    cluster = Cluster(hosts, 1e-3)
    cluster.add(hosts * SLOTS + 1)

    def step() -> None:
        cluster.added += 1
        job = b"%016d" % cluster.added
        cluster.tell(events.JobAdded(job=job, function="f", depth=1))
        cluster.tell(events.TasksAdded(job=job, first=0, count=1))

    return cluster, step


def strangers(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """None of them runs the Python of the job, and not all have answered: it waits."""
    cluster = Cluster(hosts, 1e-3)
    cluster.tell(events.JobAdded(job=JOB, function="f", python="2.7"))
    cluster.add()
    return cluster, cluster.add


def bind(cluster: Cluster, *on: str, jobs: int = 100, tasks: int = 100) -> None:
    """Jobs that are bound to these hosts come before all others."""
    for number in range(jobs):
        job = b"bound%011d" % number
        placement = Placement(on=on)
        cluster.tell(
            events.JobAdded(job=job, function="b", depth=1, priority=1, placement=placement)
        )
        cluster.tell(events.TasksAdded(job=job, first=0, count=tasks))


def busy(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """The same as ``calls``, while many jobs are bound to a host that is full."""
    cluster, step = calls(hosts)
    sent = cluster.sent
    cluster.sent = deque()
    bind(cluster, "host0")
    cluster.sent = sent
    return cluster, step


def down(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """The same as ``saturated``, while many jobs wait for a host that is down."""
    cluster, step = saturated(hosts)
    bind(cluster, "down")
    return cluster, step


def bound(hosts: int) -> tuple[Cluster, Callable[[], None]]:
    """All that there is to do is bound to three of the hosts."""
    cluster = Cluster(hosts, 1e-3)
    bind(cluster, "host1", "host2", "host3", tasks=10**4)
    for _ in range(30 * SLOTS):
        cluster.answer()
    return cluster, cluster.answer


@pytest.mark.parametrize("hosts", [100, 1000])
@pytest.mark.parametrize("how", [saturated, naps, calls, pile, jobs, strangers, busy, down, bound])
def test_a_chunk_costs_as_many_calls_with_a_thousand_hosts_as_with_a_hundred(
    hosts: int, how: Callable[[int], tuple[Cluster, Callable[[], None]]]
) -> None:
    cluster, step = how(hosts)
    made, lines = cluster.cost(step)
    # Of who is bound it is looked up each time whether others could run it.
    times = 2.5 if how is bound else 1
    assert made < times * MOST_CALLS
    assert lines < times * MOST_LINES
