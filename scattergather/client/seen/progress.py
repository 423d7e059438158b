"""A bar while somebody waits: under the notebook's cell, or in the terminal.

In a notebook it is a piece of HTML that is replaced. A widget needs a part in the front end that
may be missing, and is saved as the 0 % that it began with.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.seen import showing
from scattergather.client.seen.cell import Cell, Display, current_cell
from scattergather.model.snapshot import JobView

INTERVAL = 0.1


class Bar(Protocol):
    """Shows how far a job is. On the thread that waits."""

    def update(self) -> None:
        """The bar stands where the job stands."""

    def close(self) -> None:
        """The bar stays as it is."""


def bar_of(gathering: Gathering) -> Bar:
    """A bar for this job, where the user looks."""
    cell = current_cell()
    return _Terminal(gathering) if cell is None else _Notebook(gathering, cell)


class _Notebook:
    def __init__(self, gathering: Gathering, cell: Cell) -> None:
        self._gathering = gathering
        self._display = Display(cell)
        self._before = gathering.settled
        self._begun = time.monotonic()
        self._counts: tuple[int | None, ...] = ()
        self.update()

    def update(self) -> None:
        gathering = self._gathering
        settled, failed, cancelled = gathering.settled, gathering.failed, gathering.cancelled
        counts = (gathering.total, settled, failed, cancelled)
        if counts == self._counts:
            return
        self._counts = counts
        seconds = max(time.monotonic() - self._begun, INTERVAL)
        view = JobView(
            name=gathering.label,
            total=gathering.total,
            done=settled - failed - cancelled,
            failed=failed,
            cancelled=cancelled,
            rate=(settled - self._before) / seconds,
        )
        self._display.show(showing.job_text(view), showing.job_html(view))

    def close(self) -> None:
        self.update()


class _Terminal:
    def __init__(self, gathering: Gathering) -> None:
        # Most sessions want no bar.
        from tqdm import tqdm  # noqa: PLC0415  (slow)

        self._bar: Any = tqdm(
            total=gathering.total, desc=gathering.label, unit="task", mininterval=0.0
        )
        self._gathering = gathering

    def update(self) -> None:
        gathering, bar = self._gathering, self._bar
        if bar.total != gathering.total:
            bar.total = gathering.total
        if gathering.failed:
            bar.set_postfix(failed=gathering.failed, refresh=False)
        bar.update(gathering.settled - bar.n)

    def close(self) -> None:
        self.update()
        self._bar.close()
