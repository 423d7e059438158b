"""Signals that may end a task.

SIGINT is the user's cancel and the memory limit, SIGALRM the time limit. They raise an exception in
the middle of whatever Python code runs, so they are let through only while the task's own code runs
(``armed``), at most once a task, and never inside our own sends and reads that a task leads to
(``shielded``): half a frame would break the socket. SIGINT counts only if the journal says that the
chunk at work is to end, or that its task takes too much memory; a late signal for an earlier one
passes by. What comes while nothing may be raised is not lost: what the pool wants is in the
journal, which is looked at after every shield, and the timer fires again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scattergather.errors import MemoryLimitExceeded, TimeLimitExceeded
from scattergather.machine import kernel, proc
from scattergather.workers.process.line import Wait
from scattergather.workers.process.task.journal import CHUNK, RUNNING, Journal

LIMITS = (TimeLimitExceeded, MemoryLimitExceeded)
"""What a limit raises inside a task."""

_AGAIN = 0.05
"""Seconds until the timer fires again, if a shield was up when it did."""


class Interrupts:
    """The signal handlers of a worker. Main thread only, but for :meth:`shielded`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._limit = 0.0
        self._index = 0
        self._told = (0, 0)
        """Chunk and task that was told to end, as words of the journal."""
        self._overdue = False
        self.armed = False
        """True while the code of a task runs; assigned by the chunk's loop."""
        self.memory_limit = 0
        """Bytes that a task of the present chunk may take; assigned by the chunk's loop."""
        self.install()

    def install(self) -> None:
        """The handlers are ours, also after a task had set its own."""
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGALRM, self._alarmed)

    def withdraw(self) -> None:
        """In a copy of the worker: our signals mean there what they mean in any process."""
        self.armed = False
        if kernel.handler_of(signal.SIGINT) == self._interrupted:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kernel.handler_of(signal.SIGALRM) == self._alarmed:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def intact(self) -> bool:
        """True unless a task has set handlers of its own."""
        return bool(
            kernel.handler_of(signal.SIGINT) == self._interrupted
            and kernel.handler_of(signal.SIGALRM) == self._alarmed
        )

    def start_timer(self, seconds: float, index: int) -> None:
        """Task ``index`` has so many seconds from now."""
        self._limit, self._index, self._overdue = seconds, index, False
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), _AGAIN)

    def stop_timer(self) -> None:
        """The task is over, or has been told."""
        self._limit, self._overdue = 0.0, False
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Nothing is raised inside; what was asked for meanwhile is raised at the end."""
        if not self.armed or threading.current_thread() is not threading.main_thread():
            yield  # not in a task, or in another shield; or in a thread, where nothing is raised
            return
        self.armed = False
        try:
            yield
        except (KeyboardInterrupt, *LIMITS):
            raise  # at most once a task
        except BaseException:
            self.armed = True
            raise
        self.armed = True
        self._raise_what_is_wanted()

    def exposed(self, wait: Wait) -> Wait:
        """``wait``, but inside a shield the task may be interrupted while it waits there."""

        def waiting(fd: int, timeout: float | None) -> bool:
            self.armed = True
            self._raise_what_is_wanted()
            ready = wait(fd, timeout)
            self.armed = False
            return ready

        return waiting

    def wanted(self) -> bool:
        """The task at work is to be told to end, by whoever lets it be told. Any thread."""
        return self._overdue or self._journal.cancelled() or self._journal.exceeded()

    def told(self) -> bool:
        """The task at work was told to end, or is to be. Any thread."""
        return self._told == self._at_work() or self.wanted()

    def _at_work(self) -> tuple[int, int]:
        words = self._journal.words
        return words[CHUNK], words[RUNNING]

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            self._raise_what_is_wanted()

    def _raise_what_is_wanted(self) -> None:
        if self._journal.cancelled():
            self._tell()
            raise KeyboardInterrupt("cancelled")
        if self._journal.exceeded():
            self._tell()
            index, limit = self._journal.index, self.memory_limit
            peak = proc.anonymous_memory(os.getpid())
            reason = f"it took {peak:,} bytes, its memory limit is {limit:,}"
            raise MemoryLimitExceeded(
                f"Task {index}: {reason}.", index=index, limit=limit, peak=peak, reason=reason
            )
        if self._overdue:
            self._tell()
            seconds = self._limit
            self.stop_timer()
            reason = f"it ran longer than its time limit of {seconds:g} s"
            raise TimeLimitExceeded(
                f"Task {self._index}: {reason}.", index=self._index, limit=seconds, reason=reason
            )

    def _tell(self) -> None:
        """What follows is raised in the task, and nothing else is any more."""
        self.armed = False
        self._told = self._at_work()

    def _alarmed(self, _number: int, _frame: FrameType | None) -> None:
        if not self._limit:  # an alarm that an earlier task left behind
            return
        self._overdue = True
        if self.armed:
            self._raise_what_is_wanted()
