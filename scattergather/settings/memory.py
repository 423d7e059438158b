"""How much memory large values may take on this host."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from scattergather.errors import BadRequest
from scattergather.model.numeric import is_real
from scattergather.model.quoting import quoted

SHARE = 4
"""A quarter of what there is, unless somebody says otherwise."""

LEAST = 1 << 20
MOST = 1 << 53

_CGROUP = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)


def read_size(text: Any, name: str = "memory", least: int = LEAST) -> int:
    """Bytes, from a number or from text such as ``8G`` or ``512 MB`` (units of 1024).

    Raises:
        BadRequest: it is neither, or less than ``least``, or more than 8 petabytes; it is told by
            its ``name``.
    """
    size = None
    if is_real(text) and -MOST <= text <= MOST:
        size = int(text)
    elif isinstance(text, str) and (found := _SIZE.fullmatch(text)):
        size = int(min(float(found[1]) * _UNITS[found[2].upper()], 2.0 * MOST))
    if size is None or not least <= size <= MOST:
        raise BadRequest(
            f"{name} must be a number of bytes, from {least:,} to {MOST:,}, or text like '8G', "
            f"not {quoted(text)}"
        )
    return size


def default_size() -> int:
    """A quarter of this machine's memory, or of what its container may use."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP:
        try:
            total = min(total, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            pass  # another kind of system, or "max"
    return max(LEAST, total // SHARE)
