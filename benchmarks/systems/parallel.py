"""ipyparallel on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.system import WORKERS, System


class IPyParallel(System):
    """A local cluster; single calls load-balanced, batches through the direct view."""

    name = "ipyparallel"
    distribution = "ipyparallel"
    queue_count = 2_000
    static_chunks = True
    over_loopback = True

    def prepare(self) -> None:
        """Profiles, keys and logs go to a folder that is thrown away."""
        self.folder = tempfile.TemporaryDirectory()
        os.environ["IPYTHONDIR"] = self.folder.name

    def start(self) -> None:
        """Controller and engines."""
        import ipyparallel  # noqa: PLC0415 - timed, and optional

        self.cluster: Any = ipyparallel.Cluster(n=WORKERS, log_level=40)
        self.reference: Any = ipyparallel.Reference
        self.client: Any = self.cluster.start_and_connect_sync()
        self.balanced: Any = self.client.load_balanced_view()

    def stop(self) -> None:
        """Engines first."""
        self.client.close()
        self.cluster.stop_cluster_sync()
        self.folder.cleanup()

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``apply_sync``."""
        return self.balanced.apply_sync(function, x)

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``apply_async`` for each."""
        return [result.get() for result in [self.balanced.apply_async(function, x) for x in xs]]

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """The direct view's ``map``, which cuts the input into one part an engine."""
        results: list[Any] = self.client[:].map_sync(function, xs)
        return results

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``push`` to all engines, then a reference in each call."""
        self.client[:].push({"array": array}, block=True)
        there = self.reference("array")
        calls = [self.balanced.apply_async(function, there, place) for place in range(count)]
        return [call.get() for call in calls]

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """``AsyncResult`` objects."""
        return [self.balanced.apply_async(function, x) for x in xs]

    def keepers(self) -> list[int]:
        """The client and the controller's processes (hub, schedulers), not the engines."""
        import psutil  # noqa: PLC0415 - not part of what `start` times

        middle = [
            process.pid
            for process in psutil.process_iter(["pid", "environ", "cmdline"])
            if (process.info["environ"] or {}).get("IPYTHONDIR") == self.folder.name
            and "engine" not in " ".join(process.info["cmdline"] or [])
            and process.pid != os.getpid()
        ]
        return [os.getpid(), *middle]
