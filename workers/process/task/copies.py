"""What a task forks is no worker: it says nothing for one, and does not go on in our loop.

A copy of a worker (``os.fork``, a pseudo-terminal, multiprocessing) is in the middle of a task,
with our loop below it, our socket and our journal. It may compute, print and start what it wants.
When it comes out of the task's function, because this returned or raised there, it ends as a
script's copy does: with the status of ``sys.exit``, with a traceback and 1, or with 0.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

_OURS = "scattergather.workers.process."

COPY: list[int] = []
"""Its process id if this process is a copy of a worker, else empty: a list, whose truth costs the
hot loop nothing that can be measured."""


def watch(in_copy: Callable[[], None], in_worker: Callable[[], None]) -> None:
    """``in_copy`` runs in each copy of this process, ``in_worker`` here when one was made.

    Both run on the thread that forks.
    """

    def copied() -> None:
        COPY.append(os.getpid())
        in_copy()

    def forked() -> None:
        if not COPY:
            in_worker()

    os.register_at_fork(after_in_child=copied, after_in_parent=forked)


def leave(error: BaseException | None = None) -> None:
    """A copy ends here, as ``error`` says; in the worker itself nothing happens."""
    if not COPY:
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
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _below_us(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our loop, which called the task."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        trace = trace.tb_next
    return trace
