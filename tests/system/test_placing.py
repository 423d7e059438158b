"""Tasks on the hosts that they are bound to: two daemons, and workers of the controller's own."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.errors import BadRequest, UnknownName
from tests.conftest import calls
from tests.system.daemons import SEES_TESTS, Daemon, daemons, free_port
from tests.system.large import Gate
from tests.system.process_driver import eventually


def place(*_: Any) -> str:
    """In a task: the host that it runs on."""
    return os.environ.get("PLACE", "local")


def slowly(*_: Any) -> str:
    time.sleep(0.02)
    return place()


def nested(_: Any) -> list[str]:
    """In a task: where it runs, and the calls that it makes."""
    return [place(), *(call.result() for call in [inside.submit(place) for _ in range(8)])]


def begin(start: Callable[..., Daemon], name: str, *options: str) -> tuple[str, Daemon]:
    """Starts a daemon whose workers know that it is called so; returns its FURL, too."""
    shim = f"{SEES_TESTS}\nos.environ['PLACE'] = {name!r}"
    daemon = start("--workers", "2", *options, shim=shim)
    return daemon.furl().text, daemon


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A client of two daemons, by the names that it has for them, and of workers of its own."""

    client: ScatterGather
    alpha: str
    beta: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with (
        daemons() as start,
        spawnScatterGather(
            [begin(start, "alpha")[0], begin(start, "beta")[0], "local:2"]
        ) as client,
    ):
        go = client.waitForResult()
        assert go.workers == 6
        alpha, beta, _ = (host.name for host in go.hosts)
        yield Cluster(client=client, alpha=alpha, beta=beta)


def test_tasks_run_on_the_hosts_that_are_named_and_on_no_other(cluster: Cluster) -> None:
    c, alpha, beta = cluster.client, cluster.alpha, cluster.beta
    free = c.addJob(calls(*range(100)), slowly)
    bound = c.addJob(calls(*range(30)), slowly, on=alpha)
    two = c.addJob(calls(*range(30)), slowly, on=[beta, "local"])
    executor = c.options(on=beta)
    futures = [executor.submit(slowly, x) for x in range(20)]
    mapped = list(executor.map(place, range(100)))
    assert set(bound.results()) == {"alpha"}
    assert set(two.results()) == {"beta", "local"}
    assert {future.result() for future in futures} == {"beta"}
    assert set(mapped) == {"beta"}
    assert set(free.results()) == {"alpha", "beta", "local"}


def test_calls_that_a_task_makes_run_where_it_may_run(cluster: Cluster) -> None:
    c = cluster.client
    job = c.addJob(calls(*range(4)), nested, on=cluster.beta)
    assert {where for each in job.results() for where in each} == {"beta"}


def test_a_refresh_moves_no_task(cluster: Cluster, gate: Gate) -> None:
    c = cluster.client
    job = c.addJob(calls(*range(8)), gate.before(place), on=cluster.alpha)
    gate.reached(2)
    c.command("refresh")
    gate.open()
    assert set(job.results()) == {"alpha"}


def test_a_call_on_every_worker_is_one_on_every_worker_of_the_hosts_named(
    cluster: Cluster,
) -> None:
    c = cluster.client
    assert list(c.run_everywhere(place, on=cluster.alpha).values()) == ["alpha"] * 2
    both = c.run_everywhere(place, on=["local", cluster.beta])
    assert sorted(both.values()) == ["beta"] * 2 + ["local"] * 2
    assert len(c.run_everywhere(place)) == 6


def test_what_is_no_host_is_answered_with_those_there_are(cluster: Cluster) -> None:
    c = cluster.client
    listed = f"there are: {cluster.alpha}, {cluster.beta}, local. Did you mean 'local'?"
    with pytest.raises(UnknownName, match=re.escape(f"unknown host 'lokal'; {listed}")):
        c.addJob(calls([1]), place, on="lokal")
    with pytest.raises(BadRequest, match=r"no host has made the value of this Ref"):
        c.options(on=c.put(b"x"))


def test_a_ref_stands_for_the_host_that_made_it(cluster: Cluster) -> None:
    c = cluster.client
    (made,) = c.addJob(calls(1 << 17), bytes, keep=True, on=cluster.beta).results()
    assert c.addJob(calls(*range(6)), place, on=made).results() == ["beta"] * 6
    assert set(c.run_everywhere(place, on=[made, "local"]).values()) == {"beta", "local"}


def test_a_host_that_dies_is_waited_for_by_what_is_bound_to_it_and_by_nothing_else(
    start: Callable[..., Daemon],
    spawn: Callable[..., ScatterGather],
    gate: Gate,
    tmp_path: Path,
) -> None:
    options = ("--directory", str(tmp_path / "pool"), "--port", str(free_port()))
    alpha, daemon = begin(start, "alpha", *options)
    c = spawn([alpha, "local:2"])
    name = c.waitForResult().hosts[0].name
    job = c.addJob(calls(*range(6)), gate.before(place), on=name, name="bound")
    gate.reached(2)
    daemon.end(signal.SIGKILL)
    told = f"waits for {name}, which is not up: "
    eventually(lambda: told in repr(job))
    with pytest.raises(TimeoutError, match=re.escape(f"\nbound {told}")):
        job.results(timeout=0.1)
    assert told in repr(c.command("status"))
    assert set(c.addJob(calls(*range(30)), slowly).results()) == {"local"}
    assert set(c.run_everywhere(place).values()) == {"local"}, "nobody is waited for without a name"
    gate.open()
    with ThreadPoolExecutor() as threads:
        everywhere = threads.submit(c.run_everywhere, place, on=name)
        assert not wait([everywhere], timeout=0.2).done
        begin(start, "alpha", *options)
        assert list(everywhere.result(60).values()) == ["alpha"] * 2
    assert job.results(timeout=60) == ["alpha"] * 6
    assert "waits for" not in repr(c)
