"""A Tub with Foolscap's unsafe and slow defaults turned off.

Every controller makes a Tub of its own, with a fresh key: two Tubs with one certificate disconnect
each other. An elliptic key takes 0.4 ms to make (Foolscap's own RSA key 88 ms), and Foolscap
accepts it: to it a certificate is just something with a digest.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from foolscap import negotiate, pb
from foolscap.eventual import eventually
from foolscap.logging import log as flog

from scattergather.errors import RequestError
from scattergather.link.tubs.broker import LinkBroker
from scattergather.link.tubs.opener import Opener, put_before

CONNECT_SECONDS = 10


class _Negotiation(negotiate.Negotiation):
    SERVER_TIMEOUT = CONNECT_SECONDS

    transport: Any

    def startTLS(self, cert: Any) -> None:
        """Called by Foolscap: from now on all is encrypted."""
        negotiate.Negotiation.startTLS(self, cert)
        put_before(self.transport.protocol)

    def negotiationTimedOut(self) -> None:
        """Cut the connection: Foolscap asks TLS to close it, and TLS waits for the handshake."""
        negotiate.Negotiation.negotiationTimedOut(self)
        self.transport.abortConnection()


class LinkTub(pb.Tub):
    """Foolscap's Tub with the connections and the negotiation of ours. Reactor thread only.

    Attributes:
        adopt: takes the transport of every connection that is through with its negotiation.
        unwanted: the Tubs to which a connection is being made that is not wanted any more.
    """

    adopt: Callable[[Any], None] = staticmethod(lambda _transport: None)
    unsafeTracebacks = False
    keepaliveTimeout: Any = None  # the broker has a pulse of its own
    disconnectTimeout = None
    brokerClass = LinkBroker
    negotiationClass = _Negotiation

    # Foolscap's own, which it gives no types.
    brokers: dict[Any, LinkBroker]
    tubConnectors: dict[Any, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pb.Tub.__init__(self, *args, **kwargs)
        self.unwanted: set[str] = set()

    def hang_up(self, tub: str) -> None:
        """Close the connection to this Tub; one that is being made, when it is there."""
        for theirs, broker in list(self.brokers.items()):
            if theirs.getTubID() == tub:
                broker.close()
        if any(theirs.getTubID() == tub for theirs in self.tubConnectors):
            self.unwanted.add(tub)

    def brokerAttached(self, tubref: Any, broker: Any, isClient: bool) -> None:
        """Called by Foolscap: a connection is through with its negotiation."""
        if not broker.disconnected:
            self.adopt(broker.transport)
            opener = broker.transport.protocol.dataReceived
            if isinstance(opener, Opener):
                opener.deliver = broker.dataReceived
        pb.Tub.brokerAttached(self, tubref, broker, isClient)
        # Foolscap is not through with it in this turn.
        eventually(self._attached, tubref.getTubID(), broker)

    def _attached(self, tub: str, broker: LinkBroker) -> None:
        if tub in self.unwanted:
            self.unwanted.discard(tub)
            broker.close()


def make_tub(certificate: bytes) -> Any:
    """A Tub with this key (PEM, of ``new_certificate``), not started.

    Raises:
        RequestError: Python runs with ``-O``. Foolscap checks by ``assert`` that a peer has proved
            its identity.
    """
    if not __debug__:
        raise RequestError(
            "scattergather does not run under python -O: it would switch off checks on which "
            "Foolscap's security rests"
        )
    # Each event that is kept costs time and memory, and nobody reads them.
    flog.theLogger.DEFAULT_THRESHOLD = flog.WEIRD
    make: Any = LinkTub
    tub = make(certData=certificate, _test_options={"connect_timeout": CONNECT_SECONDS})
    # With the first of these left on, awaiting a call that failed remotely dies with
    # "'str' object has no attribute 'with_traceback'".
    tub.setOption("expose-remote-exception-types", False)
    tub.setOption("logLocalFailures", False)
    tub.setOption("logRemoteFailures", False)
    # A gift makes its receiver connect to wherever the giver says.
    tub.setOption("accept-gifts", False)
    return tub


def new_certificate() -> bytes:
    """A new key and its self-signed certificate, as PEM; 0.4 ms. Any thread."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scattergather")])
    # Nobody looks at the dates: what counts is the digest, which the FURL names.
    begin, end = datetime.datetime(2020, 1, 1), datetime.datetime(2120, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
