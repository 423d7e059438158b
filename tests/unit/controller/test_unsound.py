"""What makes no sense is found out before any of it counts, and ends nothing but itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from tests.unit.controller.near import Near, returned

JOB, OTHER, A, B, SLAB = (letter * 16 for letter in (b"j", b"o", b"a", b"b", b"s"))


def extent(name: bytes) -> Extent:
    return Extent(object=name, length=10, slab=SLAB)


class There(Near):
    """A controller with one host, which has a chunk of several tasks."""

    def __init__(self, retries: int = 0) -> None:
        super().__init__()
        (self.host,) = self.hosts
        self.add(JOB, 500, retries=retries)
        while (run := self.runs()[-1]).count < 3:
            self.host.say(returned(run, elapsed=1e-5 * run.count))
        self.run = next(each for each in self.runs() if each.count >= 3)
        self.told.clear()
        self.bodies.clear()
        self.host.told.clear()
        self.host.bodies.clear()

    def runs(self) -> list[messages.Run]:
        return self.host.take(messages.Run)

    def losses(self) -> list[Any]:
        return [
            messages.read_loss(blob)
            for message, body in self.outcomes()
            for kind, blob in zip(message.kinds, blobs.each(body, len(message.kinds)), strict=True)
            if kind == Kind.LOST
        ]


BACKWARDS = blobs.table([b"....", b"."]).tobytes()[:8] + blobs.table([b"."]).tobytes() + b"."


@pytest.mark.parametrize(
    ("kinds", "body"),
    [
        ([Kind.RETURNED] * 2, b""),
        ([Kind.RETURNED] * 2, b"x" * 15),
        ([Kind.RETURNED] * 2, blobs.pack([b"."])),
        ([Kind.RETURNED] * 2, blobs.pack([b".", b"."]) + b"."),
        ([Kind.RETURNED, Kind.LOST], BACKWARDS),
    ],
    ids=["nothing", "half a table", "one blob", "too much", "backwards"],
)
def test_a_batch_that_its_body_does_not_hold_is_a_loss_of_its_tasks(
    kinds: list[Kind], body: bytes
) -> None:
    there = There()
    run = there.run
    there.host.say(msgspec.structs.replace(returned(run, 2), kinds=bytes(kinds)), body)
    assert [loss.kind for loss in there.losses()] == [LossKind.LOST] * 2
    assert "host0" in there.losses()[0].reason
    assert "makes no sense" in there.losses()[0].reason
    rest = msgspec.structs.replace(returned(run, run.count - 2), first=run.first + 2)
    there.host.say(rest)
    assert sum(len(message.kinds) for message, _ in there.outcomes()) == run.count


def test_outcomes_of_tasks_that_the_chunk_does_not_have_count_for_nothing() -> None:
    there = There()
    there.host.say(returned(there.run, there.run.count + 7))
    (outcomes,) = there.take(messages.TaskOutcomes)
    assert (outcomes.first, len(outcomes.kinds)) == (there.run.first, there.run.count)
    (job,) = there.driver.statistics().scheduler.jobs
    assert job.done + job.queued + job.running == 500


def test_outcomes_that_share_their_large_parts_are_not_believed_and_those_are_dropped() -> None:
    there = There()
    there.store.reserve(A, 10)
    there.store.stored(A)
    there.host.listener.arrived((A,))
    there.host.say(returned(there.run, 2, objects=(extent(A),)))
    assert len(there.losses()) == 2
    assert there.store.statistics().held == 0


def test_an_argument_that_is_returned_and_is_none_is_a_loss_of_its_task() -> None:
    there = There()
    there.host.say(returned(there.run, 1, borrowed=(extent(B),)))
    (loss,) = there.losses()
    assert "not known" in loss.reason
    there.ask(messages.RunEverywhere(call=1, function="sum"), b"")
    there.clock.advance(10)
    done = messages.EverywhereDone(
        call=1, worker=1, kind=Kind.RETURNED, last=True, borrowed=(extent(B),)
    )
    there.host.say(done)
    (outcome,) = there.take(messages.EverywhereOutcome)
    assert (outcome.kind, outcome.objects) == (Kind.LOST, ())
    assert there.take(messages.Answer)


def test_a_call_of_what_cannot_be_is_refused_to_its_task_and_leaves_nothing() -> None:
    there = There()
    jobs = there.driver.statistics().jobs
    submit = messages.NestedSubmit(
        ticket=3, function="#no digest", worker=4, chunk=there.run.chunk, lent=(extent(A),)
    )
    there.host.say(submit)
    (answer,) = there.host.take(messages.NestedOutcome)
    assert (answer.worker, answer.ticket, answer.kind) == (4, 3, Kind.LOST)
    assert "#no digest" in messages.read_loss(there.host.bodies[-1]).reason
    assert there.host.take(messages.Drop) == [messages.Drop(objects=(A,))]
    assert there.driver.statistics().jobs == jobs
    there.ask(messages.Forget(digests=()), b"")  # looks at the code of every job


def test_a_job_of_what_cannot_be_leaves_nothing() -> None:
    there = There()
    jobs = there.driver.statistics().jobs
    with pytest.raises(ValueError, match="non-hexadecimal"):
        there.ask(messages.AddJob(job=OTHER, name="odd", function="#no digest"), b"")
    assert there.driver.statistics().jobs == jobs
    with pytest.raises(ValueError, match="non-hexadecimal"):
        there.ask(messages.RunEverywhere(call=1, function="#no", objects=(extent(A),)), b"")
    assert there.parts.objects.statistics().known == 0


def test_tasks_that_their_body_does_not_hold_leave_nothing() -> None:
    there = There()
    there.ask(messages.AddJob(job=OTHER, name="odd", function="sum"), b"")
    before = there.driver.statistics()
    with pytest.raises(ValueError, match="does not hold"):
        there.ask(
            messages.AddTasks(job=OTHER, first=0, count=3, objects=(extent(A),)), blobs.pack([b""])
        )
    assert there.driver.statistics() == before
    assert there.parts.objects.statistics().known == 0


def test_a_chunk_of_another_host_is_not_a_hosts_to_speak_of() -> None:
    near = Near(hosts=2)
    near.add(JOB, 2)
    ours, theirs = (host.take(messages.Run)[0] for host in near.hosts)
    near.hosts[0].say(returned(theirs))
    near.hosts[0].say(messages.Output(chunk=theirs.chunk, index=0), b"hear, hear")
    near.hosts[0].say(messages.NestedSubmit(ticket=1, function="sum", chunk=theirs.chunk))
    assert not near.take(messages.TaskOutcomes)
    assert not near.take(messages.TaskOutput)
    assert len(near.driver.statistics().jobs) == 1
    near.hosts[0].say(returned(ours))
    assert near.take(messages.TaskOutcomes)


# ---- large parts of an outcome are released exactly once, whatever comes of it ----


def with_a_part(there: There, kind: Kind) -> None:
    """The first task of the chunk ends like this; a part of its outcome lies here."""
    there.store.reserve(A, 10)
    there.store.stored(A)
    there.host.listener.arrived((A,))
    message = returned(there.run, 1, objects=(extent(A),))
    there.host.say(msgspec.structs.replace(message, kinds=bytes([kind])))


def test_a_part_that_was_delivered_stays_until_the_client_releases_it_once() -> None:
    there = There()
    with_a_part(there, Kind.RETURNED)
    (outcomes,) = there.take(messages.TaskOutcomes)
    assert [part.object for part in outcomes.objects] == [A]
    assert there.store.statistics().held == 10
    there.ask(messages.Release(objects=(A,)), b"")
    assert there.store.statistics().held == 0
    assert not there.take(messages.Freed)


@pytest.mark.parametrize("how", ["cancelled", "run again", "over"])
def test_a_part_of_an_outcome_that_is_not_delivered_is_dropped_at_once(how: str) -> None:
    there = There(retries=3)
    if how == "over":
        there.host.listener.left("the cable is cut")
    with_a_part(there, {"cancelled": Kind.CANCELLED, "run again": Kind.RETRYABLE}.get(how, Kind(0)))
    assert not there.take(messages.TaskOutcomes)
    assert there.store.statistics().held == 0
