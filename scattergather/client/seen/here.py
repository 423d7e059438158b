"""Where the user looks now: the one place that chooses between the displays."""

from __future__ import annotations

import sys
from typing import Any

from scattergather.client.seen.cell import Cell
from scattergather.client.seen.display import Display
from scattergather.client.seen.terminal import TERMINAL


def current_display() -> Display:
    """The cell that runs now; outside of a notebook the terminal."""
    shell = _shell()
    return TERMINAL if shell is None else Cell(shell)


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
