"""What the system tells of other processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("library", ["multiprocessing", "joblib.externals.loky.backend"])
def test_a_resource_tracker_is_known_and_nothing_else_taken_for_one(library: str) -> None:
    """In the moment in which it was started, too."""
    source = (
        f"from {library} import resource_tracker as library\n"
        "from scattergather.machine import proc\n"
        "import subprocess\n"
        "trackers = [library.ResourceTracker() for _ in range(3)]\n"
        "for tracker in trackers:\n"
        "    tracker.ensure_running()\n"
        "    assert proc.is_tracker(tracker._pid)\n"
        "assert proc.living_children() == []\n"
        "with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as other:\n"
        "    assert proc.living_children() == [other.pid]\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60, cwd=ROOT)
