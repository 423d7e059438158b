"""Scenario 26: everything goes wrong for a while, and nothing is lost, doubled or left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.system.faults.ledger import LONG
from tests.system.faults.traces import ROOT

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.alone]

SECONDS = 60 if LONG else 30
SEED = 26
LONGEST = 120
"""Seconds that a soak may take beyond those that it is asked for: it ends by itself long before."""


@pytest.mark.timeout(SECONDS + 2 * LONGEST)
def test_a_soak_loses_doubles_and_leaves_nothing(scene):
    command = [sys.executable, "-m", "tests.system.faults.soak"]
    command += ["--seed", str(SEED), "--seconds", str(SECONDS)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=SECONDS + LONGEST)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    scene.clears()
