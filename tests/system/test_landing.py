"""Large results of another host: bounded in the controller's memory, however they are read."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scattergather import errors
from scattergather.client.client import ScatterGather
from scattergather.controller.values.landing import PATIENCE
from tests.conftest import calls
from tests.system.daemons import SEES_TESTS
from tests.system.large import MB
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system

MEMORY = 32 * MB
BOUND = MEMORY // 2
COUNT = 24
SIZE = 2


@as_in_a_notebook
def make(n: int, megabytes: float = SIZE) -> Any:
    import numpy  # noqa: PLC0415

    return numpy.full(int(megabytes * (1 << 20)) // 8, float(n))


class Landed:
    """Bytes of results in the slabs of a controller that has no pool of its own."""

    def __init__(self, c: ScatterGather) -> None:
        process = c._session.pipe.process
        assert process is not None
        self._folder = Path(f"/proc/{process.pid}/fd")

    def in_memory(self) -> int:
        return self._bytes(lambda target: target.startswith("/memfd:scattergather-slab"))

    def in_files(self) -> int:
        return self._bytes(lambda target: not target.startswith("/memfd:"))

    def _bytes(self, chosen: Callable[[str], bool]) -> int:
        found: dict[int, int] = {}
        for link in self._folder.iterdir():
            with contextlib.suppress(OSError):  # it was closed
                facts = os.stat(link)
                unnamed = stat.S_ISREG(facts.st_mode) and not facts.st_nlink
                if unnamed and chosen(os.readlink(link)):
                    found[facts.st_ino] = 512 * facts.st_blocks
        return sum(found.values())


@pytest.fixture
def c(spawn: Callable[..., ScatterGather], start: Any, tmp_path: Path) -> ScatterGather:
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2", shim=SEES_TESTS)
    client = spawn(daemon.furl().text, memory=MEMORY)
    client.waitForResult()
    return client


def right(n: int, result: Any) -> bool:
    return bool(np.array_equal(result, np.full(SIZE * MB // 8, float(n))))


@pytest.mark.parametrize("pause", [0.0, 1.5 * PATIENCE])
def test_results_that_are_read_one_by_one_stay_within_the_bound(
    c: ScatterGather, pause: float
) -> None:
    """Whether they are read as they come or not at first, when all of them are there."""
    landed, most, read = Landed(c), 0, 0

    def made() -> Iterator[Any]:
        return (((n,), {}) for n in range(COUNT))

    for n, result in enumerate(c.addJob(made(), make) if not pause else _late(c, pause)):
        most = max(most, landed.in_memory())
        assert right(n, result)
        read += 1
    assert read == COUNT
    assert 0 < most <= BOUND


def _late(c: ScatterGather, pause: float) -> Iterator[Any]:
    """All are under way at once, and are given up one by one."""
    futures = [c.submit(make, n) for n in range(COUNT)]
    for n in range(COUNT):
        yield futures[n].result()
        futures[n] = None  # type: ignore[call-overload]
        if n in (1, 2):
            time.sleep(pause)


def test_results_that_are_all_waited_for_go_to_files_beyond_the_bound(c: ScatterGather) -> None:
    landed = Landed(c)
    results = c.addJob(calls(*range(COUNT)), make).results(timeout=60)
    assert BOUND // 2 < landed.in_memory() <= BOUND
    assert landed.in_files() >= COUNT * SIZE * MB - BOUND
    assert all(right(n, result) for n, result in enumerate(results))


def test_a_result_that_never_fits_is_too_large_with_the_sizes_and_a_cure(c: ScatterGather) -> None:
    futures = [c.submit(make, 1, size) for size in (1, 24, 2)]
    with pytest.raises(errors.TooLarge, match="memory=") as caught:
        futures[1].result(timeout=60)
    error = caught.value
    assert 24 * MB <= error.size < 25 * MB
    assert error.bound == BOUND
    assert f"{error.size:,}" in str(error)
    assert f"{error.bound:,}" in str(error)
    assert [futures[n].result(timeout=60).nbytes for n in (0, 2)] == [MB, 2 * MB]
