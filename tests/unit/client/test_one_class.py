"""Whatever way a call goes, its function and its arguments are of one and the same class there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from scattergather.client.client import ScatterGather
from tests.classes import FUNCTIONS, HAPPENINGS, WAYS, agree, notebook

seen: list[int] = []
steps = some.tuples(some.sampled_from(HAPPENINGS), some.sampled_from(FUNCTIONS),
                    some.sampled_from(WAYS))  # fmt: skip


@pytest.fixture
def main() -> Iterator[dict[str, Any]]:
    with notebook() as variables:
        yield variables


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=some.lists(steps, min_size=1, max_size=4))
def test_a_class_is_one_class_by_every_way_and_as_it_is_now(
    c: ScatterGather, main: dict[str, Any], steps: Any
) -> None:
    agree(c, main, steps)


def test_the_first_submit_of_all_knows_the_class_of_its_argument(
    c: ScatterGather, main: dict[str, Any]
) -> None:
    cell = "class P:\n    n = 0\ndef known(v): return isinstance(v, P)\n"
    exec(cell + "def bump(v): P.n += 1; return type(v).n", main)
    found = [c.submit(main["known"], main["P"]()) for _ in range(3)]
    assert [each.result(60) for each in found] == [True] * 3
    exec("class P:\n    n = 0", main)
    assert c.submit(main["bump"], main["P"]()).result(60) == 1


def test_an_edited_exception_is_still_retried(c: ScatterGather, main: dict[str, Any]) -> None:
    exec("class Again(Exception): pass", main)
    kind = main["Again"]
    view = c.options(retry_on=kind, retries=2)
    for number in range(2):
        seen.clear()
        assert type(view.submit(fail, kind).exception(60)) is kind
        assert seen == [1, 2, 3], number
        kind.note = number


def fail(kind: type[Exception]) -> None:
    seen.append(len(seen) + 1)
    raise kind
