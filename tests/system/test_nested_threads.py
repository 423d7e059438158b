"""Nested calls that threads of a task wait for: every guarantee holds there, too."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scattergather import errors, inside
from tests.conftest import calls
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system

TASKS = 6
"""More than workers: who waits without lending his slot waits for ever."""


def one_more(number: int) -> int:
    return number + 1


def executor(call: Callable[[int], Any], number: int) -> int:
    with ThreadPoolExecutor(2) as threads:
        return max(threads.map(lambda n: call(n).result(), [number, number]))


def other_threads_of_asyncio(call: Callable[[int], Any], number: int) -> int:
    async def wait() -> int:
        return await asyncio.to_thread(call(number).result)

    return asyncio.run(wait())


def thread(call: Callable[[int], Any], number: int) -> int:
    found: list[int] = []
    waits = threading.Thread(target=lambda: found.append(call(number).result()))
    waits.start()
    waits.join()
    return found[0]


def one_future_for_all(call: Callable[[int], Any], number: int) -> int:
    future = call(number)
    with ThreadPoolExecutor(2) as threads:
        found = {each.result() for each in [threads.submit(future.result) for _ in range(2)]}
    return (found | {future.result()}).pop()


def looks(call: Callable[[int], Any], number: int) -> int:
    future = call(number)
    while not future.done():
        time.sleep(0.005)
    return int(future.result())


def short_waits(call: Callable[[int], Any], number: int) -> int:
    future = call(number)
    while True:
        try:
            return int(future.result(timeout=0.01))
        except TimeoutError:
            continue


@pytest.mark.parametrize(
    "way", [executor, other_threads_of_asyncio, thread, one_future_for_all, looks, short_waits]
)
def test_tasks_that_wait_there_do_not_starve_each_other(c, way) -> None:
    way, one = as_in_a_notebook(way), as_in_a_notebook(one_more)

    @as_in_a_notebook
    def task(number: int) -> int:
        return int(way(lambda n: inside.submit(one, n), number))

    job = c.addJob(calls(*range(TASKS)), task)
    assert job.results(timeout=20) == [number + 1 for number in range(TASKS)]


def test_a_thread_that_outlives_its_task_hears_so_and_the_next_chunk_is_not_given_back(
    c, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"

    @as_in_a_notebook
    def task() -> None:
        call = inside.submit(time.sleep, 0.3)

        def wait() -> None:
            try:
                call.result()
            except errors.RequestError as error:
                heard.write_text(str(error))

        threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.02)

    c.addJob([((), {})], task).results()
    assert c.addJob(calls(*range(TASKS)), as_in_a_notebook(one_more)).results(timeout=20)
    eventually(lambda: heard.exists() and heard.read_text())
    assert "is over" in heard.read_text()


@pytest.mark.parametrize("end", ["time limit", "cancel"])
def test_who_is_told_to_end_does_not_wait_for_threads_that_wait_for_calls(
    c, tmp_path: Path, end: str
) -> None:
    heard, waits = tmp_path / "heard", tmp_path / "waits"

    @as_in_a_notebook
    def task() -> None:
        def wait() -> None:
            call = inside.submit(time.sleep, 3)
            waits.touch()
            try:
                call.result()
            except (CancelledError, errors.RequestError) as error:
                heard.write_text(str(error))  # the second, where the task was over first

        with ThreadPoolExecutor(1) as threads:
            threads.submit(wait).result()

    limit = 0.3 if end == "time limit" else None
    job = c.addJob([((), {})], task, time_limit=limit, retries=0)
    eventually(waits.exists)
    if end == "cancel":
        job.cancel()
    else:
        (error,) = job.results(errors="return")
        assert isinstance(error, errors.TimeLimitExceeded)
    eventually(lambda: heard.exists() and heard.read_text())
    assert any(words in heard.read_text() for words in ("is to end", "is over", "was cancelled"))
