"""A block stream as Twisted sees it: TLS behind the gate, a ticket inside TLS, then frames.

The daemon gives each session a ticket in its answer to the hello. The controller dials the daemon's
port again, passes the gate with its plane for blocks, and both begin TLS 1.3. The controller goes
through with the handshake only if the certificate is the one that the FURL names, so nobody else
gets to see a ticket::

    controller -> daemon    session  ticket     16 + 32 bytes
    daemon -> controller    "+"                 then frames, both ways

So one who relays somebody's proof at the gate gains nothing: he has neither ticket nor key. A
caller without a ticket costs a handshake and is dropped after five seconds; buffers and objects
come after it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from foolscap import crypto
from OpenSSL import SSL
from twisted.internet import interfaces, protocol, ssl
from twisted.internet.defer import Deferred
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from scattergather.link.courier import Courier

SESSION_BYTES = 16
TICKET_BYTES = 32
OPENING_BYTES = SESSION_BYTES + TICKET_BYTES
WELCOME = b"+"

CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""The first takes three quarters of the time of the second, which OpenSSL would prefer."""

SECONDS_TO_OPEN = 5.0
"""For handshake and ticket."""

MOST_UNSENT = 1 << 20
"""Bytes of answers that the other end may leave unread before it is cut. Of blocks there is never
more than one that the socket has not taken."""

RECEIVE_BYTES = 1 << 18
"""At most, from the socket, in one turn of the reactor."""

SPARE = 4096
"""What TLS may add to a few small frames, and have left from before. It adds 22 bytes to 16 kB."""

PROBE_SECONDS = 5
"""After so much silence the kernel asks whether the other end is there."""


@implementer(interfaces.IPushProducer)
class Carriage(protocol.Protocol):
    """A connection of two couriers; implements ``courier.Road``.

    Args:
        opening: what this end says first.
        expected: how many bytes the other end says first.
        judge: the courier whose connection it becomes when it has heard them, if they are right.
        answer: what this end says to that.

    Attributes:
        begun: fires when it belongs to a courier; fails when it has ended before.
    """

    transport: Any

    def __init__(
        self,
        reactor: Any,
        opening: bytes,
        expected: int,
        judge: Callable[[bytes], Courier | None],
        answer: bytes = b"",
    ) -> None:
        self.begun: Deferred[None] = Deferred(lambda _: self.cut("not wanted any more"))
        self._reactor = reactor
        self._opening = opening
        self._answer = answer
        self._expected = expected
        self._judge = judge
        self._heard = b""
        self._courier: Courier | None = None
        self._timer: Any = None
        self._tls: Any = None
        self._tcp: Any = None
        self._paused = False
        self._writing = False
        self._unsent = 0

    def connectionMade(self) -> None:
        """The handshake begins; what is written leaves after it."""
        self._timer = self._reactor.callLater(SECONDS_TO_OPEN, self.cut, "no ticket")
        if self._opening:
            self.transport.write(self._opening)

    def dataReceived(self, data: bytes) -> None:
        """Frames, once the other end has said the right thing."""
        if self._tls is None:
            missing = self._expected - len(self._heard)
            self._heard += data[:missing]
            data = data[missing:]
            if len(self._heard) == self._expected:
                self._open()
        if data and self._courier is not None:
            self._courier.received(self, data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        """Nothing more comes or goes."""
        self._stop_timer()
        courier, self._courier = self._courier, None
        if courier is not None:
            courier.detach(self)
        elif not self.begun.called:
            self.begun.errback(reason)

    def _open(self) -> None:
        courier = self._judge(self._heard)
        if courier is None:
            self.cut("not what it should say")
            return
        self._stop_timer()
        self._tls, self._tcp = self.transport.getHandle(), self.transport.transport
        _prepare(self._tcp)
        self._courier = courier
        self.transport.registerProducer(self, True)
        if self._answer:
            self.transport.write(self._answer)
        courier.attach(self)
        self.begun.callback(None)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    # ---- courier.Road --------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Send these frames, whatever waits; one who never takes any is cut."""
        if self._paused:
            self._unsent += len(frames)
            if self._unsent > MOST_UNSENT:
                self.cut("it does not read")
                return
        self._encrypt(frames)

    def go_on(self) -> None:
        """Write blocks until the socket has enough."""
        if self._writing:
            return
        self._writing = True
        while not self._paused and self._courier is not None:
            frame = self._courier.block(self)
            if not frame:
                break
            self._encrypt(*frame)
        self._writing = False

    def _encrypt(self, *parts: bytes) -> None:
        """What Twisted does 16 kB at a time, at once: it takes half of the time.

        After the handshake TLS 1.3 never has to read before it can write.
        """
        if not self.transport.connected or self.transport.disconnecting:
            return
        try:
            for part in parts:
                self._tls.sendall(part)
        except SSL.Error as error:
            self.cut(f"TLS failed: {error}")
            return
        size = sum(map(len, parts))
        self._tcp.write(self._tls.bio_read(size + size // 256 + SPARE))

    def cut(self, reason: str) -> None:
        """End the connection at once."""
        self._stop_timer()
        self._paused = True
        self.transport.abortConnection()
        courier, self._courier = self._courier, None
        if courier is not None:
            courier.detach(self)

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


def admitting(
    reactor: Any, certificate: bytes, claim: Callable[[bytes, bytes], Courier | None]
) -> Any:
    """The daemon's factory of carriages, behind the gate.

    ``certificate`` holds the pool's key, too (PEM). ``claim`` gives the courier of a session, if
    the ticket is right.
    """

    def judge(heard: bytes) -> Courier | None:
        return claim(heard[:SESSION_BYTES], heard[SESSION_BYTES:])

    own = ssl.PrivateCertificate.loadPEM(certificate)
    options = ssl.CertificateOptions(
        privateKey=own.privateKey.original.to_cryptography_key(),
        certificate=own.original.to_cryptography(),
        raiseMinimumTo=ssl.TLSVersion.TLSv1_3,
    )

    def carriage() -> Carriage:
        made = Carriage(reactor, b"", OPENING_BYTES, judge, WELCOME)
        made.begun.addErrback(lambda _: None)  # whoever it was will dial again, or was a stranger
        return made

    factory = protocol.Factory.forProtocol(carriage)
    options.getContext().set_tls13_ciphersuites(CIPHERS)
    return _encrypted(reactor, factory, options, is_client=False)


def calling(reactor: Any, tub: str, session: bytes, ticket: bytes, courier: Courier) -> Any:
    """The controller's factory of carriages, once the gate is passed.

    ``tub`` is the digest of the daemon's certificate, as FURLs name it.
    """

    def judge(heard: bytes) -> Courier | None:
        return courier if heard == WELCOME else None

    factory = protocol.Factory.forProtocol(
        lambda: Carriage(reactor, session + ticket, len(WELCOME), judge)
    )
    return _encrypted(reactor, factory, _Pinned(tub), is_client=True)


class _Pinned(ssl.CertificateOptions):
    """Goes through with a handshake only if the other end has the certificate of this tub."""

    def __init__(self, tub: str) -> None:
        super().__init__(raiseMinimumTo=ssl.TLSVersion.TLSv1_3)
        self._tub = tub
        self._pinned = super().getContext()
        self._pinned.set_tls13_ciphersuites(CIPHERS)
        self._pinned.set_verify(SSL.VERIFY_PEER, self._check)

    def getContext(self) -> Any:
        """Called by Twisted, for each connection."""
        return self._pinned

    def _check(self, connection: Any, certificate: Any, error: int, depth: int, good: int) -> bool:
        """Called by OpenSSL for each error it finds, and at the end: nothing else is accepted.

        Errors that are none here are those of Foolscap: that it is self-signed, and the dates.
        """
        digest = crypto.digest32(certificate.digest("sha1"))
        valid = crypto.alwaysValidate(connection, certificate, error, depth, good)
        return depth == 0 and digest == self._tub and bool(valid)


def _encrypted(reactor: Any, factory: Any, options: Any, *, is_client: bool) -> Any:
    """Without Twisted's gathering of small writes: a block is large, and answers are few."""
    factory.noisy = False
    tls = TLSMemoryBIOFactory(options, is_client, factory, reactor)
    tls.protocol = TLSMemoryBIOProtocol
    return tls


def _prepare(tcp: Any) -> None:
    """Large reads; and the kernel notices when the other end vanishes while nothing is sent."""
    tcp.bufferSize = RECEIVE_BYTES
    tcp.setTcpKeepAlive(True)
    if hasattr(socket, "TCP_KEEPIDLE"):
        handle = tcp.socket
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            handle.setsockopt(socket.IPPROTO_TCP, option, PROBE_SECONDS)
