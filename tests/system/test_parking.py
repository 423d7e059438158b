"""Arrays that many tasks read: mapped once a worker, and each task's own all the same."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system.large import MB, PAUSE, Held, array, extent
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system


def sum_of(x: Any, n: int) -> float:
    return float(x[n::512].sum())


def faults_of(x: Any) -> tuple[int, int]:
    """The page faults of reading all of an array in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert x.sum() > 0
    return os.getpid(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def mapped_by(pid: int) -> int:
    """Bytes that a process has mapped privately of others' slabs."""
    total = 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, kind, *_ = line.split()
        if "scattergather-slab" in line and kind.endswith("p"):
            begin, end = (int(edge, 16) for edge in span.split("-"))
            total += end - begin
    return total


@pytest.mark.parametrize("way", ["addJob", "put"])
def test_many_tasks_that_read_an_array_fill_its_page_tables_once_a_worker(c, way: str) -> None:
    big = array(32)
    read: dict[int, list[int]] = {}
    taken = c.put(big) if way == "put" else big
    for pid, faults in c.addJob([((taken,), {})] * 24, faults_of).results():
        read.setdefault(pid, []).append(faults)
    pages = big.nbytes // 4096
    for each in read.values():
        assert sum(faults > pages // 64 for faults in each) <= 1, read
    assert any(max(each) > pages // 64 for each in read.values()), "the first one did not fill them"


def test_a_task_sees_nothing_of_what_another_wrote_into_the_same_array(c) -> None:
    big = array(4)

    def use(x: Any, n: int) -> float:
        total = float(x.sum())
        if n % 3 == 0:
            x += n  # all of it
        elif n % 3 == 1:
            x[n % x.size] = -1  # one page of it
        return total

    with c.put(big) as ref:
        jobs = [c.addJob([((taken, n), {}) for n in range(60)], use) for taken in (big, ref)]
        for job in jobs:
            assert set(job.results()) == {float(big.sum())}


def test_arrays_that_follow_each_other_at_one_place_are_not_mixed_up(c) -> None:
    big = array(8)
    places = []

    def use(x: Any, n: int) -> tuple[set[float], tuple[str, int, int]]:
        seen = set(x[::512].tolist())
        x[n] = -1
        return seen, extent(x)

    for n in range(12):
        big[:] = n
        found = c.addJob([((big, i), {}) for i in range(6)], use).results()
        assert [seen for seen, _ in found] == [{n}] * 6
        places.append(found[0][1])
    assert len(set(places)) < len(places), "no memory was used again"


def test_more_arrays_than_a_worker_parks(c) -> None:
    arrays = [array(1) + n for n in range(11)]
    tasks = [((arrays[n * 7 % 11], n), {}) for n in range(300)]
    expected = [sum_of(*args) for args, _ in tasks]
    assert c.addJob(tasks, sum_of).results() == expected
    pairs = [(([arrays[n % 11], arrays[n * 3 % 11]],), {}) for n in range(60)]
    totals = c.addJob(pairs, lambda xs: [float(x.sum()) for x in xs]).results()
    assert totals == [[float(x.sum()) for x in xs] for (xs,), _ in pairs]


def test_a_parked_array_delays_nobody_who_needs_its_memory(spawn, gate) -> None:
    c = spawn(workers=1)
    with c.put(array(16)) as ref:
        assert c.addJob([((ref, 1), {})] * 3, sum_of).results() == [sum_of(array(16), 1)] * 3
        (pid,) = c.run_everywhere(os.getpid).values()
        busy = c.addJob([((), {})], gate.before(lambda: None))
        gate.reached(1)
        assert mapped_by(pid) >= 16 * MB, "it was not parked"
    # The worker hears nothing meanwhile.
    eventually(lambda: c._session.large.lent == 0)
    gate.open()
    busy.results()


def test_memory_that_was_parked_comes_back_when_nothing_goes_on(spawn) -> None:
    held = Held()
    c = spawn(workers=2)
    pids = set(c.run_everywhere(os.getpid).values())
    for n in range(6):
        big = array(8) + n
        assert c.addJob([((big, i), {}) for i in range(8)], sum_of).results()[1] == sum_of(big, 1)
    # And where what was put is still there.
    ref = c.put(np.ones(MB))
    assert c.addJob([((ref, 0), {})] * 8, sum_of).results() == [2048.0] * 8
    assert sum(map(mapped_by, pids))
    eventually(lambda: not sum(map(mapped_by, pids)), pause=PAUSE)
    held.returns(kept=ref.size)
