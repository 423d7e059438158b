"""What goes from daemon to daemon, past the controller: real pools, and their streams."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psutil
import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.conftest import calls
from tests.system.daemons import SEES_TESTS, Daemon, daemons
from tests.system.large import MB, Held, array
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system

CALLS_NOBODY = """
from scattergather.link.peers import streams
async def call(self, *_):
    raise ConnectionError("a wall stands in the way")
streams.PeerStreams.call = call
"""

IS_NOT_REACHED = """
from scattergather.link.peers import streams
streams.PeerStreams.called = lambda self, *_: streams._HungUp()
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Daemons: ``alpha`` and ``beta`` reach each other, ``gamma`` calls nobody, ``delta`` neither
    calls nor is called."""

    client: ScatterGather
    daemons: dict[str, Daemon]
    names: dict[str, str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    shims = {
        "alpha": "",
        "beta": "",
        "gamma": CALLS_NOBODY,
        "delta": CALLS_NOBODY + IS_NOT_REACHED,
    }
    with daemons() as begin:
        started = {
            name: begin("--directory", str(tmp_path_factory.mktemp(name)), shim=SEES_TESTS + shim)
            for name, shim in shims.items()
        }
        furls = {name: daemon.furl() for name, daemon in started.items()}
        names = {name: furl.address for name, furl in furls.items()}
        with spawnScatterGather([furl.text for furl in furls.values()]) as client:
            client.waitForResult()
            yield Cluster(client=client, daemons=started, names=names)


def passed(c: ScatterGather) -> int:
    """Bytes between the controller and all daemons."""
    return sum(host.sent + host.received for host in c.command("status").hosts)


def crosses(cluster: Cluster, owner: str, taker: str, megabytes: float = 5, count: int = 1) -> int:
    """Values go from one host to another; returns how many bytes pass the controller meanwhile."""
    c, names = cluster.client, cluster.names
    made = c.addJob(
        [((megabytes, n), {}) for n in range(count)],
        lambda size, n: array(size) + n,
        keep=True,
        on=names[owner],
    ).results()
    before = passed(c)
    sums = c.addJob(calls(*made), lambda x: float(x.sum()), on=names[taker]).results()
    assert sums == [float((array(megabytes) + n).sum()) for n in range(count)]
    return passed(c) - before


def test_what_one_host_made_and_another_takes_goes_past_the_controller_both_ways(cluster) -> None:
    assert crosses(cluster, "alpha", "beta", 20) < 100_000
    assert crosses(cluster, "beta", "alpha", 20) < 100_000
    assert crosses(cluster, "alpha", "beta", 1, count=40) < 300_000


def test_a_host_that_can_call_nobody_is_called(cluster) -> None:
    assert crosses(cluster, "alpha", "gamma") < 100_000
    assert crosses(cluster, "gamma", "beta") < 100_000
    assert "does not reach" not in repr(cluster.client.hosts[cluster.names["gamma"]])


def test_hosts_that_do_not_reach_each_other_are_served_and_said_to_be(cluster, capfd) -> None:
    assert 5 * MB < crosses(cluster, "gamma", "delta") < 11 * MB
    said = repr(cluster.client.hosts[cluster.names["delta"]])
    assert f"does not reach {cluster.names['gamma']}" in said
    cluster.client._session.echo.flush()
    assert "do not reach each other" in capfd.readouterr().err
    assert 5 * MB < crosses(cluster, "delta", "gamma") < 11 * MB
    assert crosses(cluster, "alpha", "beta") < 100_000


def test_what_many_hosts_want_is_sent_to_two_of_them(cluster) -> None:
    c = cluster.client
    value = c.put(array(20))
    near = [cluster.names[name] for name in ("alpha", "beta", "gamma")]
    before = sum(host.sent for host in c.command("status").hosts)
    sums = c.run_everywhere(lambda x: float(x.sum()), value, on=near)
    assert list(sums.values()) == [float(array(20).sum())] * 3
    assert sum(host.sent for host in c.command("status").hosts) - before < 2 * 20 * MB + 100_000
    del value
    eventually(lambda: sum(host.memory for host in c.command("status").hosts) == 0)


def test_nothing_of_it_stays(cluster) -> None:
    c, held = cluster.client, Held()
    assert crosses(cluster, "alpha", "beta", 1, count=5) < 100_000
    eventually(lambda: sum(host.memory for host in c.command("status").hosts) == 0)
    held.returns(within=30)


def test_what_is_under_way_to_a_daemon_that_is_stopped_comes_when_it_goes_on(cluster) -> None:
    c, names = cluster.client, cluster.names
    (made,) = c.addJob(calls(30), lambda size: array(size), keep=True, on=names["alpha"]).results()
    process = psutil.Process(cluster.daemons["alpha"].process.pid)
    process.send_signal(signal.SIGSTOP)
    job = c.addJob(calls(made), lambda x: float(x.sum()), on=names["beta"])
    try:
        with pytest.raises(TimeoutError):
            job.results(timeout=1)
    finally:
        process.send_signal(signal.SIGCONT)
    assert job.results() == [float(np.sum(array(30)))]
