from __future__ import annotations

import asyncio
import concurrent.futures as cf
import gc
import sys
import threading
import weakref

import pytest

from scattergather.client.futures.future import TaskFuture
from scattergather.client.futures.streams import IDLE_STREAMS
from scattergather.errors import (
    BadRequest,
    CannotPickle,
    Closed,
    TaskKilledWorker,
    TaskLost,
    UnknownName,
)
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss
from scattergather.wire.values.raised import RemoteTraceback
from tests.unit.client import work
from tests.unit.client.fake import Lost, until
from tests.waits import feeders_wait


def lose():
    raise Lost(reason="gone")


def test_submit_returns_a_real_future(c):
    future = c.submit(work.add, 1, b=2)
    assert isinstance(future, cf.Future)
    assert future.result(60) == 3
    assert future.done()


def test_the_client_is_an_executor(c):
    assert isinstance(c, cf.Executor)


def test_errors_are_the_originals(c):
    future = c.submit(work.inverse, 0)
    with pytest.raises(ZeroDivisionError) as caught:
        future.result(60)
    assert "in inverse" in str(caught.value.__cause__)
    assert "args (0)" in caught.value.__notes__[0]


def test_losses_are_typed(c):
    future = c.options(retries=0).submit(lose)
    assert isinstance(future.exception(60), TaskKilledWorker)


def test_calls_of_one_function_share_one_open_job(c, fake):
    cf.wait([c.submit(work.noop, n) for n in range(50)])
    cf.wait([c.submit(work.noop, n) for n in range(50)])
    (job,) = fake.of(messages.AddJob)
    assert job.stream
    assert sum(added.count for added in fake.of(messages.AddTasks)) == 100


def test_many_calls_travel_in_few_frames(c, fake):
    fake.pause()
    all_of_them = [c.submit(work.noop, n) for n in range(2000)]
    fake.resume()
    assert [future.result(60) for future in all_of_them] == list(range(2000))
    assert fake.count(messages.AddTasks) < 1000


def test_options_have_streams_of_their_own(c, fake):
    view = c.options(priority=4, time_limit=3)
    assert view.submit(work.noop, 1).result(60) == 1
    assert c.submit(work.noop, 1).result(60) == 1
    assert [(job.priority, job.limits.time) for job in fake.of(messages.AddJob)] == [
        (4, 3.0),
        (0, None),
    ]


def test_an_unknown_option_is_answered_with_the_known(c):
    with pytest.raises(UnknownName, match=r"'prio'.*priority"):
        c.options(prio=1)


def test_an_executor_with_options_shuts_down_alone(c):
    with c.options(retries=0) as view:
        future = view.submit(work.sleep, 0.05)
    assert future.done()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        view.submit(work.noop)
    assert c.submit(work.noop, 1).result(60) == 1


def test_a_changed_global_is_seen_by_the_next_call(c):
    scope = {"factor": 2}
    exec("def f(x): return factor * x", scope)
    first = c.submit(scope["f"], 1)
    scope["factor"] = 3
    assert (first.result(60), c.submit(scope["f"], 1).result(60)) == (2, 3)


def test_an_unpicklable_argument_is_named(c):
    with pytest.raises(CannotPickle, match=r"args\[0\]"):
        c.submit(work.noop, threading.Lock())
    assert c.submit(work.noop, 1).result(60) == 1


def test_what_cannot_be_called_is_refused(c):
    with pytest.raises(BadRequest):
        c.submit(5)


def test_a_service_can_be_submitted(made):
    c, _ = made(services={"triple": lambda x: 3 * x})
    assert c.submit("triple", 2).result(60) == 6


# ---- cancelling ----


def test_a_waiting_call_can_be_cancelled(c, fake):
    fake.pause()
    future = c.submit(work.noop, 1)
    assert future.cancel()
    assert future.cancelled()
    assert future.cancel()
    with pytest.raises(cf.CancelledError):
        future.result(60)
    done, _ = cf.wait([future], 60)
    assert done == {future}


def test_a_placed_call_is_running_and_cannot_be_cancelled(c):
    gate = work.gate("running")
    future = c.submit(work.pass_gate, "running", 7)
    until(future.running)
    assert not future.cancel()
    gate.set()
    assert future.result(60) == 7
    assert not future.cancel()


def test_a_future_cancelled_behind_our_back_does_not_end_the_reader(c, fake):
    fake.pause()
    future = c.submit(work.noop, 1)
    cf.Future.cancel(future)
    fake.resume()
    assert c.submit(work.noop, 2).result(60) == 2


def test_wrap_future_works(c):
    async def main():
        return await asyncio.wrap_future(c.submit(work.add, 1, 2))

    assert asyncio.run(main()) == 3


def test_an_interrupted_wrap_future_cancels_only_what_waits(c, fake):
    fake.pause()

    async def main():
        wrapped = asyncio.wrap_future(c.submit(work.noop, 1))
        await asyncio.sleep(0)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped

    asyncio.run(main())
    fake.resume()
    assert c.submit(work.noop, 2).result(60) == 2


# ---- callbacks ----


def test_callbacks_run_and_may_submit(c):
    got = []

    def more(future):
        got.append(future.result())
        if len(got) < 3:
            c.submit(work.noop, len(got)).add_done_callback(more)

    c.submit(work.noop, 0).add_done_callback(more)
    until(lambda: got == [0, 1, 2])


def test_a_callback_that_would_wait_for_ever_is_told(c, fake):
    fake.pause()  # added when the call is through, it would run here
    told = []

    def wait(_future):
        try:
            c.addJob([((1,), {})], work.noop).results()
        except RuntimeError as error:
            told.append(str(error))

    c.submit(work.noop).add_done_callback(wait)
    fake.resume()
    until(lambda: told)
    assert "must not wait" in told[0]


@pytest.mark.parametrize(
    "wait",
    [
        lambda future: future.result(),
        lambda future: future.exception(),
        lambda future: cf.wait([future]),
        lambda future: next(cf.as_completed([future])),
    ],
)
def test_a_callback_that_would_wait_for_a_future_is_told(c, fake, wait):
    fake.pause()
    told = []

    def ask(done):
        cf.wait([done])  # this one is there
        assert list(cf.as_completed([done])) == [done]
        assert done.result() == 1
        try:
            wait(c.submit(work.noop, 2))
        except RuntimeError as error:
            told.append(str(error))

    c.submit(work.noop, 1).add_done_callback(ask)
    fake.resume()
    until(lambda: told)
    assert "must not wait" in told[0]
    assert c.submit(work.noop, 3).result(60) == 3


# ---- await ----


def test_a_future_can_be_awaited(c):
    async def main():
        assert await c.submit(work.add, 1, b=2) == 3
        with pytest.raises(ZeroDivisionError):
            await c.submit(work.inverse, 0)
        return await asyncio.gather(*(c.submit(work.noop, n) for n in range(3)))

    assert asyncio.run(main()) == [0, 1, 2]


def test_an_abandoned_await_leaves_the_call(c, fake):
    fake.pause()
    future = c.submit(work.noop, 1)

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await future

    asyncio.run(main())
    assert not future.done()
    fake.resume()
    assert future.result(60) == 1


# ---- map ----


@pytest.mark.parametrize(
    "kind", [StopIteration, StopAsyncIteration, type("Odd", (StopIteration,), {})]
)
@pytest.mark.parametrize(
    "as_awaited",
    [
        lambda c, *call: c.submit(*call),
        lambda c, *call: asyncio.wrap_future(c.submit(*call)),
        lambda c, *call: asyncio.wrap_future(over(c.submit(*call))),
        lambda c, *call: asyncio.get_running_loop().run_in_executor(c, *call),
    ],
    ids=["await", "wrap_future", "wrap_future of one that is over", "run_in_executor"],
)
def test_a_call_that_raises_the_end_of_an_iteration_is_no_value_of_an_await(c, kind, as_awaited):
    async def main():
        return await asyncio.wait_for(as_awaited(c, work.stop_at, 0, kind, 0), 20)

    with pytest.raises(RuntimeError, match="a task raised") as caught:
        asyncio.run(main())
    assert type(caught.value.__cause__) is kind
    assert type(c.submit(work.stop_at, 0, kind, 0).exception(60)) is kind


def over(future):
    future.exception(60)
    return future


def test_a_call_that_raises_cancelled_error_does_not_cancel_who_awaits_it(c):
    async def main():
        future = c.submit(work.noop)
        future._stream.bell.wait(future.done)
        mine = TaskFuture(future._stream, None)
        error = cf.CancelledError("of something that the call waited for")
        error.__cause__ = RemoteTraceback("there")
        mine.resolve(Kind.RAISED, error)
        await mine

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(main())
    assert type(caught.value.__cause__) is cf.CancelledError


def test_an_awaited_call_that_is_cancelled_cancels_who_awaits_it_as_asyncio_has_it(c, fake):
    async def main():
        fake.pause()
        future = c.submit(work.noop)
        asyncio.get_running_loop().call_later(0.05, future.cancel)
        await future

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_map_zips(c):
    assert list(c.map(work.add, [1, 2, 3], [10, 20])) == [11, 22]


def test_map_with_a_buffer_reads_input_as_it_goes(c):
    taken = []

    def numbers():
        for n in range(100):
            taken.append(n)
            yield n

    results = c.map(work.noop, numbers(), buffersize=4)
    assert next(results) == 0
    until(feeders_wait)
    assert len(taken) <= 6
    assert list(results) == list(range(1, 100))


@pytest.mark.parametrize("wrong", [{"chunksize": 0}, {"buffersize": 0}, {"timeout": "x"}])
def test_map_checks_its_arguments(c, wrong):
    with pytest.raises(ValueError):  # noqa: PT011
        c.map(work.noop, [1], **wrong)


def test_map_never_enters_the_queue_of_results(c):
    list(c.map(work.noop, [1]))
    c.waitForResult()  # the go value
    assert not c.poll()


def test_map_left_early_drops_what_waits(c, fake):
    fake.pause()
    results = c.map(work.noop, range(100))
    until(lambda: fake.count(messages.AddTasks))
    results.close()
    until(lambda: fake.count(messages.CancelTasks))
    fake.resume()
    assert list(results) == []
    until(lambda: not c._session.receivers.busy)


def test_map_results_can_be_collected_meanwhile(c):
    class Thing:
        pass

    for thing in c.map(lambda _: Thing(), range(5)):
        gone = weakref.ref(thing)
        del thing
        gc.collect()
        assert gone() is None


def test_nothing_holds_the_arguments_of_a_call(c):
    class Held:
        def method(self):
            return 1

    held = Held()
    gone = weakref.ref(held)
    future = c.submit(held.method)
    del held
    future.result(60)
    until(lambda: gc.collect() is not None and gone() is None)


# ---- ending ----


def test_shutdown_waits_for_what_is_outstanding(c):
    all_of_them = [c.submit(work.sleep, 0.02) for _ in range(6)]
    job = c.addJob([((0.05,), {})], work.sleep)
    c.shutdown()
    assert all(future.done() for future in all_of_them)
    assert c._session.life.ended
    assert job.results() == [0.05]
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        c.submit(work.noop)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        c.map(work.noop, [1])
    with pytest.raises(Closed, match="shut down"):
        c.addJob([], work.noop)
    c.shutdown()


def test_shutdown_without_waiting_lets_the_rest_come(c):
    gate = work.gate("shut")
    future = c.submit(work.pass_gate, "shut", 7)
    c.shutdown(wait=False)
    assert not future.done()
    gate.set()
    assert future.result(60) == 7
    until(lambda: c._session.life.ended)


def test_shutdown_can_cancel_what_waits(c, fake):
    fake.pause()
    all_of_them = [c.submit(work.noop, n) for n in range(10)]
    c.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in all_of_them)


def test_a_client_that_was_shut_down_ends_when_its_last_call_is_cancelled(c, fake):
    fake.pause()
    future = c.submit(work.noop, 1)
    c.shutdown(wait=False)
    assert future.cancel()
    until(lambda: c._session.life.ended)


def test_with_waits(c):
    with c:
        future = c.submit(work.sleep, 0.05)
        job = c.addJob([((1,), {})], work.noop)
    assert future.done()
    assert job.results() == [1]


def test_with_left_by_an_exception_cancels(c, fake):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    future = c.submit(work.noop, 1)
    with pytest.raises(ZeroDivisionError), c:
        work.inverse(0)
    assert future.cancelled()
    assert job.progress.cancelled == 1


def test_a_call_that_has_no_job_ends_and_of_a_job_that_was_forgotten_nobody_hears(c, fake):
    fake.pause()
    future = c.submit(abs, -1)
    until(lambda: fake.of(messages.AddTasks))
    job = fake.of(messages.AddTasks)[0].job
    loss = Loss(kind=LossKind.LOST, reason="it came without its job")
    for each in (b"forgotten job...", job):
        lost = messages.TaskOutcomes(job=each, first=0, kinds=bytes([Kind.LOST]))
        fake.send(lost, blobs.pack([messages.encode(loss)]))
    with pytest.raises(TaskLost, match="it came without its job"):
        future.result(60)
    fake.resume()
    assert c.submit(len, "ab").result(60) == 2


def test_idle_streams_are_ended(c, fake):
    for n in range(40):
        assert c.submit(lambda n=n: n).result(60) == n
    open_ones = [job for job in fake.jobs.values() if not job.forgotten]
    assert len(open_ones) <= IDLE_STREAMS + 1
    assert len(c._session.receivers) <= IDLE_STREAMS + 1


def test_results_of_futures_come_from_many_threads(c):
    sums = []

    def submitter(base):
        sums.append(sum(f.result(60) for f in [c.submit(work.noop, base + n) for n in range(200)]))

    threads = [threading.Thread(target=submitter, args=(k * 1000,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(sums) == sum(k * 1000 + n for k in range(4) for n in range(200))


def test_many_functions_at_once_leave_few_streams(c, fake):
    fake.pause()
    all_of_them = [c.submit(lambda n=n: n) for n in range(200)]
    fake.resume()
    assert [future.result(60) for future in all_of_them] == list(range(200))
    until(lambda: len(c._session.receivers) <= IDLE_STREAMS + 8)


def test_an_iterable_that_fails_in_map_raises_its_own_error(c):
    def numbers():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        c.map(work.noop, numbers())
    results = c.map(work.noop, numbers(), buffersize=2)
    assert next(results) == 1
    with pytest.raises(OSError, match="disk"):
        next(results)


# ---- a lock only for those who ask --------------------------------------------------------------


def test_nobody_who_looks_or_waits_in_our_way_gives_a_future_a_lock(c):
    future = c.submit(work.noop, 1)
    while not future.done():
        assert not future.cancelled()
        future.running()
    assert future.result(60) == 1
    assert future._own is None


def test_who_waits_while_futures_end_sees_each_of_them_once(c, fake):
    """Those that have a lock when they end and those that get one in that moment."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(30):
            fake.pause()
            calls = [c.submit(work.noop, n) for n in range(100)]
            called: list[int] = []
            fake.resume()
            for future in calls:
                future.add_done_callback(lambda each, to=called: to.append(each.result()))
            done, left = cf.wait(calls, 60)
            assert not left
            assert len(done) == 100
            until(lambda: len(called) == 100)  # noqa: B023
            assert sorted(called) == list(range(100))
            assert len(list(cf.as_completed(calls, 60))) == 100
    finally:
        sys.setswitchinterval(interval)
