"""The moment at which an interrupt hits a wait of the client, and nothing before or behind it.

A line that is printed before the wait comes too early: on a slow machine the interrupt then hits
the printing, and after a fixed time it may hit anything. So a thread looks where the main one is.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from scattergather.client.pipe.waiting import Bell
from tests.pace import Promise

ROOT = Path(__file__).parents[1]


_looking = threading.Lock()


def frame_of(thread: threading.Thread) -> FrameType | None:
    """Where this thread is; None if it does not run.

    The collector does not run meanwhile. Python 3.11 holds a lock of the interpreter while it makes
    the frames. What the collector calls then, of Hypothesis for instance, lets other threads run,
    and one that begins or ends waits for that lock without letting go of the interpreter: all
    threads stand still for ever, and no signal is heard, that of a timeout neither.
    """
    with _looking:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(thread.ident or 0)
        finally:
            if collects:
                gc.enable()


def waits(thread: threading.Thread) -> bool:
    """True while what this thread does is to wait for a change in the client."""
    frame = frame_of(thread)
    return frame is not None and frame.f_code is Bell.wait.__code__


def feeders_wait() -> bool:
    """True while every thread that reads the tasks of a generator does, and there is one."""
    feeders = [each for each in threading.enumerate() if each.name == "scattergather-feeder"]
    return bool(feeders) and all(map(waits, feeders))


def main_waits() -> bool:
    """True while the main thread does."""
    return waits(threading.main_thread())


def main_waits_elsewhere() -> bool:
    """True while the main thread waits as the standard library does, for an event say."""
    frame = frame_of(threading.main_thread())
    return frame is not None and frame.f_code is threading.Condition.wait.__code__


def is_awaited(job: Any) -> bool:
    """True while somebody waits or awaits a job of a list."""
    return bool(job._gathering.bell._waiters)


# ---- in this process ----------------------------------------------------------------------------


@dataclass(slots=True)
class Interrupt:
    """``promise`` is made when it comes: that the wait ends within a second."""

    promise: Promise | None = None

    def heeded(self) -> bool:
        """True while it is kept."""
        assert self.promise is not None, "the wait was over before"
        return not self.promise.broken()


@contextlib.contextmanager
def interrupted(*, elsewhere: bool = False) -> Iterator[Interrupt]:
    """SIGINT to this process, as the stop button sends it, as soon as the main thread waits.

    Args:
        elsewhere: another thread gets it, and it wakes nobody. So does one that comes between
            Python's last look at signals and the sleep.
    """
    # A shell that starts us in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt, over = Interrupt(), threading.Event()

    def strike() -> None:
        while not over.wait(0.001):
            if main_waits():
                interrupt.promise = Promise(1)
                # To a thread: else the kernel may give it to any.
                gets = threading.current_thread() if elsewhere else threading.main_thread()
                signal.pthread_kill(gets.ident or 0, signal.SIGINT)
                return

    striker = threading.Thread(target=strike)
    striker.start()
    try:
        yield interrupt
    finally:
        over.set()
        striker.join()
        signal.signal(signal.SIGINT, before)


# ---- in a kernel --------------------------------------------------------------------------------


def touch_when(condition: Callable[[], object], path: str) -> None:
    """The file is there as soon as ``condition()`` holds; returns at once."""

    def look() -> None:
        while not condition():
            time.sleep(0.001)
        Path(path).touch()

    threading.Thread(target=look, daemon=True).start()


def start_waiting(kernel: Any, code: str, told: Path, condition: str = "waits.main_waits()") -> str:
    """A cell of a kernel, begun, that waits by now, as ``condition`` says there; the cell's id.

    Args:
        kernel: either of the tests' kernels.
        told: a path where nothing is; a file, afterwards.
    """
    kernel.run(
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "from tests import waits\n"
        f"waits.touch_when(lambda: {condition}, {str(told)!r})"
    )
    cell = str(kernel.start(code))
    promise = Promise(20)
    while not told.exists():
        assert not promise.broken(), f"{code!r} does not wait"
        time.sleep(0.002)
    return cell
