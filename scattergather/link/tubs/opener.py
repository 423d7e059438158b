"""What arrives over TLS, opened with few calls where it is one whole record.

Twisted asks OpenSSL for more until that raises an error, and then for an answer, which raises
another: half of what it takes to read a piece, which nearly always is one record::

    0       1            3         5
    | kind  | version    | length  | ciphertext ...
      23                   uint16

Behind one that stands by itself, nothing can be left. What else comes is Twisted's to open. Whether
a record stands by itself is known only to who has seen all from the first byte on, so this is put
in front of TLS when that begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.protocols.tls import BufferingTLSTransport

APPLICATION = 23
HEADER = 5
MOST = 1 << 15
_KNOWN = (
    "_tlsConnection",
    "_handshakeDone",
    "_appSendBuffer",
    "_aborted",
    "_flushReceiveBIO",
    "wrappedProtocol",
)


class Opener:
    """Stands before ``dataReceived`` of Twisted's TLS of a connection. Reactor thread only.

    Attributes:
        deliver: takes what was in a record.
    """

    __slots__ = ("_begun", "_missing", "_tls", "_usual", "deliver")

    def __init__(self, tls: Any) -> None:
        self._tls = tls
        self._usual = tls.dataReceived
        self._missing = 0
        """Bytes of a record of which some have come."""
        self._begun = b""
        """A header of which some bytes have come."""
        self.deliver: Callable[[bytes], None] = tls.wrappedProtocol.dataReceived

    def __call__(self, data: bytes) -> None:
        """These bytes came over the connection."""
        tls = self._tls
        if not self._by_itself(data) or not tls._handshakeDone or tls._appSendBuffer:
            self._usual(data)
            return
        connection = tls._tlsConnection
        connection.bio_write(data)
        try:
            plain = connection.recv(MOST)
        except SSL.Error:
            tls._flushReceiveBIO()  # it was for TLS itself, the last one, or is broken
        else:
            if not tls._aborted:
                self.deliver(plain)

    def _by_itself(self, data: bytes) -> bool:
        """It is one record of an application, from its first byte to its last."""
        whole = len(data) > HEADER and (data[3] << 8 | data[4]) + HEADER == len(data)
        if whole and not (self._missing or self._begun):
            return data[0] == APPLICATION
        data = self._begun + data
        at, end = self._missing, len(data)
        while end - at >= HEADER:
            at += HEADER + (data[at + 3] << 8 | data[at + 4])
        self._missing = max(at - end, 0)
        self._begun = data[at:]
        return False


def put_before(tls: Any) -> None:
    """What this TLS opens goes by an :class:`Opener`; no effect if it is not what we know."""
    if type(tls) is BufferingTLSTransport and all(hasattr(tls, name) for name in _KNOWN):
        tls.dataReceived = Opener(tls)  # type: ignore[method-assign]
