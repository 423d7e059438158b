"""Scenario 11: a task takes more memory than it may, or than there is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scattergather.errors import MemoryLimitExceeded, OutOfMemory
from tests.conftest import calls
from tests.system.faults.ledger import Ledger, once_each
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = [pytest.mark.system, pytest.mark.alone]

MEGABYTE = 1 << 20
LIMIT = 128 * MEGABYTE
PAUSE = 0.01
"""Seconds for each megabyte: who is looked at a second late has taken less than twice the limit."""

CGROUP = Path("/sys/fs/cgroup/memory")


@as_in_a_notebook
def greedy(_: int) -> int:
    kept = []
    for _ in range(2000):  # bounded, should the limit fail
        kept.append(b"x" * MEGABYTE)
        time.sleep(PAUSE)
    return len(kept)


@as_in_a_notebook
def modest(n: int) -> int:
    time.sleep(0.02)
    return n


@as_in_a_notebook
def gives_back(_: int) -> str:
    kept = []
    try:
        for _ in range(2000):
            kept.append(b"x" * MEGABYTE)
            time.sleep(PAUSE)
    except MemoryLimitExceeded as error:
        kept.clear()
        return f"told: {error}"
    return "never told"


@as_in_a_notebook
def does_not_listen(_: int) -> int:
    kept = []
    for _ in range(1000):
        try:
            kept.append(b"x" * MEGABYTE)
            time.sleep(PAUSE)
        except MemoryLimitExceeded:
            pass
    return len(kept)


def test_a_task_is_told_then_its_worker_is_replaced_and_nobody_else_notices(spawn, tmp_path):
    c = spawn(workers=3)
    others = Ledger(tmp_path / "others")
    busy = c.addJob(calls(*range(60)), others.keeping(modest))
    ledger = Ledger(tmp_path / "greedy")
    job = c.addJob(calls(7), ledger.keeping(greedy), memory_limit=LIMIT, name="greedy")
    error = job.results(errors="return")[0]
    assert type(error) is MemoryLimitExceeded
    assert error.limit == LIMIT
    assert LIMIT < error.peak < 8 * LIMIT
    assert error.host
    assert error.worker == ledger.pid(7)
    assert f"its memory limit is {LIMIT:,}" in str(error)
    assert "in greedy" in str(error.__cause__), "it shows where the task was"
    assert ledger.runs() == {7: 1}, "it is not tried again"
    assert once_each(busy) == list(range(60))
    assert others.extra() == 0
    pid = ledger.pid(7)
    assert pid is not None
    eventually(lambda: not alive(pid))
    # Whoever comes next is not charged for what the one before has left.
    assert c.addJob(calls(*range(20)), modest, memory_limit=LIMIT).results() == list(range(20))


def test_a_task_may_give_back_what_it_took(spawn):
    c = spawn(workers=1)
    (said,) = c.addJob(calls(0), gives_back, memory_limit=LIMIT).results()
    assert said.startswith("told: Task 0: it took ")


def test_a_task_that_does_not_listen_loses_its_worker_and_is_not_tried_again(spawn, tmp_path):
    c = spawn(workers=1)
    ledger = Ledger(tmp_path)
    job = c.addJob(calls(0), ledger.keeping(does_not_listen), memory_limit=LIMIT)
    error = job.results(errors="return")[0]
    assert type(error) is MemoryLimitExceeded
    assert (error.limit, error.attempt) == (LIMIT, 1)
    assert error.peak > LIMIT
    assert "did not stop when told" in str(error)
    assert ledger.runs() == {0: 1}
    assert c.addJob(calls(-1), abs).results() == [1]


@pytest.fixture
def cgroup() -> Iterator[Callable[[int], Path]]:
    """A memory cgroup (version 1) of the test's own; skips where one cannot be made."""
    folder = CGROUP / f"scattergather-{os.getpid()}"

    def make(limit: int) -> Path:
        try:
            folder.mkdir()
            (folder / "memory.limit_in_bytes").write_text(str(limit))
        except OSError as error:
            pytest.skip(f"no memory cgroup can be made here: {error}")
        return folder

    yield make
    if folder.exists():
        eventually(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def test_a_worker_that_the_kernel_ended_for_want_of_memory_is_told_from_others(spawn, cgroup):
    c = spawn(workers=2)
    group = str(cgroup(64 * MEGABYTE))

    def takes_all(group: str) -> int:
        with open(f"{group}/cgroup.procs", "w") as members:
            members.write(str(os.getpid()))
        return len(b"x" * (256 << 20))

    error = c.addJob(calls(group), as_in_a_notebook(takes_all), retries=1).results(errors="return")[
        0
    ]
    assert type(error) is OutOfMemory, error
    assert "want of memory" in str(error)
    assert (error.attempt, error.attempts) == (2, 2)
    assert error.peak > 1 << 20
    assert c.addJob(calls(-1), abs).results() == [1]
