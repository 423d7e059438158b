"""Memory without a name that several processes of one host see.

A *slab* is a memfd; its descriptor goes to whoever reads it over a Unix socket. It has no name, so
nothing is left when everybody who holds it is gone, however they went. Where there is no memfd
(macOS) an unlinked temporary file does the same.

An :class:`Arena` is a process's own slabs, cut into extents. Its owner writes, once and before
anybody is told of the extent; others map it privately (:func:`private`), so what a task writes
there is its own. An extent may be used again only when nobody has a mapping of it: pages that were
not written to would change under it.

Writing into pages that were used before is faster than into fresh ones, so free extents stay warm,
up to a bound; beyond it their pages go back to the system.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import stat
from typing import Any

from scattergather.wire.memory import scratch
from scattergather.wire.memory.owned import Descriptor, own
from scattergather.wire.messages.shared import Extent

LARGE = 1 << 16
"""Bytes from which on a buffer or a blob travels beside its message."""

PAGE = mmap.ALLOCATIONGRANULARITY
WRITE_BYTES = 64 << 20

KIND = "SCATTERGATHER_SLABS"
"""In the environment: ``file`` for temporary files where memfds could be had."""

_SEALS = ("F_ADD_SEALS", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")
_KEEP_SIZE, _PUNCH_HOLE = 1, 2

_libc: Any = ctypes.CDLL(None, use_errno=True)

_fallocate = getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]


def whole_pages(size: int) -> int:
    """Bytes that an object of ``size`` takes."""
    return -(-max(size, 1) // PAGE) * PAGE


def in_memory() -> bool:
    """True where slabs are memfds, and not files."""
    return hasattr(os, "memfd_create") and os.environ.get(KIND) != "file"


def create(size: int, *, on_disk: bool = False) -> Descriptor:
    """A new slab, which nobody can shrink under a mapping.

    Raises:
        OSError: no descriptors, or no room, are left.
    """
    if in_memory() and not on_disk:
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        slab = own(os.memfd_create, "scattergather-slab", flags)
        slab.truncate(size)
        add, *seals = (getattr(fcntl, name) for name in _SEALS)
        fcntl.fcntl(slab, add, sum(seals))
        return slab
    file = scratch.create()
    file.truncate(size)
    return file


def holds(fd: int, size: int, *, on_disk: bool = False) -> bool:
    """True if a slab of somebody else has so many bytes, and can never have fewer.

    Of a file without a name nobody can say that. It is read by those whose tasks have made it.
    """
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size < size:
        return False
    if on_disk:
        return not facts.st_nlink
    if not in_memory():
        return True
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # it can have no seals
        return False


def punch(fd: int, offset: int, length: int) -> None:
    """Give the pages of a range back to the system; it reads as zeros."""
    if _fallocate is not None:
        _fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length)


def write(fd: int, offset: int, data: bytes | memoryview) -> None:
    """Copy ``data`` into a slab, whose pages need not be there; other threads run meanwhile.

    Raises:
        OSError: no memory is left.
    """
    view = memoryview(data).cast("B")
    while view:
        done = os.pwrite(fd, view[:WRITE_BYTES], offset)
        view, offset = view[done:], offset + done


def read(fd: int, extent: Extent) -> bytearray:
    """A copy of an extent, in memory of this process."""
    taken = bytearray(extent.length)
    view, offset = memoryview(taken), extent.offset
    while view:
        done = os.preadv(fd, [view[:WRITE_BYTES]], offset)
        view, offset = view[done:], offset + done
    return taken
