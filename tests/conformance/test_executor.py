"""Our executor passes CPython's own tests of executors."""

from __future__ import annotations

import time
import unittest
from typing import Any

import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.conformance.cpython import APT, load, part

theirs = load()
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(theirs is None, reason=f"CPython's own tests are missing: {APT}"),
]


class Ours:
    """What CPython's tests call an executor mixin."""

    worker_count = 2
    executor: ScatterGather

    def setUp(self) -> None:
        self.began = time.monotonic()
        self.executor = spawnScatterGather(workers=self.worker_count)
        # Some tests count on workers that are there.
        self.executor.submit(pow, 2, 5).result()

    def tearDown(self) -> None:
        self.executor.shutdown(wait=True)
        assert time.monotonic() - self.began < 300

    def get_context(self) -> Any:
        import multiprocessing  # noqa: PLC0415  (only where a test asks)

        return multiprocessing.get_context()


class TestWait(Ours, part(theirs, "WaitTests"), unittest.TestCase):  # type: ignore[misc]
    pass


class TestAsCompleted(Ours, part(theirs, "AsCompletedTests"), unittest.TestCase):  # type: ignore[misc]
    pass


class TestExecutor(Ours, part(theirs, "ExecutorTest"), unittest.TestCase):  # type: ignore[misc]
    # It asks for a constructor with max_workers, which is another library's.
    test_max_workers_negative = None


class TestShutdown(Ours, unittest.TestCase):
    """Those of ExecutorShutdownTest that are about any executor."""

    def test_run_after_shutdown(self) -> None:
        theirs.ExecutorShutdownTest.test_run_after_shutdown(self)

    def test_hang_issue12364(self) -> None:
        theirs.ExecutorShutdownTest.test_hang_issue12364(self)

    def test_cancel_futures(self) -> None:
        theirs.ExecutorShutdownTest.test_cancel_futures(self)


class TestMap(Ours, unittest.TestCase):
    def test_map_chunksize(self) -> None:
        theirs.ProcessPoolExecutorTest.test_map_chunksize(self)
