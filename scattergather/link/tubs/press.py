"""Writes that leave at once, past what Twisted does for others.

Twisted gathers small writes to a TLS connection until the next turn, and writes them to the socket
in the turn after that: two more turns, a timer and two calls of ``epoll_ctl`` for each. A piece is
gathered already, and somebody waits for it. So it is encrypted and given to the socket here, and
only what the socket does not take is left to Twisted. Where anything waits already, or this is not
the Twisted that we know, all of it goes the usual way. Errors show again there, or when the reactor
reads.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

MOST = 1 << 14
"""Bytes in one record of TLS."""


def write_now(transport: Any, data: bytes) -> None:
    """These bytes leave now, as far as the socket takes them."""
    tls = transport.protocol
    if len(data) > MOST or not _idle(transport, tls):
        transport.write(data)
        push(transport)
        return
    connection = tls._tlsConnection
    try:
        done = connection.send(data)
    except SSL.Error:
        transport.write(data)
        return
    encrypted = connection.bio_read(2 * MOST)
    try:
        taken = transport.socket.send(encrypted)
    except OSError:
        taken = 0  # it is full, or broken
    if taken < len(encrypted):
        tls.transport.write(encrypted[taken:])
    if done < len(data):
        transport.write(data[done:])


def push(transport: Any) -> None:
    """What was written to the transport leaves now, as far as the socket takes it."""
    if transport.disconnecting or not transport.connected:
        return  # the end of the connection is the reactor's to see
    aggregator = getattr(transport.protocol, "_aggregator", None)
    if aggregator is not None:
        aggregator.flush()
        transport.doWrite()


def unsent(transport: Any) -> int:
    """Bytes that the socket has not taken yet: Twisted gathers them and knows no bound."""
    waiting: int = transport._tempDataLen + len(transport.dataBuffer) - transport.offset
    return waiting


def _idle(transport: Any, tls: Any) -> bool:
    """There is a connection of the kind that we know, and nothing waits on the way to it."""
    try:
        return not (
            transport.disconnecting
            or tls.disconnecting
            or tls._lostTLSConnection
            or tls._appSendBuffer
            or tls._aggregator._buffer
            or transport._tempDataLen
            or len(transport.dataBuffer) > transport.offset
            or not transport.connected
            or not tls._handshakeDone
        )
    except AttributeError:
        return False
