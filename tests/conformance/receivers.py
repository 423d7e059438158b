"""What the session may rely on of everything that receives for a job (``session.Receiver``)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from scattergather.client.pipe.waiting import Bell
from scattergather.client.session.receiver import Receiver
from scattergather.errors import ControllerLost
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.values.payload import dumps
from scattergather.wire.values.raised import pack_exception

TASKS = 6
OPEN = object()
"""What is seen of a task without an outcome."""


@dataclass(frozen=True, kw_only=True)
class ReceiverCase:
    """A receiver of a job of six tasks, to which nothing has come.

    Attributes:
        seen: what whoever waits gets of a task: its result or its error, or ``OPEN``.
        bell: wakes whoever waits.
        locked: what holds locks of the receiver.
        forgets_itself: it may get more tasks, and is never done.
    """

    receiver: Receiver
    seen: Callable[[int], Any]
    bell: Bell
    locked: tuple[object, ...]
    forgets_itself: bool = False


def check_receiver(make: Callable[[], ReceiverCase]) -> None:
    """It keeps what every receiver promises."""
    for check in (
        _check_outcomes,
        _check_a_task_has_one_outcome,
        _check_what_is_placed,
        _check_what_is_dropped,
        _check_stop,
        _check_loss,
        _check_copy,
    ):
        check(make())


def _error() -> ControllerLost:
    return ControllerLost("it died", status=1, log=[])


def _come(case: ReceiverCase, first: int, *values: Any) -> None:
    """Outcomes of neighbouring tasks; an exception is one that was raised there."""
    kinds = [Kind.RAISED if isinstance(value, Exception) else Kind.RETURNED for value in values]
    packed = [
        pack_exception(value) if isinstance(value, Exception) else dumps(value) for value in values
    ]
    message = messages.TaskOutcomes(
        job=case.receiver.job, first=first, kinds=bytes(kinds), host="h", worker=1
    )
    case.receiver.outcomes(message, blobs.pack(packed), ())


def _seen(case: ReceiverCase) -> list[Any]:
    return [case.seen(index) for index in range(TASKS)]


def _counted(case: ReceiverCase) -> None:
    """A job is never done and busy at once, and what it shows adds up."""
    receiver = case.receiver
    assert not (receiver.done and receiver.busy)
    assert receiver.left == ""
    view = receiver.view(None)
    if view is not None and not view.lost:
        parts = (view.queued, view.running, view.done, view.failed, view.cancelled)
        assert min(parts) >= 0
        assert view.total is None or sum(parts) == view.total
        assert receiver.busy == (view.queued + view.running > 0)


def _check_outcomes(case: ReceiverCase) -> None:
    """Each task gets its own, in any order; with the last the receiver has nothing to wait for."""
    assert _seen(case) == [OPEN] * TASKS
    assert case.receiver.busy
    rung: list[int] = []
    for first, values in ((2, ("c", "d")), (5, ("f",)), (0, ("a", ValueError("b"), "no", "no"))):
        case.bell.once(lambda: rung.append(1))
        _come(case, first, *values)
        assert rung, "whoever waits was not woken"
        rung.clear()
        _counted(case)
    assert case.seen(4) is OPEN
    assert case.receiver.busy
    _come(case, 4, "e")
    _counted(case)
    assert isinstance(case.seen(1), ValueError)
    assert [value for value in _seen(case) if isinstance(value, str)] == ["a", "c", "d", "e", "f"]
    assert not case.receiver.busy
    assert case.receiver.done != case.forgets_itself


def _check_a_task_has_one_outcome(case: ReceiverCase) -> None:
    """The first one, whichever kind it and the next are of."""
    _come(case, 0, "first")
    _come(case, 0, "second", "b")
    case.receiver.dropped(0, 1)
    case.receiver.dropped(3, 1)
    _come(case, 3, "late")
    assert case.seen(0) == "first"
    assert case.seen(1) == "b"
    assert isinstance(case.seen(3), CancelledError)
    _counted(case)


def _check_what_is_placed(case: ReceiverCase) -> None:
    """To be in a pool is no outcome, and nobody is there twice or too late."""
    _come(case, 1, "b")
    case.receiver.placed(0, 3)
    case.receiver.placed(1, 2)
    assert [value is OPEN for value in _seen(case)] == [True, False, True, True, True, True]
    assert case.receiver.busy
    _come(case, 0, "a")
    assert case.seen(0) == "a"


def _check_what_is_dropped(case: ReceiverCase) -> None:
    """Cancelled tasks are settled: when all are, nothing is to come."""
    case.receiver.dropped(0, 2)
    _counted(case)
    assert case.receiver.busy
    case.receiver.dropped(2, TASKS - 2)
    _counted(case)
    assert all(isinstance(value, CancelledError) for value in _seen(case))
    assert not case.receiver.busy
    assert case.receiver.done != case.forgets_itself


def _check_stop(case: ReceiverCase) -> None:
    """What was under way when the job was cancelled still comes."""
    case.receiver.stop()
    assert case.receiver.busy
    _come(case, 0, "a")
    case.receiver.dropped(1, TASKS - 1)
    assert case.seen(0) == "a"
    assert not case.receiver.busy


def _check_loss(case: ReceiverCase) -> None:
    """What had come stays, all else gets the error, and whoever waits is woken."""
    _come(case, 0, "a")
    rung: list[int] = []
    case.bell.once(lambda: rung.append(1))
    case.receiver.lose(_error)
    case.receiver.lose(_error)
    assert rung, "whoever waits was not woken"
    assert case.seen(0) == "a"
    assert all(isinstance(value, ControllerLost) for value in _seen(case)[1:])
    assert not case.receiver.busy


def _check_copy(case: ReceiverCase) -> None:
    """In a copy made by fork no lock is taken, and nobody woken, who would be the original's."""
    rung: list[int] = []
    _come(case, 0, "a")
    case.bell.once(lambda: rung.append(1))
    with _held(case.locked):
        thread = threading.Thread(target=case.receiver.abandon, args=(_error,), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), "it waits for a lock"
    assert not rung
    assert case.seen(0) == "a"


def _held(owners: Iterable[object]) -> ExitStack:
    """All locks of these are held."""
    stack = ExitStack()
    for lock in _locks(owners):
        stack.enter_context(lock)
    return stack


def _locks(owners: Iterable[object]) -> Iterator[Any]:
    kinds = (type(threading.Lock()), type(threading.RLock()))
    found = [each for owner in owners for each in vars(owner).values() if isinstance(each, kinds)]
    assert found, "it has no lock, says the test"
    yield from found
