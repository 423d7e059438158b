"""An interrupt while something waits: the wait ends at once, and nothing else does."""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from IPython.core.ultratb import AutoFormattedTB

from scattergather.client.pipe import waiting
from scattergather.client.pipe.waiting import Bell
from scattergather.client.session.interrupting import Wait
from scattergather.errors import JobFailed
from scattergather.wire.messages import page as messages
from tests.pace import kept
from tests.unit.client import work
from tests.unit.client.fake import until
from tests.waits import interrupted


def test_an_interrupted_wait_says_how_to_go_on_and_consumes_nothing(c, fake):
    fake.pause()
    job = c.addJob([((n,), {}) for n in range(5)], work.noop)
    with interrupted() as interrupt, pytest.raises(KeyboardInterrupt) as caught:
        c.waitForResult()
    assert interrupt.heeded()
    assert str(caught.value) == (
        "stopped waiting for job 1 (0/5). It goes on; c.waitForResult() waits again, "
        "job.cancel() stops it."
    )
    fake.resume()
    assert c.waitForResult() == list(range(5))
    assert job.results() == list(range(5))


@pytest.mark.parametrize(
    "wait",
    [
        lambda c, job: job.results(),
        lambda c, job: next(iter(job)),
        lambda c, job: next(iter(job.as_completed())),
        lambda c, job: c.shutdown(),
    ],
)
def test_every_wait_can_be_interrupted(c, fake, wait):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    with interrupted() as interrupt, pytest.raises(KeyboardInterrupt):
        wait(c, job)
    assert interrupt.heeded()
    fake.resume()
    assert job.results() == [1]


AGAIN = "job.results() has all of it, job.cancel() stops it."


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (
            lambda c, job: job.results(),
            "stopped waiting for job 1 (0/1). It goes on; job.results() waits again, "
            "job.cancel() stops it.",
        ),
        (
            lambda c, job: next(iter(job)),
            f"stopped waiting for the next result of job 1 (0/1). It goes on; {AGAIN}",
        ),
        (
            lambda c, job: next(iter(job.as_completed())),
            f"stopped waiting for the next result of job 1 (0/1). It goes on; {AGAIN}",
        ),
        (
            lambda c, job: next(iter(c.addJob(iter([((1,), {})]), work.noop))),
            "It goes on; next() of the same iterator goes on with it, job.cancel() stops it.",
        ),
        (
            lambda c, job: next(c.map(work.noop, [1])),
            "stopped waiting for the next result of map(noop) (0/1). Its calls go on; next() of "
            "the same iterator goes on with them, its close() drops those that wait.",
        ),
        (
            lambda c, job: c.shutdown(),
            "stopped waiting for what is outstanding. Nothing new is taken; the controller ends "
            "when what is outstanding is through, c.command('die') ends it now.",
        ),
        (
            lambda c, job: c.command("refresh"),
            "stopped waiting for the answer to command('refresh'). The refresh goes on.",
        ),
        (
            lambda c, job: c.command("status"),
            "stopped waiting for the answer to command('status').",
        ),
        (
            lambda c, job: c.run_everywhere(work.noop),
            "stopped waiting for noop on every worker. Where it has begun it goes on.",
        ),
        (
            lambda c, job: c.command("die"),
            "stopped waiting for the controller to end. It was told to.",
        ),
    ],
)
def test_an_interrupt_says_what_stopped_and_what_goes_on(c, fake, monkeypatch, wait, said):
    monkeypatch.setattr("scattergather.client.session.life.DIE_SECONDS", 60)
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    until(lambda: fake.jobs)
    fake.deaf = True
    with interrupted(), pytest.raises(KeyboardInterrupt) as caught:
        wait(c, job)
    assert str(caught.value).endswith(said)
    assert shows_the_cell_only(caught.value)
    assert not c._session.waits.by_thread


def test_an_interrupted_wait_for_the_hosts_says_that_they_go_on(made, monkeypatch):
    monkeypatch.setattr("scattergather.client.session.known.GO_SECONDS", 60)
    c, _ = made(go=False)
    with interrupted(), pytest.raises(KeyboardInterrupt) as caught:
        c.waitForResult()
    assert str(caught.value) == (
        "stopped waiting for the hosts. They go on joining; c.waitForResult() waits again.\n"
        "No worker is there: fake is not up: connecting"
    )
    assert shows_the_cell_only(caught.value)


class Interrupting:
    """The user interrupts just when it is packed."""

    def __reduce__(self):
        raise KeyboardInterrupt


def test_an_interrupted_adding_says_how_many_were_sent_and_run(c):
    class Tasks:
        def __len__(self):
            return 5001

        def __iter__(self):
            yield from (((n,), {}) for n in range(5000))
            (job,) = c._session.receivers._all()
            until(lambda: job.view(None).done)
            yield (Interrupting(),), {}

    with pytest.raises(KeyboardInterrupt) as caught:
        c.addJob(Tasks(), work.noop)
    (sent, through) = re.fullmatch(
        r"stopped adding job 1, of which ([0-9]+) tasks had been sent and ([0-9]+) were through\. "
        r"It was taken back; add it again\.",
        str(caught.value),
    ).groups()
    assert 0 < int(through) <= int(sent) < 5001
    assert shows_the_cell_only(caught.value)
    assert c.addJob([((1,), {})], work.noop).results() == [1]


def test_an_interrupted_submit_says_that_nothing_was_added(c):
    c.waitForResult()  # the hosts are there
    with pytest.raises(KeyboardInterrupt) as caught:
        c.submit(work.noop, Interrupting())
    assert (
        str(caught.value) == "stopped submitting a call of noop. It was not added; submit it again."
    )
    assert shows_the_cell_only(caught.value)


def test_an_interrupted_submit_that_waits_for_room_says_so(c, monkeypatch):
    c.submit(work.noop, 1).result(60)
    monkeypatch.setattr(c._session.outbox, "_bound", -1)
    monkeypatch.setattr(c._session.outbox, "_has_room", lambda: False)
    with interrupted(), pytest.raises(KeyboardInterrupt) as caught:
        c.submit(work.noop, 1)
    assert str(caught.value).startswith("stopped submitting a call of noop.")
    assert not c._session.waits.by_thread


def test_a_wait_within_another_leaves_it_as_it_was_and_forgets_what_an_interrupt_left(c):
    session, me = c._session, threading.get_ident()
    waits = session.waits.by_thread
    outer, inner = (Wait(session, lambda: "waiting", "") for _ in range(2))
    with outer:
        with inner:
            assert waits[me] is inner
        assert waits[me] is outer
    assert not waits
    Wait(session, lambda: "interrupted before its block", "").__enter__()
    with inner:
        pass
    assert not waits


def test_an_interrupted_retry_says_that_it_was_taken_back(c, fake, monkeypatch):
    job = c.addJob([((0,), {})], work.inverse)
    until(lambda: fake.count(messages.ForgetJob))  # the reader puts nothing more

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(c._session.outbox, "put", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        job.retry()
    monkeypatch.undo()
    assert str(caught.value) == "stopped retrying job 1 (1/1). It was taken back; retry it again."
    assert job.retry(work.noop).results() == [0]


@pytest.mark.parametrize(
    "wait",
    [
        lambda c, job: c.waitForResult(0.01),
        lambda c, job: job.results(timeout=0.01),
        lambda c, job: next(c.map(work.noop, [1], timeout=0.01)),
    ],
)
def test_a_time_that_is_over_shows_the_cell_only(c, fake, wait):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    with pytest.raises(TimeoutError, match="0 of 1 tasks are done") as caught:
        wait(c, job)
    assert shows_the_cell_only(caught.value)


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_time_that_is_over_for_a_call_says_what_goes_on_and_shows_the_cell_only(c, fake, timeout):
    fake.pause()
    future = c.submit(work.noop)
    for wait in future.result, future.exception:
        with pytest.raises(TimeoutError, match=r"call of noop is not over .* It goes on") as caught:
            wait(timeout)
        assert shows_the_cell_only(caught.value)


def shows_the_cell_only(error):
    """As a notebook shows it: this file's frames and the sentence."""
    shell = SimpleNamespace(InteractiveTB=AutoFormattedTB(mode="Context"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        text = "\n".join(error._render_traceback_())
    return Path(__file__).name in text and "scattergather/client/" not in text


def test_waiting_does_not_spin(c, fake):
    fake.pause()
    job = c.addJob([((1,), {})], work.noop)
    gc.collect()  # or it may come up just now
    before = time.thread_time()
    with pytest.raises(TimeoutError):
        job.results(timeout=0.3)
    assert kept(time.thread_time() - before, 0.05)


def test_a_failed_job_can_be_waited_for_after_an_interrupt(c, fake):
    fake.pause()
    c.addJob([((0,), {})], work.inverse)
    with interrupted(), pytest.raises(KeyboardInterrupt):
        c.waitForResult()
    fake.resume()
    with pytest.raises(JobFailed):
        c.waitForResult()


# ---- the bell ----


def test_a_bell_wakes_all_who_wait_and_keeps_nobody():
    bell, state, woken = Bell(), [], []
    threads = [
        threading.Thread(target=lambda: woken.append(bell.wait(lambda: state, 60)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    state.append(1)
    bell.ring()
    for thread in threads:
        thread.join()
    assert woken == [True] * 5
    assert not bell._waiters


def test_a_copy_of_this_process_has_none_of_its_readers(c):
    until(lambda: waiting.readers)
    child = os.fork()
    if child == 0:  # where the next threads will have their ids
        os._exit(len(waiting.readers))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert waiting.readers


def test_a_bell_that_is_not_rung_times_out_and_forgets_who_waited():
    bell = Bell()
    assert not bell.wait(lambda: False, 0.01)
    assert not bell._waiters
