"""Datagrams with descriptors to and from a zygote, in the reactor."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.python import failure

from scattergather.wire import messages

MAX_DATAGRAM = 1 << 18


class ZygoteChannel:
    """Our end of a zygote's socket. Reactor thread only.

    Writes block for the moment that they take: they are few, small, and the zygote does nothing
    but serve them.
    """

    def __init__(
        self,
        reactor: Any,
        channel: socket.socket,
        on_message: Callable[[messages.FromZygote], None],
        on_end: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._channel = channel
        self._on_message = on_message
        self._on_end = on_end
        self.open = True
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_DATAGRAM)
        reactor.addReader(self)

    def send(self, message: messages.ToZygote, descriptors: Sequence[int] = ()) -> None:
        """Send a message and copies of ``descriptors``; silent when the zygote is gone."""
        if not self.open:
            return
        try:
            socket.send_fds(self._channel, [messages.encode(message)], list(descriptors))
        except OSError:
            self._end()

    def close(self) -> None:
        """Close our end: the zygote kills its workers and ends. ``on_end`` is not called."""
        if self.open:
            self.open = False
            self._reactor.removeReader(self)
            self._channel.close()

    def _end(self) -> None:
        if self.open:
            self.close()
            self._on_end()

    def fileno(self) -> int:
        """For the reactor."""
        return self._channel.fileno() if self.open else -1

    def doRead(self) -> None:
        """For the reactor: a datagram, or the end."""
        try:
            data = self._channel.recv(MAX_DATAGRAM, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_message(messages.read_from_zygote(data))
        else:
            self._end()

    def connectionLost(self, reason: failure.Failure) -> None:
        """For the reactor: the descriptor is broken, or the reactor ends."""
        self._end()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "ZygoteChannel"
