"""A notebook that is executed without a browser, and saved: by nbclient, as nbconvert does it."""

from __future__ import annotations

import base64
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.system.kernels import SPAWN, manager_of

pytestmark = pytest.mark.system

CELLS = [
    # On a busy machine each wait may last so long that a bar comes.
    "import os\nos.environ['SCATTERGATHER_PROGRESS'] = '0'",
    SPAWN + "\nimport time\nc.waitForResult();",
    "def work(n):\n"
    "    time.sleep(0.05)\n"
    "    print('task', n)\n"
    "job = c.addJob([((n,), {}) for n in range(20)], work)\n"
    "job",
    "pass",
    "len(job.results(progress=True))",
    "c.submit(work, 77).result()",
    "import matplotlib.pyplot as plt\n"
    "from IPython.display import HTML\n"
    "def show(n):\n"
    "    print('before')\n"
    "    display(HTML('<i>it</i>'))\n"
    "    print('after')\n"
    "    plt.plot([n, 2])\n"
    "    plt.show()\n"
    "    return plt.get_fignums()\n"
    "c.addJob([((1,), {})], show).results()",
    "def ask(n):\n"
    "    from scattergather import inside\n"
    "    return inside.submit(show, n).result()\n"
    "c.addJob([((1,), {})], ask).results()",
    "def late(n):\n"
    "    while not os.path.exists('GATE'):\n"
    "        time.sleep(0.01)\n"
    "    show(n)\n"
    "job = c.addJob([((1,), {})], late)",
    "open('GATE', 'w').close()\njob.results()",
]


def executed(cells: list[str]) -> list[list[Any]]:
    """The outputs of each of the cells, as they stand in the saved file."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, km=manager_of(AsyncKernelManager), timeout=60)
    client.owns_km = True
    client.execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    gate = str(tmp_path_factory.mktemp("gate") / "gate")
    return executed([cell.replace("GATE", gate) for cell in CELLS])


def test_what_tasks_print_after_their_cell_ended_stands_under_it(saved: list[list[Any]]) -> None:
    _, printed = saved[2]
    lines = printed.data["text/plain"].splitlines()
    assert sorted(lines) == sorted(f"[task {n} of job 1] task {n}" for n in range(20))
    assert saved[3] == []


def test_a_job_that_was_displayed_is_saved_as_it_was_at_the_end(saved: list[list[Any]]) -> None:
    shown, _ = saved[2]
    assert shown.data["text/plain"].endswith(" 20/20")
    assert "value='20' max='20'" in shown.data["text/html"]


def test_a_bar_stands_where_somebody_waited(saved: list[list[Any]]) -> None:
    bar, result = saved[4]
    assert bar.data["text/plain"].endswith(" 20/20")
    assert result.data["text/plain"] == "20"


def test_what_a_call_prints_stands_where_it_was_submitted(saved: list[list[Any]]) -> None:
    (printed,) = saved[5]
    assert printed.data["text/plain"] == "[task 0 of work] task 77"


def check_shown(outputs: list[Any], task: str) -> None:
    before, html, after, figure, result = [output.data for output in outputs]
    assert before["text/plain"] == f"{task} before"
    assert html["text/html"] == "<i>it</i>"
    assert after["text/plain"] == f"{task} after"
    assert base64.b64decode(figure["image/png"]).startswith(b"\x89PNG")
    assert result["text/plain"] == "[[]]"


def test_what_a_task_displays_arrives_as_what_it_is(saved: list[list[Any]]) -> None:
    check_shown(saved[6], "[task 0 of job 2]")


def test_so_does_what_a_call_within_a_task_displays(saved: list[list[Any]]) -> None:
    check_shown(saved[7], "[task 0 of job 3]")


def test_what_is_displayed_when_the_cell_has_ended_stands_under_it(saved: list[list[Any]]) -> None:
    (shown,) = saved[8]
    assert len(saved[9]) == 1
    assert base64.b64decode(shown.data["image/png"]).startswith(b"\x89PNG")
    html = shown.data["text/html"]
    assert html.index("before") < html.index("<i>it</i>") < html.index("after")
    assert html.index("after") < html.index("src='data:image/png;base64,")
