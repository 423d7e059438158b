"""The gate as Twisted sees it, on the listening side.

``Doorkeeper`` listens before Foolscap does and is the endpoint that Foolscap's Tub is told to
listen on. Each connection meets a ``_Caller`` first; only one that has proved itself gets a
protocol from Foolscap's own factory. The ``_Caller`` then stays between the two and passes on what
arrives, so it sees the end of the connection.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import defer, interfaces, protocol
from twisted.logger import Logger
from zope.interface import implementer

from scattergather.link import gate

BACKLOG = 1024
"""Callers in the kernel's queue, which is empty again in 0.7 s; one who finds it full waits 1 s."""

USER_TIMEOUT = 15_000
"""Milliseconds after which the kernel gives up bytes that are not acknowledged."""


@implementer(interfaces.IStreamServerEndpoint)
class Doorkeeper(protocol.ServerFactory):
    """Listens on a port; whoever proves a key is handed to the factory of ``listen``.

    Raises:
        twisted.internet.error.CannotListenError: by ``open``.
    """

    noisy = False
    _log = Logger()

    def __init__(self, reactor: Any, keys: gate.Keys) -> None:
        self.reactor = reactor
        self.keys = keys
        self.refused = 0
        self._inner: Any = None
        self._port: Any = None
        self._waiting: dict[_Caller, str] = {}
        self._connected: set[_Caller] = set()
        self._timer: Any = None
        self._breathing = False

    def open(self, interface: str, port: int) -> int:
        """Begin to listen; the number of the port."""
        self._port = self.reactor.listenTCP(port, self, backlog=BACKLOG, interface=interface)
        self._port.numberAccepts = gate.AT_ONCE
        number: int = self._port.getHost().port
        return number

    def listen(self, factory: Any) -> Any:
        """Foolscap's side: ``factory`` gets the callers that have proved themselves."""
        self._inner = factory
        return defer.succeed(self._port)

    def buildProtocol(self, addr: Any) -> _Caller:
        """A caller is at the door; the oldest of a crowd has to make room."""
        host = str(addr.host)
        crowd = [caller for caller, where in self._waiting.items() if where == host]
        if len(crowd) >= gate.MOST_UNPROVED_FROM_ONE:
            crowd[0].drop()
        elif len(self._waiting) >= gate.MOST_UNPROVED:
            next(iter(self._waiting)).drop()
        caller = _Caller(self, addr, self.reactor.seconds() + gate.SECONDS_TO_PROVE)
        self._waiting[caller] = host
        self._set_timer()
        self._take_a_breath()
        return caller

    def _take_a_breath(self) -> None:
        """After this group of callers the next one waits a little.

        Twisted takes as many at once as there are, and ever more of them: three thousand a second
        kept the reactor so busy that a running job lost three quarters of its throughput.
        """
        if self._port is not None and not self._breathing:
            self._breathing = True
            self._port.stopReading()
            self.reactor.callLater(gate.BREATH, self._go_on)

    def _go_on(self) -> None:
        self._breathing = False
        if self._port.connected and not self._port.disconnecting:
            self._port.numberAccepts = gate.AT_ONCE
            self._port.startReading()

    def _set_timer(self) -> None:
        """One timer for all: they wait in the order in which they came."""
        if self._waiting and (self._timer is None or not self._timer.active()):
            left = next(iter(self._waiting)).deadline - self.reactor.seconds()
            self._timer = self.reactor.callLater(max(left, 0.0), self._time_is_up)

    def _time_is_up(self) -> None:
        now = self.reactor.seconds()
        for caller in list(self._waiting):
            if caller.deadline > now:
                break
            caller.drop()
        self._set_timer()

    @property
    def connections(self) -> int:
        """How many there are that have proved a key."""
        return len(self._connected)

    @property
    def unproved(self) -> int:
        """How many are still at the door."""
        return len(self._waiting)

    def proved(self, caller: _Caller, key: gate.Key) -> Any:
        """The caller is in, if there is room: what he talks to then, else None."""
        self._waiting.pop(caller, None)
        if len(self._connected) >= gate.MOST_CONNECTIONS:
            self._log.warn("turned a caller away: {many} are in", many=len(self._connected))
            return None
        if self.keys.live(key.id) >= gate.MOST_OF_ONE_KEY or self._inner is None:
            return None
        self._connected.add(caller)
        return self._inner.buildProtocol(caller.address)

    def gone(self, caller: _Caller) -> None:
        """The caller is not there any more."""
        if self._waiting.pop(caller, None) is not None:
            self.refused += 1
        self._connected.discard(caller)


class _Caller(protocol.Protocol):
    transport: Any

    def __init__(self, keeper: Doorkeeper, addr: Any, deadline: float) -> None:
        self.deadline = deadline
        self._keeper = keeper
        self.address = addr
        self._door: gate.Door | None = gate.Door(keeper.keys)
        self._inner: Any = None
        self._key_id = b""

    def connectionMade(self) -> None:
        """Greet. Little is done for one who may be a stranger: a flood of them costs us that."""
        if self._door is not None:
            self.transport.write(self._door.greeting())

    def dataReceived(self, data: bytes) -> None:
        """Pass on what arrives, once the caller is in."""
        if self._inner is not None:
            self._inner.dataReceived(data)
        elif self._door is not None:
            try:
                heard = self._door.hear(data)
            except gate.Stranger:
                self.drop()
            else:
                if heard is not None:
                    self._let_in(*heard)

    def _let_in(self, entry: gate.Entry, plane: bytes, rest: bytes) -> None:
        self._door = None
        insist(self.transport)
        inner = self._keeper.proved(self, entry.key) if plane == gate.CONTROL else None
        if inner is None:
            self.transport.write(gate.FULL if plane == gate.CONTROL else gate.NO_SUCH_PLANE)
            self.transport.loseConnection()
            return
        self._key_id = entry.key.id
        self._keeper.keys.opened(self._key_id, self.transport)
        self._inner = inner
        self.transport.write(gate.WELCOME)
        inner.makeConnection(self.transport)
        if rest:
            inner.dataReceived(rest)

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._door = None
        self._keeper.gone(self)
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        """Tell everybody who counts on it."""
        self._keeper.gone(self)
        if self._inner is not None:
            self._keeper.keys.closed(self._key_id, self.transport)
            inner, self._inner = self._inner, None
            inner.connectionLost(reason)


def insist(transport: Any) -> None:
    """Small writes leave at once, and a peer that vanished is noticed by the kernel, too."""
    transport.setTcpNoDelay(True)
    user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is not None:
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, user_timeout, USER_TIMEOUT)
