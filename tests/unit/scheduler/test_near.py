"""Tasks go where what they take lies, while a worker is idle there, and nowhere else in vain."""

from __future__ import annotations

from collections import Counter

from scattergather.scheduler import actions, events
from scattergather.scheduler.scheduler import Scheduler

JOB = b"j" * 16


def scheduler(*hosts: str, slots: int = 2) -> Scheduler:
    made = Scheduler()
    for host in hosts:
        made.handle(events.HostJoined(host=host, slots=slots))
    made.handle(events.JobAdded(job=JOB, function="f", retries=3))
    return made


def add(made: Scheduler, first: int, count: int, near: str = "") -> list[actions.SendChunk]:
    out = made.handle(events.TasksAdded(job=JOB, first=first, count=count, near=near))
    return [each for each in out if isinstance(each, actions.SendChunk)]


def finish(made: Scheduler, sent: actions.SendChunk) -> list[actions.SendChunk]:
    out = made.handle(
        events.OutcomesArrived(
            host=sent.host,
            chunk=sent.chunk,
            first=sent.first,
            kinds=b"\0" * sent.count,
            elapsed=1.0,
        )
    )
    return [each for each in out if isinstance(each, actions.SendChunk)]


def test_a_task_goes_to_the_idle_host_that_has_what_it_takes() -> None:
    for near in ("a", "b", "c"):
        assert [each.host for each in add(scheduler("a", "b", "c"), 0, 1, near)] == [near]


def test_a_task_goes_elsewhere_when_that_host_is_busy_or_gone() -> None:
    made = scheduler("a", "b", slots=1)
    assert [each.host for each in add(made, 0, 1, "a")] == ["a"]
    assert [each.host for each in add(made, 1, 1, "a")] == ["b"]
    assert [each.host for each in add(scheduler("a", "b"), 0, 1, "elsewhere")] != []


def test_each_host_takes_its_own_first_and_then_those_of_others() -> None:
    made = scheduler("a", "b", slots=1)
    sent = add(made, 0, 1, "a") + add(made, 1, 1, "b")
    for index in range(2, 42):
        sent += add(made, index, 1, "ab"[index < 22])
    where = Counter[tuple[str, str]]()
    while sent:
        chunk = sent.pop(0)
        for index in range(chunk.first, chunk.first + chunk.count):
            near = "ab"[index] if index < 2 else "ab"[index < 22]
            where[near, chunk.host] += 1
        sent += finish(made, chunk)
    assert sum(where.values()) == 42
    assert where["a", "a"] + where["b", "b"] >= 38
