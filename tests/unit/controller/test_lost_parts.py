"""What follows, in a controller, when a part of a result never comes."""

from __future__ import annotations

import msgspec
import pytest

from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.memory import stub
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent, Loss
from tests.unit.controller.near import BOUND, Near, returned

A = b"a" * 16
JOB = b"j" * 16


class There(Near):
    """A controller with one host of one worker, which has a chunk of several tasks."""

    def __init__(self, retries: int = 3) -> None:
        super().__init__()
        (self.host,) = self.hosts
        self.add(JOB, 500, retries=retries)
        while (run := self.runs()[-1]).count < 3:
            self.host.say(returned(run, elapsed=1e-5 * run.count))
        self.run = next(each for each in self.runs() if each.count >= 3)

    def runs(self) -> list[messages.Run]:
        return self.host.take(messages.Run)

    def call(self, task: int = 2) -> messages.Run:
        """A task of the chunk calls something, and waits; what the host has of that."""
        chunk, index = self.run.chunk, self.run.first + task
        submit = messages.NestedSubmit(ticket=1, function="sum", worker=4, chunk=chunk, index=index)
        self.host.say(submit)
        self.host.say(messages.WorkersChanged(workers=2, alive=2))  # its slot is lent
        (run,) = (each for each in self.runs() if each.job != JOB)
        return run


@pytest.mark.parametrize("how", ["lost", "too large"])
def test_a_call_of_a_later_task_is_answered_though_a_part_of_an_earlier_result_is_lost(
    how: str,
) -> None:
    there = There()
    run, host = there.run, there.host
    length = 1000 if how == "lost" else BOUND + 1
    message = returned(run, 1, objects=(Extent(object=A, length=length),))
    if how == "lost":
        host.say(message)
        nested = there.call()
        host.listener.lost((A,), "it is gone")
    else:
        nested = there.call()
        host.say(message, blobs.pack([b"." + stub.trailer([A])]))
    assert not host.take(messages.Cancel)
    host.say(returned(nested))
    (answer,) = host.take(messages.NestedOutcome)
    assert (answer.worker, answer.ticket, answer.kind) == (4, 1, Kind.RETURNED)


def test_the_calls_of_a_worker_that_died_are_cancelled() -> None:
    there = There()
    run, host = there.run, there.host
    nested = there.call()
    loss = messages.encode(Loss(kind=LossKind.LOST, reason="it died"))
    dead = msgspec.structs.replace(returned(run, 1), kinds=bytes([Kind.LOST]))
    host.say(dead, blobs.pack([loss]))
    assert [each.chunks for each in host.take(messages.Cancel)] == [(nested.chunk,)]


@pytest.mark.parametrize("kind", [Kind.RAISED, Kind.RETRYABLE, Kind.RETURNED])
@pytest.mark.parametrize("task", [0, 1, 2])
def test_the_calls_of_a_task_that_raised_are_cancelled_and_no_others(task: int, kind: int) -> None:
    there = There()
    run, host = there.run, there.host
    nested = there.call(task)
    kinds = bytes([Kind.RETURNED, kind])
    host.say(msgspec.structs.replace(returned(run, 2), kinds=kinds), blobs.pack([b".", b"."]))
    orphaned = task == 1 and kind != Kind.RETURNED
    cancelled = [each.chunks for each in host.take(messages.Cancel)]
    assert cancelled == [(nested.chunk,)] * orphaned


@pytest.mark.parametrize("kind", [Kind.EXCEEDED, 99])
def test_a_loss_of_an_unknown_kind_ends_its_task_and_no_other(kind: int) -> None:
    there = There(retries=0)
    run, host = there.run, there.host
    kinds = bytes([kind, Kind.RETURNED])
    message = msgspec.structs.replace(returned(run, 1), kinds=kinds)
    unknown = msgspec.msgpack.encode(["Unheard", "a meteorite"])
    host.say(message, blobs.pack([unknown, b"."]))
    outcomes, body = there.told[-1], there.bodies[-1]
    assert (outcomes.first, outcomes.kinds) == (run.first, bytes([Kind.LOST, Kind.RETURNED]))
    loss = messages.read_loss(blobs.each(body, 2)[0])
    assert (loss.kind, loss.host) == (LossKind.LOST, "host0")
    assert "'Unheard'" in loss.reason
