"""Where tasks may run: what a user says of it, and what he is told while they wait for a host."""

from __future__ import annotations

import os
import re

import pytest

from scattergather.errors import BadRequest, UnknownName
from scattergather.model.placement import Placement
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostState
from tests.conftest import calls
from tests.unit.client import work
from tests.unit.client.fake import HOST, until

WHY = "nobody listens at 10.0.0.7:4000"


@pytest.fixture
def beta_down(c, fake):
    """There is a second host, and it is not up."""
    down = HostState(name="beta", state="down", why=WHY)
    fake.pause()
    fake.send(messages.Status(hosts=(fake.host(), down), jobs=(), controller_pid=os.getpid()))
    until(lambda: len(c._session.known.snapshot().hosts) == 2)


WAYS = {
    "a job": lambda c, on: c.addJob(calls([1]), work.noop, on=on),
    "a call": lambda c, on: c.options(on=on).submit(work.noop, 1),
    "a map": lambda c, on: c.options(on=on).map(work.noop, [1]),
    "a view of a view": lambda c, on: c.options(priority=1).options(on=on).submit(work.noop, 1),
}


@pytest.mark.parametrize("way", WAYS)
def test_where_tasks_may_run_goes_with_their_job(c, fake, beta_down, way):
    WAYS[way](c, ["beta", HOST, "beta"])
    until(lambda: fake.of(messages.AddJob))
    assert fake.of(messages.AddJob)[-1].placement == Placement(on=("beta", HOST))


def test_a_retry_is_placed_as_the_job_was(c, fake, beta_down):
    job = c.addJob(calls([0]), work.inverse, on=HOST)
    fake.resume()
    assert job.results(errors="return")
    job.retry()
    until(lambda: fake.count(messages.AddJob) == 2)
    assert [each.placement.on for each in fake.of(messages.AddJob)] == [(HOST,)] * 2


MISFITS = {
    "fakee": f"unknown host 'fakee'; there are: {HOST}, beta. Did you mean '{HOST}'?",
    "gamma": f"unknown host 'gamma'; there are: {HOST}, beta",
    ("beta", "gamma"): "unknown host 'gamma'",
    3: "on must be the name of a host, or a list of names, not 3",
    (HOST, None): "on must be the name of a host, or a list of names, not ('fake', None)",
    b"beta": "on must be the name of a host",
    (): "on names no host, so nothing could run; None lets any host",
}


@pytest.mark.parametrize("on", MISFITS)
@pytest.mark.parametrize("way", [*WAYS, "everywhere"])
def test_what_is_no_host_is_named_at_once(c, fake, beta_down, way, on):
    said = rf"^{re.escape(MISFITS[on])}"
    ask = WAYS.get(way, lambda c, on: c.run_everywhere(work.noop, 1, on=on))
    with pytest.raises((BadRequest, UnknownName), match=said):
        ask(c, on)
    assert not fake.of(messages.AddJob) + fake.of(messages.RunEverywhere)


WAITS = f"waits for beta, which is not up: {WHY}"


def test_whoever_looks_is_told_which_host_a_job_waits_for(c, beta_down):
    job = c.addJob(calls([1]), work.noop, name="sums", on="beta")
    free = c.addJob(calls([1]), work.noop)
    assert WAITS in repr(job)
    assert WAITS in job._repr_html_()
    assert WAITS in repr(c)
    assert WAITS in c._repr_html_()
    assert job.progress.awaits == WAITS
    assert "waits for" not in repr(free)


def test_a_job_that_one_of_its_hosts_can_run_waits_for_none(c, beta_down):
    assert "waits for" not in repr(c.addJob(calls([1]), work.noop, on=["beta", HOST]))


@pytest.mark.parametrize(
    "wait",
    [
        lambda c, job: job.results(timeout=0.01),
        lambda c, job: c.waitForResult(timeout=0.01),
        lambda c, job: c.options(on="beta", name="sums").submit(work.noop, 1).result(timeout=0.01),
    ],
)
def test_a_wait_that_is_over_too_soon_says_which_host_is_waited_for(c, beta_down, wait):
    job = c.addJob(calls([1]), work.noop, name="sums", on="beta")
    with pytest.raises(TimeoutError, match=re.escape(f"\nsums {WAITS}")):
        wait(c, job)


def test_what_is_through_waits_for_no_host_though_that_is_down(c, fake, beta_down):
    job = c.addJob(calls([1]), work.noop, on="beta")
    fake.resume()
    job.results()
    assert "waits for" not in repr(job)


def test_a_call_on_every_worker_names_its_hosts_to_the_controller(c, fake, beta_down):
    fake.resume()
    assert len(c.run_everywhere(work.noop, 1, on="beta")) == 2
    assert fake.of(messages.RunEverywhere)[-1].on == ("beta",)
    c.run_everywhere(work.noop, 1)
    assert fake.of(messages.RunEverywhere)[-1].on == ()
