"""The gate as Twisted and Foolscap see it, on the listening side.

``Doorkeeper`` is the endpoint that Foolscap's Tub is told to listen on. Callers stand on the
``porch`` first; only one who has proved a key gets a transport from Twisted and a protocol from
Foolscap's own factory. A ``_Guest`` stays between the two, passes on what arrives, and sees the end
of the connection.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import defer, interfaces, protocol
from twisted.logger import Logger
from zope.interface import implementer

from scattergather.link.gate import gate
from scattergather.link.gate.porch import Porch
from scattergather.reactor.seam import Reactor

USER_TIMEOUT = 15_000
"""Milliseconds after which the kernel gives up bytes that are not acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStatistics:
    """How many have proved a key and are in, how many have not yet, how many were sent away."""

    connections: int
    unproved: int
    refused: int


@implementer(interfaces.IStreamServerEndpoint)
class Doorkeeper:
    """Listens on a port; whoever proves a key is handed to the factory of his plane.

    Attributes:
        porch: those who have not proved anything yet.
    """

    _log = Logger()

    def __init__(self, reactor: Reactor, keys: gate.Keys) -> None:
        self.reactor = reactor
        self.keys = keys
        self.porch = Porch(reactor, keys, self._proved)
        self._planes: dict[bytes, Callable[[gate.Key, Any], Any]] = {}
        self._connected: set[_Guest] = set()

    def open(self, interface: str, port: int) -> int:
        """Begin to listen, as the porch does; the number of the port."""
        return self.porch.open(interface, port)

    def listen(self, factory: Any) -> Any:
        """Foolscap's side: ``factory`` gets the callers that have proved themselves."""
        self.serve(gate.CONTROL, lambda _key, address: factory.buildProtocol(address))
        return defer.succeed(_Port(self.porch))

    def serve(self, plane: bytes, build: Callable[[gate.Key, Any], Any]) -> None:
        """``build`` makes a protocol for each caller of this plane, of his key and address."""
        self._planes[plane] = build

    def statistics(self) -> GateStatistics:
        """Who is on either side of the gate."""
        porch = self.porch.statistics()
        return GateStatistics(
            connections=len(self._connected), unproved=porch.unproved, refused=porch.refused
        )

    def _proved(self, sock: socket.socket, entry: gate.Keyholder, plane: bytes) -> None:
        """A caller who has proved a key gets a transport of Twisted's, if there is room for him."""
        verdict = self._judge(entry, plane)
        # Twisted works on a duplicate. An OSError says that he hung up meanwhile.
        with sock, contextlib.suppress(OSError):
            if verdict == gate.WELCOME:
                guests = protocol.Factory.forProtocol(lambda: _Guest(self, entry.key, plane))
                self.reactor.adoptStreamConnection(sock.fileno(), sock.family, guests)
            else:
                sock.send(verdict)

    def _judge(self, entry: gate.Keyholder, plane: bytes) -> bytes:
        if plane not in self._planes or plane not in entry.planes:
            return gate.NO_SUCH_PLANE
        if len(self._connected) >= gate.MOST_CONNECTIONS:
            self._log.warn("turned a caller away: {many} are in", many=len(self._connected))
            return gate.FULL
        if self.keys.live(entry.key.id) >= gate.MOST_OF_ONE_KEY:
            return gate.FULL
        return gate.WELCOME

    def came(self, guest: _Guest, key: gate.Key, plane: bytes) -> Any:
        """Called by a guest who is connected: what he talks to."""
        self._connected.add(guest)
        self.keys.opened(key.id, guest.transport)
        return self._planes[plane](key, guest.transport.getPeer())

    def went(self, guest: _Guest, key: gate.Key) -> None:
        """Called by a guest whose connection is gone."""
        self._connected.discard(guest)
        self.keys.closed(key.id, guest.transport)


class _Guest(protocol.Protocol):
    """One who has proved a key."""

    transport: Any

    def __init__(self, keeper: Doorkeeper, key: gate.Key, plane: bytes) -> None:
        self._keeper = keeper
        self._key = key
        self._plane = plane
        self._inner: Any = None

    def connectionMade(self) -> None:
        insist(self.transport)
        self.transport.write(gate.WELCOME)
        self._inner = self._keeper.came(self, self._key, self._plane)
        self._inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self._keeper.went(self, self._key)
        if self._inner is not None:
            inner, self._inner = self._inner, None
            inner.connectionLost(reason)


class _Port:
    """What Foolscap keeps of the port: a way to stop listening."""

    def __init__(self, porch: Porch) -> None:
        self._porch = porch

    def getHost(self) -> Any:
        """Where it listens, for Foolscap's own log."""
        return "the gate"

    def stopListening(self) -> Any:
        """Called by Foolscap: nobody is heard any more; fires at once."""
        self._porch.close()
        return defer.succeed(None)


def insist(transport: Any) -> None:
    """Small writes leave at once, and a peer that vanished is noticed by the kernel, too."""
    transport.setTcpNoDelay(True)
    user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is not None:
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, user_timeout, USER_TIMEOUT)
