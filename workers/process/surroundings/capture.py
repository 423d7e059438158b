"""What a task prints goes to a file in memory that outlives the worker.

Descriptors 1 and 2 of a worker *are* this file, opened for appending: so the output of C code and
of subprocesses is caught as well, in order, and no pipe has to be emptied while a task floods it.

The file is bounded without ever being rewritten: its beginning is *punched out* (those pages go
back to the kernel, the size stays). Worker and pool may both do so at any time, whoever else is
writing; and the size always tells how much was printed, so that what is missing can be counted.
"""

from __future__ import annotations

import fcntl
import io
import mmap
import os
import sys
from typing import Any

from scattergather.machine.kernel import punch_hole
from scattergather.workers.process.descriptors import identity

KEPT = 1 << 16
"""Bytes of a task's output that are kept."""

HELD = 1 << 20
"""Bytes that the file may hold, as far as Python code writes them."""

_STEP = HELD // 2


class OutputFile:
    """The file, for the pool and for the worker; ``fd`` goes from one to the other."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls) -> OutputFile:
        """An empty file."""
        fd = os.memfd_create("scattergather-output", os.MFD_CLOEXEC)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        return cls(fd)

    def size(self) -> int:
        """Bytes printed since the last ``take``; a seek is four times cheaper than a stat."""
        return os.lseek(self.fd, 0, os.SEEK_END)

    def tail(self, limit: int) -> tuple[bytes, int]:
        """The last ``limit`` bytes at most, never half a character, and how many came before."""
        return self._read(0, limit)

    def _read(self, place: int, limit: int) -> tuple[bytes, int]:
        size = os.fstat(self.fd).st_size
        start = max(place, size - limit)
        text = os.pread(self.fd, max(0, size - start), start)
        # The bytes in the middle of a UTF-8 character begin with the bits 10.
        torn = 0
        while start > place and torn < min(3, len(text)) and text[torn] & 0xC0 == 0x80:
            torn += 1
        return text[torn:], start + torn

    def behind(self, place: int, limit: int) -> tuple[bytes, int]:
        """What was printed behind ``place``, the last ``limit`` bytes at most, and where it begins.

        For the pool, while a task floods the file: what was trimmed meanwhile is not read.
        """
        while limit:
            text, start = self._read(place, limit)
            if start >= os.fstat(self.fd).st_size - KEPT:
                return text, start
            limit //= 8
        return b"", place

    def trim(self, limit: int) -> None:
        """Free the memory of all but the last ``limit`` bytes, in whole pages."""
        hole = (os.fstat(self.fd).st_size - limit) // mmap.PAGESIZE * mmap.PAGESIZE
        if hole > 0:
            punch_hole(self.fd, hole)

    def take(self) -> tuple[bytes, int]:
        """``tail(KEPT)``, and the file is empty. For the worker, between tasks."""
        found = self.tail(KEPT)
        os.ftruncate(self.fd, 0)
        return found

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class _Bounded(io.FileIO):
    """Writes to a descriptor that is an output file, and keeps that file small."""

    def __init__(self, fd: int, name: str, output: OutputFile) -> None:
        super().__init__(fd, "wb", closefd=False)
        self.name = name
        self._output = output
        self._until_trim = _STEP

    def write(self, data: Any, /) -> int:
        """Write all of ``data``."""
        size = len(data)
        if size <= self._until_trim:
            self._until_trim -= size
            super().write(data)
            return size
        with memoryview(data).cast("B") as view:
            for start in range(0, len(view), _STEP):
                super().write(view[start : start + _STEP])
                self._output.trim(KEPT)
            self._until_trim = _STEP
            return len(view)


def text_stream(fd: int, name: str, output: OutputFile) -> io.TextIOWrapper:
    """A text file like ``sys.stdout`` on descriptor ``fd``, which is ``output``.

    Nothing waits in a buffer of ours: what was printed is in the file when the next line of the
    task ends the process. Lone surrogates are escaped.
    """
    raw: Any = _Bounded(fd, name, output)
    return io.TextIOWrapper(
        raw, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True
    )


class Capture:
    """The standard streams of this process, turned into an output file."""

    def __init__(self, output: OutputFile) -> None:
        self.output = output
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if null > 2:
            os.close(null)
        os.dup2(output.fd, 1)
        os.dup2(output.fd, 2)
        self._intact = (identity(0), *3 * [identity(output.fd)])
        self.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  (lives on)
        self.stdout = text_stream(1, "<stdout>", output)
        self.stderr = text_stream(2, "<stderr>", output)
        self.restore()

    def restore(self) -> None:
        """Python's names for the streams mean ours again."""
        sys.stdin = sys.__stdin__ = self.stdin  # type: ignore[misc]
        sys.stdout = sys.__stdout__ = self.stdout  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self.stderr  # type: ignore[misc]

    def repair(self) -> None:
        """Undo what a task did to streams, to descriptors 0 to 2, and to the output file.

        Raises:
            OSError: the output file is nowhere any more.
        """
        output = self.output.fd
        if (identity(0), identity(1), identity(2), identity(output)) != self._intact:
            self._repair_descriptors(output)
        fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)  # one place for all who write
        if self.stdin.closed:
            self.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  (lives on)
        if self.stdout.closed:
            self.stdout = text_stream(1, "<stdout>", self.output)
        if self.stderr.closed:
            self.stderr = text_stream(2, "<stderr>", self.output)
        if (sys.stdin, sys.stdout, sys.stderr) != (self.stdin, self.stdout, self.stderr):
            self.restore()

    def _repair_descriptors(self, output: int) -> None:
        null, ours, *_ = self._intact
        left = [fd for fd in (1, 2, output) if identity(fd) == ours]
        if not left:
            raise OSError("the output file was closed")
        for fd in (1, 2, output):
            if fd not in left:
                os.dup2(left[0], fd, inheritable=fd != output)
        if identity(0) != null:
            found = os.open(os.devnull, os.O_RDONLY)
            if found:
                os.dup2(found, 0)
                os.close(found)
