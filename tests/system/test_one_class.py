"""With real workers: by put, retry and from a task too, one class is one class, as it is now."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.classes import FUNCTIONS, HAPPENINGS, WAYS, agree, notebook
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def c() -> Iterator[ScatterGather]:
    with spawnScatterGather(workers=1) as client:
        yield client


def retried(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    job = c.addJob([((o,), {})], lambda o: 1 / 0)
    job.results(errors="return")
    type(o).version += 1
    return job.retry(function).results()


def retried_with_what_is_large(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    job = c.addJob([((o, bytearray(1 << 17), b"x" * (1 << 17)), {})], lambda *_: 1 / 0)
    job.results(errors="return")
    type(o).version += 1
    sized = as_in_a_notebook(lambda o, *large: sum(map(len, large)) == 1 << 18 and function(o))
    return job.retry(sized).results()


def put(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    with c.put(o) as ref, c.put([ref]) as outer:
        before = c.submit(function, ref).result(20)
        type(o).version += 1
        unpacked = as_in_a_notebook(lambda f, found: f(found[0]))
        after = [
            c.submit(function, ref).result(20),
            *c.addJob([((ref,), {}), ((o,), {"also": ref})], function).results(),
            *c.run_everywhere(function, o=ref).values(),
            c.submit(unpacked, function, outer).result(20),
        ]
        assert before is False or before == after[0] - 1
        return after


def nested(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    def again(function: Any, o: Any) -> Any:
        there = inside.submit(function, o).result()
        return there if type(o) is type(inside.submit(lambda: o).result()) else "another Outer"

    return [c.submit(as_in_a_notebook(again), function, o).result(20)]


def beside_pushed_code(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    c.push_code("pushed = 1")
    return [c.submit(function, o).result(20), *c.map(function, [o])]


@pytest.mark.pythons
@pytest.mark.parametrize(
    "way", [*WAYS, retried, retried_with_what_is_large, put, nested, beside_pushed_code]
)
def test_a_class_is_one_class_by_every_way_and_as_it_is_now(c: ScatterGather, way: Any) -> None:
    with notebook() as main:
        for happening, function in itertools.product(HAPPENINGS, FUNCTIONS):
            agree(c, main, [(happening, function, way)])
