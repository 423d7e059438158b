from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from scattergather.wire import blobs
from scattergather.workers.process.task.journal import FULL, LARGE, SLOTS, Journal
from tests.pace import kept


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal.create()
    yield made
    made.close()


def in_a_child(body: Callable[[], None]) -> int:
    """The wait status of a forked child that runs ``body`` and then kills itself."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def test_an_empty_journal_tells_of_nothing(journal: Journal) -> None:
    left = journal.harvest()
    assert (left.chunk, left.running, left.outcomes) == (-1, None, [])
    assert journal.running() is None


def test_outcomes_and_the_running_task_survive_a_kill(journal: Journal) -> None:
    def work() -> None:
        mine = Journal.attach(journal.fd)
        mine.open(7, 100)
        mine.begin(100)
        mine.record(0, b"first")
        mine.begin(101)
        mine.record(1, b"")
        mine.begin(102)

    before = time.monotonic()
    assert os.WTERMSIG(in_a_child(work)) == signal.SIGKILL
    left = journal.harvest()
    assert left.chunk == 7
    assert left.outcomes == [(100, 0, b"first"), (101, 1, b"")]
    assert left.running == 102
    assert before <= left.started <= time.monotonic()


def test_a_task_with_its_outcome_recorded_is_not_running(journal: Journal) -> None:
    journal.open(3, 0)
    journal.begin(0)
    assert journal.running() == (3, 0, journal.times[2])
    journal.record(0, b"x")
    assert journal.running() is None
    assert journal.harvest().running is None


def test_an_outcome_half_written_is_not_there(journal: Journal) -> None:
    journal.open(3, 0)
    journal.begin(0)
    journal.blobs[:4] = b"torn"
    journal.ends[0] = 4
    left = journal.harvest()
    assert left.outcomes == []
    assert left.running == 0


def test_what_was_sent_is_not_harvested_again(journal: Journal) -> None:
    journal.open(3, 10)
    for index in (10, 11):
        journal.begin(index)
        journal.record(0, b"abc")
    journal.sent(2)
    assert journal.harvest().outcomes == []
    assert journal.running() is None
    journal.begin(12)
    journal.record(0, b"d")
    assert journal.harvest().outcomes == [(12, 0, b"d")]


def test_a_death_between_sending_and_forgetting_blames_no_task_without_outcome(
    journal: Journal,
) -> None:
    journal.open(3, 0)
    journal.begin(0)
    journal.record(0, b"x")
    journal.words[4] = 0  # COUNT is stored, FIRST not yet
    # The pool has outcome 0 from the socket, so a harvest that names task 0 costs nothing.
    assert journal.harvest().running == 0
    assert journal.harvest().outcomes == []


def test_what_is_gathered_is_the_body_of_a_frame(journal: Journal) -> None:
    journal.open(3, 5)
    for index, blob in enumerate((b"one", b"", b"three"), 5):
        journal.begin(index)
        journal.record(0, blob)
    first, kinds, table, data = journal.gathered()
    assert (first, bytes(kinds)) == (5, bytes(3))
    assert blobs.each(bytes(table) + bytes(data), 3) == [b"one", b"", b"three"]


def test_there_is_room_for_the_largest_after_just_not_full(journal: Journal) -> None:
    journal.open(3, 0)
    assert journal.record(0, bytes(FULL)) <= FULL
    journal.begin(1)
    assert journal.record(0, b"\1" * LARGE) > FULL
    assert [len(blob) for _, _, blob in journal.harvest().outcomes] == [FULL, LARGE]


def test_many_empty_outcomes_ask_for_a_flush_before_the_slots_run_out(journal: Journal) -> None:
    journal.open(3, 0)
    flushed_after = next(n for n in range(1, 2 * SLOTS) if journal.record(0, b"") > FULL)
    assert flushed_after == SLOTS


def test_a_cancel_counts_for_its_chunk_only(journal: Journal) -> None:
    theirs = Journal.attach(journal.fd)
    theirs.open(0, 0)
    assert not theirs.cancelled()
    journal.request_cancel(0)
    assert theirs.cancelled()
    theirs.open(1, 0)
    assert not theirs.cancelled()


def test_a_new_chunk_has_no_running_task(journal: Journal) -> None:
    journal.open(3, 0)
    journal.begin(5)
    journal.open(4, 0)
    assert journal.running() is None


def test_recording_a_small_outcome_is_cheap(journal: Journal) -> None:
    journal.open(3, 0)
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        for index in range(1000):
            journal.begin(index, 0.0)
            journal.record(0, b"0123456789")
        best = min(best, (time.perf_counter() - started) / 1000)
        journal.sent(1000)
    assert kept(best, 5e-6)  # 0.6 us here; a budget of 1 us, and slow machines


def test_outcomes_wait_only_while_a_task_has_been_running_for_long(journal: Journal) -> None:
    journal.open(3, 5)
    journal.begin(5, 10.0)
    journal.record(0, b"one")
    assert journal.waiting(100.0) is None, "between tasks"
    journal.begin(6, 20.0)
    assert journal.waiting(15.0) is None, "it has only just begun"
    found = journal.waiting(30.0)
    assert found is not None
    assert (found.chunk, found.outcomes) == (3, [(5, 0, b"one")])
    journal.sent(1)
    assert journal.waiting(30.0) is None


def test_a_stop_holds_for_its_chunk_and_those_before_it(journal: Journal) -> None:
    theirs = Journal.attach(journal.fd)
    theirs.open(4, 0)
    assert not theirs.stopped()
    journal.request_stop(5)
    assert theirs.stopped()
    journal.request_stop(2)
    theirs.open(5, 0)
    assert theirs.stopped()
    assert not theirs.cancelled()
    theirs.open(6, 0)
    assert not theirs.stopped()


def test_a_chunk_that_waits_behind_another_can_be_skipped(journal: Journal) -> None:
    journal.open(1, 0)
    journal.begin(0)
    assert journal.request_skip(2)
    assert not journal.stopped()
    journal.open(2, 0)
    assert journal.stopped()
    journal.open(3, 0)
    assert not journal.stopped()


def test_a_chunk_that_has_begun_is_not_said_to_be_skipped(journal: Journal) -> None:
    journal.open(2, 0)
    assert not journal.request_skip(2)
