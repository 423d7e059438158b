"""Pools and executors that stay between tasks, with the processes and threads that serve them.

Which these are changes all the time: an executor starts them when it gets its first calls, a pool
replaces those that have done their share, also while a task uses it. So whatever belongs to one is
asked of itself. Its fields are the same since Python 3.9; one that has others has nothing.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

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
        # By identity: a class of the user's own may compare by value, and have no hash.
        self._known: dict[int, weakref.ref[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._alive())

    def _alive(self) -> list[Any]:
        return [pool for each in self._known.values() if (pool := each()) is not None]

    def find(self) -> None:
        """All that there are in this process now are known, but those that its zygote had."""
        named = [getattr(sys.modules.get(module), name, None) for module, name in _KINDS]
        kinds = tuple(each for each in named if isinstance(each, type))
        if kinds:  # what was there before the fork is frozen, and not among these
            found = [each for each in gc.get_objects() if issubclass(type(each), kinds)]
            self._known = {id(each): weakref.ref(each) for each in self._alive() + found}

    def forget(self) -> None:
        """None is known any more."""
        self._known.clear()

    def processes(self) -> set[int]:
        """Process ids of what serves them now; a server that forks for all pools is among them."""
        found: set[int] = set()
        for pool in self._alive():
            serving = getattr(pool, "_processes", None)
            found.update(serving if isinstance(serving, dict) else ())
            serving = getattr(pool, "_pool", None)
            for process in serving[:] if isinstance(serving, list) else ():
                with suppress(AttributeError, ValueError):  # a thread; closed meanwhile
                    found.add(process.pid)
        server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
        pid = getattr(server, "_forkserver_pid", None)
        return found | {pid} if self and pid else found

    def threads(self) -> set[threading.Thread]:
        """Threads that serve them now, and are not to be joined."""
        return set(self._threads())

    def _threads(self) -> Iterator[threading.Thread]:
        for pool in self._alive():
            serving = getattr(pool, "_threads", None)
            yield from serving.copy() if isinstance(serving, set) else ()
            manager = getattr(pool, "_executor_manager_thread", None)
            if isinstance(manager, threading.Thread):
                yield manager
