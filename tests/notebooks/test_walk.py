"""A user's cells on a real kernel: what works in which form, and what is shown."""

from __future__ import annotations

import re
import sys

import psutil
import pytest

from tests.pace import Promise
from tests.system.process_driver import eventually
from tests.waits import start_waiting

pytestmark = [pytest.mark.system, pytest.mark.pythons]

SPAWN = """
import asyncio, gc, os, time
from scattergather import spawnScatterGather
c = spawnScatterGather(workers=2)
c.waitForResult()
"""

FORMS = """
def function(x): return x + BASE
BASE = 10
def make(n):
    def inner(x): return x + n
    return inner
class Task:
    def __init__(self, n): self.n = n
    def __call__(self, x): return self.n + x
    def method(self, x): return self.n * x
    @staticmethod
    def static(x): return -x
    @classmethod
    def kind(cls, x): return cls.__name__ * x
task = Task(5)
def one(f): return c.addJob([([3], {})], f).results()[0]
"""


def text(traceback: str) -> str:
    """A traceback without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", traceback)


def test_every_form_of_function_runs(kernel):
    kernel.good(SPAWN + FORMS)
    kernel.good("c.push_code('def pushed(x): return x + OFFSET\\nOFFSET = 100')")
    forms = (
        "function, lambda x: x * BASE, make(7), task, task.method, Task.static, Task.kind, "
        "Task, 'pushed', abs"
    )
    shown = kernel.good(f"r = [one(f) for f in ({forms})]; r[7] = (type(r[7]) is Task, r[7].n); r")
    assert shown.value == "[13, 30, 10, 8, 15, -3, 'TaskTaskTask', (True, 3), 103, 3]"
    assert kernel.good("len(one('all_series')[0])").value == "50"
    assert kernel.good("await c.addJob([([1], {})], function)").value == "[11]"
    assert kernel.good("await asyncio.wrap_future(c.submit(function, 1))").value == "11"
    pairs = "async for i, r in c.addJob([([n], {}) for n in range(3)], abs).as_completed()"
    assert sorted(kernel.good(f"{pairs}: print(i, r)").stdout.split("\n")) == [
        "", "0 0", "1 1", "2 2",
    ]  # fmt: skip


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is Python 3.12's")
def test_cells_may_use_the_syntax_of_python_3_12(kernel):
    kernel.good(SPAWN)
    kernel.good(
        "type Rows[T] = list[T] | dict[str, Rows[T]]\n"
        "class Box[T: int | str]:\n"
        "    def __init__(self, item: T): self.item = item\n"
        "    def twice[R](self, make: 'Callable[[T], R]') -> 'Box[R]':\n"
        "        return Box[T](make(self.item) * 2)\n"
        "def pack[T, *Ts, **P](x: Rows[T], *rest: *Ts) -> Box[T]:\n"
        "    return Box(len(x)).twice(lambda item: item + len(rest))"
    )
    shown = kernel.good(
        "box = c.submit(pack, [1, 2, 3], 4, 5).result(); type(box) is Box, box.item"
    )
    assert shown.value == "(True, 10)"


def test_a_cell_that_is_edited_and_run_again_changes_later_jobs_only(kernel):
    kernel.good(SPAWN + "def f(x): return 'old'")
    kernel.good("c.addJob([([0.2], {})] * 2, time.sleep); old = c.addJob([([1], {})], f)")
    kernel.good("def f(x): return 'new'")
    kernel.good("new = c.addJob([([1], {})], f)")
    assert kernel.good("old.results() + new.results()").value == "['old', 'new']"


def test_an_error_shows_the_users_cell_and_one_sentence(kernel):
    kernel.good(SPAWN)
    for source, said in (
        ("c.command('refesh')", "UnknownName: unknown command 'refesh'; there are: refresh, die"),
        ("c.submit(abs, open('/dev/null'))", "CannotPickle: Cannot send args[0] (a _io.TextIO"),
        ("c.addJob({1: 2}, abs)", "BadRequest: tasks must be a list or another iterable"),
        ("c.waitForResult()", "NothingToWaitFor: no job is outstanding"),
    ):
        shown = text(kernel.run(source).traceback)
        assert said in shown
        assert source in shown
        assert "scattergather/" not in shown
        assert len(shown.splitlines()) < 10


def test_a_failed_task_shows_the_line_of_the_cell_that_raised(kernel):
    kernel.good(SPAWN + "def bad(x):\n    return 10 / (x - 3)")
    kernel.good("job = c.addJob([([n], {}) for n in range(6)], bad)")
    reply = kernel.run("c.waitForResult()")
    assert reply.error == "JobFailed"
    assert "\x1b[" in reply.traceback
    shown = text(reply.traceback)
    for line in (
        "c.waitForResult()",
        "1 of 6 tasks of job 1 failed",
        ", in bad\n    return 10 / (x - 3)",
        "args [3]",
    ):
        assert line in shown
    assert shown.count("Cell In[") == 2
    assert "scattergather/" not in shown
    shown = text(kernel.run("c.submit(bad, 3).result()").traceback)
    assert "    return 10 / (x - 3)" in shown
    assert shown.splitlines()[-1].startswith("[scattergather] call ")


def test_a_bar_moves_in_the_cell_that_waits_and_ends_full(kernel):
    kernel.good(SPAWN + "job = c.addJob([([0.1], {})] * 8, time.sleep)")
    reply = kernel.good("r = job.results(progress=True)")
    (bar,) = reply.shown
    assert "8/8" in bar["text/plain"]
    assert "<progress value='8' max='8'>" in bar["text/html"]
    assert reply.stderr == ""


def test_the_stop_button_leaves_the_cell_one_sentence_and_the_job(kernel, tmp_path):
    kernel.good(SPAWN + "job = c.addJob([([600], {})] * 200, time.sleep)")
    waiting = start_waiting(kernel, "c.waitForResult(progress=True)", tmp_path / "told")
    promise = Promise(1)
    kernel.interrupt()
    reply = kernel.finish(waiting)
    assert not promise.broken()
    assert reply.error == "KeyboardInterrupt"
    shown = text(reply.traceback)
    assert "----> 1 c.waitForResult(progress=True)" in shown
    assert "scattergather/client" not in shown
    assert re.search(
        r"\nKeyboardInterrupt: stopped waiting for job 1 \(\d+/200\)\. It goes on; "
        r"c\.waitForResult\(\) waits again, job\.cancel\(\) stops it\.$",
        shown,
    )
    assert kernel.good("job.done()").value == "False"
    kernel.good("job.cancel(); r = c.waitForResult(errors='return'); len(r)")
    assert kernel.good("c.submit(abs, -1).result()").value == "1"


def test_with_and_garbage_end_the_controller(kernel):
    children = psutil.Process(kernel.pid).children
    kernel.good(SPAWN)
    (controller,) = children()
    kernel.good("del c")

    def ended():
        kernel.good("r = gc.collect()")  # a thread of the client may have held it the last time
        return not controller.is_running()

    eventually(ended, 5)
    reply = kernel.good(
        "with spawnScatterGather(workers=1) as d:\n"
        "    job = d.addJob([([n], {}) for n in range(5)], abs)\n"
        "job.results(), d"
    )
    assert reply.value == "([0, 1, 2, 3, 4], <ScatterGather: closed>)"
    eventually(lambda: children() == [], 2)
