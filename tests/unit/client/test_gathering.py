from __future__ import annotations

import itertools
from array import array
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.jobs.iterating import Results, Walk
from scattergather.client.jobs.round import Round
from scattergather.client.seen.echo import Echo
from scattergather.client.session.interrupting import Waits
from scattergather.errors import ControllerLost
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.values.payload import dumps
from scattergather.wire.values.raised import pack_exception

RETURNED = dumps("")[:0]
JOB = b"j" * 16


def outcome(index: int, attempt: int, failed: bool) -> tuple[int, bytes]:
    if failed:
        return Kind.RAISED, pack_exception(ValueError(index))
    return Kind.RETURNED, dumps((index, attempt))


def deliver(round_: Round, first: int, failed: list[bool], attempt: int = 1) -> None:
    pairs = [outcome(first + n, attempt, bad) for n, bad in enumerate(failed)]
    message = messages.TaskOutcomes(
        job=JOB, first=first, kinds=bytes(kind for kind, _ in pairs), host="h", worker=1
    )
    round_.outcomes(message, blobs.pack(blob for _, blob in pairs), ())


def gathering(total: int, keeps: bool = True) -> tuple[Gathering, Round]:
    made = Gathering("job 1", KeptInputs() if keeps else None)
    made.expect(total)
    made.close()
    round_ = Round(JOB, made, Echo(), None)
    round_.close(total)
    return made, round_


def results(made: Gathering, ordered: bool = True, numbered: bool = False) -> Results:
    session: Any = SimpleNamespace(waits=Waits(None))
    return Results(session, Walk(made, lambda: None, ordered), None, then="", numbered=numbered)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A number of tasks, and runs of them in any order, some twice and overlapping."""
    total = draw(st.integers(1, 40))
    cuts = sorted(draw(st.sets(st.integers(0, total), max_size=8)) | {0, total})
    runs = list(itertools.pairwise(cuts))
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, total - 1))
        runs.append((first, draw(st.integers(first + 1, total))))
    return total, draw(st.permutations(runs))


@given(deliveries())
def test_every_task_has_one_outcome_in_its_place_whatever_comes_in_which_order(plan):
    total, runs = plan
    made, round_ = gathering(total)
    for a, b in runs:
        assert made.complete == round_.done
        deliver(round_, a, [False] * (b - a))
    assert made.complete
    assert round_.done
    assert made.settled == total
    assert made.collect() == [(n, 1) for n in range(total)]
    assert list(results(made)) == made.collect()
    numbered = results(made, False, numbered=True)
    assert dict(numbered) == dict(enumerate(made.collect()))


@given(deliveries())
def test_a_job_that_forgets_hands_each_outcome_over_once(plan):
    total, runs = plan
    made, round_ = gathering(total, keeps=False)
    for a, b in runs:
        deliver(round_, a, [False] * (b - a))
    assert list(results(made)) == [(n, 1) for n in range(total)]
    assert not made.segments
    assert not made._starts
    assert made.handed == total


@given(deliveries(), st.data())
def test_reopened_tasks_take_their_new_outcome(plan, data):
    total, runs = plan
    bad = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    made, round_ = gathering(total)
    for a, b in runs:
        deliver(round_, a, bad[a:b])
    assert made.failed == sum(bad)
    assert [failure.index for failure in made.failures()] == [n for n in range(total) if bad[n]]
    indexes = array("Q", made.unreturned())
    made.reopen(indexes)
    assert list(indexes) == [n for n in range(total) if bad[n]]
    assert made.complete == (not indexes)
    again = Round(JOB, made, Echo(), None, indexes)
    for place in data.draw(st.permutations(range(len(indexes)))):
        assert not made.complete
        message = messages.TaskOutcomes(job=JOB, first=place, kinds=b"\0", host="h", worker=1)
        again.outcomes(message, blobs.pack([dumps((indexes[place], 2))]), ())
    assert made.complete
    assert again.done
    assert made.failures() == []
    assert made.collect() == [(n, 2 if bad[n] else 1) for n in range(total)]
    assert list(results(made)) == made.collect()


def test_what_the_controller_does_not_deliver_is_lost():
    made, round_ = gathering(3)
    deliver(round_, 1, [False])
    round_.lose(lambda: ControllerLost("gone; start another\nlast lines of its log", status=9))
    first, second, third = made.collect()
    assert second == (1, 1)
    assert (type(first), str(first)) == (
        ControllerLost,
        "gone; start another\nlast lines of its log",
    )
    # The log's end is long, and there may be thousands.
    assert (type(third), str(third), third.status) == (ControllerLost, "gone; start another", 9)
    assert made.view(0, 0.0).line() == "job 1  1/3 · gone"
    assert made.finished
    assert not made.complete


def test_tasks_that_nobody_added_are_ignored():
    made, round_ = gathering(2)
    deliver(round_, 1, [False] * 5)
    assert made.settled == 1
    deliver(round_, 7, [False])
    assert made.settled == 1
