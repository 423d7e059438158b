"""Ray on this machine, where it is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.system import WORKERS, System


class Ray(System):
    """``ray.init`` with a CPU a worker; batches through Ray's own multiprocessing pool."""

    name = "Ray"
    distribution = "ray"
    queue_count = 20_000
    static_chunks = True

    def prepare(self) -> None:
        """No statistics sent home, no warning about it."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

    def start(self) -> None:
        """A node of our own."""
        import ray  # noqa: PLC0415 - timed, and optional

        self.ray: Any = ray
        self.pool: Any = None
        self.remotes: dict[Callable[..., Any], Any] = {}
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    def stop(self) -> None:
        """Ends the node."""
        self.ray.shutdown()

    def remote(self, function: Callable[..., Any]) -> Any:
        """The function as Ray wants it, made once."""
        if function not in self.remotes:
            self.remotes[function] = self.ray.remote(function)
        return self.remotes[function]

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``ray.get(f.remote(x))``."""
        return self.ray.get(self.remote(function).remote(x))

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``f.remote`` for each."""
        remote = self.remote(function)
        results: list[Any] = self.ray.get([remote.remote(x) for x in xs])
        return results

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``map`` of ``ray.util.multiprocessing``; its actors take all CPUs from then on."""
        if self.pool is None:
            from ray.util.multiprocessing import Pool  # noqa: PLC0415 - optional

            self.pool = Pool(WORKERS)
        results: list[Any] = self.pool.map(function, xs)
        return results

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``ray.put``, then ``f.remote`` for each."""
        there = self.ray.put(array)
        remote = self.remote(function)
        results: list[float] = self.ray.get([remote.remote(there, place) for place in range(count)])
        return results

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """Object references."""
        if self.pool is not None:
            self.pool.terminate()
            self.pool = None
        remote = self.remote(function)
        return [remote.remote(x) for x in xs]

    def keepers(self) -> list[int]:
        """The driver and all of the node but its workers."""
        import psutil  # noqa: PLC0415 - not part of what `start` times

        node = psutil.Process().children(recursive=True)
        return [os.getpid(), *(one.pid for one in node if "ray::" not in " ".join(one.cmdline()))]
