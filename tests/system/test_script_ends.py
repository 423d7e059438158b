"""Scripts that end with something pending, as a user starts them. All run at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import sys, time
from pathlib import Path
from scattergather import spawnScatterGather

def touch(name):
    time.sleep(0.2)
    Path(name).touch()
    print("wrote", name)

"""
CALLS = "for n in range(4): c.submit(touch, f'{n}')\n"
SCRIPTS = {
    "calls": f"c = spawnScatterGather(workers=2)\n{CALLS}",
    "a job, and then sys.exit": (
        "c = spawnScatterGather(workers=2)\n"
        "c.addJob([((f'{n}',), {}) for n in range(4)], touch)\n"
        "sys.exit(3)\n"
    ),
    "a map that nobody takes": (
        "with spawnScatterGather(workers=2) as c:\n    c.map(touch, [f'{n}' for n in range(4)])\n"
    ),
    "an exception": f"c = spawnScatterGather(workers=2)\n{CALLS}1 / 0\n",
    "an interrupt of the wait for threads": (
        "import gc, signal, sys, threading\n"
        "gc.disable()  # Python 3.11 may stand still for ever where it runs in _current_frames()\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored above\n"
        "c = spawnScatterGather(workers=2)\n"
        "for n in range(4): c.submit(time.sleep, 60)\n"
        "main = threading.get_ident()\n"
        "def stop():\n"
        "    while sys._current_frames()[main].f_code.co_name != '_shutdown':\n"
        "        time.sleep(0.01)\n"
        "    signal.pthread_kill(main, signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "threading.Thread(target=stop).start()\n"
    ),
    "a process of multiprocessing": (
        "import multiprocessing\n"
        "def main():\n"
        f"    c = spawnScatterGather(workers=2)\n    {CALLS}"
        "p = multiprocessing.get_context('fork').Process(target=main); p.start(); p.join()\n"
    ),
}

Done = dict[str, tuple[int, str, str, list[str]]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Of each script its exit status, what it printed and said, and the files that it has left."""
    folders = {name: tmp_path_factory.mktemp("script") for name in SCRIPTS}
    run = {
        name: subprocess.Popen(
            [sys.executable, "-P", "-c", BEGIN + script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folders[name],
        )
        for name, script in SCRIPTS.items()
    }
    return {name: _end(process, folders[name]) for name, process in run.items()}


def _end(process: subprocess.Popen[str], folder: Path) -> tuple[int, str, str, list[str]]:
    printed, said = process.communicate(timeout=60)
    return process.returncode, printed, said, sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", [name for name in SCRIPTS if not name.startswith("an ")])
def test_a_script_that_ends_with_something_pending_finishes_it(done: Done, name: str) -> None:
    status, printed, said, files = done[name]
    assert files == ["0", "1", "2", "3"]
    assert printed.count("wrote") == 4
    assert not [line for line in said.splitlines() if "waiting for" not in line]
    assert status == (3 if "exit" in name else 0)


def test_a_script_that_ends_by_an_exception_says_what_is_cancelled(done: Done) -> None:
    status, _, said, _ = done["an exception"]
    assert status == 1
    assert "ended by ZeroDivisionError; cancelled" in said.splitlines()[-1]


def test_whoever_interrupts_the_wait_for_threads_hears_what_that_cancels(done: Done) -> None:
    status, _, said, _ = done["an interrupt of the wait for threads"]
    assert status == 0
    assert "interrupted; cancelled 4 outstanding tasks" in said.splitlines()[-1]
