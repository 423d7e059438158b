from __future__ import annotations

import pytest

from scattergather.machine import kernel


def test_a_barrier_is_had_from_the_system_and_reaches_who_heeds_it() -> None:
    kernel.heed_barriers()
    kernel.barrier()
    assert kernel._libc.syscall(kernel._MEMBARRIER, kernel._GLOBAL_EXPEDITED, 0, 0) == 0


def test_where_the_system_has_none_a_pause_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr(kernel.time, "sleep", paused.append)
    monkeypatch.setattr(kernel, "_MEMBARRIER", None)
    kernel.heed_barriers()
    kernel.barrier()
    monkeypatch.setattr(kernel, "_MEMBARRIER", 1 << 20)  # no such call: ENOSYS
    kernel.barrier()
    assert paused == [kernel._SETTLED_SECONDS] * 2
