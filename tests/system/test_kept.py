"""Results that stay where they were made: two daemons, over real links."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.errors import BadRequest, JobFailed
from tests.system.daemons import SEES_TESTS, daemons
from tests.system.large import MB, array, same
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScatterGather]:
    """A client of two daemons with two workers each."""
    with daemons() as begin:
        folders = [str(tmp_path_factory.mktemp(name)) for name in ("alpha", "beta")]
        started = [
            begin("--workers", "2", "--directory", each, shim=SEES_TESTS) for each in folders
        ]
        client = spawnScatterGather([daemon.furl().text for daemon in started])
        client.waitForResult()
        yield client
        client._session.exit()


def memory(c: ScatterGather) -> int:
    return sum(host.memory for host in c.command("status").hosts)


def came(c: ScatterGather) -> int:
    return sum(host.received for host in c.command("status").hosts)


def made(n: int, megabytes: float = 1) -> Any:
    return array(megabytes) + n


@as_in_a_notebook
@dataclass
class Point:
    """A class of the notebook."""

    x: Any
    name: str


# ---- where it lies ------------------------------------------------------------------------------


def test_it_stays_and_is_what_the_task_returned(c) -> None:
    before = came(c)
    refs = c.addJob([((n,), {}) for n in range(8)], made, keep=True).results()
    assert came(c) - before < 100_000
    assert {ref.host for ref in refs} <= set(c.hosts)
    assert all(MB <= ref.size < MB + 1000 for ref in refs)
    assert memory(c) >= 8 * MB
    assert all(same(ref.get(), made(n)) for n, ref in enumerate(refs))
    assert "1,04" in repr(refs[0])


def test_its_memory_is_free_when_nobody_has_it(c) -> None:
    gc.collect()
    eventually(lambda: memory(c) < MB)
    refs = c.addJob([((n,), {}) for n in range(6)], made, keep=True).results()
    assert memory(c) >= 6 * MB
    got, part = refs[0].get(), c.options(keep=True).submit(bytes, MB).result().part(5, 70_000)
    refs[1].free()
    with refs[2]:
        pass
    with pytest.raises(BadRequest, match="freed"):
        refs[1].get()
    eventually(lambda: 4 * MB <= memory(c) < 7 * MB)
    del refs, part
    gc.collect()
    eventually(lambda: memory(c) < MB)
    assert same(got, made(0))


def test_what_is_small_comes_home_inside_of_its_ref(c) -> None:
    job = c.addJob([((n,), {}) for n in range(50)], lambda n: [n, b"x" * n], keep=True)
    refs = job.results()
    assert [ref.get() for ref in refs] == [[n, b"x" * n] for n in range(50)]
    assert refs[0].host in c.hosts
    assert c.addJob([((ref,), {}) for ref in refs], lambda x: x[0]).results() == list(range(50))
    assert memory(c) < MB
    assert refs[9].get() is not refs[9].get()


@pytest.mark.parametrize(
    "value",
    [
        b"x" * MB,
        bytearray(b"y" * MB),
        "z" * MB,
        [array(0.5), {"a": np.arange(3)}, array(0.1)],
        [np.arange(4000) + n for n in range(3)],
        [np.arange(900)],
        None,
        b"",
        [b"u" * 70_000],
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_whatever_can_travel_can_stay(c, value: Any) -> None:
    ref = c.options(keep=True).submit(copy.deepcopy, value).result()
    assert same(ref.get(), value)
    assert same(c.submit(copy.deepcopy, ref).result(), value)
    back = ref.get()
    if isinstance(value, list):
        back[0] = 7
        assert same(ref.get(), value)


def test_what_was_got_can_be_written_to(c) -> None:
    for size in (100, 100_000):
        ref = c.options(keep=True).submit(np.arange, size).result()
        got = ref.get()
        got += 1
        assert same(ref.get(), np.arange(size))
        assert c.submit(lambda x: int(x.sum()), ref).result() == np.arange(size).sum()


# ---- as an argument -----------------------------------------------------------------------------


def nested(x: Any) -> float:
    return float(inside.submit(lambda y: y[7], x).result())


def test_it_goes_every_way_that_arguments_go(c) -> None:
    refs = list(c.options(keep=True).map(made, range(4)))
    assert (
        c.submit(lambda *, x: float(x["deep"][0][1][3]), x={"deep": [(1, refs[2])]}).result() == 5
    )
    every = c.addJob(
        [((refs, n), {}) for n in range(8)], lambda xs, n: sum(float(x[n]) for x in xs)
    )
    assert every.results() == [6.0 + 4 * n for n in range(8)]
    assert set(c.run_everywhere(lambda x: float(x[5]), refs[0]).values()) == {5.0}
    assert all(same(x, made(1)) for x in c.run_everywhere(lambda x: x, refs[1]).values())
    assert c.submit(nested, refs[3]).result() == 10
    fed = c.addJob((((ref,), {}) for ref in refs), lambda x: float(x[0]))
    assert fed.results() == [0, 1, 2, 3]


def test_a_task_may_return_it_as_it_came(c) -> None:
    ref = c.options(keep=True).submit(made, 3).result()
    assert same(c.submit(lambda x: x, ref).result(), made(3))
    again = c.options(keep=True).submit(lambda x: x, ref).result()
    ref.free()
    assert same(again.get(), made(3))
    with c.put(array(1)) as mine:
        assert same(c.options(keep=True).submit(lambda x: [x], mine).result().get()[0], array(1))


def test_it_may_be_of_a_class_that_the_task_that_takes_it_does_not_know(c) -> None:
    def point(n: int) -> Point:
        return Point(made(n), "p")

    ref = c.options(keep=True).submit(point, 2).result()
    got = ref.get()
    assert type(got) is Point
    assert same(got.x, made(2))
    assert set(c.run_everywhere(lambda p: (p.name, float(p.x[1])), ref).values()) == {("p", 3.0)}


# ---- parts --------------------------------------------------------------------------------------


def digits(length: int) -> bytes:
    return bytes(n % 251 for n in range(length))


def test_only_the_part_that_is_asked_for_crosses(c) -> None:
    ref = c.options(keep=True).submit(digits, 4 * MB).result()
    before = came(c)
    part = ref.part(1_000_001, 100_000)
    whole = digits(4 * MB)
    assert part.get() == whole[1_000_001:1_100_001]
    assert 100_000 <= came(c) - before < 200_000
    assert part.part(7, 5).get() == whole[1_000_008:1_000_013]
    assert set(c.run_everywhere(bytes, part).values()) == {part.get()}
    ref.free()
    assert part.get() == whole[1_000_001:1_100_001]
    assert ref.size == 4 * MB
    assert part.size == 100_000
    small = c.options(keep=True).submit(digits, 100).result()
    assert small.part(10, 20).get() == whole[10:30]
    assert part.part(0, 0).get() == b""


def test_a_part_that_there_is_not_is_refused(c) -> None:
    ref = c.options(keep=True).submit(digits, MB).result()
    other = c.options(keep=True).submit(made, 1).result()
    for cut in (
        lambda: ref.part(0, MB + 1),
        lambda: ref.part(MB, 1),
        lambda: ref.part(-1, 1),
        lambda: ref.part(0, 1.5),
        lambda: other.part(0, 1),
        lambda: c.put(b"x" * MB).part(0, 1),
    ):
        with pytest.raises(BadRequest):
            cut()


# ---- how jobs behave ----------------------------------------------------------------------------


def test_a_task_that_raises_fails_as_elsewhere(c) -> None:
    job = c.addJob([((n,), {}) for n in (1, 0, 2)], lambda n: [1 / n] * 30_000, keep=True)
    with pytest.raises(JobFailed) as failed:
        job.results()
    assert [type(each).__name__ for each in failed.value.results] == [
        "Ref",
        "ZeroDivisionError",
        "Ref",
    ]
    job.retry(lambda n: n)
    assert [ref.get() if ref.size < 100 else ref.get()[0] for ref in job.results()] == [1, 0, 0.5]


def test_many_are_brought_at_a_time(c) -> None:
    refs = c.addJob([((n, 4), {}) for n in range(8)], made, keep=True).results()
    got: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n, ref=ref: got.update({n: ref.get()}))
        for n, ref in enumerate(refs)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert all(same(got[n], made(n, 4)) for n in range(8))


def test_it_outlives_its_worker(c) -> None:
    ref = c.options(keep=True).submit(lambda: (os.getpid(), array(1))).result()
    os.kill(ref.get()[0], signal.SIGKILL)
    eventually(lambda: sum(host.workers for host in c.command("status").hosts) == 4)
    c.command("refresh")
    assert same(ref.get()[1], array(1))
    assert set(c.run_everywhere(lambda x: float(x[1][3]), ref).values()) == {3.0}


def test_it_cannot_leave_its_client(c) -> None:
    ref = c.options(keep=True).submit(made, 1).result()
    with pytest.raises(BadRequest):
        pickle.dumps(ref)
    with pytest.raises(BadRequest, match="keep"):
        c.addJob([], made, keep="yes")


def test_a_task_waits_for_what_it_takes_itself_and_for_no_more(c) -> None:
    refs = c.addJob([((n, 0.1), {}) for n in range(6)], made, keep=True).results()

    def taken(x: Any, n: int) -> tuple[float, int]:
        return float(x[0]), n

    job = c.addJob([((refs[n // 2], n), {}) for n in range(12)], taken)
    assert job.results() == [(n // 2, n) for n in range(12)]
    runs = [objects.objects for objects in job._gathering.inputs._lent.values()]
    assert [len(objects) for objects in runs] in ([1] * 6, [])
    mixed = c.addJob([((refs[0], refs[n]), {}) for n in range(6)], lambda x, y: float(x[0] + y[0]))
    assert mixed.results() == list(range(6))


def first_of(x: Any) -> float:
    time.sleep(0.02)
    return float(x[0])


def test_tasks_run_where_what_they_take_lies(c) -> None:
    refs = c.addJob([((n,), {}) for n in range(16)], made, keep=True).results()
    before = came(c)
    job = c.addJob([((ref,), {}) for ref in refs], first_of)
    assert job.results() == list(range(16))
    assert [c.submit(first_of, ref).result() for ref in refs] == list(range(16))
    assert came(c) - before < 8 * MB  # of 32, if hosts take turns
