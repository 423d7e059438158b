"""The end of a program finishes what was asked for, or says what it cancels."""

from __future__ import annotations

import itertools
import os
import sys
import threading

import pytest

from scattergather.client import ending
from scattergather.errors import Closed
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from tests.unit.client import fake as fakes
from tests.unit.client import work
from tests.unit.client.fake import until
from tests.waits import interrupted


@pytest.fixture(autouse=True)
def _nothing_was_shown(monkeypatch):
    """Another test of this process may have failed, and Python notes what it has shown of that."""
    monkeypatch.delattr(sys, "last_type", raising=False)


def end_of(*clients):
    ending.end([client._session for client in clients])


def later(fake):
    threading.Timer(0.1, fake.resume).start()


def returned(fake):
    """How many tasks were run to their end."""
    assert not fake.count(messages.CancelJob)
    assert not fake.count(messages.CancelTasks)
    return sum(message.count for message in fake.of(messages.AddTasks))


@pytest.mark.parametrize(
    ("leave", "count"),
    [
        (lambda c: c.submit(work.noop, 1), 1),
        (lambda c: c.map(work.noop, range(9)), 9),
        (lambda c: c.map(work.noop, range(9), buffersize=2), 9),
        (lambda c: c.addJob([((n,), {}) for n in range(9)], work.noop), 9),
        (lambda c: (c.submit(work.noop, 1), c.shutdown(wait=False)), 1),
    ],
    ids=["call", "map", "map in a window", "job", "shut down"],
)
def test_what_a_script_has_left_is_finished_without_a_word(c, fake, capsys, leave, count):
    fake.pause()
    kept = leave(c)
    later(fake)
    end_of(c)
    assert c._session.inbox.returned == returned(fake) == count
    assert c._session.life.ended
    assert capsys.readouterr() == ("", "")
    del kept


def test_what_waits_for_a_host_where_there_is_none_is_cancelled_and_named(c, fake, capsys):
    fake.pause()
    job = c.addJob([((n,), {}) for n in range(3)], work.noop)
    future = c.submit(work.noop, 1)
    fake.send(messages.Status(hosts=(), jobs=(), controller_pid=os.getpid()))
    until(lambda: not c.hosts)
    end_of(c)
    assert c._session.life.ended
    assert future.cancelled()
    assert "3 cancelled" in repr(job)
    said = "the script has ended, and there is no host; cancelled job 1 (0/3), noop (0/1)\n"
    assert capsys.readouterr().err == f"[scattergather] {said}"


def test_what_several_clients_have_left_is_finished(made):
    pairs = [made() for _ in range(3)]
    futures = []
    for client, fake in pairs:
        fake.pause()
        futures.append(client.submit(work.noop, 1))
        later(fake)
    end_of(*(client for client, _ in pairs))
    assert [future.result() for future in futures] == [1, 1, 1]


def test_a_client_that_has_nothing_outstanding_ends_at_once(c, capsys):
    assert c.submit(work.noop, 1).result(60) == 1
    end_of(c)
    assert c._session.life.ended
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("stuck", [False, True])
def test_a_job_of_an_iterator_is_cancelled_and_named(c, fake, capsys, stuck):
    gate = threading.Event()

    def endless():
        for n in itertools.count():
            if stuck and n == 3:
                gate.wait(60)
            yield (n,), {}

    fake.pause()
    job = c.addJob(endless(), work.noop)
    future = c.submit(work.noop, 1)
    until(lambda: len(job) >= 3)
    later(fake)
    end_of(c)
    gate.set()
    assert future.result() == 1
    with pytest.raises(Closed, match="exiting"):
        job.results()
    said = "[scattergather] the script ended; cancelled what iterators feed: job 1 (0/?)\n"
    assert capsys.readouterr().err == said


def test_callbacks_of_what_is_outstanding_may_add_to_it_and_nobody_else(c, fake):
    fake.pause()
    came, refused = [], []

    def again(future):
        came.append(future.result())
        if len(came) < 5:
            c.submit(work.noop, len(came)).add_done_callback(again)

    def submit():
        fake.resume()
        try:
            while True:
                c.submit(work.noop)
        except RuntimeError as error:
            refused.append(str(error))

    c.submit(work.noop, 0).add_done_callback(again)
    threading.Timer(0.1, submit).start()
    end_of(c)
    assert came == list(range(5))
    until(lambda: refused)
    assert refused == ["cannot schedule new futures after interpreter shutdown"]


def test_callbacks_of_one_client_may_add_to_another(made):
    (one, busy), (other, idle) = made(), made()
    busy.pause()
    came = []

    def back(future):
        came.append(future.result())

    def there(future):
        came.append(future.result())
        other.submit(work.noop, 2).add_done_callback(
            lambda future: (back(future), one.submit(work.noop, 3).add_done_callback(back))
        )

    one.submit(work.noop, 1).add_done_callback(there)
    later(busy)
    end_of(other, one)
    assert came == [1, 2, 3]
    assert (returned(busy), returned(idle)) == (2, 1)


def test_what_tasks_print_meanwhile_is_shown(c, fake, capsys):
    fake.pause()
    c.submit(fakes.say, "at the end")
    later(fake)
    end_of(c)
    assert capsys.readouterr().out == "[task 0 of say] at the end\n"


def test_who_waits_long_is_told_for_what(c, fake, capsys, monkeypatch):
    monkeypatch.setattr(ending, "NOTICE_SECONDS", 0.0)
    fake.pause()
    c.submit(work.noop, 1)
    c.addJob([((n,), {}) for n in range(9)], work.noop)
    threading.Timer(0.5, fake.resume).start()
    end_of(c)
    assert capsys.readouterr().err == (
        "[scattergather] the script has ended; waiting for noop (0/1), job 1 (0/9); an interrupt "
        "cancels that\n"
    )


def test_what_is_lost_meanwhile_is_counted(c, fake, capsys):
    fake.pause()
    c.addJob([((n,), {}) for n in range(9)], work.noop)
    threading.Timer(0.1, fake.die).start()
    end_of(c)
    said = capsys.readouterr().err
    assert said.startswith("[scattergather] the script has ended, and the controller died")
    assert said.endswith("; lost 9 outstanding tasks: job 1 (0/9)\n")


def test_an_interrupt_ends_the_waiting_and_what_was_waited_for(c, fake, capsys):
    fake.pause()
    c.submit(work.noop, 1)
    c.addJob([((n,), {}) for n in range(9)], work.noop)
    with interrupted():
        end_of(c)
    assert capsys.readouterr().err == (
        "[scattergather] interrupted; cancelled 10 outstanding tasks: noop (0/1), job 1 (0/9)\n"
    )
    assert c._session.life.ended


def test_a_map_that_nobody_takes_is_for_its_calls_and_one_left_early_for_its_results(c, fake):
    fake.pause()
    c.map(work.noop, range(9))
    assert not fake.count(messages.CancelTasks)
    fake.resume()
    until(lambda: c._session.inbox.returned == 9)
    results = c.map(work.noop, range(9), buffersize=2)
    assert next(results) == 0
    del results
    until(lambda: fake.count(messages.CancelTasks) == 1)


def test_after_an_exception_all_is_cancelled_and_counted(c, fake, capsys, monkeypatch):
    fake.pause()
    future = c.submit(work.noop, 1)
    monkeypatch.setattr(sys, "last_type", ZeroDivisionError, raising=False)
    end_of(c)
    with pytest.raises(Closed):
        future.result()
    assert capsys.readouterr().err == (
        "[scattergather] the script ended by ZeroDivisionError; cancelled 1 outstanding task: "
        "noop (0/1)\n"
    )


def test_an_interrupt_while_python_waits_for_an_executor_cancels_all(c, fake, capsys):
    fake.pause()
    c.submit(work.noop, 1)
    # So it stands when what was called before ours, of what is called then, has raised.
    ending.end([c._session], finalizing=True)
    said = "[scattergather] interrupted; cancelled 1 outstanding task: noop (0/1)\n"
    assert capsys.readouterr().err == said


def test_with_left_by_sys_exit_waits_as_the_end_of_the_script_would(c, fake):
    fake.pause()
    future = c.submit(work.noop, 1)
    later(fake)
    with pytest.raises(SystemExit), c:
        sys.exit(3)
    assert future.result() == 1


def test_with_left_by_an_exception_counts_what_is_cancelled(c, fake, capsys):
    fake.pause()
    c.addJob([((n,), {}) for n in range(3)], work.noop)
    threading.Timer(0.1, fake.resume).start()
    with pytest.raises(ZeroDivisionError), c:
        raise ZeroDivisionError
    said = "[scattergather] left by ZeroDivisionError; cancelled 3 outstanding tasks: job 1 (0/3)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("early", [False, True])
def test_what_failed_and_nobody_waited_for_is_named(c, fake, capsys, early):
    if not early:
        fake.pause()
    job = c.addJob([((n,), {}) for n in (0, 1, 0)], work.inverse)
    if early:
        until(job.done)
    fake.pause()
    calls = [c.submit(work.inverse, n) for n in (0, 1)]
    later(fake)
    end_of(c)
    assert capsys.readouterr().err == (
        "[scattergather] the script has ended, and nobody waited for what failed: job 1 (2 of 3 "
        "tasks), 1 call; waitForResult(), results() or result() before its end raises it\n"
    )
    assert isinstance(calls[0].exception(0), ZeroDivisionError)


@pytest.mark.parametrize(
    "read",
    [
        lambda job: job.results(errors="return"),
        lambda job: job.failures,
        lambda job: list(job.as_completed(errors="return")),
    ],
)
def test_what_failed_and_was_read_is_not_named_again(c, capsys, read):
    job = c.addJob([((n,), {}) for n in (0, 1, 0)], work.inverse)
    until(job.done)
    read(job)
    end_of(c)
    assert capsys.readouterr() == ("", "")


def test_a_with_block_that_ended_before_hides_no_failure(c, capsys):
    with c:
        c.addJob([((n,), {}) for n in (0, 1)], work.inverse)
        c.submit(work.inverse, 0)  # its future may be read after the block
    end_of(c)
    assert "nobody waited for what failed: job 1 (1 of 2 tasks); wait" in capsys.readouterr().err


def test_a_task_of_a_cancelled_iterator_that_has_no_result_is_no_failed_call(c, fake, capsys):
    fake.pause()
    c.addJob((((n,), {}) for n in itertools.count()), work.noop)
    until(lambda: fake.count(messages.AddTasks))
    c.submit(work.noop, 1)

    def end_a_task() -> None:
        until(lambda: fake.count(messages.ForgetJob))
        (forgotten,) = fake.of(messages.ForgetJob)
        fake.send(
            messages.TaskOutcomes(
                job=forgotten.job,
                first=0,
                kinds=bytes([Kind.CANCELLED]),
                host="local",
                worker=1,
                attempt=1,
            ),
            blobs.pack([b""]),
        )
        fake.resume()

    threading.Thread(target=end_a_task).start()
    end_of(c)
    assert c._session.inbox.failed == 1
    assert "nobody waited" not in capsys.readouterr().err


def test_a_job_that_fails_after_its_failures_were_asked_for_is_named(c, fake, capsys):
    fake.pause()
    job = c.addJob([((n,), {}) for n in (0, 1)], work.inverse)
    assert not job.failures
    later(fake)
    end_of(c)
    assert "nobody waited for what failed: job 1 (1 of 2 tasks); " in capsys.readouterr().err
