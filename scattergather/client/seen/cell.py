"""A cell of a notebook. Nothing of Jupyter is imported: it is there, or there is no cell.

What is shown stands under the cell in which it was asked for, whichever runs now.
``set_thread_parent`` of ipykernel 7.4 does that for one thread; before it, a context copied in the
cell does (7.1 to 7.3). Pieces of HTML are replaced as things go on: a widget needs a part in the
front end that may be missing, and is saved as the 0 % that it began with.
"""

from __future__ import annotations

import contextvars
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from scattergather.client.seen import showing
from scattergather.client.seen.display import BAR_SECONDS, LINES, Bar, JobLines
from scattergather.client.seen.terminal import TERMINAL, lost
from scattergather.model.snapshot import JobView


class Cell:
    """What is shown stands under this cell. Made in the cell, used on any thread.

    Args:
        shell: IPython's, in a kernel.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent = shell.get_parent()
        self._context = contextvars.copy_context()

    def lines(self, label: str) -> JobLines:
        """One piece of output with the last lines of a job, which is replaced as they come."""
        return _CellLines(CellOutput(self), label)

    def bar(self, view: JobView) -> Bar:
        """A bar that is one piece of output, which is replaced as the job goes on."""
        return _CellBar(CellOutput(self), view)

    def notice(self, text: str) -> None:
        """The sentence is written as what the cell itself writes to ``sys.stderr``."""
        self.run(partial(TERMINAL.notice, text))

    def run(self, show: Callable[[], None]) -> None:
        """Call ``show``; what it prints or displays belongs to this cell."""
        if hasattr(self._shell, "set_thread_parent"):
            # In a context of its own, which ends with this call, wherever an interrupt falls:
            # behind the setting and before the `try` it would leave the thread in this cell.
            contextvars.copy_context().run(self._run_here, show)
        else:
            self._context.copy().run(show)

    def _run_here(self, show: Callable[[], None]) -> None:
        token = self._shell.set_thread_parent(self._parent)
        try:
            show()
        finally:
            self._shell.reset_thread_parent(token)


class CellOutput:
    """A piece of output under a cell that can be replaced, also after the cell ended."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._identity = uuid.uuid4().hex
        self._shown = False

    def show(self, text: str, html: str = "") -> None:
        """``text`` stands there now, as ``html`` where that can be shown."""
        display = sys.modules["IPython"].display.display
        data = {"text/plain": text} | ({"text/html": html} if html else {})

        def put() -> None:
            display(data, raw=True, display_id=self._identity, update=self._shown)

        self._cell.run(put)
        # Only now: shown twice it stands there twice, but nobody would see a change of nothing.
        self._shown = True


class _CellLines:
    def __init__(self, output: CellOutput, label: str) -> None:
        self._output = output
        self._label = label
        self._recent: deque[str] = deque(maxlen=LINES)
        self._came = 0
        self._dropped = 0

    def show(self, lines: Sequence[str], skipped: int, dropped: int) -> None:
        self._came += len(lines) + skipped
        self._recent.extend(lines)
        self._dropped += dropped
        head = []
        if self._dropped:
            head.append(lost(self._dropped, self._label))
        older = self._came - len(self._recent)
        if older:
            head.append(f"[{older} earlier lines of {self._label}: see job.output(i)]")
        self._output.show("\n".join([*head, *self._recent]))


class _CellBar:
    def __init__(self, output: CellOutput, view: JobView) -> None:
        self._output = output
        self._before = view.settled
        self._begun = time.monotonic()
        self._counts: tuple[int | None, ...] = ()
        self.show(view)

    def show(self, view: JobView) -> None:
        counts = (view.total, view.settled, view.failed, view.cancelled)
        if counts == self._counts:
            return
        self._counts = counts
        seconds = max(time.monotonic() - self._begun, BAR_SECONDS)
        rate = (view.settled - self._before) / seconds
        now = replace(view, queued=0, running=0, rate=rate, lost="")
        self._output.show(showing.job_text(now), showing.job_html(now))

    def close(self, view: JobView) -> None:
        self.show(view)
