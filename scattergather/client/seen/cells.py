"""Which cells of a kernel run, and what waits for the next one.

A front end may take a message only while the cell runs that the message names as its parent: what
executes a notebook without a browser (nbclient: nbconvert, papermill, myst-nb) drops all others.
It does take the update of a piece of output of an earlier cell. So

- a piece of output must be there before its cell ends, empty if need be;
- an update goes under a cell that runs, whichever that is;
- what changes between two cells is sent at once, for those who take it, and again when the next
  cell begins.

JupyterLab and VS Code take what comes under a cell that has ended. They say with each cell which
one it is (``cellId``); who does not is taken for one that drops it. What no cell has carried when
the kernel ends is written to the kernel's own standard error: nothing is lost without a word.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from weakref import WeakMethod

from scattergather.client.seen.terminal import TERMINAL

FAILED_RUNS = 1000
"""How many runs of cells are remembered that failed."""

BYTES_A_SECOND = 400_000
"""What is shown on the average: Jupyter's server cuts a kernel off that sends 1 MB/s for 3 s."""

LONGEST_PAUSE = 2.0
"""Seconds after which more is shown, however much it was: a picture is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRun:
    """One run of a cell: ``cell`` is what the front end calls the cell, ``name`` tells the run."""

    cell: str
    name: str


class Carried(Protocol):
    """Something that is shown under a cell."""

    @property
    def text(self) -> str:
        """What it says, in words."""

    def put(self) -> None:
        """It is shown now, under a cell that runs if there is one."""


class Parent:
    """One run of a cell, to which messages belong. Made in the cell, used on any thread."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent = shell.get_parent()
        self._context = contextvars.copy_context()
        self.name = name_of(self._parent)
        self.takes_late = "cellId" in self._parent.get("metadata", {})
        """What comes under it when it has ended is taken."""

    def run(self, show: Callable[[], None]) -> None:
        """Call ``show``; what it prints or displays belongs to this cell.

        ``set_thread_parent`` of ipykernel 7.4 does that for one thread; before it, a context copied
        in the cell does (7.1 to 7.3).
        """
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


class Cells:
    """The cells of one kernel. Any thread; ``turn`` is held by whoever shows something.

    So what was sent under a cell that ran is on its way before that cell's end is.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.turn = threading.RLock()
        first = Parent(shell)
        self._latest = first
        # Cells run on the main thread, but for subshells, and this is made in one, but for threads.
        here = threading.current_thread() is threading.main_thread()
        self._running: dict[str, Parent] = {first.name: first} if here else {}
        self._depth = Counter(self._running.keys())
        self._waiting: dict[Carried, None] = {}
        self._before_end: dict[WeakMethod[Callable[[], None]], None] = {}
        self._clears: Counter[str] = Counter()
        publisher = getattr(shell, "display_pub", None)
        if publisher is not None:
            publisher.register_hook(self._published)
        self._sent = 0
        self._failed: deque[str] = deque(maxlen=FAILED_RUNS)
        shell.events.register("pre_run_cell", self._begun)
        shell.events.register("post_run_cell", self._ending)

    def at_end(self, method: Callable[[], None]) -> None:
        """This bound method is called before a cell ends, as long as its object lives."""
        self._before_end[WeakMethod(method)] = None

    @property
    def carrier(self) -> Parent | None:
        """A cell that runs."""
        return next(reversed(self._running.values()), None)

    @property
    def latest(self) -> Parent:
        """The cell that began last."""
        return self._latest

    def runs(self, parent: Parent) -> bool:
        """The cell has not ended."""
        return parent.name in self._running

    def has_failed(self, run: CellRun) -> bool:
        """It ended by an error or an interrupt."""
        return run.name in self._failed

    def reaches(self, parent: Parent) -> bool:
        """What is sent under this cell now is taken."""
        return parent.takes_late or self.runs(parent)

    def clears(self, parent: Parent) -> int:
        """How often the cell has cleared what stands under it."""
        return self._clears[parent.name]

    def _published(self, message: Any) -> Any:
        """Something is on its way from the main thread, of whatever kind."""
        if message["header"].get("msg_type") == "clear_output":
            with self.turn:
                self._clears[name_of({"header": message["parent_header"]})] += 1
        return message

    def wait(self, what: Carried) -> None:
        """No cell runs that could carry it: it is put when the next one begins."""
        self._waiting[what] = None

    def carried(self, what: Carried) -> None:
        """It need not wait for another cell."""
        self._waiting.pop(what, None)

    def count(self, size: int) -> None:
        """So many bytes are being shown; whoever counts holds ``turn``."""
        self._sent += size

    def pause(self) -> float:
        """Seconds until more is to be shown, after what was shown since this was asked last."""
        with self.turn:
            sent, self._sent = self._sent, 0
        return min(LONGEST_PAUSE, sent / BYTES_A_SECOND)

    def notice(self, text: str) -> None:
        """The user is told this sentence, by what a cell writes to ``sys.stderr``."""
        _Sentence(self, text).put()

    def _begun(self, *_: Any) -> None:
        with self.turn:
            self._latest = parent = Parent(self.shell)
            self._running[parent.name] = parent
            self._depth[parent.name] += 1
            # Each leaves when it is carried: an interrupt leaves the others waiting.
            for what in list(self._waiting):
                what.put()

    def _ending(self, result: Any = None) -> None:
        name = name_of(self.shell.get_parent())
        # There is none of a cell that was interrupted while it awaited something.
        if not getattr(result, "success", False):
            self._failed.append(name)
        # A cell can run others within itself (`%%capture`): they belong to it, and end nothing.
        self._depth[name] -= 1
        if self._depth[name] > 0:
            return
        try:
            for method in list(self._before_end):
                call = method()
                if call is None:
                    self._before_end.pop(method, None)
                else:
                    call()
        finally:
            with self.turn:
                del self._depth[name]
                self._running.pop(name, None)

    def end(self) -> None:
        """The kernel ends: what no cell has carried is written to its own standard error."""
        with self.turn:
            waiting, self._waiting = self._waiting, {}
        texts = [text for what in waiting if (text := what.text.strip())]
        if texts:
            said = "no cell ran any more that could show this:"
            _write_to_the_process(f"[scattergather] {said}\n" + "\n".join(texts) + "\n")


class _Sentence:
    def __init__(self, cells: Cells, text: str) -> None:
        self._cells = cells
        self.text = text

    def put(self) -> None:
        with self._cells.turn:
            parent = self._cells.carrier or self._cells.latest
            if self._cells.reaches(parent):
                self._cells.carried(self)
                parent.run(partial(TERMINAL.notice, self.text))
            else:
                self._cells.wait(self)


def run_of(parent: Any) -> CellRun | None:
    """Which run of which cell it is; None if the front end does not tell its cells apart."""
    cell = (parent.get("metadata") or {}).get("cellId")
    return CellRun(cell=str(cell), name=name_of(parent)) if cell else None


def name_of(parent: Any) -> str:
    """What tells a cell's run from all others."""
    return str(parent.get("header", {}).get("msg_id", ""))


def _write_to_the_process(text: str) -> None:
    # ipykernel has put a pipe of its own in the place of descriptor 2, and keeps the first one.
    original = getattr(sys.stderr, "_original_stdstream_copy", None)
    try:
        os.write(2 if original is None else original, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return
