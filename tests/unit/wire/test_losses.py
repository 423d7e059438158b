"""Every kind of loss is an error of its own class, with its own sentence and facts."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from scattergather.errors import TaskLost
from scattergather.model.outcome import LossKind
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss
from scattergather.wire.values.losses import ERRORS, error_of

FACTS = {
    LossKind.KILLED_WORKER: {"signal": 9},
    LossKind.EXIT_CALLED: {"status": 3},
    LossKind.TIME_LIMIT: {"limit": 2.5},
    LossKind.MEMORY_LIMIT: {"limit": 1000},
    LossKind.TOO_LARGE: {"size": 7, "bound": 5},
}


def loss_of(kind: LossKind) -> Loss:
    facts = {"size": 7, "limit": 5.0} if kind is LossKind.TOO_LARGE else FACTS.get(kind, {})
    return Loss(kind=kind, reason="so it was", host="alpha", worker=12, **facts)


@pytest.mark.parametrize("kind", LossKind)
def test_a_loss_becomes_the_error_that_its_kind_names(kind: LossKind) -> None:
    error = error_of(messages.read_loss(messages.encode(loss_of(kind))), "task 3 of sums", 3)
    assert type(error) is ERRORS[kind]
    assert type(error).__name__ == kind
    said = {
        LossKind.TOO_LARGE: "task 3 of sums ended on alpha, worker 12, and so it was",
        LossKind.VERSION_MISMATCH: "task 3 of sums cannot run: so it was",
    }
    assert str(error) == said.get(kind, "task 3 of sums was lost on alpha, worker 12: so it was")
    for name, fact in FACTS.get(kind, {}).items():
        assert getattr(error, name) == fact
    if isinstance(error, TaskLost):
        assert (error.index, error.host, error.worker) == (3, "alpha", 12)
    assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__


def test_a_loss_of_an_unknown_kind_is_refused() -> None:
    unknown = msgspec.msgpack.encode(["Unheard", "a meteorite"])
    with pytest.raises(msgspec.ValidationError, match="'Unheard'"):
        messages.read_loss(unknown)
