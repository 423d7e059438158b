"""The standard library's two pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks import functions
from benchmarks.system import WORKERS, System

if TYPE_CHECKING:
    import concurrent.futures
    import multiprocessing.pool


class Executor(System):
    """``concurrent.futures.ProcessPoolExecutor``."""

    name = "ProcessPoolExecutor"
    plus_one = staticmethod(functions.plus_one)
    executor: concurrent.futures.ProcessPoolExecutor

    def start(self) -> None:
        """Its processes are forked at the first submit."""
        import concurrent.futures  # noqa: PLC0415 - timed

        self.executor = concurrent.futures.ProcessPoolExecutor(WORKERS)

    def stop(self) -> None:
        """Leaves out what was queued."""
        self.executor.shutdown(cancel_futures=True)

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``submit(...).result()``."""
        return self.executor.submit(function, x).result()

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``submit`` for each."""
        return [future.result() for future in [self.executor.submit(function, x) for x in xs]]

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``map``, with its default chunks of one."""
        return list(self.executor.map(function, xs))

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``submit`` for each; the array is pickled for each."""
        futures = [self.executor.submit(function, array, place) for place in range(count)]
        return [future.result() for future in futures]

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """Futures."""
        return [self.executor.submit(function, x) for x in xs]


class Pool(System):
    """``multiprocessing.Pool``."""

    name = "multiprocessing.Pool"
    static_chunks = True
    plus_one = staticmethod(functions.plus_one)
    pool: multiprocessing.pool.Pool

    def start(self) -> None:
        """Forks at once."""
        import multiprocessing  # noqa: PLC0415 - timed

        self.pool = multiprocessing.Pool(WORKERS)

    def stop(self) -> None:
        """Kills the workers, whatever they do."""
        self.pool.terminate()
        self.pool.join()

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``apply``."""
        return self.pool.apply(function, (x,))

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``apply_async`` for each."""
        return [result.get() for result in [self.pool.apply_async(function, (x,)) for x in xs]]

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``map``, with its static chunks, four a worker."""
        return self.pool.map(function, xs)

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``starmap``: the array is pickled once a chunk, four a worker."""
        return self.pool.starmap(function, [(array, place) for place in range(count)])

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """``AsyncResult`` objects."""
        return [self.pool.apply_async(function, (x,)) for x in xs]

    def iterate(self, function: Callable[[Any], Any], xs: Iterable[Any]) -> Iterator[Any]:
        """``imap`` in chunks of a thousand; it reads its input without a bound."""
        return self.pool.imap(function, xs, 1000)
