"""A cell of a notebook. Nothing of Jupyter is imported: it is there, or there is no cell.

What is shown stands under the cell in which it was asked for, whichever runs now. Pieces of HTML
are replaced as things go on: a widget needs a part in the front end that may be missing, and is
saved as the 0 % that it began with.
"""

from __future__ import annotations

import sys
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from scattergather.client.seen import album, showing
from scattergather.client.seen.cells import Cells, Parent
from scattergather.client.seen.display import LINES, Bar, JobLines, Line
from scattergather.client.seen.terminal import TERMINAL, lost
from scattergather.model.snapshot import JobView


class Cell:
    """What is shown stands under this cell. Made in the cell, used on any thread."""

    shows_bars = True
    shows_bundles = True

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._parent = Parent(cells.shell)

    def lines(self, label: str, more: Callable[[], bool]) -> JobLines:
        """One piece of output with the last lines of a job, which is replaced as they come."""
        return _CellLines(self._cells, self._parent, label, more)

    def bar(self, view: JobView) -> Bar:
        """A bar that is one piece of output, which is replaced as the job goes on."""
        return _CellBar(self.output(), view)

    def output(self) -> CellOutput:
        """A piece of output that stands here, when it is shown first."""
        return CellOutput(self._cells, self._parent)

    def notice(self, text: str) -> None:
        """The sentence is written as what the cell itself writes to ``sys.stderr``."""
        with self._cells.turn:
            if self._cells.reaches(self._parent):
                self._parent.run(partial(TERMINAL.notice, text))
            else:
                self._cells.notice(text)


class CellOutput:
    """A piece of output under a cell that can be replaced, also after the cell ended.

    Args:
        parent: the cell.
        identity: what the notebook calls it; None: nobody else will replace it.
        shown: something stands there under this name already.
    """

    def __init__(
        self, cells: Cells, parent: Parent, identity: str | None = None, shown: bool = False
    ) -> None:
        self._cells = cells
        self._parent = parent
        self._identity = identity or uuid.uuid4().hex
        self._data: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}
        self._clears = cells.clears(parent)
        self.shown = shown

    @property
    def text(self) -> str:
        """What it says, in words."""
        return str(self._data.get("text/plain", ""))

    @property
    def gone(self) -> bool:
        """The cell has cleared what stood under it, and this with it."""
        return self.shown and self._clears != self._cells.clears(self._parent)

    def show(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """This stands there now."""
        with self._cells.turn:
            self._data = data
            self._metadata = metadata or {}
            self.put()

    def put(self) -> None:
        """It is sent under a cell that runs; without one, to whoever takes it, and once more."""
        cells = self._cells
        with cells.turn:
            carrier = cells.carrier
            self.shown = self.shown and not self.gone
            if not self.shown and not cells.reaches(self._parent):
                if carrier is None:
                    cells.wait(self)
                    return
                self._parent = carrier
            if self.shown and carrier is None and not self._parent.takes_late:
                cells.wait(self)
            else:
                cells.carried(self)
            cells.count(sum(len(form) for form in self._data.values() if hasattr(form, "__len__")))
            parent = (carrier or self._parent) if self.shown else self._parent
            display = sys.modules["IPython"].display.display
            parent.run(
                lambda: display(
                    self._data,
                    raw=True,
                    metadata=self._metadata,
                    display_id=self._identity,
                    update=self.shown,
                )
            )
            # Only now: shown twice it stands there twice, but nobody would see a change of nothing.
            self.shown = True
            self._clears = cells.clears(self._parent)


class _CellLines:
    """What the tasks of a job print and display, in the order in which it came.

    Each thing displayed is a piece of output, and so are the lines between two of them. Once the
    cell has ended, and new pieces would not be taken, the last piece takes all that comes.
    """

    def __init__(self, cells: Cells, parent: Parent, label: str, more: Callable[[], bool]) -> None:
        self._cells = cells
        self._parent = parent
        self._label = label
        self._more = more
        self._open: CellOutput | None = None
        self._parts: deque[Line] = deque()
        self._bundles = 0
        self._earlier = 0
        self._dropped = 0
        cells.at_end(self._keep_place)

    def _keep_place(self) -> None:
        with self._cells.turn:
            if (
                (self._open is None or self._open.gone)
                and not self._parent.takes_late
                and self._cells.runs(self._parent)
                and self._more()
            ):
                self._begin_anew()
                self._piece().show({"text/plain": ""})

    def _piece(self) -> CellOutput:
        if self._open is None:
            self._open = CellOutput(self._cells, self._parent)
        return self._open

    @property
    def has_place(self) -> bool:
        piece = self._open
        return piece is not None and piece.shown and not piece.gone

    def show(self, lines: Sequence[Line], skipped: int, dropped: int) -> None:
        with self._cells.turn:
            if self._open is not None and self._open.gone:
                self._begin_anew()
            self._earlier += skipped
            self._dropped += dropped
            changed = bool(skipped or dropped)
            for line in lines:
                if not isinstance(line, str) and line.update:
                    CellOutput(self._cells, self._parent, line.display_id, True).show(
                        line.data, line.metadata
                    )
                elif not isinstance(line, str) and self._takes_another():
                    if changed:
                        self._show_parts()
                    changed = False
                    self._begin_anew()
                    CellOutput(self._cells, self._parent, line.display_id).show(
                        line.data, line.metadata
                    )
                else:
                    self._parts.append(line)
                    self._bundles += not isinstance(line, str)
                    changed = True
            if changed:
                self._show_parts()

    def _begin_anew(self) -> None:
        self._open = None
        self._parts.clear()
        self._bundles = self._earlier = self._dropped = 0

    def _takes_another(self) -> bool:
        """A new piece of output would be taken where this job's stand."""
        if self._cells.reaches(self._parent):
            return True
        carrier = self._cells.carrier
        if carrier is None or (self._open is not None and self._open.shown):
            return False
        self._parent = carrier
        return True

    def _show_parts(self) -> None:
        parts = self._parts
        while len(parts) - self._bundles > LINES:
            del parts[next(at for at, part in enumerate(parts) if isinstance(part, str))]
            self._earlier += 1
        head = [lost(self._dropped, self._label)] if self._dropped else []
        if self._earlier:
            head.append(f"[{self._earlier} earlier lines of {self._label}: see job.output(i)]")
        if self._bundles:
            self._piece().show(*album.of_parts([*head, *parts]))
        else:
            self._piece().show({"text/plain": "\n".join([*head, *map(str, parts)])})


class _CellBar:
    def __init__(self, output: CellOutput, view: JobView) -> None:
        self._output = output
        self.show(view)

    def show(self, view: JobView) -> None:
        self._output.show(showing.job_bundle(view))

    def rest(self) -> None:
        """It stands in a place of its own."""

    def close(self, view: JobView) -> None:
        self.show(view)
