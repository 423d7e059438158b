"""Tasks of a job that the controller does not know."""

from __future__ import annotations

import pytest

from scattergather.client.jobs.reading import read_error
from scattergather.errors import TaskLost
from scattergather.scheduler import events
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from tests.unit.controller.near import Near

JOB = b"j" * 16
TASKS = messages.AddTasks(job=JOB, first=3, count=2)
BODY = blobs.pack([b"one", b"two"])


def test_each_ends_with_an_error_that_says_so() -> None:
    there = Near(hosts=0)
    there.driver.add_tasks(TASKS, BODY)
    ((message, body),) = there.outcomes()
    assert (message.job, message.first, len(message.kinds)) == (JOB, 3, 2)
    for place, blob in enumerate(blobs.each(body, 2)):
        error = read_error(message.kinds[place], blob, 3 + place, "", "f")
        assert isinstance(error, TaskLost)
        assert f"task {3 + place} of f was lost: it reached the controller without" in str(error)


def test_those_of_a_job_that_is_over_do_too_and_those_of_a_cancelled_one_are_cancelled() -> None:
    there = Near(hosts=0)
    there.driver.add_job(messages.AddJob(job=JOB, name="f", function="sum"))
    there.driver.handle(events.JobCancelled(job=JOB))
    there.driver.add_tasks(messages.AddTasks(job=JOB, first=0, count=2), BODY)
    (cancelled,) = there.told
    assert cancelled == messages.TasksCancelled(job=JOB, first=0, count=2)
    there.driver.handle(events.TasksEnded(job=JOB, total=2))
    there.driver.add_tasks(TASKS, BODY)
    ((message, _),) = there.outcomes()
    assert message.first == 3


def test_their_objects_are_the_clients_again() -> None:
    there = Near(hosts=0)
    extent = Extent(object=b"a" * 16, slab=b"s" * 16, length=10)
    there.driver.add_tasks(messages.AddTasks(job=JOB, first=0, count=2, objects=(extent,)), BODY)
    there.parts.objects.release_from_client((extent.object,))
    assert messages.Freed(objects=(extent.object,)) in there.told
    assert there.outcomes()


def test_a_body_that_does_not_hold_them_is_refused() -> None:
    there = Near(hosts=0)
    with pytest.raises(ValueError, match="does not hold"):
        there.driver.add_tasks(messages.AddTasks(job=JOB, first=0, count=1 << 40), BODY)
    assert not there.told
