"""A zygote as its daemon holds it: datagrams with descriptors to and fro, in the reactor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import BinaryIO

from twisted.python import failure

from scattergather.machine import proc
from scattergather.reactor.seam import Reactor
from scattergather.wire.descriptors import send_with
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.machine import OnZygote, WorkerSeam

MAX_DATAGRAM = 1 << 18

SEND_SECONDS = 2.0
"""Longest that a write blocks: hundreds of messages wait unread then, so nobody serves them; or
too many descriptors are under way."""


def file_of(place: messages.TaskPlace) -> BinaryIO:
    """A file in memory with what no datagram may be large enough for."""
    file = open(os.memfd_create("scattergather-place", os.MFD_CLOEXEC), "wb", buffering=0)  # noqa: SIM115
    file.write(messages.encode(place))
    return file


class ZygoteLink:
    """Our end of a zygote's socket, and its process. Reactor thread only.

    Writes block for the moment that they take: they are few, small, and the zygote does nothing
    but serve them. ``pid`` is 0 until the root zygote has said that it forked a session's.

    Args:
        on_end: called once when it is gone, unless ``close`` was called.
        process: of the root zygote, which is a child of ours.
    """

    def __init__(
        self,
        reactor: Reactor,
        channel: socket.socket,
        on_message: OnZygote,
        on_end: Callable[[], None],
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._reactor = reactor
        self._channel = channel
        self._on_message = on_message
        self._on_end = on_end
        self._process = process
        self._count = 0
        self._unborn: dict[int, ZygoteLink] = {}
        self.pid = process.pid if process is not None else 0
        self.open = True
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_DATAGRAM)
        channel.settimeout(SEND_SECONDS)
        reactor.addReader(self)

    # ---- what it does for us; silent when it is gone ----

    def open_session(
        self,
        number: int,
        place: messages.TaskPlace,
        on_message: OnZygote,
        on_end: Callable[[], None],
    ) -> ZygoteLink:
        """Let a root zygote fork a session's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, file_of(place) as file:
            self._send(messages.OpenSession(session=number), [theirs.fileno(), file.fileno()])
        self._count += 1
        zygote = self._unborn[self._count] = ZygoteLink(self._reactor, ours, on_message, on_end)
        return zygote

    def settle(self, place: messages.TaskPlace) -> None:
        """Workers that a session's zygote forks from now on see another place."""
        with file_of(place) as file:
            self._send(messages.Settle(), [file.fileno()])

    def fork(self, worker: WorkerSeam) -> None:
        """Let a session's zygote fork a worker."""
        self._send(messages.Fork(worker=worker.number), worker.descriptors())
        worker.handed_over()

    def signal(self, worker: int, number: int, *, group: bool = False) -> None:
        """Signal a worker; with ``group``, everything it started too."""
        self._send(messages.Kill(worker=worker, signal=number, group=group))

    def _send(self, message: messages.ToZygote, descriptors: Sequence[int] = ()) -> None:
        """Send a message and copies of ``descriptors``."""
        if not self.open:
            return
        try:
            send_with(self._channel, messages.encode(message), descriptors)
        except TimeoutError:
            self.kill()
            self._end()
        except OSError:
            while self._read():  # what it said before its end, as why it was never forked
                pass
            self._end()

    # ---- its process ----

    def stopped(self) -> bool:
        """A signal stopped it (state T)."""
        return self.pid > 0 and proc.is_stopped(self.pid)

    def kill(self) -> None:
        """End it, even where it is stopped; ``on_end`` follows when its socket ends."""
        if self._process is not None:
            self._process.kill()
        elif self.pid and self.open:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def ended(self) -> bool:
        """A child of ours has ended, and was reaped."""
        return self._process is None or self._process.poll() is not None

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
        self._read()

    def _read(self) -> bool:
        """Hear one datagram; False if there is nothing more to hear now."""
        if not self.open:
            return False
        try:
            data = self._channel.recv(MAX_DATAGRAM, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            # It left unread what we had sent. The kernel says so once, before what it had said.
            return True
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        message = messages.read_from_zygote(data)
        if isinstance(message, messages.Forked) and message.worker in self._unborn:
            self._unborn.pop(message.worker).pid = message.pid
        else:
            self._on_message(message)
        return True

    def connectionLost(self, reason: failure.Failure) -> None:
        """For the reactor: the descriptor is broken, or the reactor ends."""
        self._end()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "Zygote"
