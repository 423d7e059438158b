"""Foolscap's connection object, with pieces, and with a pulse of its own.

A remote call passes some ten objects on each side. A piece is a sequence of its own on the same
wire, in Foolscap's own notation: ``OPEN "piece" <bytes> CLOSE``. Nothing larger than a piece is
taken, and nothing but bytes inside one. A piece that arrives in one stretch does not pass
Foolscap's parser: measured on loopback, a round trip of two small ones takes 0.07 ms of both ends
in one process, where it took 0.15 through the parser and Twisted's own writing.

Foolscap's own timers are off. They follow the wall clock, so that a step of it drops every live
peer or keeps each dead one; they look once a timeout; and who is sent much and has nothing to say
is asked, and answers, behind all that is queued: a slow way looks dead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from foolscap import broker, call
from foolscap.slicer import BaseUnslicer
from foolscap.tokens import STRING, BananaError
from twisted.internet import error
from twisted.internet import reactor as the_reactor
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from scattergather.link.pulse import SILENCE_SECONDS, SPEAK_SECONDS, Duty, Pulse
from scattergather.link.stream.piece import HEAD, Piece, pack, unpack
from scattergather.link.stream.stream import PIECE_BYTES
from scattergather.link.tubs.inspector import Excess, Inspector
from scattergather.link.tubs.notation import piece_in, written
from scattergather.link.tubs.press import unsent, write_now
from scattergather.reactor.seam import Clock, Timer, call_off

LONGEST = HEAD.size + PIECE_BYTES

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
    buffer: Any
    discardCount: int
    inOpen: bool
    objectCounter: int
    receiveStack: Any
    sendPING: Any
    shutdown: Any
    skipBytes: int
    transport: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        broker.Broker.__init__(self, *args, **kwargs)
        self.lines: dict[bytes, Callable[[Piece], None]] = {}
        self.hung_up = False
        self._inspector = Inspector(LONGEST)
        self._pulse = Pulse(reactor.seconds())
        self._look: Timer | None = None

    def connectionMade(self) -> None:
        """Called by Twisted: from now on it is looked after."""
        self._pulse = Pulse(reactor.seconds())
        self._look = reactor.callLater(SPEAK_SECONDS, self.look)
        broker.Broker.connectionMade(self)

    def dataReceived(self, chunk: bytes) -> None:
        """Called by Twisted: something arrived."""
        if self.disconnected:
            return
        self._pulse.heard(reactor.seconds())
        if unsent(self.transport) > MOST_UNSENT:
            self._cut_for(f"more than {MOST_UNSENT} bytes that it does not take")
        else:
            broker.Broker.dataReceived(self, chunk)

    def handleData(self, chunk: bytes) -> None:
        """Called by Foolscap: whole pieces are ours, the rest is its own, within the bounds.

        Beyond them it ends the link.
        """
        begin = 0
        if self._between_objects():
            while begin < len(chunk) and (found := piece_in(chunk, begin, LONGEST)):
                data, begin = found
                self.objectCounter += 1  # Foolscap counts what is opened, on both ends
                self.piece_received(data)
                if self.disconnected:
                    return
        if not (rest := chunk[begin:]):
            return
        try:
            self._inspector.inspect(rest)
        except Excess as excess:
            self._cut_for(str(excess))
        else:
            broker.Broker.handleData(self, rest)

    def _between_objects(self) -> bool:
        """What arrives next begins an object of its own, also by what Foolscap thinks."""
        return (
            self._inspector.between
            and len(self.receiveStack) == 1
            and not (self.inOpen or self.discardCount or self.skipBytes or len(self.buffer))
        )

    def _cut_for(self, why: str) -> None:
        self._log.warn("cut a connection: {why}", why=why)
        self.cut(why)

    def carry(self, session: bytes, piece: Piece) -> None:
        """Send a piece; silent when the connection is gone."""
        if self.disconnected:
            return
        number = self.openCount
        self.openCount += 1
        write_now(self.transport, written(number, *pack(session, piece)))
        self._pulse.said(reactor.seconds())

    def sendPONG(self, number: int) -> None:
        """Called by Foolscap: the other end is told that this one is here."""
        self._pulse.said(reactor.seconds())
        broker.Broker.sendPONG(self, number)

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

    def close(self) -> None:
        """End the connection once what was sent has left."""
        if not self.disconnected:
            self.shutdown(Failure(error.ConnectionDone()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted, also at the end of a connection that we have ended."""
        call_off(self._look)
        silent = self._pulse.silent(reactor.seconds())
        self.hung_up = not self.disconnected and silent < 2 * SPEAK_SECONDS
        broker.Broker.connectionLost(self, reason)

    def look(self) -> None:
        """Say something if it is time, or end a connection over which nothing comes any more."""
        now = reactor.seconds()
        match self._pulse.look(now):
            case Duty.GIVE_UP:
                self.cut(f"nothing was heard for {SILENCE_SECONDS:g} s")
                return
            case Duty.SPEAK:
                self.sendPING()
            case Duty.REST:
                pass
        self._look = reactor.callLater(self._pulse.due - now, self.look)
