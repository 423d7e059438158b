"""Descriptors that travel with a frame over a Unix socket.

A frame that brings one is sent by a call of its own, so that the descriptor comes with its first
byte: whoever reads the frame has the descriptor already, in the order in which they were sent.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections import deque

_MOST = 16
"""Descriptors in one receive; the kernel ends a receive at each anyway."""

_SPACE = socket.CMSG_SPACE(_MOST * array.array("i").itemsize)


class Received:
    """Descriptors that have arrived and whose frames were not read yet; they belong to us."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def receive(self, connection: socket.socket, size: int) -> bytes:
        """Receive at most ``size`` bytes, and what comes with them.

        Raises:
            OSError: as ``recv``; or this process can have no more descriptors, and one is lost.
        """
        data, extra, flags, _ = connection.recvmsg(size, _SPACE, socket.MSG_CMSG_CLOEXEC)
        for level, kind, sent in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._waiting.extend(array.array("i", sent[: len(sent) - len(sent) % 4]))
        if flags & socket.MSG_CTRUNC:
            # The next one would be taken for it.
            raise OSError(errno.EMFILE, "no descriptors are left for one that came")
        return data

    def take(self) -> int:
        """The descriptor of the frame at hand.

        Raises:
            LookupError: it brought none.
        """
        if not self._waiting:
            raise LookupError("a frame came without its descriptor")
        return self._waiting.popleft()

    def close(self) -> None:
        """Close those that nobody took."""
        while self._waiting:
            os.close(self._waiting.popleft())


class Escorted:
    """Bytes to be sent together with a descriptor, of which this holds a copy until then."""

    __slots__ = ("_fd", "data")

    def __init__(self, data: bytes, fd: int) -> None:
        self.data = data
        self._fd = os.dup(fd)

    def __len__(self) -> int:
        return len(self.data)

    def send(self, connection: socket.socket) -> bytes:
        """Send what the socket takes, with the descriptor; returns the rest, which goes without.

        Raises:
            BlockingIOError: nothing was sent; try again.
            OSError: as ``sendmsg``.
        """
        sent = socket.send_fds(connection, [self.data], [self._fd])
        self.close()
        return self.data[sent:]

    def close(self) -> None:
        """Close the copy."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    __del__ = close
