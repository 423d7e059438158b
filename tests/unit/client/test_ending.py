from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from concurrent.futures import Future

import pytest

from scattergather.client.futures import future as futures
from scattergather.client.pipe.process import Log
from scattergather.client.spawn import _sessions
from scattergather.client.values.inherited import InheritedResults
from scattergather.errors import BadRequest, Closed, ControllerLost
from scattergather.wire.messages import page as messages
from tests.unit.client import work
from tests.unit.client.fake import connect, until


def client_threads():
    """Those of a test before may still be on their way out."""
    return {t for t in threading.enumerate() if t.name.startswith("scattergather")}


def test_a_client_that_nobody_holds_hangs_up():
    before = client_threads()
    c, fake = connect()
    c.addJob([((1,), {})], work.noop).results()
    del c
    gc.collect()
    until(lambda: fake._ended)
    until(lambda: client_threads() <= before)


def test_a_job_holds_its_client():
    c, fake = connect()
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    gone = weakref.ref(c._scatter)
    del c
    gc.collect()
    assert gone() is not None
    fake.resume()
    assert job.results() == [1]
    del job
    gc.collect()
    until(lambda: fake._ended)
    assert gone() is None


def test_an_outstanding_future_holds_its_client_and_a_done_one_does_not():
    c, fake = connect()
    fake.pause()
    future = c.submit(work.noop, 1)
    del c
    gc.collect()
    fake.resume()
    assert future.result(60) == 1
    gc.collect()
    until(lambda: fake._ended)
    assert future.result() == 1


def test_a_client_that_is_garbage_with_outstanding_calls_ends_too_and_counts_them(capsys):
    before = client_threads()
    c, fake = connect()
    fake.pause()
    c.submit(work.noop, 1)
    c.addJob(iter([((1,), {})] * 1000), work.noop)
    del c
    until(lambda: gc.collect() is not None and fake._ended)
    until(lambda: client_threads() <= before)
    said = capsys.readouterr().err
    assert said.startswith("[scattergather] nobody holds this client any more; cancelled ")
    assert "noop (0/1)" in said


def test_a_client_that_nobody_holds_is_gone_without_a_search_for_garbage(capsys):
    c, fake = connect()
    fake.pause()
    c.addJob([((n,), {}) for n in range(9)], work.noop)
    parts = [weakref.ref(part) for part in (c._session, c._session.large, c._session.pipe)]
    gc.disable()
    try:
        del c
        until(lambda: not any(part() for part in parts))
    finally:
        gc.enable()
    until(lambda: fake._ended)
    assert "cancelled 9 outstanding tasks: job 1 (0/9)" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [True, False])
def test_what_copies_may_read_is_held_no_longer_than_a_controller_lives(closed):
    inherited = InheritedResults()
    inherited.begin()
    of_the_copy = os.dup(inherited._begun[threading.get_ident()][1])
    inherited.copied([object()])
    if closed:
        inherited.close()
        assert not inherited._held
    else:
        del inherited
    with pytest.raises(BrokenPipeError):  # nobody listens there any more
        os.write(of_the_copy, b"x")
    os.close(of_the_copy)


def test_what_a_client_had_outstanding_is_counted_also_where_its_session_outlives_it(capsys):
    c, fake = connect()
    fake.pause()
    c.addJob([((n,), {}) for n in range(9)], work.noop)
    session = c._session
    del c
    gc.collect()
    until(lambda: fake._ended and session.life.ended)
    said = []
    until(lambda: said.append(capsys.readouterr().err) or "".join(said))
    assert "".join(said) == (
        "[scattergather] nobody holds this client any more; cancelled 9 outstanding tasks: "
        "job 1 (0/9)\n"
    )


def test_an_iteration_holds_its_client():
    c, fake = connect()
    results = iter(c.addJob([((n,), {}) for n in range(3)], work.noop))
    del c
    gc.collect()
    assert list(results) == [0, 1, 2]
    gc.collect()
    until(lambda: fake._ended)


class Unwritable:
    """An entry of the outbox that cannot be written, and not for want of a pipe."""

    def close(self):
        raise MemoryError("no room for a frame")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_ends_the_writer_ends_the_session_and_is_named(c, fake):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    c._session.outbox.put(Unwritable())
    with pytest.raises(ControllerLost, match="MemoryError: no room for a frame"):
        job.results(timeout=60)
    # What it raises is reported within this test.
    until(lambda: "scattergather-writer" not in {t.name for t in client_threads()})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_ends_the_reader_reaps_the_controller_and_is_named(c, fake, monkeypatch):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    reaped = []
    monkeypatch.setattr(c._session.pipe, "_reap", lambda: reaped.append(1))
    monkeypatch.setattr(c._session.echo, "notice", lambda text: sys.exit(text))
    fake.send(messages.Notice(text="broken"))
    with pytest.raises(ControllerLost, match="SystemExit: broken"):
        job.results(timeout=60)
    assert reaped
    c._session.pipe.reader.join(60)  # what it raises is reported within this test


def test_a_callback_that_exits_ends_nothing_and_the_next_one_is_called(c, fake, caplog):
    fake.pause()
    future, called = c.submit(work.noop, 1), []
    future.add_done_callback(lambda _: sys.exit(3))
    future.add_done_callback(called.append)
    fake.resume()
    until(lambda: called)
    assert "exception calling callback" in caplog.text
    assert c.submit(work.noop, 2).result(60) == 2


def test_a_call_that_something_outside_has_cancelled_can_be_dropped(c, fake):
    fake.pause()
    future = c.submit(work.noop, 1)
    assert Future.cancel(future)
    assert not future.set_running_or_notify_cancel()
    future.drop()
    assert future.cancelled()


def test_exit_ends_the_controller(c, fake):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    c._session.exit()
    until(lambda: c._session.life.ended)
    with pytest.raises(Closed):
        job.results()


def test_a_copy_made_by_fork_refuses_and_leaves_the_original_alone(c):
    _sessions.append(weakref.ref(c._session))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            c.addJob([((1,), {})], work.noop)
        except Closed as error:
            status = 0 if "copied by fork" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert c.addJob([((1,), {})], work.noop).results() == [1]


def test_a_copy_made_by_fork_wakes_nobody(c, fake):
    """An event loop is woken through a pipe, which is the original's too."""
    _sessions.append(weakref.ref(c._session))
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    reads, writes = os.pipe()
    bell, wake = job._gathering.bell, lambda: os.write(writes, b"x")
    bell.once(wake)
    child = os.fork()
    if child == 0:
        os._exit(not job.done())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.write(writes, b".")
    assert os.read(reads, 10) == b"."
    bell.withdraw(wake)
    os.close(reads)
    os.close(writes)
    fake.resume()
    assert job.results() == [1]


def test_a_copy_made_while_a_future_is_being_resolved_can_ask_it(c, fake):
    """All futures share a lock for an instant, and no thread of the copy would ever release it."""
    _sessions.append(weakref.ref(c._session))
    fake.pause()
    future = c.submit(work.noop, 1)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with futures._looking:
            held.set()
            over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        future.add_done_callback(print)
        os._exit(future.done())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    over.set()
    holder.join(60)
    fake.resume()
    assert future.result(60) == 1


def test_futures_are_made_as_the_base_makes_them(c, fake, monkeypatch):
    """Where the base has other fields than we know, it makes them itself."""
    assert futures._AS_WE_KNOW_IT
    fake.pause()
    ours = c.submit(work.noop, 1)
    monkeypatch.setattr(futures, "_AS_WE_KNOW_IT", False)
    theirs = c.submit(work.noop, 2)
    assert vars(ours).keys() == vars(theirs).keys()
    assert theirs._own is not None
    assert ours._own is None
    fake.resume()
    assert [ours.result(60), theirs.result(60)] == [1, 2]


def test_it_works_from_any_thread_and_outlives_it():
    made = []
    thread = threading.Thread(target=lambda: made.append(connect()))
    thread.start()
    thread.join()
    c, _ = made[0]
    assert c.addJob([((1,), {})], work.noop).results() == [1]
    c.command("die")


def test_the_log_is_a_file_of_any_kind(tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n")
    log = Log(path)
    os.write(log.fileno(), b"after\n")
    assert log.tail() == ["before", "after"]
    with open(tmp_path / "other", "w") as stream:
        stream.write("mine\n")
        log = Log(stream)
        os.write(log.fileno(), b"theirs\n")
        assert log.tail() == ["mine", "theirs"]
    memory = Log()
    os.write(memory.fileno(), b"a\n" * 100)
    assert memory.tail() == ["a"] * 12
    with pytest.raises(BadRequest, match="logFile"):
        Log(5)
