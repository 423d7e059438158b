"""What all peer streams of a daemon share: its gate, their number, and the room ahead of them.

A key is minted for one peer of one session and opens one stream, once. It is worthless when the
session is over, when it was used, and half a minute after it was made. Reactor thread only.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
from twisted.internet import endpoints, protocol
from twisted.internet.defer import Deferred

from scattergather.link.blocks import tunnel
from scattergather.link.blocks.carriage import WELCOME, Carriage, factory_of
from scattergather.link.blocks.courier import Courier
from scattergather.link.blocks.deliveries import Credit
from scattergather.link.blocks.tunnel import Tunnel
from scattergather.link.gate import gate
from scattergather.link.gate.caller import GatedEndpoint
from scattergather.reactor.seam import Reactor, Timer, call_off, for_twisted
from scattergather.settings.identity import secret_name
from scattergather.wire.messages import page as messages

MOST_STREAMS = 16
"""Connections to peers that a daemon has at a time."""

KEY_SECONDS = 30.0
CONNECT_SECONDS = 5.0
"""For each address."""


class Talker(Protocol):
    """Who has a stream; ``neighbour.Neighbour`` is one."""

    courier: Courier

    @property
    def idle(self) -> bool:
        """Nothing is to pass."""


@dataclass(slots=True)
class _Minted:
    talker: Talker
    certificate: bytes
    expiry: Timer


class PeerStreams:
    """Makes the streams of one daemon, called and calling.

    Args:
        key_file: this pool's certificate and private key.
        keys: those of its gate.

    Attributes:
        credit: the bytes that may be under way to here, from all peers together.
    """

    def __init__(self, reactor: Reactor, key_file: Path, keys: gate.Keys) -> None:
        self.credit = Credit()
        self.reactor = reactor
        self._key_file = key_file
        self._keys = keys
        self._minted: dict[bytes, _Minted] = {}
        self._talkers: list[Talker] = []
        self._poking = False

    @property
    def certificate(self) -> bytes:
        """This pool's, as DER."""
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        text = self._key_file.read_text()
        return ssl.PEM_cert_to_DER_cert(text[text.index(begin) : text.index(end) + len(end)])

    # ---- who may call ---------------------------------------------------------------------------

    def mint(self, talker: Talker, certificate: bytes, who: str) -> str:
        """The secret name of a key with which the owner of this certificate may call, once.

        Raises:
            msgspec.ValidationError: that is no certificate.
        """
        self._context(certificate, server=True)
        name = secret_name()
        key = self._keys.add(name, who, gate.PEER)
        expiry = self.reactor.callLater(KEY_SECONDS, self._spend, key.id)
        self._minted[key.id] = _Minted(talker, certificate, expiry)
        return name

    def forget(self, talker: Talker) -> None:
        """The session of this one is over: nobody calls it any more."""
        for key_id in [key for key, it in self._minted.items() if it.talker is talker]:
            self._spend(key_id)
        self._talkers = [each for each in self._talkers if each is not talker]

    def _spend(self, key_id: bytes) -> None:
        minted = self._minted.pop(key_id, None)
        if minted is not None:
            call_off(minted.expiry)
            self._keys.spend(key_id)

    def called(self, key: gate.Key, _address: Any) -> Any:
        """The protocol for one who has proved a key: it serves him, or hangs up."""
        minted = self._minted.get(key.id)
        self._spend(key.id)
        if minted is None or not self._has_place(minted.talker):
            return _HungUp()
        context = self._context(minted.certificate, server=True)
        courier = minted.talker.courier
        made = Carriage(
            self.reactor,
            Tunnel(context, server=True),
            len(key.id),
            lambda heard: courier if heard == key.id else None,
            answer=WELCOME,
            tub=tunnel.tub_of(minted.certificate),
        )
        made.begun.addErrback(lambda _: None)  # whoever it was is heard of no more
        return made

    # ---- whom we call ---------------------------------------------------------------------------

    async def call(self, talker: Talker, message: messages.MeetPeer) -> None:
        """Give this one a stream to a peer.

        Raises:
            Exception: of the last address that was tried.
            msgspec.ValidationError: what should be the certificate of the peer is none.
        """
        if not self._has_place(talker):
            raise ConnectionError(f"it has {MOST_STREAMS} streams already")
        context = self._context(message.certificate, server=False)
        key = gate.Key.of(message.key)

        def carriage() -> Carriage:
            return Carriage(
                self.reactor,
                Tunnel(context, server=False),
                len(WELCOME),
                lambda heard: talker.courier if heard == WELCOME else None,
                opening=key.id,
                tub=tunnel.tub_of(message.certificate),
            )

        factory = factory_of(carriage)
        for place, (host, port) in enumerate(message.addresses):
            inner = endpoints.HostnameEndpoint(self.reactor, host, port)
            dialling: Deferred[Any] = GatedEndpoint(self.reactor, inner, key, gate.PEER).connect(
                factory
            )
            dialling.addCallback(lambda made: made.begun)
            try:
                await dialling.addTimeout(CONNECT_SECONDS, for_twisted(self.reactor))
                return
            except Exception:
                if place + 1 == len(message.addresses):
                    raise

    # ---- what they share ------------------------------------------------------------------------

    def _has_place(self, talker: Talker) -> bool:
        """There is room for one stream more: an idle one makes it, if need be."""
        talking = [each for each in self._talkers if each.courier.connected]
        if len(talking) >= MOST_STREAMS:
            idle = next((each for each in talking if each.idle), None)
            if idle is None:
                return talker in talking  # it takes the place of its own
            idle.courier.hang_up()
        if talker not in self._talkers:
            self._talkers.append(talker)
        return True

    def poke(self) -> None:
        """Something has arrived, or room was made: others may have waited for that."""
        if not self._poking:
            self._poking = True
            self.reactor.callLater(0, self._poke)

    def _poke(self) -> None:
        self._poking = False
        for each in list(self._talkers):
            each.courier.room()
        self._talkers = [*self._talkers[1:], *self._talkers[:1]]  # else the first would get all

    def _context(self, certificate: bytes, *, server: bool) -> ssl.SSLContext:
        try:
            return tunnel.peers(self._key_file, certificate, server=server)
        except (ssl.SSLError, ValueError) as error:
            raise msgspec.ValidationError(
                f"what should be a certificate is none: {error}"
            ) from error


class _HungUp(protocol.Protocol):
    """Hangs up."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()
