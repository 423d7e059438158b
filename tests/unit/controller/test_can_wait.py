from __future__ import annotations

import pytest

from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from tests.unit.controller.near import Near, returned

A = b"a" * 16


@pytest.fixture
def near() -> Near:
    """Tasks of 0.3 s, all hosts full of them."""
    near = Near(hosts=2, workers=2)
    near.add(A, 100)
    for _ in range(8):
        for host in near.hosts:
            host.say(returned(host.take(messages.Run).pop(), elapsed=0.3))
    return near


def test_hosts_may_be_heard_later_as_the_scheduler_says(near: Near) -> None:
    assert near.can_wait()


def test_hosts_are_heard_at_once_where_tasks_submit_calls_though_these_are_slow(near: Near) -> None:
    run = near.hosts[0].take(messages.Run)[-1]
    submit = messages.NestedSubmit(ticket=1, function="sum", worker=4, chunk=run.chunk)
    near.hosts[0].say(submit, blobs.pack([b"."]))
    assert near.parts.scheduler.can_wait
    assert not near.can_wait(), "its task waits for it, and may submit another one"
