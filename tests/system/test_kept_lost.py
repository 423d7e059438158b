"""Kept results whose hosts are lost or dropped: real daemons, which are killed."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.errors import JobFailed, RefLost, TaskLost
from tests.system.daemons import SEES_TESTS, Daemon, daemons
from tests.system.large import MB, array, same
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def daemon_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """Four daemons by the names of their hosts; tests kill some of them, in their order."""
    with daemons() as start:
        started = [
            start("--directory", str(tmp_path_factory.mktemp("pool")), shim=SEES_TESTS)
            for _ in range(4)
        ]
        furls = [daemon.furl() for daemon in started]
        yield {furl.text: daemon for furl, daemon in zip(furls, started, strict=True)}


@pytest.fixture(scope="module")
def c(daemon_of: dict[str, Daemon]) -> Iterator[ScatterGather]:
    """Their client."""
    client = spawnScatterGather(list(daemon_of))
    client.waitForResult()
    for name, furl in zip(client.hosts, list(daemon_of), strict=True):
        daemon_of[name] = daemon_of.pop(furl)
    yield client
    client._session.exit()


def free(c: ScatterGather) -> bool:
    gc.collect()
    return sum(host.memory for host in c.command("status").hosts) == 0


def made(n: int, megabytes: float = 0.25) -> Any:
    return array(megabytes) + n


def doubled(x: Any) -> Any:
    time.sleep(0.02)
    return x * 2


def digits(length: int) -> bytes:
    return bytes(range(250)) * (length // 250)


def test_what_lay_on_a_lost_host_is_made_again_when_somebody_needs_it(c, daemon_of) -> None:
    first = c.addJob([((n,), {}) for n in range(8)], made, keep=True).results()
    second = c.addJob([((ref,), {}) for ref in first], doubled, keep=True).results()
    data = c.options(keep=True).submit(digits, MB).result()
    part = data.part(251, 70_000)
    with c.put(array(1)) as mine:
        derived = c.options(keep=True).submit(lambda x: x + 1, mine).result()
    del first, mine  # what the second ones were made of is nobody's any more
    gc.collect()
    once = c.addJob([((n,), {}) for n in range(8)], made, keep=True, retries=0).results()
    assert {ref.host for ref in once} == set(daemon_of)
    doomed = [data.host, next(name for name in daemon_of if name != data.host)]
    for name in doomed:
        daemon_of.pop(name).process.kill()
        got = brought(second)
        assert all(same(got[n], 2 * made(n)) for n in range(8))
        taken = c.addJob([((ref,), {}) for ref in second], lambda x: float(x[0]))
        assert taken.results() == [2.0 * n for n in range(8)]
        assert part.get() == digits(MB)[251:70_251]
        assert c.submit(len, part).result() == 70_000
        assert same(derived.get(), array(1) + 1)
    assert c.submit(lambda x: inside.submit(float, x[1]).result(), second[5]).result() == 12

    lost = next(ref for ref in once if ref.host in doomed)
    with pytest.raises(RefLost, match=r"task \d+ of job.*may not run again"):
        lost.get()
    with pytest.raises(TaskLost, match="may not run again"):
        c.submit(len, lost).result()
    with pytest.raises(JobFailed) as failed:
        c.addJob([((lost,), {}), ((second[0],), {}), (([1],), {})], len).results()
    kinds = [type(each).__name__ for each in failed.value.results]
    assert kinds == ["RefLost", "int", "int"]
    del second, data, part, derived, once, lost, failed, got, taken
    eventually(lambda: free(c))


def brought(refs: list[Any]) -> dict[int, Any]:
    """What threads get that ask at the same time."""
    got: dict[int, Any] = {}

    def bring(number: int) -> None:
        got[number] = refs[number].get()

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(len(refs))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    return got


def test_a_chain_is_made_again_though_hosts_are_full_of_what_waits_for_it(c, daemon_of) -> None:
    link = c.options(keep=True).submit(made, 0).result()
    for _ in range(12):
        link = c.options(keep=True).submit(lambda x: x + 1, link).result()
    daemon_of.pop(link.host).process.kill()
    job = c.addJob([((link, n), {}) for n in range(100)], lambda x, n: float(x[n]))
    assert job.results() == [n + 12.0 for n in range(100)]


def test_what_a_dropped_host_has_is_moved(c, daemon_of) -> None:
    refs = c.addJob([((n,), {}) for n in range(6)], made, keep=True, retries=0).results()
    data = c.options(keep=True, retries=0).submit(digits, MB).result()
    part = data.part(500, 100_000)
    for name in list(daemon_of):
        c.hosts.drop(name)
    eventually(lambda: not set(daemon_of) & set(c.hosts))
    assert all(same(ref.get(), made(n)) for n, ref in enumerate(refs))
    assert part.get() == digits(MB)[500:100_500]
    c.hosts.add("local:1")
    assert c.submit(lambda xs: [float(x[0]) for x in xs], refs).result() == [0, 1, 2, 3, 4, 5]
    assert data.part(0, 3).get() == digits(MB)[:3]
    assert c.submit(len, part).result() == 100_000


def test_beyond_the_memory_of_the_session_it_lies_in_files(start, tmp_path) -> None:
    options = ("--workers", "1", "--directory", str(tmp_path / "a"), "--memory", "32M")
    options += ("--scratch", str(tmp_path))
    with spawnScatterGather(start(*options, shim=SEES_TESTS).furl().text) as c:
        refs = c.addJob([((n, 4), {}) for n in range(12)], made, keep=True).results()
        assert not any(file.is_file() for file in tmp_path.iterdir())  # none has a name
        assert all(same(ref.get(), made(n, 4)) for n, ref in enumerate(refs))
        taken = c.addJob([((ref,), {}) for ref in refs], lambda x: float(x[0]))
        assert taken.results() == list(range(12))
        assert np.array_equal(c.submit(doubled, refs[11]).result(), 2 * made(11, 4))
        c.command("refresh")
        assert same(refs[10].get(), made(10, 4))
        del refs, taken
        gc.collect()
        eventually(lambda: sum(host.memory for host in c.command("status").hosts) == 0)
