from __future__ import annotations

import concurrent.futures as cf
import gc
import os
import threading
import weakref
from concurrent.futures import CancelledError

import msgspec
import pytest

from scattergather.client.unread import Unread
from scattergather.errors import (
    BadRequest,
    CannotPickle,
    Closed,
    ControllerLost,
    HostLost,
    JobFailed,
    NothingToWaitFor,
    TaskKilledWorker,
    TimeLimitExceeded,
    UnknownName,
)
from scattergather.model.failure import Failure
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostState, RemoteSpec
from scattergather.wire.messages.shared import Limits
from tests.conftest import calls
from tests.struck import overtaken_everywhere, struck_everywhere
from tests.unit.client import work
from tests.unit.client.fake import Lost, say, until, where
from tests.waits import waits


def test_results_are_in_task_order(c):
    job = c.addJob(calls(*range(500)), lambda x: x * 2)
    assert job.results() == [x * 2 for x in range(500)]


def test_a_list_for_args_as_in_the_seed_is_taken(c):
    assert c.addJob([([1], {"b": 2})], work.add).results() == [3]


def test_the_results_are_the_same_objects_every_time(c):
    job = c.addJob(calls([1], [2]), work.noop)
    assert job.results()[0] is job.results()[0]


def test_an_empty_job_is_done_at_once(c):
    job = c.addJob([], work.noop)
    assert job.done()
    assert c.waitForResult() == []


def test_wait_for_result_gives_jobs_in_the_order_added(c, fake):
    fake.pause()
    c.addJob(calls(1), work.noop)
    c.addJob(calls(2), work.noop, priority=5)
    assert not c.poll()
    fake.resume()
    assert c.waitForResult() == [1]
    assert c.waitForResult() == [2]


def test_nothing_outstanding_is_said_at_once(c):
    c.addJob(calls(1), work.noop)
    c.waitForResult()
    with pytest.raises(NothingToWaitFor):
        c.waitForResult()


def test_the_go_value_comes_first_and_once(c):
    until(c.poll)
    go = c.waitForResult()
    assert (go.workers, go.hosts[0].name) == (2, "fake")
    assert not c.poll()
    with pytest.raises(NothingToWaitFor):
        c.waitForResult()


def test_adding_a_job_drops_the_go_value(c):
    c.addJob(calls(1), work.noop)
    assert c.waitForResult() == [1]


def test_waiting_for_go_times_out(made, monkeypatch):
    monkeypatch.setattr("scattergather.client.session.known.GO_SECONDS", 60)
    c, _ = made(go=False)
    assert not c.poll()
    with pytest.raises(TimeoutError):
        c.waitForResult(0.01)


def test_a_timeout_leaves_the_job(c, fake):
    fake.pause()
    c.addJob(calls(1), work.noop)
    with pytest.raises(TimeoutError, match="job 1"):
        c.waitForResult(0.01)
    fake.resume()
    assert c.waitForResult() == [1]


def test_a_job_that_was_read_otherwise_is_not_waited_for(c):
    first, second = (c.addJob(calls(n), work.noop) for n in (1, 2))
    third = c.addJob(calls(3), work.noop)
    assert first.results() == [1]
    assert list(second) == [2]
    assert c.waitForResult() == [3]
    assert third.results() == [3]


def in_two_threads(fake, read):
    """Both wait before anything goes on."""
    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: all(map(waits, threads)))
    fake.resume()
    for thread in threads:
        thread.join(60)


def test_two_threads_that_wait_get_different_jobs(c, fake):
    fake.pause()
    for number in range(2):
        c.addJob(calls(number), work.noop)
    got = []
    in_two_threads(fake, lambda: got.append(c.waitForResult()))
    assert sorted(got) == [[0], [1]]


@pytest.mark.parametrize("place", [0, 1])
def test_two_threads_that_find_a_job_through_at_once_get_different_jobs(
    c, fake, monkeypatch, place
):
    """One of the jobs fails: the first, that both have waited for, or the second."""
    fake.pause()
    first, _ = (c.addJob(calls(number), work.inverse) for number in (place, 1 - place))
    real, both = c._unread.read, threading.Barrier(2)

    def at_once(gathering):
        if gathering is first._gathering:
            both.wait(60)
        return real(gathering)

    monkeypatch.setattr(c._unread, "read", at_once)
    got = []

    def read():
        try:
            got.append(c.waitForResult(60))
        except JobFailed as failed:
            got.append(type(failed.results[0]))

    in_two_threads(fake, read)
    assert sorted(got, key=str) == [ZeroDivisionError, [1]]


def test_two_threads_that_wait_for_the_hosts_get_the_go_value_once(made):
    c, fake = made(go=False)
    got = []

    def read():
        try:
            got.append(c.waitForResult(60))
        except NothingToWaitFor:
            got.append(None)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: all(map(waits, threads)))
    fake.say_go()
    for thread in threads:
        thread.join(60)
    assert sorted(each is None for each in got) == [False, True]


def test_a_job_that_is_added_while_another_thread_begins_to_wait_is_what_that_waits_for(c):
    until(c.poll)
    moments = 0
    for came in overtaken_everywhere(c.waitForResult, lambda: c.addJob(calls(1), work.noop)):
        moments += 1
        assert came in ([1], c._session.known.go)
        c._unread = c._scatter.unread = Unread()
    assert moments > 10


def test_poll_answers_at_whatever_moment_another_thread_reads_the_last_job(c):
    def add():
        until(c.addJob(calls(1), work.noop).done)

    add()
    moments = 0
    for _ in overtaken_everywhere(c.poll, c.waitForResult):
        moments += 1
        assert not c.poll()
        add()
    assert moments > 10


@pytest.mark.parametrize("kind", [list, iter])
@pytest.mark.filterwarnings("ignore:.*WeakSet")  # the threads that Python knows are in one
def test_an_interrupt_at_any_moment_of_adding_leaves_no_job_or_one_that_is_waited_for(
    c, fake, kind
):
    fake.pause()  # what was not taken back would stay
    moments = 0
    for _ in struck_everywhere(lambda: c.addJob(kind(calls(1, 2)), work.noop)):
        moments += 1
        if c._unread.oldest() is not None:
            fake.resume()
            assert c.waitForResult() == [1, 2]
            fake.pause()
        until(lambda: not c._session.receivers.busy)
    assert moments > 100
    fake.resume()
    assert c.waitForResult() == [1, 2]  # the last was not interrupted
    with pytest.raises(NothingToWaitFor):
        c.waitForResult()


# ---- failures ----


def test_failures_come_together_with_all_results(c):
    c.addJob(calls(1, 0, 2, 0), work.inverse)
    with pytest.raises(JobFailed) as caught:
        c.waitForResult()
    error = caught.value
    assert "2 of 4 tasks of job 1 failed" in error.message
    assert error.results[0] == 1.0
    assert isinstance(error.results[1], ZeroDivisionError)
    assert [failure.index for failure in error.failures] == [1, 3]
    assert error.failures[0].error is error.results[1]
    assert error.failures[0].host == "fake"
    assert error.failures[0].worker


def test_an_error_has_the_remote_traceback_as_its_cause_and_a_note_of_its_task(c):
    job = c.addJob(calls(0), work.inverse, name="halving")
    (failure,) = wait_failures(job)
    assert "in inverse" in str(failure.error.__cause__)
    (note,) = failure.error.__notes__
    assert "task 0 of halving on fake, worker 100" in note
    assert "args (0)" in note
    report = "\n".join(failure.report())
    assert report.count("ZeroDivisionError: division by zero") == 1
    assert "task 0 of halving" in report


def wait_failures(job):
    job.results(errors="return")
    return job.failures


def test_errors_return_gives_them_in_their_places(c):
    c.addJob(calls(1, 0), work.inverse)
    good, bad = c.waitForResult(errors="return")
    assert good == 1.0
    assert isinstance(bad, ZeroDivisionError)


def test_what_errors_may_be_is_said(c):
    with pytest.raises(BadRequest, match="'raise' or 'return'"):
        c.addJob([], work.noop).results(errors="ignore")


def test_an_exception_class_of_the_notebook_comes_home_as_itself(c):
    class Mine(Exception):
        pass

    def fail():
        raise Mine("so", 7)

    (error,) = c.addJob([((), {})], fail).results(errors="return")
    assert type(error) is Mine
    assert error.args == ("so", 7)


def test_a_result_that_cannot_travel_fails_its_own_task_only(c):
    job = c.addJob(calls(1, 2), lambda x: threading.Lock() if x == 1 else x)
    bad, good = job.results(errors="return")
    assert isinstance(bad, CannotPickle)
    assert good == 2


class Unwilling:
    def __reduce__(self):
        return refuse_here, ()


def refuse_here():
    if threading.current_thread().name == "MainThread":
        raise ValueError("not here")
    return 1


def test_a_result_that_cannot_be_rebuilt_here_fails_its_own_task_only(c):
    job = c.addJob(calls(1, 2), lambda x: Unwilling() if x == 1 else x)
    bad, good = job.results(errors="return")
    assert "cannot be rebuilt here: ValueError: not here" in str(bad)
    report = "\n".join(job.failures[0].report())
    assert "Traceback (most recent call last):" in report
    assert "scattergather/wire" not in report, report
    assert good == 2
    assert job.progress.failed == 1


def lose(**facts):
    raise Lost(**facts)


def test_a_loss_says_everything_that_is_known(c):
    loss = {
        "signal": 9,
        "reason": "its worker was ended by SIGKILL",
        "attempt": 4,
        "attempts": 4,
        "output": "one\ntwo\n",
        "where": "model.py:88",
    }
    (error,) = c.addJob([((), loss)], lose, retries=0).results(errors="return")
    assert type(error) is TaskKilledWorker
    assert (error.signal, error.index, error.host, error.attempt) == (9, 0, "fake", 4)
    text = str(error)
    for part in ("task 0 of job 1", "fake, worker 1000", "SIGKILL", "attempt 4 of 4", "two"):
        assert part in text
    assert "model.py:88" in text


def test_a_loss_is_of_the_type_that_its_kind_names(c):
    loss = {"kind": "TimeLimitExceeded", "reason": "too long", "limit": 1.5}
    (error,) = c.addJob([((), loss)], lose, retries=0).results(errors="return")
    assert type(error) is TimeLimitExceeded
    assert isinstance(error, TimeoutError)
    assert error.limit == 1.5


def fail_twice():
    _, attempt = where()
    if attempt < 3:
        raise OSError("again")
    return attempt


def test_exceptions_named_by_retry_on_are_retried(c, fake):
    assert c.addJob([((), {})], fail_twice, retry_on=(OSError,)).results() == [3]
    (spec,) = fake.of(messages.AddJob)
    assert spec.retry_on


# ---- retry ----


def test_retry_puts_new_results_into_their_places(c):
    job = c.addJob(calls(1, 0, 4, 0), work.inverse)
    with pytest.raises(JobFailed):
        job.results()
    assert job.retry(lambda x: -1) is job
    assert job.results() == [1.0, -1, 0.25, -1]
    assert job.failures == []
    assert job.progress.failed == 0


def test_a_retried_job_is_waited_for_again(c):
    job = c.addJob(calls(1, 0), work.inverse)
    with pytest.raises(JobFailed):
        c.waitForResult()
    job.retry(work.noop)
    assert c.waitForResult() == [1.0, 0]


def test_retry_may_fail_again_and_be_retried_again(c):
    job = c.addJob(calls(0, 1, 0), work.inverse)
    job.results(errors="return")
    job.retry()
    assert [type(r) for r in job.results(errors="return")] == [
        ZeroDivisionError,
        float,
        ZeroDivisionError,
    ]
    assert list(job.retry(work.noop)) == [0, 1.0, 0]


def test_retry_without_failures_does_nothing(c, fake):
    job = c.addJob(calls(1), work.noop)
    job.results()
    job.retry()
    assert job.results() == [1]
    assert fake.count(messages.AddJob) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment_of_a_retry_leaves_a_job_that_ends_and_can_be_retried(c):
    def failed():
        job = c.addJob([((0,), {}), ((1,), {}), ((0,), {})], work.inverse)
        until(job.done)
        return job

    def retry():
        job.retry()

    job, rounds = failed(), 0
    for _ in struck_everywhere(retry):
        rounds += 1
        until(job.done)
        assert [failure.index for failure in job.failures] == [0, 2]
        progress = job.progress
        assert (progress.done, progress.failed + progress.cancelled) == (1, 2)
        if rounds % 10 == 0:
            assert job.retry(work.noop).results() == [0, 1.0, 0]
        job = failed()
    assert rounds > 100


def test_a_retry_that_the_controllers_end_overtakes_says_so_and_the_job_is_through(c, monkeypatch):
    job = c.addJob([((0,), {})], work.inverse)
    until(job.done)
    real = job._gathering.reopen

    def late(*arguments):
        c._session.exit()
        until(lambda: c._session.life.ended)
        return real(*arguments)

    monkeypatch.setattr(job._gathering, "reopen", late)
    with pytest.raises(Closed):
        job.retry()
    assert job.done()


def test_retry_of_an_iterators_job_says_why_not(c):
    job = c.addJob(iter(calls(0)), work.inverse)
    job.results(errors="return")
    with pytest.raises(BadRequest, match="fed from an iterator"):
        job.retry()


def test_as_completed_gives_retried_tasks_again(c):
    job = c.addJob(calls(1, 0), work.inverse)
    walk = iter(job.as_completed(errors="return"))
    got = dict([next(walk), next(walk)])
    assert isinstance(got[1], ZeroDivisionError)
    job.retry(work.noop)
    assert list(walk) == [(1, 0)]


# ---- cancel ----


def test_cancel_keeps_what_is_done(c, fake):
    gate = work.gate("cancel")
    job = c.addJob(
        [(("cancel", n), {}) for n in range(6)], lambda name, n: n if n < 2 else wait_gate(name)
    )
    until(lambda: job.progress.settled == 2)
    job.cancel()
    until(lambda: job.progress.cancelled)
    gate.set()
    results = job.results(errors="return")
    assert results[:2] == [0, 1]
    assert all(isinstance(r, CancelledError) for r in results[4:])
    assert job.progress.cancelled >= 2
    with pytest.raises(JobFailed, match="cancelled"):
        job.results()


def wait_gate(name):
    return work.pass_gate(name)


def test_a_cancelled_job_is_still_waited_for(c, fake):
    fake.pause()
    job = c.addJob(calls(1), work.noop)
    job.cancel()
    with pytest.raises(JobFailed, match="1 of 1 tasks of job 1 were cancelled"):
        c.waitForResult()
    with pytest.raises(NothingToWaitFor):
        c.waitForResult()


def test_cancelled_tasks_can_be_retried(c, fake):
    fake.pause()
    job = c.addJob(calls(1, 2), work.noop)
    job.cancel()
    until(job.done)
    fake.resume()
    assert job.retry().results() == [1, 2]


# ---- bad input ----


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (5, "task 1 must be a pair"),
        ((1, {}), "its args are 1"),
        (((1,), 2), "its kwargs are 2"),
        (((1,), {3: 4}), "the keyword 3 is no string"),
        (((1,),), "task 1 must be a pair"),
        ("ab", "task 1 must be a pair"),
    ],
)
def test_a_task_of_the_wrong_shape_is_named_and_nothing_starts(c, fake, task, said):
    with pytest.raises(BadRequest, match=said):
        c.addJob([((1,), {}), task], work.noop)
    assert fake.count(messages.AddJob) == 0


def test_what_is_not_iterable_is_refused(c):
    with pytest.raises(BadRequest, match="iterable of pairs"):
        c.addJob(5, work.noop)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": -1}, "retries"),
        ({"retries": 1 << 63}, "retries"),
        ({"priority": -(1 << 64)}, "priority"),
        ({"retries": 1.5}, "retries"),
        ({"priority": "high"}, "priority"),
        ({"time_limit": 0}, "time_limit"),
        ({"memory_limit": "1X"}, "memory_limit"),
        ({"retry_on": ("ValueError",)}, "retry_on"),
        ({"name": 5}, "name"),
    ],
)
def test_options_are_checked(c, options, said):
    with pytest.raises(BadRequest, match=said):
        c.addJob([], work.noop, **options)


def test_an_unpicklable_argument_is_named_and_the_job_taken_back(c, fake):
    tasks = [*calls(*range(17)), ((threading.Lock(),), {}), *calls(1)]
    with pytest.raises(CannotPickle, match=r"task 17: Cannot send args\[0\] \(a _thread.lock"):
        c.addJob(tasks, work.noop)
    until(lambda: fake.count(messages.ForgetJob) == 1)
    assert fake.count(messages.CancelJob) == 1
    assert not c._session.receivers
    c.waitForResult()  # still the go value
    with pytest.raises(NothingToWaitFor):
        c.waitForResult()


def test_a_function_that_captured_the_client_is_refused(c):
    with pytest.raises(CannotPickle, match="closure 'c'"):
        c.addJob(calls(1), lambda x: c)


def test_an_argument_that_is_a_job_is_refused(c):
    job = c.addJob([], work.noop)
    with pytest.raises(CannotPickle, match=r"task 0: .*args\[0\] "):
        c.addJob(calls(job), work.noop)


# ---- which function ----


def test_the_function_of_spawn_is_the_default(made):
    c, _ = made(function=work.add)
    assert c.addJob([((1, 2), {})]).results() == [3]


def test_the_only_service_that_hosts_were_started_for_is_the_default(made):
    services = {"installed": len, "triple": lambda x: 3 * x}
    c, fake = made(services=services, chosen=("triple",))
    assert c.addJob(calls(2)).results() == [6]
    fake.push_status()
    assert c.addJob(calls(2)).results() == [6]


@pytest.mark.parametrize("told", [False, True])
def test_a_forgotten_function_runs_no_service_that_nobody_named(made, told):
    c, fake = made(services={"installed": len})
    if told:
        fake.push_status()
        until(lambda: c._session.known.status)
    with pytest.raises(BadRequest, match=r"no function was given; .*service: installed"):
        c.addJob(calls(2))
    with pytest.raises(BadRequest, match="no function was given"):
        c.run_everywhere(None)
    assert fake.count(messages.AddJob) == 0


def test_the_service_of_the_urls_comes_before(made):
    spec = RemoteSpec(name="fake", furl="pb://", service="double")
    services = {"triple": lambda x: 3 * x, "double": lambda x: 2 * x}
    c, _ = made(services=services, specs=(spec,))
    assert c.addJob(calls(2)).results() == [4]


def test_several_services_are_listed(made):
    c, _ = made(services={"a": len, "b": len, "c": len}, chosen=("a", "b"))
    with pytest.raises(BadRequest, match="a, b;"):
        c.addJob(calls(2))


def test_no_function_at_all_is_said(c):
    with pytest.raises(BadRequest, match="no function"):
        c.addJob(calls(2))


def test_an_unknown_service_is_answered_with_the_known(made):
    c, _ = made(services={"triple": len})
    c.waitForResult()
    with pytest.raises(UnknownName, match=r"'tripel'.*triple"):
        c.addJob(calls(2), "tripel")


def test_a_service_of_a_host_that_was_dropped_is_unknown_and_one_of_a_host_that_is_down_waits(made):
    c, fake = made(services={"triple": lambda x: 3 * x})
    c.waitForResult()
    there, other = fake.host(), HostState(name="other", state="up", workers=1, services=("len",))
    down = msgspec.structs.replace(there, state="down")
    fake.send(messages.Status(hosts=(down, other), jobs=(), controller_pid=os.getpid()))
    until(lambda: len(c.hosts) == 2)
    assert c.addJob(calls(2), "triple").results() == [6]
    fake.send(messages.Status(hosts=(other,), jobs=(), controller_pid=os.getpid()))
    until(lambda: len(c.hosts) == 1)
    with pytest.raises(UnknownName, match="no host has a service 'triple'; there are: len"):
        c.addJob(calls(2), "triple")


def test_a_service_may_be_written_as_in_the_seed(made):
    c, _ = made(services={"triple": lambda x: 3 * x})
    assert c.addJob(calls(2), "/triple").results() == [6]


def test_pushed_functions_are_known_by_name(c):
    c.waitForResult()
    assert c.push_code("def seven(x):\n    return 7 * x\n") == 1
    assert c.addJob(calls(2), "seven").results() == [14]
    with pytest.raises(UnknownName):
        c.addJob(calls(2), "eight")


def test_pushed_source_must_compile(c, fake):
    with pytest.raises(SyntaxError):
        c.push_code("def (")
    assert fake.count(messages.Resident) == 0


def test_pushed_source_is_judged_by_its_own_rules_and_not_by_those_of_the_client(c):
    """Under ``from __future__ import annotations`` this would be a syntax error."""
    assert c.push_code("def f(x: (limit := 1)): return x") == 1


def test_a_job_pins_the_code_version(c, fake):
    c.push_code("def f(x): return 1")
    c.push_code("def f(x): return 2")
    assert c.addJob(calls(0), "f").results() == [2]
    assert fake.of(messages.AddJob)[0].code_version == 2


def test_what_is_no_function_is_refused(c):
    with pytest.raises(BadRequest, match="callable or the name"):
        c.addJob(calls(1), 5)


def test_code_travels_once(c, fake):
    class Point:
        def __init__(self, x):
            self.x = x

    def get(point):
        return point.x

    for _ in range(3):
        assert c.addJob(calls(Point(4)), get).results() == [4]
    digests = [code.digest for code in fake.of(messages.Code)]
    assert len(digests) == len(set(digests)) == 2


def test_a_class_that_is_met_late_in_a_list_travels_before_its_tasks(c):
    class Late:
        pass

    tasks = [*calls(*range(3000)), ((Late(),), {})]
    assert type(c.addJob(tasks, work.noop).results()[-1]) is Late


# ---- everything else ----


def test_output_is_kept_with_its_task(c):
    job = c.addJob(calls("a", "b"), lambda x: say(f"I am {x}\n"), echo=False)
    job.results()
    assert job.output(1) == "I am b\n"
    with pytest.raises(IndexError):
        job.output(2)


def test_progress_counts(c, fake):
    fake.pause()
    job = c.addJob(calls(1, 0), work.inverse)
    assert (job.progress.total, job.progress.settled, job.progress.queued) == (2, 0, 2)
    fake.resume()
    job.results(errors="return")
    assert (job.progress.done, job.progress.failed, job.progress.queued) == (1, 1, 0)


def test_a_bar_is_shown(c, capsys):
    job = c.addJob(calls(*range(20)), work.noop)
    assert job.results(progress=True) == list(range(20))
    shown = capsys.readouterr().err
    assert shown.endswith("20/20\n")
    assert "\r" not in shown


def test_options_reach_the_controller(c, fake):
    c.addJob([], work.noop, name="n", priority=3, retries=1, time_limit=2, memory_limit=1 << 20)
    until(lambda: fake.count(messages.AddJob))
    (spec,) = fake.of(messages.AddJob)
    assert (spec.name, spec.priority, spec.retries) == ("n", 3, 1)
    assert spec.limits == Limits(time=2.0, memory=1 << 20)


def test_the_controller_is_told_to_forget_a_finished_job(c, fake):
    c.addJob(calls(1), work.noop)
    c.waitForResult()
    until(lambda: fake.count(messages.ForgetJob) == 1)
    assert not c._session.receivers


def test_a_job_that_was_read_is_freed(c):
    job = c.addJob(calls(*range(10)), work.noop)
    job.results()
    gathering = weakref.ref(job._gathering)
    del job
    until(lambda: gc.collect() is not None and gathering() is None)


def test_after_die_requests_say_the_cure_and_results_stay(c):
    job = c.addJob(calls(1), work.noop)
    job.results()
    assert "2 workers" in c.command("die")
    with pytest.raises(Closed, match=r"command\('die'\).*spawnScatterGather"):
        c.addJob(calls(1), work.noop)
    with pytest.raises(Closed):
        c.waitForResult()
    assert job.results() == [1]
    assert repr(c) == "<ScatterGather: closed>"


def test_outstanding_jobs_hear_of_die(c, fake):
    fake.pause()
    job = c.addJob(calls(1), work.noop)
    c.command("die")
    with pytest.raises(Closed):
        job.results()


def test_the_death_of_the_controller_reaches_every_job_and_call(c, fake):
    gate = work.gate("dies")
    job = c.addJob([((), {}), ((True,), {})], lambda wait=False: wait and wait_gate("dies"))
    future = c.submit(wait_gate, "dies")
    until(lambda: job.progress.settled)
    fake.die()
    with pytest.raises(ControllerLost, match="stays readable"):
        job.results()
    first, second = job.results(errors="return")
    assert first is False
    assert isinstance(second, ControllerLost)
    assert next(iter(job)) is False
    with pytest.raises(ControllerLost):
        future.result(60)
    for request in (lambda: c.addJob([], len), lambda: c.submit(len, "a"), c.waitForResult):
        with pytest.raises(ControllerLost):
            request()
    gate.set()


def test_commands_are_named_when_one_is_unknown(c):
    with pytest.raises(UnknownName, match="refresh, die, status"):
        c.command("restart")


def test_refresh_says_what_it_did(c):
    assert "refreshed 2 workers on 1 host" in repr(c.command("refresh"))


def test_status_is_a_readable_snapshot(c, fake):
    fake.pause()
    c.addJob(calls(1), work.noop, name="<b>")
    status = c.command("status")
    assert status.workers == 2
    assert status.jobs[0].queued == 1
    assert "2 workers on 1 host" in repr(status)
    assert "&lt;b&gt;" in status._repr_html_()
    fake.resume()


def test_reprs_show_how_it_stands(c, fake):
    job = c.addJob(calls(1, 0), work.inverse, name="<i>halving</i>")
    job.results(errors="return")
    fake.push_status()
    until(lambda: c._session.known.status is not None)
    assert "2/2" in repr(job)
    assert "1 failed" in repr(job)
    assert "<i>" not in job._repr_html_()
    assert "2 workers on 1 host" in repr(c)
    assert "1 done · 1 failed" in repr(c)
    assert "<script" not in c._repr_html_()


def test_run_everywhere_names_the_workers(c):
    assert c.run_everywhere(work.add, 1, b=2) == {"fake/1000": 3, "fake/1001": 3}


def test_run_everywhere_names_where_it_failed(c):
    with pytest.raises(JobFailed, match="fake/1000, fake/1001") as caught:
        c.run_everywhere(work.inverse, 0)
    assert len(caught.value.failures) == 2


def test_a_bad_timeout_is_named(c):
    with pytest.raises(BadRequest, match="timeout"):
        c.waitForResult("soon")


def test_a_function_edited_after_adding_does_not_change_the_job(c, fake):
    fake.pause()
    scope = {"factor": 2}
    exec("def f(x): return factor * x", scope)
    job = c.addJob(calls(1), scope["f"])
    scope["factor"] = 3
    again = c.addJob(calls(1), scope["f"])
    fake.resume()
    assert job.results() == [2]
    assert again.results() == [3]


# ---- how it stands ----


def test_the_reprs_are_not_behind_what_is_known_here(c, fake):
    gate = work.gate("behind")
    job = c.addJob([(("behind", n), {}) for n in range(2)], work.pass_gate)
    until(lambda: sum(len(each.running) for each in [*fake.jobs.values()]) == 2)
    fake.push_status()
    until(lambda: c._session.known.status is not None)
    assert "job 1  0/2 · 2 running" in repr(c)
    gate.set()
    job.results()
    until(lambda: not c._session.receivers)
    assert repr(c).splitlines()[0] == (
        "ScatterGather  2 workers on 1 host · 0 running · 0 queued · 2 done · 0 failed"
    )
    assert "job 1" not in repr(c)
    fake.pause()
    c.addJob(calls(1, 2), work.noop)
    assert "job 2  0/2 · 2 queued" in repr(c)


def test_calls_that_are_through_are_nobodys_business(c, fake):
    gate = work.gate("calls")
    futures = [c.submit(work.pass_gate, "calls", n) for n in range(3)]
    until(lambda: sum(len(each.running) for each in [*fake.jobs.values()]) == 2)
    fake.push_status()
    until(lambda: c._session.known.status is not None)
    assert "pass_gate  0/3 · 2 running · 1 queued · 10/s" in repr(c)
    gate.set()
    assert [future.result(60) for future in futures] == [0, 1, 2]
    assert "pass_gate" not in repr(c)
    assert "pass_gate" not in c._repr_html_()
    assert "/s" not in repr(c)


def test_a_job_that_was_iterated_and_goes_on_is_named(c, fake):
    gate = work.gate("left")
    job = c.addJob([((), {}), ((True,), {})], lambda wait=False: wait and wait_gate("left"))
    results = iter(job)
    assert next(results) is False
    with pytest.raises(NothingToWaitFor) as caught:
        c.waitForResult()
    assert str(caught.value) == (
        "job 1 was iterated and goes on (1 of 2 tasks are done): job.results() has them all"
    )
    gate.set()
    assert len(job.results()) == 2
    with pytest.raises(NothingToWaitFor, match="no job is outstanding"):
        c.waitForResult()


def test_a_job_that_is_through_is_not_said_to_go_on_while_its_last_outcome_is_counted(
    c, monkeypatch
):
    gate, counted = work.gate("counted"), threading.Event()
    job = c.addJob([(("counted",), {})], work.pass_gate)
    real = job._gathering.deliver

    def slow(segment):
        new = real(segment)
        assert counted.wait(60)
        return new

    monkeypatch.setattr(job._gathering, "deliver", slow)
    gate.set()
    assert list(job) == [None]
    with pytest.raises(NothingToWaitFor, match="no job is outstanding"):
        c.waitForResult()
    counted.set()


def test_the_loss_of_the_controller_is_seen(c, fake):
    fake.pause()
    job = c.addJob(calls(1, 2, 3), work.noop)
    fake.die()
    until(job.done)
    lost = c._session.life.fate
    assert lost.startswith("the controller died")
    assert repr(c) == f"<ScatterGather: closed, {lost}>"
    assert f"0/3 · {lost}" in repr(job)
    assert lost in job._repr_html_()
    assert c.command("die") == "the controller had ended already."


def test_nobody_is_released_when_nobody_was_there(made):
    c, _ = made(go=False)
    assert c.command("die") == "controller stopped; 0 workers released."


def test_a_task_that_never_had_a_worker_names_none():
    failure = Failure(index=3, error=HostLost("gone"), host="alpha")
    assert failure.report()[0] == "--- task 3 on alpha ---"


def test_a_copied_client_refuses_every_wait(c, fake, monkeypatch):
    # In a copy there is no reader, which would tell here of the end of its pipe.
    monkeypatch.setattr(c._session.pipe, "abandon", lambda: None)
    fake.pause()
    job = c.addJob(calls(1), work.noop)
    generated = c.addJob(iter(calls(1)), work.noop)
    future = c.submit(work.noop, 1)
    c._session.abandon()
    for wait in (
        job.results,
        c.waitForResult,
        lambda: next(iter(job)),
        lambda: next(iter(generated.as_completed())),
        future.result,
        future.exception,
        lambda: cf.wait([future]),
        lambda: c.command("status"),
        lambda: c.command("die"),
    ):
        with pytest.raises(Closed, match="copied by fork"):
            wait()
    assert not future.done()
    assert "copied by fork" in repr(c)


def test_a_name_may_hold_what_no_utf8_can(c, fake):
    def function(x):
        return x

    function.__qualname__ = "torn\udc80"
    assert c.addJob([((1,), {})], function).results() == [1]
    assert c.addJob([((1,), {})], work.noop, name="torn\udc80").results() == [1]
    assert fake.of(messages.AddJob)[-1].name == "torn\\udc80"
    with pytest.raises(UnknownName, match=r"torn\\\\udc80"):
        c.addJob([((1,), {})], "torn\udc80")
    with pytest.raises(BadRequest, match="surrogate"):
        c.push_code("x = 'torn\udc80'")


def test_clients_that_are_open_together_name_their_jobs_apart(made):
    (one, _), (two, _) = made(), made()
    names = [client.addJob([], work.noop).name for client in (one, two, one, two)]
    assert len(set(names)) == 4
    one.command("die")
    three, _ = made()
    assert three.addJob([], work.noop).name not in names


def test_a_client_that_is_alone_begins_at_one(made):
    for _ in range(2):
        c, _ = made()
        assert c.addJob([], work.noop).name == "job 1"
        c.command("die")


def test_a_limit_of_memory_may_be_text(c, fake):
    c.addJob([], work.noop, memory_limit="300M")
    c.options(memory_limit="1 GB").submit(work.noop).result(60)
    assert [job.limits.memory for job in fake.of(messages.AddJob)] == [300 << 20, 1 << 30]
    with pytest.raises(BadRequest, match="memory_limit"):
        c.addJob([], work.noop, memory_limit="much")
