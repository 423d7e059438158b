"""Undoes what a task bent in its process, so that the next one finds a clean worker.

Looking costs some twenty microseconds. So it happens after every task that took far longer than
that, and after every chunk; short tasks of one chunk, which are calls of one function, share what
they bend.

What cannot be undone (a hard limit that was lowered, threads that go on) makes the worker *spent*:
it ends, and its pool forks another. Daemon threads are let be: libraries keep those for all tasks,
and whoever starts one says that it may be ended at any time.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator

from scattergather.machine import kernel, proc
from scattergather.workers.process.surroundings.capture import Capture
from scattergather.workers.process.task.interrupts import Interrupts

WORTH_IT = 1e-3
"""Seconds that a task has to run before its worker is looked after at once."""

ENDING = 0.05
"""Seconds that threads have to end after the task that started them."""

KILLING = 1.0
"""Seconds within which killed processes must be gone."""

_LIMITS = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1,
            signal.SIGUSR2, signal.SIGQUIT, signal.SIGXCPU)  # fmt: skip
_VARIABLES: dict[bytes, bytes] = os.environb._data  # type: ignore[attr-defined]
"""What is behind ``os.environ``: to compare that itself takes 30 us, every chunk."""

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Spent(Exception):
    """A task bent this process for good: it ends; says why."""


class Mending:
    """The state of the process as it should be: as it was when this was made."""

    def __init__(self, capture: Capture, interrupts: Interrupts) -> None:
        self._capture = capture
        self._interrupts = interrupts
        self._directory = os.getcwd()
        self._recursion = sys.getrecursionlimit()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._environment = dict(_VARIABLES)
        self._handlers = {number: kernel.handler_of(number) for number in _HANDLED}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._limits = {limit: resource.getrlimit(limit) for limit in _LIMITS}
        self._priority = os.getpriority(os.PRIO_PROCESS, 0)
        self._processors = os.sched_getaffinity(0)
        self._threads = set(threading.enumerate())
        self._children = frozenset(_children())

    def mend(self) -> None:
        """The process is as it should be.

        Raises:
            Spent: it cannot be made so.
        """
        self._mend_place()
        self._capture.repair()
        self._mend_signals()
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        self._end_children()
        self._mend_limits()
        self._outlast_threads()

    def _mend_place(self) -> None:
        try:
            moved = os.getcwd() != self._directory
        except OSError:  # it was removed
            moved = True
        if moved:
            try:
                os.chdir(self._directory)
            except OSError:
                pass
        os.umask(self._umask)
        if self._environment != _VARIABLES:
            os.environb.clear()
            os.environb.update(self._environment)

    def _mend_signals(self) -> None:
        for timer in _TIMERS:
            signal.setitimer(timer, 0.0)
        if not self._interrupts.intact():
            self._interrupts.install()
        for number, handler in self._handlers.items():
            if handler is not None and kernel.handler_of(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _mend_limits(self) -> None:
        try:
            for limit, pair in self._limits.items():
                if resource.getrlimit(limit) != pair:
                    resource.setrlimit(limit, pair)
            if os.getpriority(os.PRIO_PROCESS, 0) != self._priority:
                os.setpriority(os.PRIO_PROCESS, 0, self._priority)
            if os.sched_getaffinity(0) != self._processors:
                os.sched_setaffinity(0, self._processors)
        except (OSError, ValueError) as error:
            raise Spent(f"a task lowered a limit of its process for good ({error})") from error

    def _outlast_threads(self) -> None:
        until = time.monotonic() + ENDING
        for thread in threading.enumerate():
            if thread not in self._threads and not thread.daemon:
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    raise Spent(f"a task left the thread {thread.name!r} running")

    def _end_children(self) -> None:
        """Kill what tasks have started and left, in whatever session it is by now.

        This process is a subreaper: what loses its parent becomes its child, so a few rounds find
        all of it.
        """
        if not self._children and not _has_children():
            return
        until = time.monotonic() + KILLING
        while left := set(_children()) - self._children:
            if time.monotonic() > until:
                raise Spent(f"a task left processes that do not end: {sorted(left)}")
            for pid in left:
                _end(pid)
            time.sleep(1e-3)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    """Children of this process, but not Python's own, which clean up behind it when it ends."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    kept = getattr(getattr(tracker, "_resource_tracker", None), "_pid", None)
    return (pid for pid in proc.children_of_this_process() if pid != kept)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        pass
