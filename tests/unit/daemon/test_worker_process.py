from __future__ import annotations

import os

import pytest

from scattergather.workers.daemon.process import WorkerProcess
from scattergather.workers.process.surroundings.capture import OutputFile


def test_where_no_output_file_can_be_had_nothing_else_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left() -> OutputFile:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(OutputFile, "create", none_left)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(OSError, match="Too many"):
            WorkerProcess(None, 1, print, print)  # type: ignore[arg-type]
    assert os.listdir("/proc/self/fd") == before
