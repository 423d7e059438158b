"""How a machine is: what the kernel says of it, and what its container says."""

from __future__ import annotations

from pathlib import Path

import pytest

from scattergather.machine import vitals

MEMINFO = "MemTotal:       32000000 kB\nMemAvailable:   16000000 kB\nHugePages_Total:       0\n"


def container(folder: Path, limit: str, version: int) -> Path:
    """Where the kernel shows a container that has 3 GB, of which 1 GB is files nobody uses."""
    inner = folder if version == 2 else folder / "memory"
    names = ("memory.max", "memory.current") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes"
    )  # fmt: skip
    inner.mkdir(exist_ok=True)
    idle = "inactive_file" if version == 2 else "total_inactive_file"
    for name, text in zip(names, (limit, "3000000000"), strict=True):
        (inner / name).write_text(text + "\n")
    (inner / "memory.stat").write_text(f"anon 5\n{idle} 1000000000\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_free_is_what_the_container_may_still_take(tmp_path, version) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(MEMINFO)
    assert vitals.free_memory(meminfo, tmp_path / "none") == 16_000_000_000
    groups = container(tmp_path, "5000000000", version)
    assert vitals.free_memory(meminfo, groups) == 3_000_000_000
    groups = container(tmp_path, "1000000000", version)
    assert vitals.free_memory(meminfo, groups) == 0
    groups = container(tmp_path, "max" if version == 2 else "9223372036854771712", version)
    assert vitals.free_memory(meminfo, groups) == 16_000_000_000


def test_where_nobody_says_so_nothing_is_known(tmp_path) -> None:
    assert vitals.free_memory(tmp_path / "none", tmp_path) == 0
    assert vitals.free_disk(str(tmp_path / "none")) == 0


@pytest.mark.parametrize(
    ("size", "shown"), [(0, 0), (7, 7), (99, 99), (123, 120), (16_384_999, 16_000_000)]
)
def test_a_size_is_told_by_its_first_two_digits(size, shown) -> None:
    assert vitals.about(size) == shown
