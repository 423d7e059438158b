"""Ctrl-C at any moment of spawning, adding and waiting leaves nothing, and breaks nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.system.faults.ledger import LONG
from tests.system.faults.traces import ROOT

pytestmark = pytest.mark.system

SEEDS, ROUNDS = (range(1, 11), 100) if LONG else ((1,), 16)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_interrupts_at_any_moment_leave_nothing(scene, seed):
    command = [sys.executable, "-m", "tests.system.faults.interrupted", str(seed), str(ROUNDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    for doing in ("spawning", "adding", "waiting"):
        assert doing in done.stdout
    scene.clears()
