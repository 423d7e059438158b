"""A daemon's side of its links: one Tub, one gate, and a front door for each user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from zope.interface import implementer

from scattergather.link import remote
from scattergather.link.blocks import carriage
from scattergather.link.gate import gate
from scattergather.link.gate.doorkeeper import Doorkeeper
from scattergather.link.gate.doors import Doors
from scattergather.link.gate.gate import Key, Keys
from scattergather.link.peers.streams import PeerStreams
from scattergather.link.reception import Reception
from scattergather.link.seams import HostPool
from scattergather.link.tubs.tub import make_tub
from scattergather.reactor.seam import Reactor, for_twisted
from scattergather.settings.furl import Furl
from scattergather.settings.identity import Identity
from scattergather.settings.invitations import OWNER, Invitations

STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatistics:
    """Who is there now, and how many were turned away at the gate so far."""

    sessions: int
    connections: int
    unproved: int
    refused: int


class LinkServer:
    """Lets controllers join a pool over the network. Reactor thread only.

    Args:
        pool: what they join.
        identity: the key and the secret name of the pool.
        interface: the address to listen on.
        advertise: ``host:port`` that FURLs name, if it is not the one to listen on.
    """

    def __init__(
        self,
        reactor: Reactor,
        pool: HostPool,
        identity: Identity,
        *,
        interface: str = "127.0.0.1",
        port: int = 0,
        advertise: str = "",
    ) -> None:
        self._reactor = reactor
        self._identity = identity
        self._where = (interface, port)
        self._advertise = advertise
        self._keys = Keys()
        self._open: dict[str, tuple[Furl, _FrontDoor]] = {}
        self._keeper = Doorkeeper(reactor, self._keys)
        streams = PeerStreams(reactor, identity.key_file, self._keys)
        self.reception = Reception(reactor, pool, streams)
        admitting = carriage.admitting(reactor, identity.key_file, self.reception.claim)
        self._keeper.serve(gate.DATA, lambda _key, address: admitting.buildProtocol(address))
        self._keeper.serve(gate.PEER, streams.called)
        self._doors = Doors(reactor, Invitations(identity.folder), self)
        self._tub = make_tub(identity.key)

    @property
    def furl(self) -> Furl:
        """The owner's FURL of now; a secret. Only after ``start``."""
        return self._open[OWNER][0]

    def start(self) -> Furl:
        """Listen, and let in the owner and whoever is invited.

        Raises:
            twisted.internet.error.CannotListenError: the port is taken, or the address not ours.
            BadRequest: what says who may come in is broken, or open to others.
        """
        interface, port = self._where
        port = self._keeper.open(interface, port)
        shown = f"[{interface}]" if ":" in interface else interface
        self._tub.setLocation(f"tcp:{self._advertise or f'{shown}:{port}'}")
        self._tub.startService()
        self._tub.listenOn(self._keeper)
        self._doors.start({OWNER: self._identity.name})
        return self.furl

    def let_in(self, who: str, name: str) -> None:
        """Who knows this secret name may join, can be told from others, and shut out again."""
        door = _FrontDoor(self.reception, who)
        furl = Furl.parse(self._tub.registerReference(door, name))
        self._open[who] = (furl, door)
        self._keys.add(name, who)

    def shut_out(self, who: str) -> None:
        """The FURL of this user opens nothing any more; what he has open ends now."""
        furl, door = self._open.pop(who)
        self._tub.unregisterReference(door)
        self.reception.end(who, "the FURL was revoked")
        self._keys.revoke(Key.of(furl.name).id)

    def room(self) -> None:
        """There may be room again for objects of controllers."""
        self.reception.room()

    def stop(self) -> Deferred[None]:
        """Every controller is told, every session closed; fires a second later at the latest."""
        self._doors.stop()
        self.reception.dismiss("the pool stops")
        stopping: Deferred[Any] = self._tub.stopService()
        return stopping.addTimeout(STOP_SECONDS, for_twisted(self._reactor)).addBoth(lambda _: None)

    def statistics(self) -> ServerStatistics:
        """Who is there."""
        seen = self._keeper.statistics()
        return ServerStatistics(
            sessions=len(self.reception.visits),
            connections=seen.connections,
            unproved=seen.unproved,
            refused=seen.refused,
        )


@implementer(remote.RIPool)
class _FrontDoor(Referenceable):
    """What a controller may call on us; one for each user."""

    def __init__(self, reception: Reception, who: str) -> None:
        self._reception = reception
        self._who = who

    def remote_hello(self, greeting: bytes, back: Any) -> bytes:
        return remote.encode(self._reception.hello(self._who, greeting, back))

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        self._reception.goodbye(self._who, session, reason.decode(errors="replace"))
