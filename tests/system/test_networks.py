"""Daemons on networks of their own: some reach each other, and others only the controller."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.conftest import calls
from tests.system.daemons import SEES_TESTS, daemons
from tests.system.large import MB, Gate, Held, array
from tests.system.networks import Network, networks, why_none
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system

NAMES = ("alpha", "beta", "gamma", "delta")

IN_A_HURRY = """
from scattergather.link import pulse
from scattergather.link.peers import neighbour
pulse.SILENCE_SECONDS, neighbour.ASK_SECONDS = 3.0, 1.0
"""
"""Who waits for a silent peer otherwise takes a quarter of a minute to look for another way."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """``alpha`` is joined with ``beta`` and, slowly, with ``delta``; all reach the controller."""

    client: ScatterGather
    networks: dict[str, Network]
    names: dict[str, str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if why := why_none():
        pytest.skip(why)
    with networks(len(NAMES)) as made, daemons() as begin:
        there = dict(zip(NAMES, made, strict=True))
        there["alpha"].join(there["beta"])
        there["alpha"].join(there["delta"], "100mbit")
        started = [
            begin(
                *(
                    "--interface",
                    network.address,
                    "--directory",
                    str(tmp_path_factory.mktemp(name)),
                ),
                shim=f"{SEES_TESTS}{IN_A_HURRY}\nos.environ['PLACE'] = {name!r}",
                within=network.within,
            )
            for name, network in there.items()
        ]
        furls = [daemon.furl() for daemon in started]
        names = dict(zip(NAMES, (furl.address for furl in furls), strict=True))
        with spawnScatterGather([furl.text for furl in furls]) as client:
            client.waitForResult()
            yield Cluster(client=client, networks=there, names=names)


def passed(c: ScatterGather) -> int:
    """Bytes between the controller and all daemons."""
    return sum(host.sent + host.received for host in c.command("status").hosts)


def test_jobs_run_on_hosts_of_several_networks(cluster) -> None:
    results = cluster.client.addJob(calls(*range(300)), lambda x: x + 1).results()
    assert results == [n + 1 for n in range(300)]
    assert len(cluster.client.run_everywhere(lambda: None)) == len(NAMES)


def kept(cluster: Cluster, owner: str, taker: str) -> int:
    """What was kept on one host is taken on another: bytes that passed the controller for it."""
    c, names = cluster.client, cluster.names
    (made,) = c.addJob(calls(10), array, keep=True, on=names[owner]).results()
    before = passed(c)
    (got,) = c.addJob(calls(made), lambda x: float(x.sum()), on=names[taker]).results()
    assert got == float(array(10).sum())
    return passed(c) - before


def lent(cluster: Cluster, one: str, other: str, gate: Gate) -> int:
    """A task on one of two hosts calls both with a large value: bytes that passed for it."""

    def seen(x: Any) -> tuple[str, float]:
        return os.environ["PLACE"], float(x.sum())

    def lends(size: int, function: Callable[[Any], Any]) -> list[tuple[str, float]]:
        mine = array(size)
        return [call.result() for call in [inside.submit(function, mine) for _ in range(2)]]

    c, names = cluster.client, [cluster.names[each] for each in (one, other)]
    before = passed(c)
    job = c.addJob([((10, gate.before(seen)), {})], lends, on=names)
    gate.reached(2)
    gate.open()
    total = float(array(10).sum())
    assert sorted(job.results()[0]) == [(one, total), (other, total)]
    return passed(c) - before


def test_what_goes_between_hosts_that_only_the_controller_reaches_goes_by_way_of_it(
    cluster, gate
) -> None:
    amount = 2 * 10 * MB
    assert amount < kept(cluster, "alpha", "gamma") < 1.1 * amount
    assert amount < kept(cluster, "gamma", "beta") < 1.1 * amount
    assert amount < lent(cluster, "beta", "gamma", gate) < 1.1 * amount
    said = repr(cluster.client.hosts[cluster.names["gamma"]])
    assert "does not reach" in said
    assert cluster.names["alpha"] in said


def test_what_goes_between_hosts_that_reach_each_other_does_not_pass_the_controller(
    cluster, gate
) -> None:
    assert kept(cluster, "alpha", "beta") < 100_000
    assert kept(cluster, "beta", "alpha") < 100_000
    assert lent(cluster, "alpha", "beta", gate) < 100_000


def test_what_is_under_way_when_hosts_lose_each_other_comes_by_way_of_the_controller(
    cluster,
) -> None:
    c, names, networks = cluster.client, cluster.names, cluster.networks
    assert kept(cluster, "alpha", "delta") < 100_000
    (made,) = c.addJob(calls(20), array, keep=True, on=names["alpha"]).results()
    before = passed(c)
    job = c.addJob(calls(made), lambda x: float(x.sum()), on=names["delta"])
    networks["alpha"].part(networks["delta"])
    assert job.results(timeout=60) == [float(array(20).sum())]
    assert passed(c) - before > 20 * MB


def test_nothing_of_it_stays(cluster) -> None:
    c, held = cluster.client, Held()
    assert kept(cluster, "alpha", "beta") < 100_000
    assert kept(cluster, "beta", "gamma") > 10 * MB
    eventually(lambda: sum(host.memory for host in c.command("status").hosts) == 0)
    held.returns(within=30)
