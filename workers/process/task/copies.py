"""What a task forks is no worker: it says nothing for one, and does not go on in our loop.

A copy of a worker (``os.fork``, a pseudo-terminal, multiprocessing) is in the middle of a task,
with our loop below it, our socket and our journal. It may compute, print and start what it wants.
When it comes out of the task's function, because this returned or raised there, it ends as a
script's copy does: with the status of ``sys.exit``, with a traceback and 1, or with 0. What it has
registered with ``atexit`` runs before.

Python tells us when it forks. A library that forks by itself tells nobody: so there is a page of
memory that the kernel empties in every copy, however it was made, and a look at it costs nothing
that can be measured. Where the kernel does not (before Linux 4.14) only Python's copies are known.
"""

from __future__ import annotations

import atexit
import ctypes
import mmap
import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

_OURS = "scattergather.workers.process."

_WIPE_ON_FORK = 18

_page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

ORIGINAL: Any = ctypes.c_ubyte.from_buffer(_page)
"""True in a worker, false in a copy of it. Its truth is all that may be asked for: it is no more
than a look at its memory."""

ORIGINAL.value = 1


class _InCopy:
    """What is to be done in a copy; once."""

    do: Callable[[], None] | None = None


def watch(in_copy: Callable[[], None], in_worker: Callable[[], None]) -> None:
    """``in_copy`` runs in each copy of this process, ``in_worker`` here when one was made.

    Both run on the thread that forks; in a copy that Python has not made, when it is found to be
    one.
    """
    _InCopy.do = in_copy
    try:
        _page.madvise(_WIPE_ON_FORK)
    except OSError:
        pass

    def copied() -> None:
        ORIGINAL.value = 0
        is_copy()

    def forked() -> None:
        if ORIGINAL:
            in_worker()

    os.register_at_fork(after_in_child=copied, after_in_parent=forked)


def is_copy() -> bool:
    """True in a copy of a worker, which is out of the worker's way by then."""
    if ORIGINAL:
        return False
    in_copy, _InCopy.do = _InCopy.do, None
    if in_copy is not None:
        atexit._clear()  # what the worker is to do at its end is not for a copy to do
        in_copy()
    return True


def leave(error: BaseException | None = None) -> None:
    """A copy ends here, as ``error`` says; in the worker itself nothing happens."""
    if not is_copy():
        return
    status = 1
    try:
        if error is None:
            status = 0
        elif not isinstance(error, SystemExit):
            traceback.print_exception(error.with_traceback(_below_us(error.__traceback__)))
        elif error.code is None or isinstance(error.code, int):
            status = (error.code or 0) & 0xFF
        else:
            sys.stderr.write(f"{error.code}\n")
        if error is not None:
            traceback.clear_frames(error.__traceback__)  # files that are open there are written
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _below_us(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our loop, which called the task."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        trace = trace.tb_next
    return trace
