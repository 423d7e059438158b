"""The notebook cell that output belongs to. Nothing of Jupyter is imported: it is there, or not.

Output is shown under the cell that added the job, whichever runs now. ``set_thread_parent`` of
ipykernel 7.4 does that for one thread; before it, a context copied in the cell does (7.1 to 7.3).
"""

from __future__ import annotations

import contextvars
import sys
import uuid
from collections.abc import Callable
from typing import Any


class Cell:
    """One cell of a notebook. Made in the cell, used on any thread."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent = shell.get_parent()
        self._context = contextvars.copy_context()

    def run(self, show: Callable[[], None]) -> None:
        """Call ``show``; what it prints or displays belongs to this cell."""
        shell = self._shell
        if not hasattr(shell, "set_thread_parent"):
            self._context.run(show)
            return
        token = shell.set_thread_parent(self._parent)
        try:
            show()
        finally:
            shell.reset_thread_parent(token)


class Display:
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
        self._shown = True


def current_cell() -> Cell | None:
    """The cell that runs now; None outside of a notebook."""
    shell = _shell()
    return None if shell is None else Cell(shell)


def current_name() -> str:
    """What tells this cell's run from others; empty outside of a notebook."""
    shell = _shell()
    return "" if shell is None else str(shell.get_parent().get("header", {}).get("msg_id", ""))


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return None
    get = getattr(ipython, "get_ipython", None)
    shell = None if get is None else get()
    if shell is None or not hasattr(shell, "kernel") or not hasattr(shell, "get_parent"):
        return None
    return shell
