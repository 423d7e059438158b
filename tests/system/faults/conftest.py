"""The scene of a fault test; see also ``tests/system/conftest.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.faults.traces import Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """What is here now; the temporary directory is the test's own from now on."""
    made = Scene(tmp_path)
    monkeypatch.setenv("TMPDIR", str(made.temporary))
    monkeypatch.setenv("FAMILY", str(tmp_path))
    return made
