"""The words of the chaos table: what went wrong is said, and what went well."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from benchmarks.chaos import scenarios
from benchmarks.chaos.tasks import Ledger


def resolved(value: Any = None, error: BaseException | None = None) -> Future[Any]:
    future: Future[Any] = Future()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
    return future


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(str(tmp_path / "ledger"))


def gathered(ledger: Ledger, *futures: Future[Any]) -> str:
    return scenarios._gathered(futures, ledger, time.monotonic(), 0.05)


def test_all_delivered_is_ok(ledger):
    assert gathered(ledger, resolved("0"), resolved("1")).startswith("ok, ")


def test_an_error_and_a_wrong_value_are_lost(ledger):
    words = gathered(ledger, resolved(error=OSError()), resolved("0"), resolved("2"))
    assert words == "**lost 2** of 3 (OSError, wrong)"


def test_no_outcome_is_hung(ledger):
    assert gathered(ledger, resolved("0"), Future()) == "**hung 1** of 2"


def test_a_second_run_is_counted(ledger):
    for _ in range(2):
        ledger.note("0", "start")
    assert gathered(ledger, resolved("0")).endswith("1 run again")


@pytest.mark.parametrize(
    ("bad", "after", "words"),
    [
        (resolved(error=ValueError()), resolved(42), "ValueError"),
        (resolved(1.5), resolved(42), "returned"),
        (Future(), resolved(42), "**hung**"),
        (resolved(error=ValueError()), resolved(error=OSError()), "ValueError, **pool broken**"),
        (Future(), Future(), "**hung**, **pool hangs**"),
    ],
)
def test_one_bad_task(ledger, bad, after, words):
    answers: dict[Callable[..., Any], list[Future[Any]]] = {
        scenarios.tasks.double: [after, resolved(2)],
        scenarios.tasks.sleep: [resolved(str(number)) for number in range(4)],
        scenarios.tasks.exits: [bad],
    }
    exits = scenarios.tasks.exits
    told = scenarios._bad(lambda function, *_: answers[function].pop(), exits, ledger, 0.02)
    assert told == words


def test_the_living_that_are_in_a_task(ledger):
    ledger.note("a", "start")
    (me,) = ledger.running()
    ledger.note("a", "end")
    assert ledger.running() == []
    assert ledger.lines()[0] == ["a", "start", str(me)]
