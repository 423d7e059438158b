"""The seam: one system that runs tasks, as the cases see it.

An adapter says how the system's own users would write each of these, with its defaults, on
``WORKERS`` processes. It imports its library inside ``start``, because the time to the first
result of a fresh notebook includes that, and so that a library that is missing stays unnoticed.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from benchmarks import functions

WORKERS = 2

Map = Callable[[Callable[[Any], Any], Sequence[Any]], object]


class Lacking(Exception):
    """This system has no such operation; the case is left out for it."""


class Hosts(Protocol):
    """Several hosts of a system, each with a worker or more, and what goes between them."""

    def make(self, wanted: Sequence[tuple[int, int, float]]) -> list[Any]:
        """A task on this host each makes so many bytes of this number, which stay there."""

    def take(self, wanted: Sequence[tuple[int, Sequence[Any]]]) -> list[float]:
        """A task on this host each takes these of them; returns ``functions.paged`` of each."""

    def passed(self) -> int:
        """Bytes that have passed the middle so far, to hosts and from them."""
        raise Lacking

    def processes(self) -> list[int]:
        """The pids of all that have a part in it."""
        raise Lacking


class System(Protocol):
    """One way to run tasks. Everything is called on the main thread of a process of its own."""

    #: The key in tables and on the command line.
    name: str
    #: The distribution whose version is shown, ``None`` for the standard library's.
    distribution: str | None = None
    #: How many tasks are queued to weigh one; fewer where queueing alone takes minutes.
    queue_count: int = 100_000
    #: Whether this is what we measure, or somebody to measure ourselves with.
    ours: bool = False
    #: Whether arguments and results cross the loopback interface.
    over_loopback: bool = False
    #: Whether its map cuts the input into chunks beforehand, each of which is one task.
    static_chunks: bool = False
    #: Notebooks are full of lambdas; where they cannot be sent, a function of a module.
    plus_one: Callable[[Any], Any] = staticmethod(lambda x: x + 1)

    def prepare(self) -> None:
        """Makes ready what a user would find in place, a daemon for instance. Not timed."""

    def start(self) -> None:
        """Imports and starts the system. Timed together with the first result."""

    def stop(self) -> None:
        """Ends the system, with tasks outstanding or not."""

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """One call, waited for."""
        raise Lacking

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """One call to the system for each x, then all results."""
        raise Lacking

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """All xs in one call of the system's own, with its own chunks, and all results."""
        raise Lacking

    def seed_job(self, tasks: Sequence[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
        """The seed's job in the way that is fastest and still natural; all results."""
        return self.map_many(functions.seed, tasks)

    def large(self, function: Callable[[Any], Any], array: Any) -> Any:
        """One call with a large array, waited for."""
        return self.roundtrip(function, array)

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``function(array, 0)`` ... ``function(array, count - 1)``, each its own task."""
        raise Lacking

    def put(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``share`` by a reference that the user makes, where ``share`` does not."""
        raise Lacking

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """Queues all calls and waits for none. What it returns keeps them alive."""
        raise Lacking

    def iterate(self, function: Callable[[Any], Any], xs: Iterable[Any]) -> Iterator[Any]:
        """The results of a lazy input, lazily."""
        raise Lacking

    def refresh(self, workers: int, laps: int) -> list[float]:
        """Seconds that each of so many replacements of all workers takes, the system being idle.

        Started with as many workers for that, beside the two of the other cases.
        """
        raise Lacking

    def added(self, laps: int) -> list[float]:
        """Seconds from the call that adds a host to the first line of a task there.

        As often, each time in a system of its own, which has no host before and one task.
        """
        raise Lacking

    def small_results(self, tasks: int, *, keep: bool) -> float:
        """Seconds until the results of so many tasks, of 100 bytes each, are in the caller's hands.

        Kept, they may stay where they were made.
        """
        raise Lacking

    def over_hosts(self, hosts: int, workers: int) -> AbstractContextManager[tuple[Map, int]]:
        """Another one over so many hosts with so many workers: its map, and the middle's pid."""
        raise Lacking

    def between(self, hosts: int) -> AbstractContextManager[Hosts]:
        """So many hosts, in a system of their own."""
        raise Lacking

    def keepers(self) -> list[int]:
        """The pids of all that hold a queued task: the client and what stands in the middle."""
        return [os.getpid()]

    def notes(self) -> dict[str, float]:
        """Seconds worth showing beside the table, such as where the start's time went."""
        return {}

    def version(self) -> str | None:
        """The version of the distribution, ``None`` if it is not installed."""
        if self.distribution is None:
            return "standard library"
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None
