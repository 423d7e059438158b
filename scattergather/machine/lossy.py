"""A stream that nobody waits for: what its reader does not take is dropped, and counted.

A pipe that nobody reads (a supervisor that stopped, a terminal that was halted) is full after
64 kB, and whoever writes a line to it then stands still for ever. So a descriptor that may make us
wait is opened once more, without waiting: its flags belong to what was opened, which the shell and
others have, too. A socket has no such second opening; each write to it says by itself not to wait.
"""

from __future__ import annotations

import io
import os
import select
import socket
import stat
from typing import Any

PATIENCE = 0.1
"""Seconds that a reader has who has kept up so far: a terminal takes 4 kB at a time."""


class Lossy(io.RawIOBase):
    """Writes all of what it is given, or drops the rest of it. One thread.

    Args:
        fd: where to; from now on nothing waits that writes to this number, except where it is a
            socket.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._socket: socket.socket | None = None
        self.dropped = 0
        """Bytes that nobody took since somebody took some."""
        kind = os.fstat(fd).st_mode
        if stat.S_ISSOCK(kind):
            self._socket = socket.socket(fileno=os.dup(fd))
        elif not stat.S_ISREG(kind):
            _open_again(fd)

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def write(self, data: Any, /) -> int:
        """Write what can be written at once; returns the size of all."""
        size, rest = len(data), bytes(data)
        if self.dropped:
            rest = b"\n[%d bytes of this log were dropped: nobody read it]\n" % self.dropped + rest
        sent = self._put(rest)
        if self.dropped and not sent:
            self.dropped += size
            return size
        while sent < len(rest) and self._takes_more():
            sent += self._put(rest[sent:])
        self.dropped = len(rest) - sent
        return size

    def _put(self, data: Any) -> int:
        """How many bytes of these were written, or will not be missed."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:  # the reader is gone, or the disk is full
            return len(data)

    def _takes_more(self) -> bool:
        waiting = select.poll()
        waiting.register(self._fd, select.POLLOUT)
        return bool(waiting.poll(PATIENCE * 1000))


def _open_again(fd: int) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        again = os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:  # no /proc, or another user's: as it was
        return
    os.dup2(again, fd, inheritable=os.get_inheritable(fd))
    os.close(again)


def lossy(fd: int) -> io.TextIOWrapper:
    """A text stream on ``fd`` for which nobody waits."""
    raw: Any = Lossy(fd)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
