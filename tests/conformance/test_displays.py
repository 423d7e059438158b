"""Every place where the user looks passes the one check of :mod:`tests.conformance.displays`."""

from __future__ import annotations

import contextvars
import io
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from scattergather.client.seen.cell import Cell
from scattergather.client.seen.here import current_display
from scattergather.client.seen.terminal import TERMINAL
from tests.conformance.displays import DisplayCase, Paper, check_display
from tests.struck import struck_everywhere


class Shell:
    """IPython's shell in a kernel: what is displayed and written stands under the cell that runs.

    Args:
        threads: it can tell for one thread which cell runs, as ipykernel can from 7.4 on.
    """

    kernel = object()

    def __init__(self, threads: bool) -> None:
        self._running: contextvars.ContextVar[str] = contextvars.ContextVar("running")
        self._latest = ""
        self._under: dict[str, dict[str, str]] = {}
        self._written: dict[str, str] = {}
        self.begin("cell 1")
        if threads:
            self.set_thread_parent = self._running.set
            self.reset_thread_parent = self._running.reset

    def begin(self, cell: str) -> None:
        """This cell runs from now on."""
        self._running.set(cell)
        self._latest = cell

    def get_parent(self) -> str:
        return self._running.get(self._latest)

    def display(self, bundle: Any, *, raw: bool, display_id: str, update: bool) -> None:
        assert raw
        outputs = self._under.setdefault(self.get_parent(), {})
        assert display_id in outputs or not update
        outputs[display_id] = bundle["text/plain"]

    def write(self, text: str) -> None:
        self._written[self.get_parent()] = self._written.get(self.get_parent(), "") + text

    def flush(self) -> None:
        pass

    def seen(self, cell: str) -> str:
        outputs = [text + "\n" for text in self._under.get(cell, {}).values()]
        return "".join(outputs) + self._written.get(cell, "")


Patch = pytest.MonkeyPatch


def in_a_kernel(patch: Patch, *, threads: bool) -> Shell:
    shell: Any = Shell(threads)
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    ipython.display = types.SimpleNamespace(display=shell.display)
    patch.setitem(sys.modules, "IPython", ipython)
    patch.setattr(sys, "stderr", shell)
    return shell


def of_a_cell(patch: Patch, *, threads: bool = True) -> DisplayCase:
    shell = in_a_kernel(patch, threads=threads)
    return DisplayCase(
        display=current_display(),
        seen=lambda: shell.seen("cell 1"),
        leave=lambda: shell.begin("cell 2"),
    )


def of_a_cell_of_an_older_kernel(patch: Patch) -> DisplayCase:
    return of_a_cell(patch, threads=False)


def of_a_terminal(patch: Patch) -> DisplayCase:
    written = io.StringIO()
    patch.delitem(sys.modules, "IPython", raising=False)
    patch.setattr(sys, "stdout", written)
    patch.setattr(sys, "stderr", written)
    return DisplayCase(display=current_display(), seen=written.getvalue)


def of_paper(patch: Patch) -> DisplayCase:
    paper = Paper()
    return DisplayCase(display=paper, seen=lambda: paper.text)


@pytest.mark.parametrize(
    "make",
    [of_a_cell, of_a_cell_of_an_older_kernel, of_a_terminal, of_paper],
    ids=lambda make: make.__name__,
)
def test_a_display_conforms(make: Callable[[Patch], DisplayCase], monkeypatch: Patch) -> None:
    check_display(lambda: make(monkeypatch))


def test_one_place_chooses_between_cell_and_terminal(monkeypatch: Patch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert current_display() is TERMINAL
    in_a_kernel(monkeypatch, threads=True)
    assert isinstance(current_display(), Cell)


@pytest.mark.parametrize("threads", [True, False])
def test_an_interrupt_at_any_moment_of_showing_leaves_the_thread_in_its_own_cell(
    threads: bool, monkeypatch: Patch
) -> None:
    shell = in_a_kernel(monkeypatch, threads=threads)
    lines, moments = current_display().lines("job 1"), 0
    shell.begin("cell 2")
    for _ in struck_everywhere(lambda: lines.show(["[line]"], 0, 0)):
        moments += 1
        assert shell.get_parent() == "cell 2"
    assert moments > 10
    assert "[line]" in shell.seen("cell 1")
