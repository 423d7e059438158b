"""What a pool tells of itself."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from scattergather.wire.messages import page as messages
from scattergather.workers import pool as pool_package
from scattergather.workers.pool import events
from scattergather.workers.pool.pool import Pool
from scattergather.workers.pool.statistics import TenantStatistics, WorkerStatistics


def pool_of(tasks: int) -> Pool:
    """Two slots, one tenant, three chunks of so many tasks; worker 2 is not born."""
    pool = Pool(2)
    pool.handle(events.TenantJoined(tenant=1), 0.0)
    pool.handle(events.WorkerSaid(worker=1, message=messages.Born(pid=77)), 0.0)
    for chunk in (1, 2, 3):
        run = messages.Run(chunk=chunk, job=b"j", function="f", first=0, count=tasks)
        pool.handle(events.MessageReceived(tenant=1, message=run), 0.0)
    return pool


def test_statistics_say_who_works_and_what_waits() -> None:
    found = pool_of(tasks=4).statistics()
    assert found.slots == 2
    assert found.working == 1
    assert found.tenants == (
        TenantStatistics(
            number=1,
            limit=2,
            running=1,
            alive=2,
            unborn=1,
            blocked=0,
            queued=2,
            waiting=0,
            coming=0,
            pause_until=None,
        ),
    )
    first, second = found.workers
    assert first == WorkerStatistics(
        number=1, tenant=1, pid=77, chunks=1, chunk=1, waiting=False, ending="", peak=0
    )
    assert second == dataclasses.replace(first, number=2, pid=0, chunks=0, chunk=None)


def test_statistics_stay_as_they_are_while_the_pool_goes_on() -> None:
    pool = pool_of(tasks=1)
    found = pool.statistics()
    pool.handle(events.TenantLeft(tenant=1), 1.0)
    assert len(found.workers) == 2
    assert not pool.statistics().workers
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.workers[0].pid = 1  # type: ignore[misc]


def test_statistics_cost_as_much_for_a_million_tasks_as_for_one() -> None:
    one, million = (pool_of(tasks).statistics() for tasks in (1, 1_000_000))
    assert one == million


def test_nobody_outside_of_the_pool_reads_what_its_functions_work_on() -> None:
    folder = Path(pool_package.__file__).parent
    package = folder.parents[1]
    readers = [
        str(file)
        for file in (*package.rglob("*.py"), *(package / "workers").rglob("*.py"))  # a link
        if folder not in file.parents and re.search(r"[Pp]ool\.crew\b", file.read_text())
    ]
    assert not readers, "statistics() and working() tell what there is to know"
