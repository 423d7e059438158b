"""What waits to be read, and what a cell that is run again makes of it."""

from __future__ import annotations

import pytest

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.seen.cells import CellRun
from scattergather.client.unread import Unread

FIRST, SECOND, THIRD = (CellRun(cell="a", name=name) for name in ("1", "2", "3"))
OTHER = CellRun(cell="b", name="4")


class Queue:
    def __init__(self):
        self.unread = Unread()
        self.cancelled = []
        self.failed = set()

    def add(self, label, run, *, supersede=True):
        job = Gathering(label, None)
        job.run = run
        stale = []
        if supersede and run is not None:
            stale = self.unread.supersede(run, self.failed.__contains__)
        elif run is not None:
            self.unread.adds(run)
        self.unread.enter(job, lambda: self.cancelled.append(label))
        assert [each.label for each in stale] == self.cancelled[-len(stale) :] or not stale
        return job

    @property
    def left(self):
        return [job.label for job in self.unread.all()]


@pytest.fixture
def queue():
    return Queue()


def test_what_an_interrupted_wait_has_left_is_superseded_when_its_cell_runs_again(queue):
    queue.add("old", FIRST).interrupted = True
    queue.add("new", SECOND)
    assert (queue.left, queue.cancelled) == (["new"], ["old"])


def test_what_a_failed_run_has_left_is_superseded_with_all_that_it_added(queue):
    queue.add("one", FIRST)
    queue.add("two", FIRST)
    queue.failed.add(FIRST)
    queue.add("new", SECOND)
    assert (queue.left, queue.cancelled) == (["new"], ["one", "two"])


def test_what_ran_well_stays_and_so_does_what_other_cells_and_no_cell_have_added(queue):
    queue.add("well", FIRST)
    for label, run in ("other", OTHER), ("nobody's", None):
        queue.add(label, run).interrupted = True
    queue.failed.add(OTHER)
    queue.add("new", SECOND)
    assert (queue.left, queue.cancelled) == (["well", "other", "nobody's", "new"], [])


def test_only_the_first_job_of_a_run_supersedes(queue):
    old = queue.add("old", FIRST)
    queue.add("kept", SECOND)
    old.interrupted = True
    queue.add("second", SECOND)
    assert queue.cancelled == []
    queue.add("third", THIRD)
    assert queue.cancelled == ["old"]


def test_who_keeps_what_is_there_keeps_it_for_the_whole_run(queue):
    queue.add("old", FIRST).interrupted = True
    queue.add("new", SECOND, supersede=False)
    queue.add("more", SECOND)
    assert (queue.left, queue.cancelled) == (["old", "new", "more"], [])


def test_what_was_read_is_nobodys_to_supersede(queue):
    old = queue.add("old", FIRST)
    old.interrupted = True
    assert queue.unread.read(old)
    queue.add("new", SECOND)
    assert (queue.left, queue.cancelled) == (["new"], [])


def test_what_is_retried_is_unread_again_and_not_interrupted_yet(queue):
    old = queue.add("old", FIRST)
    old.interrupted = True
    queue.unread.read(old)
    queue.unread.enter_again(old, lambda: None)
    queue.add("new", SECOND)
    assert queue.left == ["old", "new"]
