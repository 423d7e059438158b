"""A block stream as Twisted sees it: TLS behind the gate, a ticket inside TLS, then frames.

The daemon gives each session a ticket in its answer to the hello. The controller dials the daemon's
port again, passes the gate with its plane for blocks, and both begin TLS 1.3. The controller
says nothing more unless the certificate is the one that the FURL names, so nobody else gets to see
a ticket::

    controller -> daemon    session  ticket     16 + 32 bytes
    daemon -> controller    "+"                 then frames, both ways

So one who relays somebody's proof at the gate gains nothing: he has neither ticket nor key. A
caller without a ticket costs a handshake and is dropped after five seconds; buffers and objects
come after it. From then on each end has a pulse, and what lets nothing through any more is cut,
whatever waits for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import interfaces, protocol
from twisted.internet.defer import Deferred
from zope.interface import implementer

from scattergather.link.blocks import tunnel
from scattergather.link.blocks.block import HERE, pack
from scattergather.link.blocks.courier import Courier
from scattergather.link.blocks.tunnel import Tunnel
from scattergather.link.pulse import SILENCE_SECONDS, SPEAK_SECONDS, Duty, Pulse
from scattergather.reactor.seam import Clock, Timer, call_off

SESSION_BYTES = 16
TICKET_BYTES = 32
OPENING_BYTES = SESSION_BYTES + TICKET_BYTES
WELCOME = b"+"

SECONDS_TO_OPEN = 5.0
"""For handshake and ticket."""

MOST_UNSENT = 1 << 20
"""Bytes of answers that the other end may leave unread before it is cut. Of blocks there is never
more than one that the socket has not taken."""

RECEIVE_BYTES = 1 << 18
"""At most, from the socket, in one turn of the reactor."""

SEND_BYTES = 1 << 19
"""At most, to the socket, in one turn: all of a block."""


@implementer(interfaces.IPushProducer)
class Carriage(protocol.Protocol):
    """A connection of two couriers; implements ``courier.Road``.

    Args:
        tunnel: its TLS.
        expected: how many bytes the other end says first, inside of TLS.
        judge: the courier whose connection it becomes when it has heard them, if they are right.
        opening: what this end says first.
        answer: what this end says to what it expected.
        tub: the digest of the certificate that the other end must have; any or none will do when
            empty.

    Attributes:
        begun: fires when it belongs to a courier; fails when it has ended before.
    """

    transport: Any

    def __init__(
        self,
        reactor: Clock,
        tunnel: Tunnel,
        expected: int,
        judge: Callable[[bytes], Courier | None],
        *,
        opening: bytes = b"",
        answer: bytes = b"",
        tub: str = "",
    ) -> None:
        self.begun: Deferred[None] = Deferred(lambda _: self.cut("not wanted any more"))
        self._reactor = reactor
        self._tunnel = tunnel
        self._opening = opening
        self._answer = answer
        self._tub = tub
        self._heard = memoryview(bytearray(expected))
        self._missing = expected
        self._judge = judge
        self._shaken = False
        self._courier: Courier | None = None
        self._timer: Timer | None = None
        self._pulse = Pulse(reactor.seconds())
        self._cut = ""
        self._paused = False
        self._writing = False
        self._unsent = 0

    def connectionMade(self) -> None:
        """The handshake begins."""
        self._timer = self._reactor.callLater(SECONDS_TO_OPEN, self.cut, "no ticket")
        self.dataReceived(b"")

    def dataReceived(self, data: bytes) -> None:
        """Go on with the handshake, with the words that open, with frames."""
        self._pulse.heard(self._reactor.seconds())
        try:
            self._tunnel.hear(data)
            if self._shaken or self._shake():
                self._read()
        except ssl.SSLError as error:
            self.cut(f"TLS failed: {error}")
        else:
            self._flush()

    def _shake(self) -> bool:
        self._shaken = self._tunnel.shake()
        if self._shaken and self._tub and self._tunnel.tub() != self._tub:
            self.cut("what answers there is not the pool that the FURL names")
        elif self._shaken and self._opening:
            self._tunnel.write(self._opening)
        return self._shaken

    def _read(self) -> None:
        """Whatever can be decrypted now goes where it belongs."""
        while not self._cut and (count := self._tunnel.read(self._space())):
            if self._courier is not None:
                self._courier.filled(self, count)
            else:
                self._missing -= count
                if not self._missing:
                    self._open()

    def _space(self) -> memoryview:
        if self._courier is not None:
            return self._courier.space(self)
        return self._heard[len(self._heard) - self._missing :]

    def _open(self) -> None:
        courier = self._judge(bytes(self._heard))
        if courier is None:
            self.cut("not what it should say")
            return
        call_off(self._timer)
        self.transport.bufferSize, self.transport.SEND_LIMIT = RECEIVE_BYTES, SEND_BYTES
        self._timer = self._reactor.callLater(SPEAK_SECONDS, self._look)
        self._courier = courier
        self.transport.registerProducer(self, True)
        if self._answer:
            self._tunnel.write(self._answer)
        courier.attach(self)
        self.begun.callback(None)

    def _look(self) -> None:
        """Say something if it is time, or end a connection over which nothing comes any more."""
        now = self._reactor.seconds()
        duty = self._pulse.look(now)
        if duty is Duty.GIVE_UP:
            self.cut(f"nothing was heard for {SILENCE_SECONDS:g} s")
        elif duty is Duty.SPEAK and not self._paused:  # else enough is on its way
            self._send(pack(HERE, 0))
        if not self._cut:
            self._timer = self._reactor.callLater(self._pulse.due - now, self._look)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        """Nothing more comes or goes."""
        call_off(self._timer)
        why = ConnectionError(self._cut) if self._cut else reason
        self._cut = self._cut or "it is gone"
        courier, self._courier = self._courier, None
        if courier is not None:
            courier.detach(self, self._cut)
        elif not self.begun.called:
            self.begun.errback(why)

    # ---- courier.Road --------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Send these frames, whatever waits; one who never takes any is cut."""
        if self._paused:
            self._unsent += len(frames)
            if self._unsent > MOST_UNSENT:
                self.cut("it does not read")
                return
        self._send(frames)

    def go_on(self) -> None:
        """Write blocks until the socket has enough."""
        if self._writing:
            return
        self._writing = True
        while not self._paused and self._courier is not None:
            frame = self._courier.block(self)
            if not frame:
                break
            self._send(*frame)
        self._writing = False

    def _send(self, *parts: bytes) -> None:
        """After the handshake TLS 1.3 never has to read before it can write."""
        if self._cut:
            return
        try:
            for part in parts:
                self._tunnel.write(part)
        except ssl.SSLError as error:
            self.cut(f"TLS failed: {error}")
            return
        self._flush()

    def _flush(self) -> None:
        if not self._cut and (data := self._tunnel.leaving()):
            self.transport.write(data)
            self._pulse.said(self._reactor.seconds())

    def cut(self, reason: str) -> None:
        """End the connection at once."""
        call_off(self._timer)
        self._cut = self._cut or reason
        self._paused = True
        self.transport.abortConnection()
        courier, self._courier = self._courier, None
        if courier is not None:
            courier.detach(self, self._cut)

    # ---- IPushProducer -------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The socket has enough for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Everything has left."""
        self._paused = False
        self._unsent = 0
        self.go_on()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._paused = True


def admitting(reactor: Clock, key: Path, claim: Callable[[bytes, bytes], Courier | None]) -> Any:
    """The daemon's factory of carriages, behind the gate.

    ``key`` is the file with the pool's certificate and key (PEM). ``claim`` gives the courier of a
    session, if the ticket is right.
    """

    def judge(heard: bytes) -> Courier | None:
        return claim(heard[:SESSION_BYTES], heard[SESSION_BYTES:])

    context = tunnel.daemons(key)

    def carriage() -> Carriage:
        inside = Tunnel(context, server=True)
        made = Carriage(reactor, inside, OPENING_BYTES, judge, answer=WELCOME)
        made.begun.addErrback(lambda _: None)  # whoever it was will dial again, or was a stranger
        return made

    return factory_of(carriage)


def calling(reactor: Clock, tub: str, session: bytes, ticket: bytes, courier: Courier) -> Any:
    """The controller's factory of carriages, once the gate is passed.

    ``tub`` is the digest of the daemon's certificate, as FURLs name it.
    """

    def judge(heard: bytes) -> Courier | None:
        return courier if heard == WELCOME else None

    context = tunnel.controllers()

    def carriage() -> Carriage:
        inside = Tunnel(context, server=False)
        return Carriage(reactor, inside, len(WELCOME), judge, opening=session + ticket, tub=tub)

    return factory_of(carriage)


def factory_of(carriage: Callable[[], Carriage]) -> Any:
    """Twisted's factory of such connections, which says nothing of them in the log."""
    factory: Any = protocol.Factory.forProtocol(carriage)
    factory.noisy = False
    return factory
