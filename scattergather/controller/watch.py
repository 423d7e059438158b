"""Notices that the client's process is gone, whoever else holds the pipe's other end.

The end of the pipe is not enough: a process that the notebook forked holds a copy of it. The
parent-death signal is too much: it fires when the thread ends that started us.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # this is asked before Twisted is imported
    from twisted.python import failure

POLL_SECONDS = 1.0


def has_left(connection: socket.socket, pid: int) -> bool:
    """True when the client hung up or its process ``pid`` ended. Before there is a reactor."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0)) or _is_gone(pid)


def _is_gone(pid: int) -> bool:
    """True when a process ended, reaped or not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The command's name stands in parentheses and may hold anything.
            return stat.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True


class ParentWatch:
    """Calls ``on_death`` once when process ``pid`` ends; asks the kernel, else polls."""

    def __init__(self, reactor: Any, pid: int, on_death: Callable[[], None]) -> None:
        self._reactor = reactor
        self._pid = pid
        self._on_death = on_death
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):
            # Not now: whoever makes us is not ready for the news.
            reactor.callWhenRunning(self._poll)
        else:
            reactor.addReader(self)

    def _poll(self) -> None:
        if _is_gone(self._pid):
            self._on_death()
        else:
            self._reactor.callLater(POLL_SECONDS, self._poll)

    def fileno(self) -> int:
        """For the reactor."""
        return self._descriptor

    def doRead(self) -> None:
        """For the reactor: the process ended."""
        self._reactor.removeReader(self)
        os.close(self._descriptor)
        self._descriptor = -1
        self._on_death()

    def connectionLost(self, reason: failure.Failure) -> None:
        """For the reactor, at its end."""

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "ParentWatch"
