"""joblib, and loky inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from benchmarks.system import WORKERS, System


class Joblib(System):
    """Single calls through joblib's loky executor, batches through ``Parallel``."""

    name = "joblib"
    distribution = "joblib"

    def start(self) -> None:
        """Its processes come at the first call."""
        import joblib  # noqa: PLC0415 - timed, and optional
        from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415

        self.joblib: Any = joblib
        self.executor: Any = ProcessPoolExecutor(WORKERS)

    def stop(self) -> None:
        """Kills its own workers, and lets those of ``Parallel`` end with this process."""
        self.executor.shutdown(kill_workers=True)

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``submit(...).result()``."""
        return self.executor.submit(function, x).result()

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``submit`` for each."""
        return [future.result() for future in [self.executor.submit(function, x) for x in xs]]

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``Parallel``, whose batches adapt.

        Its documentation writes ``delayed(function)(x)`` in the loop; ``delayed(function)`` taken
        out of it, as here, does twice as many no-ops a second.
        """
        call = self.joblib.delayed(function)
        results: list[Any] = self.joblib.Parallel(n_jobs=WORKERS)(call(x) for x in xs)
        return results

    def large(self, function: Callable[[Any], Any], array: Any) -> Any:
        """``Parallel``: a large array goes by a memory-mapped file, the result by a pipe."""
        call = self.joblib.delayed(function)
        (result,) = self.joblib.Parallel(n_jobs=WORKERS)([call(array)])
        return result

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``Parallel``, which writes the array into one memory-mapped file."""
        call = self.joblib.delayed(function)
        results: list[float] = self.joblib.Parallel(n_jobs=WORKERS)(
            call(array, place) for place in range(count)
        )
        return results

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """Futures."""
        return [self.executor.submit(function, x) for x in xs]

    def iterate(self, function: Callable[[Any], Any], xs: Iterable[Any]) -> Iterator[Any]:
        """``Parallel`` as a generator, which reads ahead two batches a worker."""
        call = self.joblib.delayed(function)
        parallel = self.joblib.Parallel(n_jobs=WORKERS, return_as="generator")
        results: Iterator[Any] = parallel(call(x) for x in xs)
        return results
