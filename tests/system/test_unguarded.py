"""Modules that start a cluster when they are imported: no worker does, and it says why."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scattergather import errors, spawnScatterGather
from tests.conftest import calls
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system

SPAWN = "from scattergather import spawnScatterGather as spawn\nstart = lambda: spawn(workers=1)\n"
KEEP = "except Exception as error: open(__file__ + '.said', 'w').write(str(error))\n"
WAYS = {
    "at once": "start()",
    "in a function": "def run():\n    start()\nrun()",
    "in a class": (
        "class Starts:\n    def __init_subclass__(cls):\n        start()\n\nclass One(Starts): pass"
    ),
    "in another module": "import importlib\nimportlib.import_module('at_once')",
    "on a thread": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as threads: threads.submit(start).result()"
    ),
    "in a coroutine": "import asyncio\nasync def run():\n    start()\nasyncio.run(run())",
}
RUN = f"def run():\n    time.sleep(0.05)\n    try: start()\n    {KEEP}"
LATER = {
    "on a thread that outlives the import": (
        f"import threading, time\n{RUN}threading.Thread(target=run, daemon=True).start()"
    ),
    "in a forked process": (
        f"import multiprocessing, time\n{RUN}"
        "child = multiprocessing.get_context('fork').Process(target=run)\nchild.start()\n"
        "child.join()"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for way, source in (WAYS | LATER).items():
        name = way.replace(" ", "_")
        (tmp_path / f"{name}.py").write_text(f"{SPAWN}{source}\nclass Thing: pass\n")
    return tmp_path


@as_in_a_notebook
def imports(folder: str, module: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.import_module(module)


def check(said: str, module: str) -> None:
    assert f"a worker while it loaded the module {module} " in said
    assert '`if __name__ == "__main__":`' in said


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_imports_one_is_refused_where_it_is_started(c, folder, way) -> None:
    name = way.replace(" ", "_")
    job = c.addJob([((str(folder), name), {})], imports, retries=0)
    (error,) = job.results(errors="return")
    assert isinstance(error, errors.BadRequest)
    check(str(error), "at_once" if way == "in another module" else name)


@pytest.mark.parametrize("way", LATER)
def test_what_an_import_began_may_not_start_one_later(c, folder: Path, way: str) -> None:
    name = way.replace(" ", "_")
    c.addJob([((str(folder), name), {})], imports, retries=0).results()
    said = folder / f"{name}.py.said"
    eventually(lambda: said.exists() and said.read_text())
    check(said.read_text(), name)


def test_an_argument_whose_module_starts_one_is_refused(c, folder: Path) -> None:
    @as_in_a_notebook
    def loads() -> Any:
        sys.path.insert(0, str(folder))
        return pickle.loads(b"cat_once\nThing\n.")

    (error,) = c.addJob([((), {})], loads, retries=0).results(errors="return")
    check(str(error), "at_once")


def test_pushed_source_that_starts_one_is_refused(c) -> None:
    c.push_code(f"{SPAWN}start()")
    try:
        (error,) = c.addJob(calls(-1), as_in_a_notebook(lambda x: -x), retries=0).results(
            errors="return"
        )
        assert '`if __name__ == "__main__":`' in str(error)
    finally:
        c.push_code("")


def test_the_body_of_a_task_may_start_one(c) -> None:
    @as_in_a_notebook
    def task() -> int:
        with spawnScatterGather(workers=1) as own:
            return int(own.submit(abs, -1).result(timeout=10))

    assert c.submit(task).result(timeout=20) == 1


def test_a_service_that_starts_one_is_not_available(folder: Path) -> None:
    source = (
        "from scattergather.machine import loading\n"
        "from scattergather.workers.process.surroundings.registry import Services\n"
        "loading.become(loading.Role.ZYGOTE)\n"
        "print(*Services().load(['one=at_once:Thing']))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}
    said = subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
    )
    assert "The service 'one' is not available" in said.stdout
    assert "a zygote while it loaded the module at_once " in said.stdout


SITE = """
import os
with open(__file__ + ".loaded", "a+") as loaded:
    loaded.write(f"{os.getpid()}\\n")
    loaded.seek(0)
    if len(loaded.readlines()) < 5:  # or there would be more and more of them
        from scattergather import spawnScatterGather
        c = spawnScatterGather(workers=1, logFile=__file__ + ".log")
"""


def test_what_every_python_loads_before_its_program_begins_may_start_one_and_no_more(
    tmp_path: Path,
) -> None:
    """A controller, and its zygote, are Python, too."""
    site = tmp_path / "sitecustomize.py"
    site.write_text(SITE)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    script = "import sitecustomize; print(sitecustomize.c.submit(abs, -1).result(20))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
    log = (tmp_path / "sitecustomize.py.log").read_text()
    for who in ("controller", "zygote"):
        assert f"in a {who} while it loaded the module sitecustomize " in log
    assert len((tmp_path / "sitecustomize.py.loaded").read_text().splitlines()) == 3
