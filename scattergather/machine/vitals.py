"""How this machine is: what works on it, and what is free."""

from __future__ import annotations

import os
import platform
from pathlib import Path

KIB = 1 << 10

MEMINFO = Path("/proc/meminfo")
GROUPS = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Files of a container, in both versions of control groups: its limit, what it has, and of that the
contents of files that nobody has used lately, which go when somebody needs memory."""


def system() -> str:
    """Which system it is: ``Linux 6.1 x86_64``."""
    release = ".".join(platform.release().split(".")[:2])
    return f"{platform.system()} {release} {platform.machine()}"


def load() -> float:
    """How many processes ran on average within a minute; 0.0 where nobody counts them."""
    try:
        return round(os.getloadavg()[0], 1)
    except OSError:
        return 0.0


def free_memory(meminfo: Path = MEMINFO, groups: Path = GROUPS) -> int:
    """Bytes that programs may still take without swapping, about; 0 where nobody says so.

    That is no more than what the container of this process may still take.
    """
    try:
        free = _numbers(meminfo)["MemAvailable:"] * KIB
    except (OSError, LookupError, ValueError):
        return 0
    for limit, used, stat, idle in _LIMITS:
        try:
            most, has = (int((groups / each).read_text()) for each in (limit, used))
            free = min(free, max(0, most - has + _numbers(groups / stat)[idle]))
        except (OSError, LookupError, ValueError):
            pass  # another version, or "max"
    return about(free)


def _numbers(path: Path) -> dict[str, int]:
    """The number that follows each name."""
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    return {words[0]: int(words[1]) for words in lines}


def free_disk(folder: str) -> int:
    """Bytes that may still be written to this folder, about; 0 where nobody says so."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return 0
    return about(disk.f_bavail * disk.f_frsize)


def about(size: int) -> int:
    """Its first two digits: what changes less is not worth a word."""
    unit: int = 10 ** max(0, len(str(size)) - 2)
    return size // unit * unit
