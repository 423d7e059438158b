"""Every notebook that we ship runs from top to bottom on a real kernel, without a complaint."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.system.daemons import free_port
from tests.system.kernels import manager_of
from tests.system.process_driver import eventually

pytestmark = [pytest.mark.system, pytest.mark.pythons]

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER / name for name in ("01-first-steps.ipynb", "03-large-arrays.ipynb"))
"""Ours: whoever tries something puts his own beside them."""


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook after all its cells ran, in a working directory of its own."""
    notebook, port = nbformat.read(path, as_version=4), str(free_port())
    for cell in notebook.cells:  # on that of the notebook somebody else may listen
        cell.source = cell.source.replace("12345", port)
    manager = manager_of(AsyncKernelManager)
    client = NotebookClient(
        notebook, km=manager, timeout=90, resources={"metadata": {"path": str(folder)}}
    )
    # It leaves alone a kernel whose manager it was given, and the kernel would live on.
    client.owns_km = True
    return client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_from_top_to_bottom(path, own_jupyter, tmp_path):
    folder = tmp_path / "cells"
    folder.mkdir()
    notebook = executed(path, folder)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    for cell in cells:
        complaints = [
            output.get("text", output.get("evalue"))
            for output in cell.outputs
            if output.output_type == "error" or output.get("name") == "stderr"
        ]
        assert not complaints, f"{cell.source}\n{complaints}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_the_stop_button_ends_no_process_that_a_notebook_has_started(path):
    """Whatever is in the kernel's session gets its interrupt."""
    for cell in nbformat.read(path, as_version=4).cells:
        started = (
            [
                node
                for node in ast.walk(
                    ast.parse(re.sub(r"^%.*", "", cell.source, flags=re.MULTILINE))
                )
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "subprocess.Popen"
            ]
            if cell.cell_type == "code"
            else []
        )
        for call in started:
            words = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert words.get("start_new_session") == "True"


def test_a_kernel_shows_prints_and_raises(kernel):
    reply = kernel.run("print('out'); import sys; print('err', file=sys.stderr); 6 * 7")
    assert (reply.stdout, reply.stderr, reply.value, reply.error) == ("out\n", "err\n", "42", None)
    reply = kernel.run("1 / 0")
    assert (reply.error, reply.message) == ("ZeroDivisionError", "division by zero")
    # Not one long sleep: an interrupt that comes just before a sleep does not end it.
    sleeps = "import time\nopen('begun', 'w').close()\nwhile True: time.sleep(0.01)"
    cell = kernel.start(sleeps)
    eventually(kernel.folder.joinpath("begun").exists)
    with pytest.raises(TimeoutError):
        kernel.finish(cell, timeout=0.1)
    kernel.interrupt()
    assert kernel.finish(cell, timeout=10).error == "KeyboardInterrupt"
    kernel.restart()
    assert kernel.run("reply").error == "NameError"
