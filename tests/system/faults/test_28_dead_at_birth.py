"""Scenario 28: workers die before they are ready."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scattergather.client.client import ScatterGather
from scattergather.workers.pool.losses.restarts import MOST
from tests.conftest import calls
from tests.system.faults.ledger import LONG
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
WORKERS = 2

SICK = """
import os
def born(generation=[0]):
    generation[0] += 1
    if generation[0] == {generation} and os.path.exists({sick!r}):
        book = os.open({book!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(book, b"x")
        print("no module named anything", flush=True)
        os._exit(3)
os.register_at_fork(after_in_child=born)
"""
"""Loaded by every interpreter. From the root zygote, which is executed, generation 1 is a session
zygote and generation 2 a worker."""


@pytest.fixture
def sick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """While this file exists whoever is forked in that generation dies at once; see ``tried``."""

    def make(generation: int) -> Path:
        told = tmp_path / "sick"
        source = SICK.format(generation=generation, sick=str(told), book=str(tmp_path / "book"))
        (tmp_path / "sitecustomize.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
        return told

    return make


def why(c: ScatterGather) -> str:
    return str(c.command("status").hosts[0].why)


def test_a_few_are_tried_the_reason_is_told_and_a_refresh_tries_again(spawn, sick, tmp_path):
    told = sick(2)
    c = spawn(workers=WORKERS)
    (zygote,) = set(c.run_everywhere(os.getppid).values())
    told.touch()
    for worker in psutil.Process(zygote).children():
        worker.kill()
    eventually(lambda: "workers in a row died before they were ready" in why(c))
    reason = why(c)
    assert "the last with exit status 3" in reason
    assert "the next is tried in 10 s" in reason
    job = c.addJob(calls(-1, -2), abs)
    told.unlink()
    c.command("refresh")
    assert job.results(timeout=10) == [1, 2]
    # The last of them may have died after it was told.
    assert len((tmp_path / "book").read_bytes()) <= WORKERS + MOST
    eventually(lambda: why(c) == "")


@pytest.mark.skipif(not LONG, reason="waits for the pause to end; SCATTERGATHER_CHAOS=1")
@pytest.mark.parametrize(("generation", "how"), [(2, "exit status 3"), (1, "SIGKILL")])
def test_from_the_beginning_too_and_all_is_well_when_the_cause_is_gone(
    spawn, sick, tmp_path, generation, how
):
    told = sick(generation)
    told.touch()
    c = spawn(workers=WORKERS)
    job = c.addJob(calls(-1, -2), abs)
    eventually(lambda: how in why(c))
    tried = len((tmp_path / "book").read_bytes())
    assert tried <= WORKERS + MOST
    told.unlink()
    assert job.results(timeout=40) == [1, 2]
    assert len((tmp_path / "book").read_bytes()) <= tried + 1


def test_workers_that_are_killed_before_they_are_ready_do_not_degrade_a_session(spawn):
    # One of them is ready when a job is through; those of two rounds may be buried together, and
    # still are not ``MOST``.
    c = spawn(workers=1 + (MOST - 1) // 2)
    (zygote,) = set(c.run_everywhere(os.getppid).values())
    for _ in range(10):
        for worker in psutil.Process(zygote).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # of the last round, and buried now
                worker.kill()
        # Who was degraded would wait for the pause of 10 s.
        assert c.addJob(calls(-1, -2), abs).results(timeout=9) == [1, 2]
    assert why(c) == ""
