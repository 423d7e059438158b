"""Where callers stand until they have proved a key: raw sockets, and nothing of Twisted's.

A flood costs what is done for each stranger, so little is done: accept, greet, read at most a
preface, reset. The porch has an epoll of its own, which the reactor sees as one reader. While the
porch rests, the reactor hears nothing of it, however many call, talk or hang up; how often it
rests follows from the processor time that it took (``budget``). Measured: 0.05 ms a stranger,
where a transport and a protocol of Twisted's cost 0.10 ms and as many wake-ups as there are bytes.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import interfaces
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from zope.interface import implementer

from scattergather.link.gate import gate
from scattergather.link.gate.budget import Budget
from scattergather.reactor.seam import Reactor, Timer, call_off, planned

BACKLOG = 512
"""Callers in the kernel's queue, empty again in half a second; one who finds it full waits 1 s."""

AT_ONCE = 16
"""Callers accepted in one turn of the reactor, which others wait for."""

SHARE = 0.05
"""Of one processor that all who have proved nothing may cost together: some 1,000 a second."""

MOST_SAVED = 0.005
"""Seconds of it that can be saved up: a hundred honest callers come in at once."""

GROUP = 0.001
"""Seconds of it that a group of callers takes: in a flood there are fifty groups a second."""

RESET, LINGER = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""For SO_LINGER: with the first, closing takes no time and leaves nothing in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PorchStatistics:
    """How many have not proved a key yet, and how many were sent away so far."""

    unproved: int
    refused: int


class Caller:
    """One who has proved nothing yet."""

    __slots__ = ("deadline", "door", "host", "socket")

    def __init__(self, sock: socket.socket, host: str, door: gate.Door, deadline: float) -> None:
        self.socket = sock
        self.host = host
        self.door = door
        self.deadline = deadline


@implementer(interfaces.IReadDescriptor)
class Porch:
    """Listens, and hands over the sockets of those who prove a key.

    Reactor thread only.

    Args:
        keys: what can be proved.
        proved: takes a socket, which is its own from then on, whose key it is, and the plane.
        spent: processor time of this thread, in seconds.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        keys: gate.Keys,
        proved: Callable[[socket.socket, gate.Keyholder, bytes], None],
        *,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._refused = 0
        self._reactor = reactor
        self._keys = keys
        self._proved = proved
        self._spent = spent
        self._budget = Budget(
            share=SHARE, most=MOST_SAVED, least=GROUP, now=float(reactor.seconds())
        )
        self._callers: dict[int, Caller] = {}
        self._crowds: dict[str, dict[int, None]] = {}
        self._listening: socket.socket | None = None
        self._poll = select.epoll()
        self._rest: Timer | None = None
        self._alarm: Timer | None = None

    def statistics(self) -> PorchStatistics:
        """Who stands here."""
        return PorchStatistics(unproved=len(self._callers), refused=self._refused)

    def open(self, interface: str, port: int) -> int:
        """Begin to listen; the number of the port.

        Raises:
            twisted.internet.error.CannotListenError: the port is taken, or the address not ours.
        """
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Callers inherit this: one system call less for each.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            where = socket.getaddrinfo(interface, port, family) if ":" in interface else None
            listening.bind(where[0][4] if where else (interface, port))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise CannotListenError(interface, port, error) from None
        self._listening = listening
        self._poll.register(listening, select.EPOLLIN)
        self._reactor.addReader(self)
        number: int = listening.getsockname()[1]
        return number

    def close(self) -> None:
        """Listen no more; those who stand here are cut."""
        if self._listening is None:
            return
        self._reactor.removeReader(self)
        call_off(self._rest)
        call_off(self._alarm)
        for caller in list(self._callers.values()):
            self._drop(caller)
        self._listening.close()
        self._listening = None
        self._poll.close()

    # ---- what the reactor calls -----------------------------------------------------------------

    def fileno(self) -> int:
        """The epoll's: it is readable when somebody calls, talks or hangs up."""
        return -1 if self._poll.closed else self._poll.fileno()

    def logPrefix(self) -> str:
        """Called by Twisted."""
        return "porch"

    def connectionLost(self, reason: Any) -> None:
        """Called by Twisted: the reactor stops."""
        self.close()

    def doRead(self) -> None:
        """Hear who has something to say, let some more come, and rest if that was much."""
        begin = self._spent()
        try:
            ready = [self._callers.get(descriptor) for descriptor, _ in self._poll.poll(0)]
            for caller in ready:
                if caller is not None:
                    self._hear(caller)
            # Whoever has answered is heard before others may take his place.
            if None in ready and self._listening is not None:
                self._accept(self._listening)
        except Exception:
            self._log.failure("the porch failed on a caller")  # and hears the next one
        rest = self._budget.spend(self._spent() - begin, self._reactor.seconds())
        if rest and self._listening is not None:
            self._reactor.removeReader(self)
            self._rest = self._reactor.callLater(rest, self._reactor.addReader, self)

    # ---- callers --------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._callers:
                    self._drop(next(iter(self._callers.values())))
                return
            self._greet(sock, address[0])

    def _greet(self, sock: socket.socket, host: str) -> None:
        """The oldest of a crowd has to make room."""
        crowd = self._crowds.setdefault(host, {})
        if len(crowd) >= gate.MOST_UNPROVED_FROM_ONE:
            self._drop(self._callers[next(iter(crowd))])
        elif len(self._callers) >= gate.MOST_UNPROVED:
            self._drop(next(iter(self._callers.values())))
        door, descriptor = gate.Door(self._keys), sock.fileno()
        deadline = self._reactor.seconds() + gate.SECONDS_TO_PROVE
        caller = self._callers[descriptor] = Caller(sock, host, door, deadline)
        self._crowds.setdefault(host, {})[descriptor] = None
        try:
            sock.send(door.greeting(), socket.MSG_DONTWAIT)
            self._poll.register(descriptor, select.EPOLLIN)
        except OSError:
            self._drop(caller)
        self._set_alarm()

    def _hear(self, caller: Caller) -> None:
        """Read no more than belongs to a preface."""
        try:
            said = caller.socket.recv(caller.door.missing, socket.MSG_DONTWAIT)
            heard = caller.door.hear(said) if said else None
        except BlockingIOError:
            return
        except gate.WrongKey:
            self._tell(caller, gate.WRONG_KEY)
            self._drop(caller)
            return
        except (OSError, gate.Stranger):
            self._drop(caller)
            return
        if not said:
            self._drop(caller)
        elif heard is not None:
            self._forget(caller)
            self._poll.unregister(caller.socket)
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            caller.socket.setblocking(False)
            self._proved(caller.socket, *heard)

    def _tell(self, caller: Caller, verdict: bytes) -> None:
        try:
            caller.socket.send(verdict, socket.MSG_DONTWAIT)
        except OSError:
            pass  # he did not wait for it

    def _drop(self, caller: Caller) -> None:
        """Cut the connection without a word."""
        self._refused += 1
        self._forget(caller)
        caller.socket.close()

    def _forget(self, caller: Caller) -> None:
        descriptor = caller.socket.fileno()
        del self._callers[descriptor]
        crowd = self._crowds[caller.host]
        del crowd[descriptor]
        if not crowd:
            del self._crowds[caller.host]

    def _set_alarm(self) -> None:
        """One timer for all: they wait in the order in which they came."""
        if self._callers and not planned(self._alarm):
            left = next(iter(self._callers.values())).deadline - self._reactor.seconds()
            self._alarm = self._reactor.callLater(max(left, 0.0), self._time_is_up)

    def _time_is_up(self) -> None:
        now = self._reactor.seconds()
        for caller in list(self._callers.values()):
            if caller.deadline > now:
                break
            self._drop(caller)
        self._set_alarm()
