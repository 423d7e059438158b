"""How each system takes a single call. The adapters of the speed tests start them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.system import WORKERS, Lacking
from benchmarks.systems import roster

LIMIT = 300 << 20
"""Bytes that a task may take, where there is such a limit."""


class Future(Protocol):
    """What comes of a call."""

    def result(self, timeout: float) -> Any:
        """Its value; raises its error, or ``TimeoutError``."""

    def cancel(self) -> object:
        """It is not wanted any more."""


Submit = Callable[..., Future]
"""``submit(function, *arguments)``."""


class Peer:
    """One system with two workers; started once, in one of three ways.

    Attributes:
        adapter: its name in the roster of the speed tests.
    """

    name: str
    adapter: str

    def __init__(self) -> None:
        self._system: Any = roster.by_name()[self.adapter]

    def version(self) -> str | None:
        """``None`` if it is not installed."""
        version: str | None = self._system.version()
        return version

    def start(self) -> Submit:
        """Starts it."""
        raise NotImplementedError

    def start_badly(self) -> Submit:
        """Starts it so that every worker exits before its first task."""
        raise Lacking("it has no hook for that")

    def start_cancellable(self) -> Submit:
        """Starts it; ``cancel`` of what ``submit`` returns is the most that it can do."""
        return self.start()

    def start_limited(self) -> Submit:
        """Starts it so that a task may take ``LIMIT`` bytes of memory."""
        raise Lacking("it has no such limit")


class _Job:
    """A job of one task with the names of a future."""

    def __init__(self, job: Any) -> None:
        self.cancel = job.cancel
        self._job = job

    def result(self, timeout: float) -> Any:
        """See ``Future``."""
        return self._job.results(timeout=timeout)[0]


class ScatterGather(Peer):
    """scattergather on the embedded pool."""

    name = "scattergather"
    adapter = "scattergather"

    def start(self) -> Submit:
        """See ``Peer``."""
        submit: Submit = self._client().submit
        return submit

    def start_badly(self) -> Submit:
        """Pushed code ends every worker that reads it."""
        client = self._client()
        client.push_code("import os; os._exit(3)")
        submit: Submit = client.submit
        return submit

    def start_cancellable(self) -> Submit:
        """A job, since a future that runs cannot be cancelled, as the standard library has it."""
        client = self._client()
        return lambda function, *arguments: _Job(client.addJob([(arguments, {})], function))

    def start_limited(self) -> Submit:
        """See ``Peer``."""
        submit: Submit = self._client().options(memory_limit=LIMIT).submit
        return submit

    def _client(self) -> Any:
        self._system.prepare()
        self._system.start()
        return self._system.c


class ProcessPoolExecutor(Peer):
    """The standard library's executor."""

    name = "ProcessPoolExecutor"
    adapter = "ProcessPoolExecutor"

    def start(self) -> Submit:
        """See ``Peer``."""
        self._system.start()
        submit: Submit = self._system.executor.submit
        return submit

    def start_badly(self) -> Submit:
        """With an initializer that exits."""
        import concurrent.futures  # noqa: PLC0415 - as in the adapters

        executor = concurrent.futures.ProcessPoolExecutor(
            WORKERS, initializer=os._exit, initargs=(3,)
        )
        return executor.submit


class _Async:
    """``AsyncResult`` with the names of a future."""

    def __init__(self, result: Any) -> None:
        self.result = result.get

    def cancel(self) -> bool:
        """There is no such thing."""
        return False


class MultiprocessingPool(Peer):
    """The standard library's older pool."""

    name = "multiprocessing.Pool"
    adapter = "multiprocessing.Pool"

    def start(self) -> Submit:
        """See ``Peer``."""
        self._system.start()
        return self._submit(self._system.pool)

    def start_badly(self) -> Submit:
        """With an initializer that exits."""
        import multiprocessing  # noqa: PLC0415 - as in the adapters

        return self._submit(multiprocessing.Pool(WORKERS, os._exit, (3,)))

    def _submit(self, pool: Any) -> Submit:
        return lambda function, *arguments: _Async(pool.apply_async(function, arguments))


class Loky(Peer):
    """loky's executor, as joblib brings it."""

    name = "loky"
    adapter = "joblib"

    def start(self) -> Submit:
        """See ``Peer``."""
        self._system.start()
        submit: Submit = self._system.executor.submit
        return submit

    def start_badly(self) -> Submit:
        """With an initializer that exits."""
        from joblib.externals.loky import ProcessPoolExecutor as Executor  # noqa: PLC0415

        submit: Submit = Executor(WORKERS, initializer=os._exit, initargs=(3,)).submit
        return submit


class Distributed(Peer):
    """dask.distributed on this machine."""

    name = "dask.distributed"
    adapter = "dask.distributed"

    def start(self) -> Submit:
        """See ``Peer``."""
        self._system.start()
        return self._submit(self._system.client)

    def start_badly(self) -> Submit:
        """With a preload that exits."""
        return self._cluster(preload=["import os; os._exit(3)"])

    def start_limited(self) -> Submit:
        """Its nannies watch over a worker's memory."""
        return self._cluster(memory_limit=LIMIT)

    def _cluster(self, **options: Any) -> Submit:
        import distributed  # noqa: PLC0415 - as in the adapters

        cluster = distributed.LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            **options,
        )
        return self._submit(distributed.Client(cluster))

    def _submit(self, client: Any) -> Submit:
        return lambda function, *arguments: client.submit(function, *arguments, pure=False)


PEERS = (ScatterGather, ProcessPoolExecutor, MultiprocessingPool, Loky, Distributed)


def by_name() -> dict[str, Peer]:
    """A fresh, unstarted peer of each kind."""
    return {peer.name: peer for peer in (kind() for kind in PEERS)}
