"""How this machine is: what works on it, and what is free."""

from __future__ import annotations

import os
import platform

KIB = 1 << 10


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


def free_memory() -> int:
    """Bytes that programs may still take without swapping, about; 0 where nobody says so."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found = dict(line.split(":", 1) for line in lines)
        return about(int(found["MemAvailable"].split()[0]) * KIB)
    except (OSError, LookupError, ValueError):
        return 0


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
