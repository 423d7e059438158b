"""A bare TLS stream of Twisted's: what passes between two hosts at most. One process an end.

``python -m benchmarks.stream receive`` prints its port, takes one connection and answers each
stream with a byte. ``... send PORT`` reads numbers from its stdin, sends as many bytes each time,
and prints a line when they are answered. The key is of the kind that our links have.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet import ssl
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from scattergather.link.tubs.tub import new_certificate

reactor: Any = the_reactor
PIECE = bytes(1 << 18)
LENGTH = 8


class End(Protocol):
    """What both have: the process ends with the connection."""

    transport: Any = None

    def connectionLost(self, reason: Any = None) -> None:
        """The other end is through."""
        reactor.stop()


class Receiver(End):
    """Counts down what the head of a stream has promised."""

    def __init__(self) -> None:
        self.head = b""
        self.rest = 0

    def dataReceived(self, data: bytes) -> None:
        """More of a stream, or the beginning of one; streams do not overlap."""
        if len(self.head) < LENGTH:
            take = LENGTH - len(self.head)
            self.head, data = self.head + data[:take], data[take:]
            if len(self.head) < LENGTH:
                return
            self.rest = int.from_bytes(self.head, "big")
        self.rest -= len(data)
        if not self.rest:
            self.head = b""
            self.transport.write(b".")


class Sender(End):
    """A push producer, as fast as the transport takes it."""

    def connectionMade(self) -> None:
        """Orders come from a thread, because stdin has no events."""
        self.rest, self.paused = 0, False
        threading.Thread(target=self.take_orders, daemon=True).start()

    def take_orders(self) -> None:
        """Until stdin ends."""
        for line in sys.stdin:
            reactor.callFromThread(self.begin, int(line))
        reactor.callFromThread(self.transport.loseConnection)

    def begin(self, total: int) -> None:
        """One stream."""
        self.rest = total
        self.transport.write(total.to_bytes(LENGTH, "big"))
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self.paused = True

    def stopProducing(self) -> None:
        """The connection is lost."""
        self.rest = 0

    def resumeProducing(self) -> None:
        """The transport takes more."""
        self.paused = False
        while self.rest and not self.paused:
            count = min(self.rest, len(PIECE))
            self.rest -= count
            self.transport.write(PIECE[:count])
            if not self.rest:
                self.transport.unregisterProducer()

    def dataReceived(self, data: bytes) -> None:
        """All of it has arrived."""
        print("answered", flush=True)


def main(role: str, *arguments: str) -> None:
    """One end, until the connection ends."""
    if role == "receive":
        certificate: Any = ssl.PrivateCertificate.loadPEM(new_certificate().decode())
        receiving = Factory.forProtocol(Receiver)
        port = reactor.listenSSL(0, receiving, certificate.options(), interface="127.0.0.1")
        print(port.getHost().port, flush=True)
    else:
        sending = ClientFactory.forProtocol(Sender)
        reactor.connectSSL("127.0.0.1", int(arguments[0]), sending, ssl.CertificateOptions())
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
