"""Every place where the user looks passes the one check of :mod:`tests.conformance.displays`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from scattergather.client.seen.cell import Cell
from scattergather.client.seen.here import current_display
from scattergather.client.seen.terminal import TERMINAL
from tests.conformance.displays import DisplayCase, Paper, check_display
from tests.conformance.front_ends import Patch, in_a_kernel
from tests.struck import struck_everywhere


def of_a_cell(patch: Patch, *, threads: bool = True, late: bool = True) -> DisplayCase:
    shell = in_a_kernel(patch, threads=threads, late=late)

    def leave() -> None:
        shell.end()
        shell.begin("cell 2")

    return DisplayCase(display=current_display(), seen=lambda: shell.seen("cell 1"), leave=leave)


def of_a_cell_of_an_older_kernel(patch: Patch) -> DisplayCase:
    return of_a_cell(patch, threads=False)


def of_a_cell_that_takes_nothing_late(patch: Patch) -> DisplayCase:
    return of_a_cell(patch, late=False)


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
    [
        of_a_cell,
        of_a_cell_of_an_older_kernel,
        of_a_cell_that_takes_nothing_late,
        of_a_terminal,
        of_paper,
    ],
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
    lines, moments = current_display().lines("job 1", lambda: True), 0
    shell.end()
    shell.begin("cell 2")
    for _ in struck_everywhere(lambda: lines.show(["[line]"], 0, 0)):
        moments += 1
        assert shell.cell == "cell 2"
    assert moments > 10
    assert "[line]" in shell.seen("cell 1")
