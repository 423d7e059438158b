"""Descriptors that travel with a frame over a Unix socket.

A frame that brings one is sent by a call of its own, so that the descriptor comes with its first
byte: whoever reads the frame has the descriptor already, in the order in which they were sent.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Sequence

from scattergather.wire.memory.owned import own

_MOST = 16
"""Descriptors in one receive; the kernel ends a receive at each anyway."""

MOST_WAITING = 256
"""Descriptors that may wait for their frames. They are ours, and we have not many."""

_SPACE = socket.CMSG_SPACE(_MOST * array.array("i").itemsize)

# Plain numbers: what an enumeration does with its flags takes longer than the call.
_CUT = int(socket.MSG_CTRUNC)
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)

RETRY_SECONDS = 0.02
"""How often it is tried again while too many descriptors are under way."""


def send_with(connection: socket.socket, data: bytes, fds: Sequence[int]) -> int:
    """Send what the socket takes, with these descriptors; returns how many bytes that was.

    The kernel lets only so many descriptors of one user be under way at a time, and refuses more
    (ETOOMANYREFS) however much room there is. That passes like a full socket does, when somebody
    reads; so this waits for it as long as the socket waits for room.

    Raises:
        BlockingIOError: nothing was sent, and the socket never waits.
        TimeoutError: nothing was sent for as long as the socket waits.
        OSError: as ``sendmsg``.
    """
    patience = connection.gettimeout()
    begun = time.monotonic()
    while True:
        try:
            return socket.send_fds(connection, [data], list(fds))
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            if patience == 0:
                raise BlockingIOError(*error.args) from None
            if patience is not None and time.monotonic() > begun + patience:
                raise TimeoutError(*error.args) from None
            time.sleep(RETRY_SECONDS)


class ReceivedDescriptors:
    """Descriptors that have arrived and whose frames were not read yet; they belong to us."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def receive(self, connection: socket.socket, size: int) -> bytes:
        """Receive at most ``size`` bytes, and what comes with them.

        Raises:
            OSError: as ``recv``; or this process can have no more descriptors, and one is lost; or
                the other end sends them without end, which no frame brings.
        """
        data, extra, flags, _ = connection.recvmsg(size, _SPACE, _CLOSE_ON_EXEC)
        for level, kind, sent in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._waiting.extend(array.array("i", sent[: len(sent) - len(sent) % 4]))
        if len(self._waiting) > MOST_WAITING:
            raise OSError(errno.EMFILE, "more descriptors came than frames that bring them")
        if flags & _CUT:
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

    __slots__ = ("_copy", "data")

    def __init__(self, data: bytes, fd: int) -> None:
        self.data = data
        self._copy = own(os.dup, fd)

    def __len__(self) -> int:
        return len(self.data)

    def send(self, connection: socket.socket) -> bytes:
        """Send what the socket takes, with the descriptor; returns the rest, which goes without.

        Raises:
            BlockingIOError: nothing was sent; try again.
            OSError: as :func:`send_with`.
        """
        sent = send_with(connection, self.data, [self._copy.fileno()])
        self.close()
        return self.data[sent:]

    def close(self) -> None:
        """Close the copy."""
        self._copy.close()
