from __future__ import annotations

import asyncio
import gc
import itertools
import pickle
import threading
import time
from functools import partial

import pytest

from scattergather.client.jobs import feeding
from scattergather.client.jobs.reading import read_outcomes
from scattergather.errors import (
    BadRequest,
    CannotPickle,
    ControllerLost,
    InputFailed,
    JobFailed,
    TaskError,
)
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from tests.conftest import calls
from tests.struck import struck_everywhere
from tests.unit.client import work
from tests.unit.client.fake import until
from tests.waits import feeders_wait


def test_iteration_is_in_task_order_and_early(c):
    gate = work.gate("early")
    job = c.addJob(
        [((work.noop, 0), {}), ((work.pass_gate, "early", 1), {}), ((work.noop, 2), {})],
        lambda f, *args: f(*args),
    )
    results = iter(job)
    assert next(results) == 0
    gate.set()
    assert list(results) == [1, 2]


def test_a_job_of_a_list_can_be_iterated_again(c):
    job = c.addJob(calls(1, 2, 3), work.noop)
    assert list(job) == list(job) == [1, 2, 3] == job.results()


def test_a_failed_task_raises_in_its_place_and_iteration_can_go_on(c):
    results = iter(c.addJob(calls(1, 0, 4), work.inverse))
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [0.25]


def test_as_completed_gives_what_comes_first(c):
    gate = work.gate("first")
    job = c.addJob(
        [((work.pass_gate, "first", "slow"), {}), ((work.noop, "fast"), {})],
        lambda f, *args: f(*args),
    )
    results = iter(job.as_completed())
    assert next(results) == (1, "fast")
    gate.set()
    assert list(results) == [(0, "slow")]


def test_as_completed_can_return_errors(c):
    got = dict(c.addJob(calls(1, 0), work.inverse).as_completed(errors="return"))
    assert isinstance(got[1], ZeroDivisionError)


def test_as_completed_knows_its_length(c):
    assert len(c.addJob(calls(1, 0), work.noop).as_completed()) == 2


class Weary(StopIteration, ValueError):
    """The user's own, of a kind that Python takes for an end."""


ENDS = [StopIteration, StopAsyncIteration, Weary]


def stops(c, kind):
    return c.addJob([((2, kind, x), {}) for x in range(4)], work.stop_at)


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize(
    "iterate",
    [
        lambda c, kind: list(stops(c, kind)),
        lambda c, kind: list(stops(c, kind).as_completed()),
        lambda c, kind: list(c.map(partial(work.stop_at, 2, kind), range(4))),
        lambda c, kind: list(c.map(partial(work.stop_at, 2, kind), range(4), buffersize=2)),
        lambda c, kind: asyncio.run(all_of(stops(c, kind))),
        lambda c, kind: asyncio.run(all_of(stops(c, kind).as_completed())),
    ],
    ids=["iter", "as_completed", "map", "map in a window", "async for", "async as_completed"],
)
def test_a_task_that_raises_the_end_of_an_iteration_ends_none(c, kind, iterate):
    with pytest.raises(RuntimeError, match="a task raised") as caught:
        iterate(c, kind)
    assert type(caught.value.__cause__) is kind
    assert "stop_at" in str(caught.value.__cause__.__cause__)
    assert any("task 2" in note for note in caught.value.__notes__)


async def all_of(source):
    return [each async for each in source]


def test_who_asks_for_an_outcome_gets_the_end_of_an_iteration_as_it_was_raised(c):
    job = stops(c, StopIteration)
    with pytest.raises(JobFailed) as caught:
        job.results()
    for error in (caught.value.results[2], job.failures[0].error):
        assert type(error) is StopIteration
    given = dict(stops(c, StopAsyncIteration).as_completed(errors="return"))
    assert type(given[2]) is StopAsyncIteration


def test_an_argument_whose_packing_ends_an_iteration_ends_no_map(c):
    def packed():
        yield 1
        yield Unpackable()

    with pytest.raises((RuntimeError, CannotPickle)):
        list(c.map(work.noop, packed(), buffersize=4))


class Unpackable:
    def __reduce__(self):
        raise StopIteration


def test_a_result_whose_rebuilding_ends_an_iteration_is_an_error_in_its_place():
    body = blobs.pack(map(pickle.dumps, [0, 1, work.Ending(), 3]))
    results, kinds = read_outcomes(bytes(4), body, 0, str, "job 1")
    assert [results[place] for place in (0, 1, 3)] == [0, 1, 3]
    assert isinstance(results[2], TaskError)
    assert kinds[2]


# ---- iterators ----


def test_a_generator_is_fed_and_read(c):
    job = c.addJob((((n,), {}) for n in range(1000)), work.noop)
    assert job.results() == list(range(1000))
    assert c.addJob((((n,), {}) for n in range(1000)), work.noop).progress.total in (None, 1000)


def test_a_generator_without_end_is_read_in_a_window(c):
    job = c.addJob((((n,), {}) for n in itertools.count()), work.noop)
    results = iter(job)
    for n in range(500):
        assert next(results) == n
    job.cancel()
    until(lambda: job._gathering.total is not None)


def test_results_that_nobody_takes_stop_the_feeding(c):
    begun = threading.Event()

    def tasks():
        yield (0,), {}
        begun.wait()  # what returns before anybody iterates counts as taken
        yield from (((n,), {}) for n in itertools.count(1))

    job = c.addJob(tasks(), work.noop)
    results = iter(job)
    next(results)
    begun.set()
    until(lambda: feeders_wait() and job._gathering.settled == job._gathering.added)
    assert job._gathering.added <= feeding.MOST_TASKS
    job.cancel()


@pytest.mark.parametrize("way", [iter, lambda job: iter(job.as_completed())])
def test_what_is_lost_when_all_that_was_fed_is_through_does_not_end_as_if_it_were_all(c, fake, way):
    job = c.addJob((((n,), {}) for n in itertools.count()), work.noop)
    results = way(job)
    next(results)
    until(lambda: feeders_wait() and job._gathering.settled == job._gathering.added)
    fake.die()
    until(lambda: "scattergather-feeder" not in {each.name for each in threading.enumerate()})
    with pytest.raises(ControllerLost):
        list(results)


def test_the_window_bounds_what_is_under_way(c, fake):
    fake.pause()
    job = c.addJob((((n,), {}) for n in itertools.count()), work.noop)
    until(feeders_wait)
    assert job._gathering.added == feeding.LEAST
    job.cancel()
    fake.resume()


def test_large_tasks_are_bounded_by_their_bytes(c, fake, monkeypatch):
    monkeypatch.setattr(feeding, "LEAST", 10_000)
    fake.pause()
    job = c.addJob((((bytes(1 << 20),), {}) for _ in itertools.count()), len)
    until(feeders_wait)
    assert 8 <= job._gathering.added <= 9
    job.cancel()
    fake.resume()


def test_a_generator_may_wait_for_a_result_of_its_own_job(c):
    results = []

    def tasks():
        for n in range(5):
            yield (n,), {}
            while len(results) <= n:
                time.sleep(0.001)

    for result in c.addJob(tasks(), work.noop):
        results.append(result)  # noqa: PERF402  (the generator looks at it)
    assert results == list(range(5))


def test_a_generator_may_refill_one_buffer(c):
    def tasks():
        buffer = [0]
        for n in range(100):
            buffer[0] = n
            yield (buffer,), {}

    assert c.addJob(tasks(), lambda b: b[0]).results() == list(range(100))


def broken(n):
    for index in range(n):
        yield (index,), {}
    raise OSError("the disk is gone")


def test_an_exception_in_the_iterator_ends_the_job_with_the_results_so_far(c):
    job = c.addJob(broken(3), work.noop)
    with pytest.raises(InputFailed, match=r"after 3.*OSError: the disk is gone") as caught:
        c.waitForResult()
    assert caught.value.results == [0, 1, 2]
    assert isinstance(caught.value.__cause__, OSError)
    assert job.results(errors="return") == [0, 1, 2]


def test_iteration_gives_what_came_before_the_iterator_failed(c):
    results = iter(c.addJob(broken(3), work.noop))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputFailed):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_a_bad_task_of_an_iterator_is_named(c):
    job = c.addJob(iter([((1,), {}), 5]), work.noop)
    with pytest.raises(InputFailed, match="task 1 must be a pair"):
        job.results()
    job = c.addJob(iter([((1,), {}), ((threading.Lock(),), {})]), work.noop)
    with pytest.raises(InputFailed, match=r"task 1: Cannot send args\[0\]") as caught:
        job.results()
    assert isinstance(caught.value.__cause__, CannotPickle)


def test_a_job_of_an_iterator_forgets_what_it_handed_over(c):
    job = c.addJob(iter(calls(*range(300))), work.noop)
    assert sum(job) == sum(range(300))
    assert not job._gathering.segments
    with pytest.raises(BadRequest, match="was iterated"):
        job.results()
    with pytest.raises(BadRequest, match="was iterated"):
        list(job)


def test_the_table_of_a_long_job_is_trimmed(c, monkeypatch):
    monkeypatch.setattr("scattergather.client.jobs.gathering._TRIM", 100)
    job = c.addJob(iter(calls(*range(3000))), work.noop)
    assert list(job) == list(range(3000))
    assert len(job._gathering._kinds) < 500


def test_an_iteration_dropped_half_way_ends_its_job(c, fake):
    job = c.addJob((((n,), {}) for n in itertools.count()), work.noop)
    assert next(iter(job)) == 0
    del job
    gc.collect()
    until(lambda: fake.count(messages.CancelJob))
    until(lambda: not c._session.receivers.busy)


def test_cancel_ends_the_reading_of_an_iterator(c):
    closed = threading.Event()

    def tasks():
        try:
            for n in itertools.count():
                yield (n,), {}
        finally:
            closed.set()

    job = c.addJob(tasks(), work.noop)
    until(lambda: job._gathering.settled)
    job.cancel()
    assert closed.wait(60)
    job.results(errors="return")


# ---- async ----


def test_await_a_job(c):
    async def main():
        return await c.addJob(calls(1, 2), work.noop)

    assert asyncio.run(main()) == [1, 2]


def test_await_raises_like_results(c):
    async def main():
        await c.addJob(calls(0), work.inverse)

    with pytest.raises(JobFailed):
        asyncio.run(main())


def test_an_interrupted_await_leaves_the_job(c, fake):
    fake.pause()
    job = c.addJob(calls(1), work.noop)

    async def wait():
        return await job

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0.02)
        fake.resume()
        return await job

    assert asyncio.run(main()) == [1]
    assert fake.count(messages.CancelJob) == 0


def test_async_for_gives_results_in_order(c):
    async def main():
        return [result async for result in c.addJob(iter(calls(*range(200))), work.noop)]

    assert asyncio.run(main()) == list(range(200))


def test_async_for_as_completed(c):
    async def main():
        job = c.addJob(calls(*range(20)), work.noop)
        return dict([pair async for pair in job.as_completed()])

    assert asyncio.run(main()) == {n: n for n in range(20)}


def test_async_for_ends_with_the_iterators_error(c):
    async def main():
        got = []
        try:
            async for result in c.addJob(broken(2), work.noop):
                got.append(result)  # noqa: PERF401  (until it raises)
        except InputFailed:
            return got

    assert asyncio.run(main()) == [0, 1]


def test_the_loop_goes_on_while_a_job_is_awaited(c):
    gate = work.gate("loop")

    async def main():
        job = c.addJob([(("loop",), {})], work.pass_gate)
        task = asyncio.ensure_future(waiting(job))
        await asyncio.sleep(0.02)
        gate.set()
        return await task

    async def waiting(job):
        return await job

    assert asyncio.run(main()) == [None]


@pytest.mark.filterwarnings("ignore:.*WeakSet")  # the threads that Python knows are in one
def test_an_interrupt_at_any_moment_of_map_leaves_no_calls_that_nobody_iterates(c):
    moments = 0
    for _ in struck_everywhere(lambda: c.map(work.noop, range(9), buffersize=2)):
        moments += 1
        until(lambda: not c._session.receivers.busy)
    assert moments > 100
    assert list(c.map(work.noop, range(9), buffersize=2)) == list(range(9))
