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

BACKLOG = 512
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

    def open(self, interface: str, port: int) -> int:
        """Begin to listen; the number of the port."""
        self._port = self.reactor.listenTCP(port, self, backlog=BACKLOG, interface=interface)
        number: int = self._port.getHost().port
        return number

    def listen(self, factory: Any) -> Any:
        """Foolscap's side: ``factory`` gets the callers that have proved themselves."""
        self._inner = factory
        return defer.succeed(self._port)

    def buildProtocol(self, addr: Any) -> _Caller | None:
        """A caller is at the door; the oldest of a crowd has to make room."""
        host = str(addr.host)
        crowd = [caller for caller, where in self._waiting.items() if where == host]
        if len(crowd) >= gate.MOST_UNPROVED:
            crowd[0].drop()
        elif len(self._connected) >= gate.MOST_CONNECTIONS:
            if not self._waiting:
                self._log.warn(
                    "refused {host}: {many} connections", host=host, many=len(self._connected)
                )
                return None
            next(iter(self._waiting)).drop()
        caller = _Caller(self, addr)
        self._waiting[caller] = host
        self._connected.add(caller)
        return caller

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connected)

    @property
    def unproved(self) -> int:
        """How many of them are still at the door."""
        return len(self._waiting)

    def inner(self, addr: Any) -> Any:
        """The protocol that the proved caller talks to."""
        return self._inner.buildProtocol(addr) if self._inner else None

    def proved(self, caller: _Caller) -> None:
        """The caller is in."""
        self._waiting.pop(caller, None)

    def gone(self, caller: _Caller) -> None:
        """The caller is not there any more."""
        if self._waiting.pop(caller, None) is not None:
            self.refused += 1
        self._connected.discard(caller)


class _Caller(protocol.Protocol):
    transport: Any

    def __init__(self, keeper: Doorkeeper, addr: Any) -> None:
        self._keeper = keeper
        self._addr = addr
        self._door: gate.Door | None = gate.Door(keeper.keys)
        self._inner: Any = None
        self._key_id = b""
        self._timer: Any = None

    def connectionMade(self) -> None:
        """Greet, and give five seconds."""
        insist(self.transport)
        self._timer = self._keeper.reactor.callLater(gate.SECONDS_TO_PROVE, self.drop)
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
        self._stop_timer()
        self._keeper.proved(self)
        inner = self._keeper.inner(self._addr) if plane == gate.CONTROL else None
        if inner is None:
            known = plane == gate.CONTROL
            self.transport.write(gate.FULL if known else gate.NO_SUCH_PLANE)
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
        self._stop_timer()
        self._keeper.gone(self)
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        """Tell everybody who counts on it."""
        self._stop_timer()
        self._keeper.gone(self)
        if self._inner is not None:
            self._keeper.keys.closed(self._key_id, self.transport)
            inner, self._inner = self._inner, None
            inner.connectionLost(reason)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def insist(transport: Any) -> None:
    """Small writes leave at once, and a peer that vanished is noticed by the kernel, too."""
    transport.setTcpNoDelay(True)
    user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is not None:
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, user_timeout, USER_TIMEOUT)
