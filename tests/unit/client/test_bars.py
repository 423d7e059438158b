"""The bar of whoever waits for futures, for a map, or to leave a client."""

from __future__ import annotations

import concurrent.futures as cf
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scattergather.client.client import ScatterGather
from scattergather.client.futures.bar import BAR
from scattergather.client.seen import progress
from tests.conformance.front_ends import Shell, in_a_kernel
from tests.unit.client import work
from tests.unit.client.fake import FakeController, connect, until

CALLS = 5


def results(c: ScatterGather) -> object:
    return [future.result(60) for future in [c.submit(work.add, n, 1) for n in range(CALLS)]]


def wait(c: ScatterGather) -> object:
    return cf.wait([c.submit(work.add, n, 1) for n in range(CALLS)], 60)


def wait_again_and_again(c: ScatterGather) -> object:
    left = {c.submit(work.add, n, 1) for n in range(CALLS)}
    while left:
        _, left = cf.wait(left, 0.3, return_when=cf.FIRST_COMPLETED)
    return None


def as_completed(c: ScatterGather) -> object:
    some = [c.submit(work.add, n, 1) for n in range(CALLS - 1)]
    return list(cf.as_completed([*some, c.submit(work.inverse, 0)], 60))


def mapped(c: ScatterGather) -> object:
    return list(c.map(work.add, range(CALLS), range(CALLS)))


def left(c: ScatterGather) -> object:
    with c:
        c.addJob([((n, 1), {}) for n in range(CALLS - 1)], work.add)
        c.submit(work.add, 1, 1)
    return None


WAITS = [results, wait, wait_again_and_again, as_completed, mapped, left]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A kernel in which waits last after no time."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    yield in_a_kernel(monkeypatch)
    BAR.close()


def resumed(fake: FakeController, when: Callable[[], object]) -> threading.Thread:
    def resume() -> None:
        until(when)
        fake.resume()

    thread = threading.Thread(target=resume)
    thread.start()
    return thread


@pytest.mark.parametrize("how", WAITS)
def test_a_wait_that_lasts_shows_one_bar_of_all_that_is_waited_for(
    how: Callable[[ScatterGather], object], pair: Any, shell: Shell
) -> None:
    c, fake = pair
    fake.pause()
    thread = resumed(fake, lambda: f"0/{CALLS}" in shell.seen("cell 1"))
    how(c)
    thread.join()
    (bar,) = shell.bundles("cell 1")
    assert f"{CALLS}/{CALLS}" in bar["text/plain"]


def test_what_is_waited_for_next_has_a_bar_of_its_own(pair: Any, shell: Shell) -> None:
    c, fake = pair
    for number in (1, 2):
        fake.pause()
        thread = resumed(fake, lambda n=number: len(shell.bundles("cell 1")) == n)
        results(c)
        thread.join()
    assert [f"{CALLS}/{CALLS}" in bar["text/plain"] for bar in shell.bundles("cell 1")] == [
        True
    ] * 2


def test_a_bar_of_calls_that_go_on_stands_still_when_its_cell_ends(pair: Any, shell: Shell) -> None:
    c, fake = pair
    fake.pause()
    futures = [c.submit(work.add, n, 1) for n in range(CALLS)]
    with pytest.raises(TimeoutError):
        futures[0].result(0.2)
    shell.end()
    fake.resume()
    shell.begin("cell 2")
    results(c)
    assert "0/5" in shell.seen("cell 1")
    assert "/10" not in shell.seen("cell 2")


@pytest.mark.parametrize("how", [results, wait, as_completed, left])
def test_another_thread_waits_without_a_bar(
    how: Callable[[ScatterGather], object], pair: Any, shell: Shell
) -> None:
    c, fake = pair
    fake.pause()
    waits = threading.Thread(target=how, args=(c,), daemon=True)
    waits.start()
    waits.join(0.3)
    fake.resume()
    waits.join(60)
    assert shell.seen("cell 1") == ""


def test_short_waits_are_together_a_long_one(
    pair: Any, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.6)
    c, fake = pair
    fake.pause()
    future = c.submit(work.add, 1, 1)
    for _ in range(6):
        with pytest.raises(TimeoutError):
            future.result(0.2)
    assert "0/1" in shell.seen("cell 1")


@pytest.mark.usefixtures("shell")
def test_who_has_waited_keeps_no_client() -> None:
    c, fake = connect()
    fake.pause()
    with pytest.raises(TimeoutError):
        c.submit(work.add, 1, 1).result(0.2)
    gone = weakref.ref(c._session)
    c.command("die")
    del c
    until(lambda: gc.collect() is not None and gone() is None)
