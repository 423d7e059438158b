"""The worker's own descriptors, out of the way of what tasks do to descriptors.

Tasks that close "all" descriptors usually stop at 256. Who puts another file in the place of one of
ours makes the worker write into that, or read a wrong argument from it: so what each is was noted.
"""

from __future__ import annotations

import fcntl
import os
import resource

HIGH = 512

_OURS: dict[int, tuple[int, int] | None] = {}
"""Which file each is, by device and number."""


def raised_descriptor(fd: int) -> int:
    """A close-on-exec copy of ``fd`` at ``HIGH`` or above, where limits allow; ``fd`` is closed."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(3, min(HIGH, limit - 16)))
    os.close(fd)
    _OURS[copy] = identity(copy)
    return copy


def close_raised(fd: int) -> None:
    """One is needed no more."""
    _OURS.pop(fd, None)
    os.close(fd)


def identity(fd: int) -> tuple[int, int] | None:
    """Which file a descriptor is, by device and number; None when it is none."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def all_ours(but: int) -> bool:
    """None of them was closed, or is another file now; of one somebody else makes sure."""
    return all(identity(fd) == known for fd, known in _OURS.copy().items() if fd != but)
