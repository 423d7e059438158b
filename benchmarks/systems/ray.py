"""Ray on this machine, where it is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import functions
from benchmarks.system import WORKERS, Hosts, System


class Nodes(Hosts):
    """Nodes, each with a resource that only it has; what is put on one stays there."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self.read = ray.remote(functions.paged)

        def put(size: int, number: float) -> list[Any]:
            return [ray.put(functions.filled(size, number))]

        self.put = ray.remote(put)

    def make(self, wanted: Sequence[tuple[int, int, float]]) -> list[Any]:
        """``ray.put`` in a task, which returns the reference."""
        made = [
            self.put.options(resources={f"host-{host}": 1}).remote(size, number)
            for host, size, number in wanted
        ]
        return [ref for (ref,) in self.ray.get(made)]

    def take(self, wanted: Sequence[tuple[int, Sequence[Any]]]) -> list[float]:
        """References as arguments."""
        results: list[float] = self.ray.get(
            [
                self.read.options(resources={f"host-{host}": 1}).remote(*parts)
                for host, parts in wanted
            ]
        )
        return results


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

    @contextmanager
    def between(self, hosts: int) -> Iterator[Hosts]:
        """A cluster with a node a host, in the place of our own node."""
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - optional

        self.stop()
        cluster = Cluster()
        try:
            for host in range(hosts):
                cluster.add_node(num_cpus=1, resources={f"host-{host}": 1}, include_dashboard=False)
            self.ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            yield Nodes(self.ray)
        finally:
            self.ray.shutdown()
            cluster.shutdown()
            self.start()

    def keepers(self) -> list[int]:
        """The driver and all of the node but its workers."""
        import psutil  # noqa: PLC0415 - not part of what `start` times

        node = psutil.Process().children(recursive=True)
        return [os.getpid(), *(one.pid for one in node if "ray::" not in " ".join(one.cmdline()))]
