"""Where the user looks now: the one place that chooses between the displays."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from scattergather.client.seen.cell import Cell
from scattergather.client.seen.cells import CellRun, Cells, name_of, run_of
from scattergather.client.seen.display import Display, Notices
from scattergather.client.seen.live import Live, Look
from scattergather.client.seen.terminal import TERMINAL


class _Kernel:
    """The kernel that this process is."""

    def __init__(self, shell: Any) -> None:
        self.cells = Cells(shell)
        self.live = Live()
        self.cells.at_end(self.live.look)


_kernels: list[_Kernel] = []

# What waits to be shown is shown by the original.
os.register_at_fork(after_in_child=_kernels.clear)


def current_display() -> Display:
    """The cell that runs now; outside of a notebook the terminal."""
    kernel = _kernel()
    return TERMINAL if kernel is None else Cell(kernel.cells)


def current_name() -> str:
    """What tells this cell's run from others; empty outside of a notebook."""
    shell = _shell()
    return "" if shell is None else name_of(shell.get_parent())


def current_run() -> CellRun | None:
    """The run of a cell that asks; None outside of a notebook, and where cells have no names."""
    kernel = _kernel()
    return None if kernel is None else run_of(kernel.cells.shell.get_parent())


def has_failed(run: CellRun) -> bool:
    """This run of a cell ended by an error or an interrupt."""
    kernel = _kernel()
    return kernel is not None and kernel.cells.has_failed(run)


def anywhere() -> Notices:
    """Under whichever cell runs; outside of a notebook the terminal."""
    kernel = _kernel()
    return TERMINAL if kernel is None else kernel.cells


def at_end_of_cells(method: Callable[[], None]) -> None:
    """This bound method is called before a cell ends, as long as its object lives."""
    kernel = _kernel()
    if kernel is not None:
        kernel.cells.at_end(method)


def show_moving(look: Look) -> Callable[[], None]:
    """What there is to see stands under the cell that runs now, and moves.

    What is returned lets it move again, if there is more to see after its end.

    Raises:
        NotImplementedError: it is no notebook; IPython shows the repr then.
    """
    kernel = _kernel()
    if kernel is None:
        raise NotImplementedError
    return kernel.live.show(Cell(kernel.cells).output(), look)


def end() -> None:
    """The interpreter ends: what could not be shown in a cell is told otherwise."""
    for kernel in _kernels:
        kernel.cells.end()


def _kernel() -> _Kernel | None:
    shell = _shell()
    if shell is None:
        return None
    if not _kernels or _kernels[-1].cells.shell is not shell:
        _kernels.append(_Kernel(shell))
    return _kernels[-1]


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return None
    get = getattr(ipython, "get_ipython", None)
    shell = None if get is None else get()
    if shell is None or not hasattr(shell, "kernel") or not hasattr(shell, "get_parent"):
        return None
    return shell
