"""A kernel is killed, restarted or shut down: nothing is left, and the next one works at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.faults.traces import family_of
from tests.system.kernels import Kernel
from tests.waits import start_waiting

pytestmark = pytest.mark.system

FAMILY = """
from tests.system.faults.victims import with_family
from scattergather import spawnScatterGather
c = with_family()
"""
WORKS = "c = spawnScatterGather(workers=2); c.submit(pow, 2, 3).result()"


@pytest.fixture
def kernel(scene) -> Iterator[Kernel]:
    made = Kernel()
    scene.spared |= family_of(made.manager.provisioner.pid)
    yield made
    made.stop()


def test_a_killed_kernel_leaves_nothing_while_a_cell_waits(scene, kernel, tmp_path):
    kernel.run(FAMILY)
    start_waiting(kernel, "c.waitForResult()", tmp_path / "told")
    kernel.manager.shutdown_kernel(now=True)
    scene.clears()


def test_a_restarted_kernel_has_left_nothing_and_works_at_once(scene, kernel):
    kernel.run(FAMILY)
    kernel.restart()
    scene.spared |= family_of(kernel.manager.provisioner.pid)
    scene.clears()
    cell = kernel.run("from scattergather import spawnScatterGather\n" + WORKS)
    assert "8" in kernel.text(cell)


def test_an_interrupted_and_shut_down_kernel_leaves_nothing(scene, kernel, tmp_path):
    kernel.run(FAMILY)
    cell = start_waiting(kernel, "c.waitForResult()", tmp_path / "told")
    kernel.manager.interrupt_kernel()
    kernel.listen(10, lambda: "It goes on" in kernel.text(cell))
    assert "8" in kernel.text(
        kernel.run("d = spawnScatterGather(workers=1)\nd.submit(pow, 2, 3).result()")
    )
    kernel.manager.shutdown_kernel(now=False)
    scene.clears()
