"""Files without a name that tasks write, and ranges of such files that others read.

A file is an object like others (``Extent.file``), but it is read and not mapped: it may be larger
than any memory. One descriptor holds many: a file is a range of a slab on the disk, and large ones
are slabs of their own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from scattergather.wire.memory import scratch
from scattergather.wire.memory.owned import Descriptor, own
from scattergather.wire.messages.shared import Extent

BLOCK = 1 << 20
"""Bytes that are in memory at a time while a file is copied."""


BUFFER = 1 << 16
"""Bytes that a reader has in memory."""


class CreatedFile(io.BufferedRandom):
    """A binary file without a name, to be written and read; it is gone when nobody has it.

    As the result of a task of a job with ``keep=True`` it stays on its host, whether or not the
    task has closed it.

    Raises:
        OSError: there can be none; it names the folder.
    """

    def __init__(self) -> None:
        super().__init__(scratch.create())
        self._left: Descriptor | None = None

    def close(self) -> None:
        """Nothing more is written here; the result of a task is still all that was."""
        if not self.closed:
            self._left = own(os.dup, self.fileno())
        super().close()

    def descriptor(self) -> int:
        """That of all that was written, good as long as this lives."""
        if self._left is not None:
            return self._left.fileno()
        self.flush()
        return self.fileno()

    def blocks(self) -> Iterator[bytes]:
        """All that was written, from the beginning."""
        fd, at = self.descriptor(), 0
        while block := os.pread(fd, BLOCK, at):
            yield block
            at += len(block)

    def drop(self) -> None:
        """It is closed, and this has nothing of it any more."""
        self.close()
        self._left = None


class FileRange(io.RawIOBase):
    """A range of a file, with a position of its own.

    Args:
        file: the whole, which others may read as well: each read here says where it begins.
        extent: the range.
        keeps: lives as long as this.
    """

    def __init__(self, file: Descriptor, extent: Extent, keeps: object = None) -> None:
        self._file = file
        self._own: Descriptor | None = None
        self._start, self._length = extent.offset, extent.length
        self._keeps: Any = keeps
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position in the range."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The position is another one; returns it."""
        self._check_open()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Bytes are read into a buffer; returns how many."""
        self._check_open()
        room = memoryview(buffer).cast("B")[: max(0, self._length - self._at)]
        if not room:
            return 0
        count = os.preadv(self._file.fileno(), [room], self._start + self._at)
        self._at += count
        return count

    def fileno(self) -> int:
        """A descriptor that nobody else has, where the range is all of the file.

        Raises:
            io.UnsupportedOperation: it is not: whoever used the descriptor would read others.
        """
        self._check_open()
        if self._start or os.fstat(self._file.fileno()).st_size != self._length:
            raise io.UnsupportedOperation("this file shares its descriptor with others")
        if self._own is None:
            self._own = reopened(self._file.fileno())
        return self._own.fileno()

    def close(self) -> None:
        """Nothing more is read here."""
        super().close()
        self._own = self._keeps = None

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file: a task has its files while it runs")


def opened(file: Descriptor, extent: Extent, keeps: object = None) -> io.BufferedReader:
    """The object as a binary file, for reading; it keeps ``file`` and ``keeps``."""
    return io.BufferedReader(FileRange(file, extent, keeps), BUFFER)


def reopened(fd: int) -> Descriptor:
    """The same file, opened anew for reading: who is passed a descriptor shares its position.

    Raises:
        OSError: no descriptors are left.
    """
    try:
        return own(os.open, f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # no /proc here
        return own(os.dup, fd)
