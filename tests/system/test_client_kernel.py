"""The client in a real kernel: which cell output goes to, the stop button, restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.pace import Promise
from tests.system.kernels import SPAWN, Kernel
from tests.system.process_driver import alive, eventually
from tests.waits import start_waiting

pytestmark = pytest.mark.system

GATED = """
import os, time
def until_it_is_there(path):
    while not os.path.exists(path):
        time.sleep(0.01)
job = c.addJob([(("{gate}",), {{}})] * 2, until_it_is_there)
"""


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.stop()


@pytest.mark.pythons
def test_cells_of_a_first_session(kernel):
    cell = kernel.run(SPAWN + "\nc.waitForResult()")
    assert "2 workers on 1 of 1 host" in kernel.text(cell)
    assert "text/html" in kernel.outputs[cell][-1]
    cell = kernel.run(
        "def f(x):\n    return 1 / x\njob = c.addJob([((n,), {}) for n in range(3)], f)\njob"
    )
    assert "job 1" in kernel.text(cell)
    cell = kernel.run("c.waitForResult()")
    shown = "\n".join(kernel.outputs[cell][-1]["traceback"])
    assert "1 of 3 tasks of job 1 failed" in shown
    assert "in f" in shown
    assert "scattergather/client" not in shown
    cell = kernel.run("def f(x):\n    return x\njob.retry(f); await job")
    assert "[0, 1.0, 0.5]" in kernel.text(cell)
    cell = kernel.run("async for i, r in c.addJob([((2,), {})], f).as_completed(): print(i, r)")
    assert "0 2" in kernel.text(cell)
    cell = kernel.run("c.command('die')")
    assert "controller stopped" in kernel.text(cell)


def test_output_goes_to_the_cell_that_added_the_job(kernel):
    kernel.run(SPAWN + "\nc.waitForResult()")
    adding = kernel.run(
        "import time\n"
        "def speak(n):\n    time.sleep(0.3)\n    print('hello', n)\n"
        "job = c.addJob([((n,), {}) for n in range(4)], speak)"
    )
    later = kernel.start("for _ in range(20): time.sleep(0.1)\nprint('later')")
    kernel.listen(20, lambda: "hello 3" in kernel.text(adding))
    kernel.listen(20, lambda: "later" in kernel.text(later))
    assert "hello" not in kernel.text(later)
    assert "[task 3 of job 1] hello 3" in kernel.text(adding)


@pytest.mark.pythons
def test_the_stop_button_ends_the_waiting_only(kernel, tmp_path):
    gate = tmp_path / "gate"
    kernel.run(SPAWN + GATED.format(gate=gate))
    waiting = start_waiting(kernel, "c.waitForResult()", tmp_path / "told")
    kernel.manager.interrupt_kernel()
    kernel.listen(1, lambda: "It goes on" in kernel.text(waiting))
    iterating = start_waiting(kernel, "for r in job: print(r)", tmp_path / "iterating")
    kernel.manager.interrupt_kernel()
    kernel.listen(1, lambda: "job.results() has all of it" in kernel.text(iterating))
    for cell, code in (waiting, "c.waitForResult()"), (iterating, "for r in job"):
        (error,) = kernel.outputs[cell]
        assert error["ename"] == "KeyboardInterrupt"
        shown = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
        assert code in shown
        assert "scattergather/client" not in shown
    cell = kernel.run("c.waitForResult()")
    assert "job 1 was iterated and goes on" in kernel.text(cell)
    gate.touch()
    cell = kernel.run("job.results()")
    assert "[None, None]" in kernel.text(cell)


@pytest.mark.pythons
def test_the_stop_button_ends_an_await_and_leaves_what_was_awaited(kernel, tmp_path):
    gate = tmp_path / "gate"
    kernel.run(SPAWN + GATED.format(gate=gate))
    kernel.run("import asyncio, concurrent.futures as cf; f = c.submit(len, 'ab'); f.result()")
    kernel.run(f"f = c.submit(until_it_is_there, {str(gate)!r})")
    awaited, main_waits = "waits.is_awaited(job)", "f._entered and waits.main_waits_elsewhere()"
    for number, (code, condition) in enumerate(
        [
            ("await job", awaited),
            ("async for r in job.as_completed(): pass", awaited),
            ("await f", "f._done_callbacks"),
            ("await asyncio.gather(f)", "f._done_callbacks"),
            ("cf.wait([f])", main_waits),
            ("for _ in cf.as_completed([f]): pass", main_waits),
        ]
    ):
        kernel.run("f._done_callbacks.clear(); f._entered.clear()")
        waiting = start_waiting(kernel, code, tmp_path / f"told {number}", condition)
        kernel.manager.interrupt_kernel()
        kernel.listen(3, lambda waiting=waiting: "stopped waiting for" in kernel.text(waiting))
        (error,) = kernel.outputs[waiting]
        assert error["ename"] == ("KeyboardInterrupt" if "cf" in code else "CancelledError")
        shown = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
        assert code in shown
        assert "File " not in shown
    gate.touch()
    cell = kernel.run("job.results(), await f")
    assert "([None, None], None)" in kernel.text(cell)


@pytest.mark.pythons
def test_a_cell_that_is_run_again_after_a_stop_gives_what_its_new_function_returns(
    kernel, tmp_path
):
    kernel.run(SPAWN + "\nimport time")
    code = "job = c.addJob([((0.1,), {{}})] * 20, lambda s: time.sleep(s) or {word!r}{more})\n"

    def stopped(word: str, cell_id: str) -> str:
        told = tmp_path / word
        kernel.run(
            f"waits.touch_when(lambda: waits.main_waits(), {str(told)!r})"
            if list(tmp_path.iterdir())
            else "import sys; sys.path.append('.')\nfrom tests import waits\n"
            f"waits.touch_when(lambda: waits.main_waits(), {str(told)!r})"
        )
        cell = kernel.start(code.format(word=word, more="") + "c.waitForResult()[:1]", cell_id)
        eventually(told.exists, 20)
        kernel.manager.interrupt_kernel()
        kernel.listen(3, lambda: "It goes on" in kernel.text(cell))
        return cell

    stopped("old", "cell")
    cell = kernel.run(code.format(word="new", more="") + "c.waitForResult()[:1]", cell_id="cell")
    assert "['new']" in kernel.text(cell)
    assert "job 1 (" in kernel.text(cell)
    assert "was cancelled; addJob(..., supersede=False) keeps" in kernel.text(cell)

    stopped("kept", "other")
    more = ", supersede=False"
    cell = kernel.run(
        code.format(word="newer", more=more) + "c.waitForResult()[:1]", cell_id="other"
    )
    assert "['kept']" in kernel.text(cell)
    assert "waitForResult() returns job 3, the oldest" in kernel.text(cell)

    kernel.run(code.format(word="failed", more="") + "1 / 0", cell_id="third")
    cell = kernel.run(code.format(word="newest", more=""), cell_id="third")
    assert "job 5 (" in kernel.text(cell)
    cell = kernel.run("[c.waitForResult()[0] for _ in range(2)]")
    assert "['newer', 'newest']" in kernel.text(cell)


def test_a_bar_comes_when_a_wait_lasts_and_what_was_displayed_moves(kernel):
    kernel.run(SPAWN + "\nimport time")
    shown = kernel.run("job = c.addJob([((0.7,), {})] * 8, time.sleep); job")
    assert " 0/8" in kernel.text(shown)
    waiting = kernel.start("r = job.results()")
    kernel.listen(30, lambda: " left" in kernel.text(waiting))
    (bar,) = kernel.outputs[waiting]
    assert " left" in bar["text/html"]
    kernel.listen(30, lambda: " left" in kernel.text(shown))
    kernel.listen(30, lambda: waiting not in kernel._busy)
    for cell in (shown, waiting):
        (bundle,) = kernel.outputs[cell]
        assert bundle["text/plain"].endswith(" 8/8")
    awaiting = kernel.run(
        "c.addJob([((2.5,), {})], time.sleep); await c.addJob([((2.5,), {})], time.sleep)"
    )
    assert "job 3" in kernel.text(awaiting)
    calls = kernel.run("[f.result() for f in [c.submit(time.sleep, 0.8) for _ in range(6)]]")
    bar, _ = kernel.outputs[calls]
    assert bar["text/plain"] == "sleep  " + "━" * 20 + "  6/6"


def test_a_graceful_restart_is_quick_and_leaves_nothing(kernel):
    kernel.run(SPAWN + "\nc.addJob([((60,), {})] * 4, __import__('time').sleep); c.poll()")
    ours = kernel.children()
    assert ours
    # 0.3 s on an idle machine. A zombie child keeps it waiting, until it is killed after half of
    # the time that it is given.
    kernel.manager.shutdown_wait_time = 40.0
    promise = Promise(2.5)
    kernel.manager.shutdown_kernel(now=False)
    assert not promise.broken()
    eventually(lambda: not any(alive(each.pid) for each in ours), 2)


def test_a_killed_kernel_takes_its_controller_along(kernel):
    kernel.run(SPAWN + "\nc.addJob([((60,), {})] * 4, __import__('time').sleep); c.poll()")
    ours = kernel.children()
    kernel.manager.shutdown_kernel(now=True)
    eventually(lambda: not any(alive(each.pid) for each in ours), 2)


def test_running_the_spawn_cell_again_ends_the_controller_before(kernel):
    kernel.run(SPAWN + "\nc.waitForResult()")
    before = {child.pid for child in kernel.children()}
    kernel.run(SPAWN + "\nimport gc; c.waitForResult()")

    def ended():
        kernel.run("r = gc.collect()")  # a thread of the client may have held it the last time
        return not before & {child.pid for child in kernel.children()}

    eventually(ended, 5)
    assert "8" in kernel.text(kernel.run("c.submit(pow, 2, 3).result()"))
