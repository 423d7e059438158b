"""Datagrams with descriptors between the daemon and a zygote; this is the zygote's end.

One datagram is one message of ``wire.messages`` (msgpack), its descriptors travel along.
"""

from __future__ import annotations

import socket
from array import array

from scattergather.wire.messages import page as messages

MAX_DATAGRAM = 1 << 18
MAX_DESCRIPTORS = 4


class Channel:
    """A zygote's end of its socket. Zygotes have one thread."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        # A zygote that answers never waits for a daemon that is busy for long: the queue of the
        # socket holds hundreds of answers.
        self._socket.setblocking(True)

    def fileno(self) -> int:
        """The descriptor of this end, for ``poll``."""
        return self._socket.fileno()

    def receive(self) -> tuple[messages.ToZygote, list[int]] | None:
        """The next message and its descriptors (close-on-exec, ours to close); None at the end."""
        width = array("i").itemsize
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                MAX_DATAGRAM, socket.CMSG_SPACE(MAX_DESCRIPTORS * width), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return None
        descriptors = array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % width])
        if not data:
            return None
        return messages.read_to_zygote(data), list(descriptors)

    def send(self, message: messages.FromZygote) -> None:
        """Send a message; silent when the daemon is gone (``receive`` says so next)."""
        try:
            self._socket.send(messages.encode(message))
        except ConnectionError:
            pass

    def close(self) -> None:
        """This end is closed, so the daemon sees the end of the socket."""
        self._socket.close()
