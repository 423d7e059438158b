"""What the client is shown: counts, when they change, at a cost that no task adds to."""

from __future__ import annotations

import gc
import sys
from typing import Any

from scattergather.controller.desks.board import SOON_SECONDS
from scattergather.link.seams import PoolFacts
from scattergather.model.outcome import LossKind
from scattergather.scheduler import events
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from tests.unit.controller.near import Near, returned

FACTS = PoolFacts(host="", workers=1, python="", version="", protocol=0)
A, B = b"a" * 16, b"b" * 16


def test_it_is_pushed_while_something_changes_and_not_else() -> None:
    near = Near()
    near.clock.pump([0.5] * 4)
    assert not near.take(messages.Status)
    near.add(A, 3)
    near.clock.advance(0.5)
    status = near.take(messages.Status)[0]
    (job,) = status.jobs
    assert (job.queued, job.running, job.done, job.total) == (2, 1, 0, 3)
    near.clock.pump([0.5] * 4)
    assert len(near.take(messages.Status)) == 1
    near.hosts[0].say(returned(near.hosts[0].take(messages.Run)[0]))
    near.clock.pump([0.5] * 4)
    assert near.take(messages.Status)[1].jobs[0].done == 1


def test_of_hosts_that_come_and_go_the_client_is_told_at_once_and_together() -> None:
    near = Near(hosts=3)
    near.clock.pump([0.5] * 4)
    for host in near.hosts:
        host.listener.left("the connection broke")
    near.clock.advance(SOON_SECONDS)
    (status,) = near.take(messages.Status)
    assert [host.state for host in status.hosts] == ["down"] * 3
    near.clock.advance(0.3)
    near.hosts[0].listener.joined(FACTS)
    near.clock.advance(SOON_SECONDS)
    assert near.take(messages.Status)[1].hosts[0].state == "up"


def landed(near: Near) -> Extent:
    """A large result has come."""
    assert near.store.land(A, 1000)
    near.store.stored(A)
    return near.store.here([Extent(object=A, length=1000)])[0]


def test_large_values_that_go_when_no_job_is_left_are_not_shown_for_ever() -> None:
    near = Near()
    landed(near)
    near.clock.advance(0.5)
    near.store.drop([A])
    near.clock.pump([0.5] * 4)
    assert len(near.take(messages.Status)) == 2


def test_memory_goes_back_to_the_system_also_when_the_client_has_just_asked_what_goes_on() -> None:
    near = Near()
    near.clock.pump([0.5] * 4)
    slab = landed(near).slab
    near.store.drop([A])
    near.ask(messages.Command(call=1, word="status"), b"")
    assert near.store.descriptor(slab)
    near.clock.pump([0.5] * 4)
    assert not near.store.descriptor(slab)


def test_a_job_that_is_forgotten_ends_at_the_tasks_that_it_has() -> None:
    near = Near()
    near.ask(messages.AddJob(job=A, name="job", function="sum", stream=True), b"")
    near.ask(messages.AddTasks(job=A, first=0, count=2), blobs.pack([b".", b"."]))
    near.ask(messages.ForgetJob(job=A), b"")
    (run,) = near.hosts[0].take(messages.Run)
    near.hosts[0].say(messages.CancelDone(chunk=run.chunk, first=run.first))
    assert near.driver.statistics().jobs == ()


def test_a_look_costs_the_same_with_ten_tasks_and_with_a_hundred_thousand() -> None:
    def cost(tasks: int) -> int:
        near = Near(hosts=3, workers=2)
        near.add(A, tasks)
        calls = 0

        def count(_frame: Any, what: str, _argument: Any) -> None:
            nonlocal calls
            calls += what in ("call", "c_call")

        gc.disable()  # what is collected meanwhile is called, too
        sys.setprofile(count)
        try:
            near.parts.board.push()
        finally:
            sys.setprofile(None)
            gc.enable()
        return calls

    cost(10)  # what every look needs once is in place
    assert cost(10) == cost(10**5)


def test_why_tasks_are_lost_is_said_in_a_sentence() -> None:
    near = Near()
    near.ask(messages.Code(digest=A, python="3.9"), b"")
    near.ask(messages.AddJob(job=B, name="job", function="#" + A.hex(), needs=()), b"")
    near.ask(messages.AddTasks(job=B, first=0, count=2), blobs.pack([b".", b"."]))
    near.driver.handle(events.HostsSettled())
    ((outcomes, body),) = near.outcomes()
    for blob in blobs.each(body, len(outcomes.kinds)):
        loss = messages.read_loss(blob)
        assert loss.kind == LossKind.VERSION_MISMATCH
        assert "byte code of Python 3.9 and host0 runs" in loss.reason
