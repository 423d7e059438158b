"""Undoes what a task bent in its process, so that the next one finds a clean worker.

Looking costs some twenty microseconds. So it happens after every task that took far longer than
that, and after every chunk; short tasks of one chunk, which are calls of one function, share what
they bend.

What cannot be undone (a hard limit that was lowered, threads that go on) makes the worker *spent*:
it ends, and its pool forks another. Daemon threads are let be: libraries keep those for all tasks,
and whoever starts one says that it may be ended at any time.

Processes that a task leaves are ended, and what still knows of them in here (a pool, a pipe to a
server) is broken from then on, perhaps without an error: whoever uses it waits for ever. So their
worker is spent, too, and its end is theirs. Where the job says that its processes stay, they do,
and the threads that serve them. A worker that has processes which all tasks are meant to find (a
call on every worker started them, or made a pool that starts them when it is used) lives on; there
what a task left is killed, and nothing else. But where that serves a pool of the task's own, which
somebody may find again, the worker is spent there, too.
Those that have ended are left to whoever may still ask for their status, up to a number.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import sys
import threading
import time

from scattergather.machine import kernel, proc
from scattergather.machine.environment import current_directory
from scattergather.model.snapshot import plural
from scattergather.workers.process.descriptors import all_ours
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.surroundings.capture import Capture
from scattergather.workers.process.surroundings.pools import Pools
from scattergather.workers.process.task.interrupts import Interrupts

WORTH_IT = 1e-3
"""Seconds that a task has to run before its worker is looked after at once."""

ENDING = 0.05
"""Seconds that threads and processes have to end after the task that started them."""

UNREAPED = 500
"""Processes that have ended and that nobody has waited for: more make a worker spent."""

KILLING = 1.0
"""Seconds within which killed processes must be gone."""

_LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
_HANDLED = sorted(
    signal.valid_signals() - {signal.SIGINT, signal.SIGALRM, signal.SIGKILL, signal.SIGSTOP}
)
_VARIABLES: dict[bytes, bytes] = os.environb._data  # type: ignore[attr-defined]
"""What is behind ``os.environ``: to compare that itself takes 30 us, every chunk."""

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Spent(Exception):
    """A task bent this process for good: it ends; says why."""


class Mending:
    """The state of the process as it should be: as it was when this was made."""

    def __init__(self, capture: Capture, line: WorkerLine, interrupts: Interrupts) -> None:
        self._capture = capture
        self._line = line
        self._interrupts = interrupts
        self._directory = current_directory()
        self._recursion = sys.getrecursionlimit()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._environment = dict(_VARIABLES)
        self._handlers = [*map(kernel.handler_of, _HANDLED)]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._limits = [*map(resource.getrlimit, _LIMITS)]
        self._priority = os.getpriority(os.PRIO_PROCESS, 0)
        self._processors = os.sched_getaffinity(0)
        self._user = _user()
        self._collects = gc.isenabled()
        self._threads = set(threading.enumerate())
        self._children = set(proc.living_children())
        self._kept: set[int] = set()
        self._pools, self._kept_pools = Pools(), Pools()

    def find_pools(self) -> None:
        """The pools and executors that are there now stay for all tasks, whatever serves them."""
        self._pools.find()

    def mend(self, *, keep: bool = False) -> None:
        """The process is as it should be.

        Args:
            keep: the processes and threads stay that the last task has left.

        Raises:
            Spent: it cannot be made so.
        """
        self._mend_place()
        self._mend_files()
        self._mend_signals()
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if self._collects and not gc.isenabled():
            gc.enable()
        self._mend_limits()
        if keep:
            self._threads.update(threading.enumerate())
            self._kept.update(proc.living_children())
            self._kept_pools.find()
            return
        self._outlast_children()
        self._outlast_threads()

    def keep_nothing(self) -> None:
        """What jobs have left because they keep their processes does not stay any more."""
        self._kept.clear()
        self._kept_pools.forget()

    def _mend_place(self) -> None:
        if self._directory and current_directory() != self._directory:
            try:
                os.chdir(self._directory)
            except OSError:
                pass
        os.umask(self._umask)
        if self._environment != _VARIABLES:
            os.environb.clear()
            os.environb.update(self._environment)
            time.tzset()

    def _mend_files(self) -> None:
        try:
            self._capture.repair()
            self._line.repair()
            intact = all_ours(but=self._capture.output.fd)
        except OSError:
            intact = False
        if not intact:
            raise Spent("a task has closed files of its worker, or put others in their place")

    def _mend_signals(self) -> None:
        for timer in _TIMERS:
            signal.setitimer(timer, 0.0)
        if not self._interrupts.intact():
            self._interrupts.install()
        if [*map(kernel.handler_of, _HANDLED)] != self._handlers:
            for number, handler in zip(_HANDLED, self._handlers, strict=True):
                if handler is not None and kernel.handler_of(number) != handler:
                    signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.set_wakeup_fd(-1)
        faulthandler.cancel_dump_traceback_later()
        if not faulthandler.is_enabled():
            faulthandler.enable(file=2)

    def _mend_limits(self) -> None:
        try:
            if [*map(resource.getrlimit, _LIMITS)] != self._limits:
                for limit, pair in zip(_LIMITS, self._limits, strict=True):
                    resource.setrlimit(limit, pair)
            if os.getpriority(os.PRIO_PROCESS, 0) != self._priority:
                os.setpriority(os.PRIO_PROCESS, 0, self._priority)
            if os.sched_getaffinity(0) != self._processors:
                os.sched_setaffinity(0, self._processors)
        except (OSError, ValueError) as error:
            raise Spent(f"a task lowered a limit of its process for good ({error})") from error
        if _user() != self._user:
            raise Spent("a task has changed the user or group of its process")

    def _outlast_threads(self) -> None:
        until = time.monotonic() + ENDING
        for thread in threading.enumerate():
            if thread not in self._threads and not thread.daemon and not self._serves(thread):
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    raise Spent(f"a task left the thread {thread.name!r} running")

    def _serves(self, thread: threading.Thread) -> bool:
        return thread in self._pools.threads() or thread in self._kept_pools.threads()

    def _outlast_children(self) -> None:
        """No process is left that tasks have started, in whatever session it is by now.

        This process is a subreaper: what loses its parent becomes its child.
        """
        if not _has_children():
            return
        # What a pool has forked just now it may not know yet.
        until = time.monotonic() + (KILLING if self._pools or self._kept_pools else ENDING)
        while (left := self._left()) and time.monotonic() < until:
            time.sleep(1e-3)
        if not left:
            if len(proc.children_of_this_process()) > UNREAPED:
                raise Spent("its tasks have not waited for the end of processes that they started")
            return
        self._children.intersection_update(proc.living_children())
        of_the_task = Pools()
        if self._pools:
            of_the_task.find()
        if not (self._children or self._pools) or of_the_task.processes().intersection(left):
            names = ", ".join(sorted({proc.name_of(pid) for pid in left}))
            raise Spent(
                f"a task left {plural(len(left), 'process')} ({names}), ended with the worker; "
                "a job with keep_children=True keeps them"
            )
        until = time.monotonic() + KILLING
        while left:
            if time.monotonic() > until:
                raise Spent(f"a task left processes that do not end: {left}")
            for pid in left:
                _end(pid)
            time.sleep(1e-3)
            left = self._left()

    def _left(self) -> list[int]:
        """Those that run and are not to stay."""
        stay = self._children | self._kept
        left = [pid for pid in proc.living_children() if pid not in stay]
        if not left or not (self._pools or self._kept_pools):
            return left
        stay = self._pools.processes() | self._kept_pools.processes()
        return [pid for pid in left if pid not in stay]


def _user() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    return os.getresuid(), os.getresgid()


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        pass
