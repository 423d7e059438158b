"""How any thread waits for a change, so that an interrupt leaves no harm.

``threading.Condition`` is written in Python: a KeyboardInterrupt between its lines can leave its
lock held for ever. Here a waiter brings a fresh lock of its own and leaves it to be released; what
an interrupt can leave behind is one entry that nobody waits for.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections import deque
from collections.abc import Callable

_allocate = threading.Lock

LOOK_SECONDS = 0.25
"""The longest sleep, after which a waiter lets Python look for signals.

A signal ends a sleep only if it comes during it and to this thread. One that comes between
Python's last look and the sleep, or that the kernel gives to another thread of this process, wakes
nobody: the stop button would have stopped nothing."""

readers: set[int] = set()
"""Reader threads: if one waited for what only it can deliver, it would wait for ever."""

# A copy of this process has none, and gives their ids to other threads.
os.register_at_fork(after_in_child=readers.clear)


def refuse_reader() -> None:
    """Nobody waits on a reader thread for what comes to it.

    Raises:
        RuntimeError: this is one, in a callback of a future.
    """
    if threading.get_ident() in readers:
        raise RuntimeError(
            "a callback must not wait for results: it runs on the thread that brings them"
        )


def start_thread(run: Callable[[], object], name: str) -> None:
    """A daemon thread of this name runs soon. An interrupt leaves this or no thread, and no harm.

    ``Thread.start`` waits for the thread by a ``Condition``. An interrupt can leave its lock held,
    and then the thread never runs. So a thread that no interrupt reaches calls it, and is itself
    begun by one call of C.
    """

    def start() -> None:
        try:
            threading.Thread(target=run, name=name, daemon=True).start()
        except RuntimeError:  # there cannot be more threads: this one is there already
            run()

    _thread.start_new_thread(start, ())


class Bell:
    """Wakes whoever waits for a change of state. Any thread; ringing it never blocks."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: deque[Callable[[], object]] = deque()

    def ring(self) -> None:
        """Whoever waits looks again. Call it after the change."""
        waiters = self._waiters
        while waiters:
            try:
                wake = waiters.popleft()
            except IndexError:
                return
            wake()

    def once(self, wake: Callable[[], object]) -> None:
        """``wake`` is called at the next ring, on the thread that rings; it must not block."""
        self._waiters.append(wake)

    def withdraw(self, wake: Callable[[], object]) -> None:
        """``wake`` is not called any more, if it was not yet."""
        try:
            self._waiters.remove(wake)
        except ValueError:
            pass

    def wait(self, ready: Callable[[], object], timeout: float | None = None) -> bool:
        """Block until ``ready()`` or for ``timeout`` seconds; returns what ``ready()`` says.

        Raises:
            RuntimeError: on a reader thread, in a callback of a future.
        """
        if ready():
            return True
        if timeout is not None and timeout <= 0:
            return False
        refuse_reader()
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            lock = _allocate()
            lock.acquire()
            wake = lock.release
            # Registered before the look, so that a ring in between is not lost.
            self._waiters.append(wake)
            try:
                if ready():
                    self.withdraw(wake)
                    return True
                while not lock.acquire(True, slice_of(until)):
                    # Who rang may have been interrupted, too.
                    if ready() or (until is not None and time.monotonic() >= until):
                        self.withdraw(wake)
                        return bool(ready())
            except BaseException:
                self.withdraw(wake)
                raise
            if ready():
                return True


def slice_of(until: float | None) -> float:
    """Seconds to sleep before the next look."""
    if until is None:
        return LOOK_SECONDS
    return min(LOOK_SECONDS, max(0.0, until - time.monotonic()))
