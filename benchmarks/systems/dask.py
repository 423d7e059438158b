"""dask.distributed on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import functions
from benchmarks.system import WORKERS, Hosts, System


class Workers(Hosts):
    """Workers of a client; what they make stays there."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.names = list(client.scheduler_info(n_workers=-1)["workers"])

    def make(self, wanted: Sequence[tuple[int, int, float]]) -> list[Any]:
        """Futures."""
        import distributed  # noqa: PLC0415 - optional

        futures = [
            self.client.submit(
                functions.filled, size, number, workers=[self.names[host]], pure=False
            )
            for host, size, number in wanted
        ]
        distributed.wait(futures)
        return futures

    def take(self, wanted: Sequence[tuple[int, Sequence[Any]]]) -> list[float]:
        """Futures as arguments."""
        futures = [
            self.client.submit(functions.paged, *parts, workers=[self.names[host]], pure=False)
            for host, parts in wanted
        ]
        results: list[float] = self.client.gather(futures)
        return results


class Dask(System):
    """A ``LocalCluster`` of processes with one thread each; its scheduler lives in the client."""

    name = "dask.distributed"
    distribution = "distributed"
    queue_count = 5_000
    over_loopback = True

    def start(self) -> None:
        """Cluster and client, no dashboard."""
        import distributed  # noqa: PLC0415 - timed, and optional

        self.cluster: Any = distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self.client: Any = distributed.Client(self.cluster)

    def stop(self) -> None:
        """Closes both."""
        self.client.close()
        self.cluster.close()

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``submit(...).result()``; ``pure=False``, or it would answer from memory."""
        return self.client.submit(function, x, pure=False).result()

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``submit`` for each."""
        futures = [self.client.submit(function, x, pure=False) for x in xs]
        results: list[Any] = self.client.gather(futures)
        return results

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``map`` and ``gather``."""
        results: list[Any] = self.client.gather(self.client.map(function, xs, pure=False))
        return results

    def large(self, function: Callable[[Any], Any], array: Any) -> Any:
        """``scatter`` first, as its warning about large graphs advises."""
        return self.client.submit(function, self.client.scatter(array), pure=False).result()

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``scatter`` to all workers, then ``submit`` for each."""
        there = self.client.scatter(array, broadcast=True)
        futures = [self.client.submit(function, there, place, pure=False) for place in range(count)]
        results: list[float] = self.client.gather(futures)
        return results

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """Futures."""
        return self.client.map(function, xs, pure=False)

    @contextmanager
    def between(self, hosts: int) -> Iterator[Hosts]:
        """Another cluster with a worker a host."""
        import distributed  # noqa: PLC0415 - optional

        with (
            distributed.LocalCluster(
                n_workers=hosts, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            client.wait_for_workers(hosts)
            yield Workers(client)
