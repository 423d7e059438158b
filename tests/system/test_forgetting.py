"""Memory that does not only grow: code that nobody needs any more is forgotten everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.values import freezing
from scattergather.wire.code.codebook import BOOK

pytestmark = pytest.mark.system

KEPT = 40


@pytest.fixture
def c(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(freezing, "REMEMBERED", KEPT)
    with spawnScatterGather(workers=2) as client:
        yield client


def another(number: int):
    return lambda x: x + number


def held() -> int:
    return len(BOOK._codes)


def test_a_lambda_in_a_loop_leaves_nothing_behind_in_the_workers(c) -> None:
    for start in range(0, 400, 20):
        futures = [c.submit(another(start + i), 1000) for i in range(20)]
        assert [future.result() for future in futures] == [1000 + start + i for i in range(20)]
    # Open streams name their functions; those are few too.
    assert all(count <= KEPT + 40 for count in c.run_everywhere(held).values())


def test_what_was_forgotten_is_sent_again_when_it_comes_back(c) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    first = another(0)
    job = c.addJob([((Point(1),), {}), ((Point(2),), {})], lambda point: 1 // (point.x - 1))
    job.results(errors="return")
    for number in range(3 * KEPT):
        c.addJob([((1,), {})], another(number)).results()
    assert c.submit(first, 5).result() == 5
    assert c.submit(lambda point: point.x, Point(7)).result() == 7
    again = job.retry(lambda point: point.x)
    assert again.results() == [1, 1]


def test_functions_that_tasks_make_are_forgotten_too(c) -> None:
    def outer(start: int) -> int:
        return sum(inside.submit(another(start + i), 1).result() for i in range(50))

    for start in range(0, 1000, 50):
        assert c.submit(outer, start).result() == sum(1 + start + i for i in range(50))
    assert all(count <= 600 for count in c.run_everywhere(held).values())
