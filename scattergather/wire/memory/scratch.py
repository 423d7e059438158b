"""Where files without a name go: what finds no room in memory, and what tasks write there.

Such a file is gone with the last process that holds it, however that ends. One folder serves a
process, and those that it starts: ``TMPDIR``, else ``/var/tmp``, which is on a disk where ``/tmp``
need not be.
"""

from __future__ import annotations

import os
import tempfile

from scattergather.wire.memory.owned import Descriptor, own

PLAIN = "/var/tmp"
"""Where they go unless somebody says otherwise."""

SPARED = 0.05
"""The part of a disk that is left to others,"""

MOST_SPARED = 10 << 30
"""and how many bytes at most: a large disk is often nearly full, and has room all the same."""

_named = ""


def use(folder: str) -> None:
    """Files without a name go to this folder from now on; empty: to the usual one."""
    global _named
    _named = folder


def folder() -> str:
    """The folder where they go."""
    if _named:
        return _named
    usual = os.environ.get("TMPDIR") or PLAIN
    return usual if os.path.isdir(usual) else tempfile.gettempdir()


def create() -> Descriptor:
    """An empty file without a name, to be written and read.

    Raises:
        OSError: there can be none; it names the folder.
    """
    where = folder()
    try:
        with tempfile.TemporaryFile(prefix="scattergather-", dir=where, buffering=0) as file:
            return own(os.dup, file.fileno())
    except OSError as error:
        raise type(error)(error.errno, error.strerror, where) from error


def occupy(fd: int, offset: int, size: int) -> None:
    """So much of a disk is ours, for a file of it, and a part of it is left to others.

    Raises:
        OSError: it has no room for both.
    """
    disk = os.fstatvfs(fd)
    spared = min(int(SPARED * disk.f_blocks * disk.f_frsize), MOST_SPARED)
    if disk.f_bavail * disk.f_frsize - size < spared:
        raise OSError(f"{spared:,} bytes of the disk of {folder()} are left to others")
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, size)


def of_memory(where: str) -> str:
    """The kind of file system if what is written to this folder takes memory; else empty."""
    try:
        device = os.stat(where).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                head, _, tail = line.partition(" - ")
                if head.split()[2] == f"{os.major(device)}:{os.minor(device)}":
                    kind = tail.split()[0]
                    return kind if kind in ("tmpfs", "ramfs") else ""
    except (OSError, LookupError):
        pass
    return ""


def unfit(where: str) -> str:
    """Why no files can be written to this folder; empty if they can."""
    if not os.path.isdir(where):
        return "there is no such folder"
    try:
        tempfile.TemporaryFile(dir=where, buffering=0).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
