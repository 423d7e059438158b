"""Pools and executors that stay between tasks, with the processes and threads that serve them.

Which these are changes all the time: an executor starts them when it gets its first calls, a pool
replaces those that have done their share, also while a task uses it. So whatever belongs to one is
asked of itself. Its fields are the same since Python 3.9; one that has others has nothing.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakSet

_KINDS = (
    ("multiprocessing.pool", "Pool"),
    ("concurrent.futures.process", "ProcessPoolExecutor"),
    ("concurrent.futures.thread", "ThreadPoolExecutor"),
    ("loky.process_executor", "ProcessPoolExecutor"),
    ("joblib.externals.loky.process_executor", "ProcessPoolExecutor"),
)


class Pools:
    """Those that were found; one that nobody holds any more is gone from here, too."""

    def __init__(self) -> None:
        self._known: WeakSet[Any] = WeakSet()

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self) -> None:
        """All that there are in this process now are known, but those that its zygote had."""
        loaded = [(sys.modules.get(module), name) for module, name in _KINDS]
        kinds = tuple(getattr(module, name) for module, name in loaded if hasattr(module, name))
        if kinds:  # what was there before the fork is frozen, and not among these
            self._known.update(each for each in gc.get_objects() if issubclass(type(each), kinds))

    def forget(self) -> None:
        """None is known any more."""
        self._known.clear()

    def processes(self) -> set[int]:
        """Process ids of what serves them now; a server that forks for all pools is among them."""
        found: set[int] = set()
        for pool in list(self._known):
            serving = getattr(pool, "_processes", None)
            found.update(serving if isinstance(serving, dict) else ())
            serving = getattr(pool, "_pool", None)
            for process in serving[:] if isinstance(serving, list) else ():
                with suppress(AttributeError, ValueError):  # a thread; closed meanwhile
                    found.add(process.pid)
        server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
        pid = getattr(server, "_forkserver_pid", None)
        return found | {pid} if self._known and pid else found

    def threads(self) -> set[threading.Thread]:
        """Threads that serve them now, and are not to be joined."""
        return set(self._threads())

    def _threads(self) -> Iterator[threading.Thread]:
        for pool in list(self._known):
            serving = getattr(pool, "_threads", None)
            yield from serving.copy() if isinstance(serving, set) else ()
            manager = getattr(pool, "_executor_manager_thread", None)
            if isinstance(manager, threading.Thread):
                yield manager
