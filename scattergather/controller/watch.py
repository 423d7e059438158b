"""Notices that the client's process is gone, whoever else holds the pipe's other end.

The end of the pipe is not enough: a process that the notebook forked holds a copy of it. The
parent-death signal is too much, since it fires when the thread ends that started us; so ours is
SIGCONT, which harms nobody, and lets a controller that is stopped see that its client is gone.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from scattergather.reactor.seam import Reactor

if TYPE_CHECKING:  # this is asked before Twisted is imported
    from twisted.python import failure

POLL_SECONDS = 1.0


def has_left(connection: socket.socket, pid: int) -> bool:
    """True when the client hung up or its process ``pid`` ended. Before there is a reactor."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):  # a kernel before 5.3
        return bool(poll.poll(0))
    try:
        poll.register(process, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(process)


class ParentWatch:
    """Calls ``on_death`` once when process ``pid`` ends; asks the kernel, else polls."""

    def __init__(self, reactor: Reactor, pid: int, on_death: Callable[[], None]) -> None:
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
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
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
