"""Everything that receives for a job keeps what ``receivers.check_receiver`` says."""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from scattergather.client.futures.future import TaskFuture
from scattergather.client.futures.stream import CallStream
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.jobs.round import Round
from scattergather.client.options import JobOptions
from scattergather.client.pipe.pipe import Pipe
from scattergather.client.pipe.process import Log
from scattergather.client.seen.echo import Echo
from scattergather.client.session.receiver import new_job
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen
from tests.conformance.receivers import OPEN, TASKS, ReceiverCase, check_receiver


def of_a_list() -> ReceiverCase:
    gathering = Gathering("job 1", KeptInputs())
    round_ = Round(new_job(), gathering, Echo(), None)
    gathering.expect(TASKS)
    gathering.close()
    round_.close(TASKS)
    return case_of(round_, gathering, range(TASKS))


def of_an_iterator() -> ReceiverCase:
    gathering = Gathering("job 1", None)
    round_ = Round(new_job(), gathering, Echo(), None)
    gathering.expect(TASKS)
    gathering.close()
    round_.close(TASKS)
    return case_of(round_, gathering, range(TASKS))


def of_a_retry() -> ReceiverCase:
    """Tasks 1, 3, 4, 5, 8 and 9 of a job are run again; the others stay as they are."""
    again = array("Q", [1, 3, 4, 5, 8, 9])
    gathering = Gathering("job 1", KeptInputs())
    first = Round(new_job(), gathering, Echo(), None)
    gathering.expect(10)
    gathering.close()
    first.dropped(0, 10)
    gathering.reopen(again)
    round_ = Round(new_job(), gathering, Echo(), None, again)
    return case_of(round_, gathering, again)


def case_of(round_: Round, gathering: Gathering, indexes: Any) -> ReceiverCase:
    def seen(task: int) -> Any:
        index = indexes[task]
        segment = gathering.find(index)
        if segment is not None:
            return gathering.load(segment)[index - segment.first]
        return OPEN if gathering.lost is None else gathering.lost()

    return ReceiverCase(receiver=round_, seen=seen, bell=gathering.bell, locked=(gathering,))


def of_submitted_calls() -> ReceiverCase:
    ours, _ = socket.socketpair()
    session = Session((), lambda outbox, it: Pipe(outbox, lambda: (ours, None), it), Log(), 0)
    frozen = Frozen(name="f", title="f")
    stream = CallStream(session, frozen, JobOptions(echo=False))
    futures = [TaskFuture(stream, None) for _ in range(TASKS)]
    for future in futures:
        assert stream.add(future, b"", (), ())

    def seen(task: int) -> Any:
        future = futures[task]
        if not future.done():
            return OPEN
        try:
            return future.result(0)
        except BaseException as error:
            return error

    return ReceiverCase(
        receiver=stream, seen=seen, bell=stream.bell, locked=(stream,), forgets_itself=True
    )


@pytest.mark.parametrize(
    "make",
    [of_a_list, of_an_iterator, of_a_retry, of_submitted_calls],
    ids=lambda make: make.__name__,
)
def test_a_receiver_conforms(make: Callable[[], ReceiverCase]) -> None:
    check_receiver(make)
