"""Foolscap's connection object, with pieces, and timers that keep their word.

A remote call passes some ten objects on each side. A piece is a sequence of its own on the same
wire, in Foolscap's own notation: ``OPEN "piece" <bytes> CLOSE``. Measured on loopback: a round trip
of two small pieces takes 0.22 ms of both ends in one process, of two calls 0.55 ms; large ones move
230 MB/s. Nothing larger than a piece is taken, and nothing but bytes inside one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from foolscap import banana, broker, call
from foolscap.slicer import BaseUnslicer
from foolscap.tokens import CLOSE, OPEN, STRING, BananaError
from twisted.internet import error
from twisted.internet import reactor as the_reactor
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from scattergather.link.stream.piece import HEAD, Piece, pack, unpack
from scattergather.link.stream.stream import PIECE_BYTES
from scattergather.link.tubs.inspector import Excess, Inspector
from scattergather.reactor.seam import Clock

LONGEST = HEAD.size + PIECE_BYTES
OPENING = b"\x05" + STRING + b"piece"
EPSILON = 0.05

LONGEST_NAME = 64
"""Characters of a method's name."""

MOST_UNSENT = 1 << 24
"""Bytes that wait for a peer who does not read. A window of pieces is an eighth of that."""

reactor = cast(Clock, the_reactor)
"""The global one: Foolscap knows no other."""


class _PieceUnslicer(BaseUnslicer):
    """Takes one byte string, not longer than a piece."""

    data: bytes | None = None

    def checkToken(self, typebyte: bytes, size: int) -> None:
        if typebyte != STRING or size > LONGEST or self.data is not None:
            raise BananaError("a piece holds one byte string")

    def receiveChild(self, token: Any, ready_deferred: Any = None) -> None:
        self.data = token

    def receiveClose(self) -> tuple[Any, None]:
        return self, None


class _CallUnslicer(call.CallUnslicer):
    """Takes no method name longer than ours."""

    def checkToken(self, typebyte: bytes, size: int) -> None:
        call.CallUnslicer.checkToken(self, typebyte, size)
        if typebyte == STRING and size > LONGEST_NAME:
            raise BananaError(f"a method name of {size} bytes")


class _RootUnslicer(broker.PBRootUnslicer):
    broker: Any
    topRegistries = [  # noqa: RUF012
        {**broker.PBTopRegistry, ("call",): _CallUnslicer, ("piece",): _PieceUnslicer}
    ]

    def receiveChild(self, token: Any, ready_deferred: Any = None) -> None:
        if type(token) is _PieceUnslicer:
            self.broker.piece_received(token.data or b"")
        else:
            broker.PBRootUnslicer.receiveChild(self, token, ready_deferred)


class LinkBroker(broker.Broker):
    """One connection of two Tubs.

    Attributes:
        lines: who takes the pieces of a session, by its id.
        hung_up: the other end closed the connection, and was heard until then. A broken network
            is silent first; a process that was killed is not, its system closes what it had open.
    """

    unslicerClass = _RootUnslicer
    requireSchema = True
    _log = Logger()

    # Foolscap's own, which it gives no types.
    dataLastReceivedAt: float
    disconnectTimeout: Any
    disconnectTimer: Any
    keepaliveTimeout: Any
    keepaliveTimer: Any
    connectionTimedOut: Any
    sendPING: Any
    shutdown: Any
    transport: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        broker.Broker.__init__(self, *args, **kwargs)
        self.lines: dict[bytes, Callable[[Piece], None]] = {}
        self.hung_up = False
        self._inspector = Inspector(LONGEST)

    def dataReceived(self, chunk: bytes) -> None:
        """Called by Twisted: within the bounds it is Foolscap's, beyond them it ends the link."""
        if self.disconnected:
            return
        try:
            self._inspector.inspect(chunk)
            if _unsent(self.transport) > MOST_UNSENT:
                raise Excess(f"more than {MOST_UNSENT} bytes that it does not take")
        except Excess as excess:
            self._log.warn("cut a connection: {why}", why=str(excess))
            self.cut(str(excess))
        else:
            broker.Broker.dataReceived(self, chunk)

    def carry(self, session: bytes, piece: Piece) -> None:
        """Send a piece; silent when the connection is gone."""
        if self.disconnected:
            return
        head, data = pack(session, piece)
        number = _base128(self.openCount)
        self.openCount += 1
        size = _base128(len(head) + len(data))
        self.transport.write(
            b"".join((number, OPEN, OPENING, size, STRING, head, data, number, CLOSE))
        )
        _push(self.transport)

    def piece_received(self, data: bytes) -> None:
        """A piece arrived; one of a session that is not ours (any more) is nobody's."""
        try:
            session, piece = unpack(data)
        except ValueError as broken:
            raise BananaError(str(broken)) from broken
        line = self.lines.get(session)
        if line is not None:
            line(piece)

    def cut(self, reason: str) -> None:
        """End the connection at once, whatever is under way."""
        if not self.disconnected:
            self.shutdown(Failure(error.ConnectionLost(reason)))
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted, also at the end of a connection that we have ended."""
        self.hung_up = not self.disconnected and self._left_of(2 * self.keepaliveTimeout) > 0
        broker.Broker.connectionLost(self, reason)

    # Foolscap looks once a timeout, so a dead peer may go unnoticed for nearly two of them.

    def keepaliveTimerFired(self) -> None:
        """Provoke an answer if nothing came for ``keepaliveTimeout``."""
        left = self._left_of(self.keepaliveTimeout)
        if left <= 0:
            self.sendPING()
            left = self.keepaliveTimeout
        self.keepaliveTimer = reactor.callLater(left + EPSILON, self.keepaliveTimerFired)

    def disconnectTimerFired(self) -> None:
        """Drop the connection if nothing came for ``disconnectTimeout``."""
        self.disconnectTimer = None
        left = self._left_of(self.disconnectTimeout)
        if left <= 0:
            self.connectionTimedOut()
        else:
            self.disconnectTimer = reactor.callLater(left + EPSILON, self.disconnectTimerFired)

    def _left_of(self, timeout: float) -> float:
        idle: float = banana.time.time() - self.dataLastReceivedAt
        return timeout - idle


class Monotonic:
    """Stands in for the module ``time`` in ``foolscap.banana``.

    Foolscap judges by the wall clock whether a peer is alive: after a step back it never drops a
    dead one, after a step forward it drops every live one.
    """

    time = staticmethod(time.monotonic)


def _push(transport: Any) -> None:
    """What was written leaves now, as far as the socket takes it.

    Twisted gathers small writes until the next turn for TLS, and writes in the turn after that. A
    piece is gathered already and somebody waits for it: the round trip of two processes took 0.40
    ms without this and 0.32 ms with it. An error shows again when the reactor writes.
    """
    if transport.disconnecting or not transport.connected:
        return  # the end of the connection is the reactor's to see
    aggregator = getattr(transport.protocol, "_aggregator", None)
    if aggregator is not None:
        aggregator.flush()
        transport.doWrite()


def _unsent(transport: Any) -> int:
    """Bytes that the socket has not taken yet: Twisted gathers them and knows no bound."""
    waiting: int = transport._tempDataLen + len(transport.dataBuffer) - transport.offset
    return waiting


def _base128(number: int) -> bytes:
    digits = bytearray()
    while number >= 128:
        digits.append(number & 127)
        number >>= 7
    digits.append(number)
    return bytes(digits)
