from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.system


@pytest.mark.parametrize("what", ["iterating", "adding", "submitting", "waiting"])
def test_a_hail_of_interrupts_does_no_harm_to(what):
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.client_storm", what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "interrupts" in done.stdout
