"""Hosts that come and go while jobs run: real daemons, over real links."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scattergather import BadRequest, UnknownName, spawnScatterGather
from scattergather.inside import submit
from scattergather.machine.vitals import free_disk, free_memory
from scattergather.wire.memory import scratch
from tests.pace import Promise
from tests.system.daemons import SEES_TESTS, Daemon

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def furls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two daemons of two workers."""
    folders = [tmp_path_factory.mktemp(name) for name in ("alpha", "beta")]
    daemons = [
        Daemon("--directory", str(folder), "--workers", "2", shim=SEES_TESTS) for folder in folders
    ]
    yield [daemon.furl().text for daemon in daemons]
    for daemon in daemons:
        daemon.end()


@pytest.fixture
def c() -> Iterator[object]:
    """A client that begins without hosts."""
    client = spawnScatterGather([])
    yield client
    client.command("die")


def until(condition, seconds=20) -> None:
    promise = Promise(seconds)
    while not condition():
        assert not promise.broken()
        time.sleep(0.01)


def nap(number: int, seconds: float = 0.05) -> tuple[int, int]:
    time.sleep(seconds)
    return number, os.getppid()


def held(folder: Path, number: int) -> int:
    (folder / f"{number}-{time.monotonic_ns()}").touch()
    until((folder / "go").exists)
    return number


def calls(folder: Path) -> int:
    (folder / "begun").touch()
    until((folder / "go").exists)
    return submit(nap, 7).result()[0]


def connections(furl: str) -> int:
    """How many connections of this machine lead to the port of a pool."""
    port = int(furl.rpartition("/")[0].rpartition(":")[2].split(",")[0])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    found = [line.split() for line in lines]
    return sum(cell[2].endswith(f":{port:04X}") and cell[3] == "01" for cell in found)


def test_a_job_waits_for_hosts_uses_those_that_are_added_and_leaves_those_that_are_dropped(
    c, furls
) -> None:
    assert "c.hosts.add(url)" in repr(c.waitForResult())
    job = c.addJob([((number,), {}) for number in range(60)], nap, retries=0)
    with pytest.raises(TimeoutError, match=r"there is no host; c\.hosts\.add"):
        c.waitForResult(timeout=0.1)
    for furl in furls:
        c.hosts.add(furl)
    alpha, beta = c.hosts
    until(lambda: min(c.hosts[name].busy for name in c.hosts))
    c.hosts.drop(alpha)
    assert c.hosts[alpha].state == "leaving"
    until(lambda: alpha not in c.hosts)
    c.hosts[beta].workers = 1
    c.hosts.add(furls[0])
    until(lambda: c.hosts[alpha].busy)
    results = c.waitForResult()
    assert [number for number, _ in results] == list(range(60))
    assert len({parent for _, parent in results}) == 3, "each session has a zygote of its own"
    assert c.command("status").rerun == 0
    assert not job.failures


def test_the_connection_to_a_host_that_was_dropped_is_closed_and_its_workers_end(c, furls) -> None:
    before = connections(furls[0])
    c.hosts.add(furls[0])
    (name,) = c.hosts
    ((_, zygote),) = (c.submit(nap, 1).result() for _ in range(1))
    assert connections(furls[0]) > before
    c.hosts.drop(name)
    until(lambda: name not in c.hosts and connections(furls[0]) == before)
    until(lambda: not Path(f"/proc/{zygote}").exists())


def test_tasks_that_are_interrupted_by_a_drop_run_elsewhere_and_those_before_them_not_again(
    c, furls, tmp_path
) -> None:
    for furl in furls:
        c.hosts.add(furl)
    alpha, _ = c.hosts
    job = c.addJob([((tmp_path, number), {}) for number in range(6)], held, retries=1)
    until(lambda: c.hosts[alpha].busy == 2)
    until(lambda: len(list(tmp_path.iterdir())) == 4)
    c.hosts.drop(alpha, now=True)
    until(lambda: alpha not in c.hosts)
    (tmp_path / "go").touch()
    assert c.waitForResult() == list(range(6))
    assert not job.failures
    assert len(list(tmp_path.iterdir())) == 9, "two had begun there"


def test_the_last_host_is_left_when_the_calls_of_its_tasks_are_through(c, furls, tmp_path) -> None:
    c.hosts.add(furls[0])
    (name,) = c.hosts
    call = c.submit(calls, tmp_path)
    until((tmp_path / "begun").exists)
    c.hosts.drop(name)
    (tmp_path / "go").touch()
    assert call.result(20) == 7
    until(lambda: not c.hosts)


def test_what_cannot_be_meant_is_refused_at_once(c, furls) -> None:
    c.hosts.add("local:1")
    c.hosts.add(furls[0])
    _, name = c.hosts
    until(lambda: c.hosts[name].state == "up")
    with pytest.raises(BadRequest, match="is there already"):
        c.hosts.add(furls[0])
    with pytest.raises(BadRequest, match="'local' is there already"):
        c.hosts.add("local:2")
    with pytest.raises(UnknownName, match="Did you mean 'local'"):
        c.hosts.drop("locl")
    with pytest.raises(BadRequest, match="has 2 workers"):
        c.hosts[name].workers = 3
    with pytest.raises(BadRequest, match="from 1 to 1024"):
        c.hosts[name].workers = 0
    assert "locl" not in c.hosts
    assert c.hosts.get("locl") is None
    assert c.hosts._ipython_key_completions_() == ["local", name]
    c.hosts["local"].workers = 3
    until(lambda: c.hosts["local"].workers == 3)
    assert len(c.run_everywhere(os.getpid)) == 5
    assert "3 workers" in repr(c.hosts["local"])
    assert "2 hosts" in c.hosts._repr_html_()


def size(value: bytes) -> int:
    return len(value)


def test_what_is_known_of_a_host_is_true_also_of_one_that_has_been_at_rest(c, furls) -> None:
    c.hosts.add("local:1")
    c.hosts.add(furls[0])
    local, far = c.hosts.values()
    until(lambda: far.state == local.state == "up")
    disk, memory = free_disk(scratch.folder()), free_memory()
    for host in (local, far):
        assert host.python == f"{sys.version_info.major}.{sys.version_info.minor}"
        assert host.platform.startswith("Linux ")
        assert host.cpus == len(os.sched_getaffinity(0))
        assert host.load < 1000
        assert 0.5 < host.free_memory / memory < 2
        assert 0.5 < host.free_disk / disk < 2
        assert "free disk" in repr(host)
        assert "free memory" in host._repr_html_()
        assert "of disk" in repr(c.hosts)
    assert far.round_trip > 0
    assert local.round_trip == local.sent == local.received == 0
    assert c.run_everywhere(os.getpid)
    until(lambda: 0 < far.sent < 100_000 and 0 < far.received < 100_000)
    sent, received = far.sent, far.received
    c.hosts.drop("local")
    until(lambda: "local" not in c.hosts)
    job = c.addJob([((random.randbytes(3_000_000),), {})], size)
    assert list(job.results()) == [3_000_000]
    until(lambda: far.sent >= sent + 3_000_000)
    assert far.sent < sent + 3_200_000
    job = c.addJob([((3_000_000,), {})], random.randbytes)
    assert len(next(iter(job.results()))) == 3_000_000
    until(lambda: far.received >= received + 3_000_000)
    assert far.received < received + 3_200_000
    job = c.addJob([((1, 30), {})], nap, name="the nap")
    until(lambda: far.jobs == ("the nap",))
    assert "1 task of the nap" in repr(far)
    job.cancel()
    until(lambda: not far.jobs)
    until(lambda: abs(far.load - os.getloadavg()[0]) < 0.5, 30)
    with pytest.raises(AttributeError, match="its workers can"):
        far.load = 0.0
