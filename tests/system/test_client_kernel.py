"""The client in a real kernel: which cell output goes to, the stop button, restarts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


class Kernel:
    """A kernel whose messages are sorted by the cell that owns them."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(ROOT))
        self._connect()

    def _connect(self) -> None:
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)
        self.outputs: dict[str, list[Any]] = defaultdict(list)
        self._busy: set[str] = set()

    def start(self, code: str) -> str:
        """Run a cell; returns its id without waiting."""
        cell = self.client.execute(code, stop_on_error=False)
        self._busy.add(cell)
        return cell

    def run(self, code: str, timeout: float = 30) -> str:
        """Run a cell to its end."""
        cell = self.start(code)
        self.listen(timeout, lambda: cell not in self._busy)
        return cell

    def listen(self, timeout: float, enough: Any) -> None:
        end = time.monotonic() + timeout
        while not enough():
            assert time.monotonic() < end, dict(self.outputs)
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except Exception:
                continue
            cell = message["parent_header"].get("msg_id", "")
            content = message["content"]
            match message["msg_type"]:
                case "status":
                    if content["execution_state"] == "idle":
                        self._busy.discard(cell)
                case "stream":
                    self.outputs[cell].append(content["text"])
                case "execute_result" | "display_data" | "update_display_data":
                    self.outputs[cell].append(content["data"])
                case "error":
                    self.outputs[cell].append(content)

    def text(self, cell: str) -> str:
        """All that a cell shows, as text."""
        return "\n".join(str(output) for output in self.outputs[cell])

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.manager.provisioner.pid).children(recursive=True)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.stop()


SPAWN = "from scattergather import spawnScatterGather\nc = spawnScatterGather(workers=2)"


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


def test_the_stop_button_ends_the_waiting_only(kernel):
    kernel.run(SPAWN + "\nimport time\njob = c.addJob([((3,), {})] * 2, time.sleep)")
    waiting = kernel.start("c.waitForResult()")
    time.sleep(1)
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    kernel.listen(10, lambda: "It goes on" in kernel.text(waiting))
    assert time.monotonic() - began < 1
    cell = kernel.run("c.waitForResult()")
    assert "[None, None]" in kernel.text(cell)


def test_an_interrupted_await_leaves_the_job(kernel):
    kernel.run(SPAWN + "\nimport time\njob = c.addJob([((3,), {})] * 2, time.sleep)")
    kernel.start("await job")
    time.sleep(1)
    kernel.manager.interrupt_kernel()
    cell = kernel.run("await job")
    assert "[None, None]" in kernel.text(cell)


def test_a_bar_is_shown_in_the_cell_that_waits(kernel):
    kernel.run(SPAWN + "\nimport time\njob = c.addJob([((0.2,), {})] * 6, time.sleep)")
    cell = kernel.run("r = job.results(progress=True)")
    assert "job 1" in kernel.text(cell)


def test_a_graceful_restart_is_quick_and_leaves_nothing(kernel):
    kernel.run(SPAWN + "\nc.addJob([((60,), {})] * 4, __import__('time').sleep); c.poll()")
    ours = kernel.children()
    assert ours
    began = time.monotonic()
    kernel.manager.shutdown_kernel(now=False)
    took = time.monotonic() - began
    _, alive = psutil.wait_procs(ours, timeout=2)
    assert not alive
    assert took < 1.5  # 0.3 on an idle machine; with a zombie child it is 2.6


def test_a_killed_kernel_takes_its_controller_along(kernel):
    kernel.run(SPAWN + "\nc.addJob([((60,), {})] * 4, __import__('time').sleep); c.poll()")
    ours = kernel.children()
    kernel.manager.shutdown_kernel(now=True)
    _, alive = psutil.wait_procs(ours, timeout=3)
    assert not alive


def test_running_the_spawn_cell_again_ends_the_controller_before(kernel):
    kernel.run(SPAWN + "\nc.waitForResult()")
    before = {child.pid for child in kernel.children()}
    kernel.run(SPAWN + "\nimport gc; gc.collect(); c.waitForResult()")
    end = time.monotonic() + 5
    while before & {child.pid for child in kernel.children()}:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "8" in kernel.text(kernel.run("c.submit(pow, 2, 3).result()"))
