"""A daemon's view of its controllers: one Tub, one gate, one session for each.

A controller whose link broke has the grace to come back to its session; then the session is closed
and its workers die. One that hung up was killed, most likely, and has a short one: it dials again
within half a second if it lives. Reactor thread only.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

import scattergather
from scattergather.link import remote
from scattergather.link.blocks import carriage
from scattergather.link.blocks.courier import Courier
from scattergather.link.gate import gate
from scattergather.link.gate.doorkeeper import Doorkeeper
from scattergather.link.gate.doors import Doors
from scattergather.link.gate.gate import Key, Keys
from scattergather.link.seams import HostPool, PoolSession
from scattergather.link.sentences import mismatch
from scattergather.link.stream.line import Line
from scattergather.link.tubs.tub import make_tub
from scattergather.reactor.seam import Reactor, for_twisted
from scattergather.settings.furl import Furl
from scattergather.settings.identity import Identity
from scattergather.settings.invitations import OWNER, Invitations
from scattergather.wire.blobs import WIDTH
from scattergather.wire.messages import page as messages

MOST_SESSIONS = 64
MOST_OF_ONE = MOST_SESSIONS // 2
"""No user can take all of them."""

STOP_SECONDS = 1.0

HUNG_UP_GRACE = 1.5
"""Seconds; nothing of a controller that was killed may be left after two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatistics:
    """Who is there now, and how many were turned away at the gate so far."""

    sessions: int
    connections: int
    unproved: int
    refused: int


class LinkServer:
    """Lets controllers join a pool over the network.

    Args:
        pool: what they join.
        identity: the key and the secret name of the pool.
        interface: the address to listen on.
        advertise: ``host:port`` that FURLs name, if it is not the one to listen on.
    """

    log = Logger()

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
        self.reactor = reactor
        self.pool = pool
        self.guests: dict[bytes, _Visit] = {}
        self._identity = identity
        self._where = (interface, port)
        self._advertise = advertise
        self._keys = Keys()
        self._open: dict[str, tuple[Furl, _FrontDoor]] = {}
        self._keeper = Doorkeeper(reactor, self._keys)
        self._keeper.serve(gate.DATA, carriage.admitting(reactor, identity.key_file, self.claim))
        self._doors = Doors(reactor, Invitations(identity.folder), self)
        self._tub = make_tub(identity.key)
        self._counter = itertools.count(1)

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
        door = _FrontDoor(self, who)
        furl = Furl.parse(self._tub.registerReference(door, name))
        self._open[who] = (furl, door)
        self._keys.add(name, who)

    def shut_out(self, who: str) -> None:
        """The FURL of this user opens nothing any more; what he has open ends now."""
        furl, door = self._open.pop(who)
        self._tub.unregisterReference(door)
        for guest in [guest for guest in self.guests.values() if guest.who == who]:
            guest.end("the FURL was revoked")
        self._keys.revoke(Key.of(furl.name).id)

    def stop(self) -> Deferred[None]:
        """Every controller is told, every session closed; fires a second later at the latest."""
        self._doors.stop()
        for guest in list(self.guests.values()):
            guest.dismiss("the pool stops")
        stopping: Deferred[Any] = self._tub.stopService()
        return stopping.addTimeout(STOP_SECONDS, for_twisted(self.reactor)).addBoth(lambda _: None)

    def hello(self, who: str, said: bytes, back: Any) -> remote.Welcome | remote.Refusal:
        """What a controller's hello is answered with."""
        theirs = remote.read_versions(said)
        if theirs.protocol != messages.PROTOCOL:
            return self._refusal(mismatch(theirs, "this controller", "that pool"))
        greeting = remote.read_greeting(said)
        if not greeting.session:
            return self._welcome(0, b"")
        guest = self.guests.get(greeting.session)
        if guest is not None and guest.who != who:
            guest = None
        if greeting.received != remote.NEW:
            if guest is None:
                return self._refusal("it does not know this session", unknown=True)
        elif guest is not None or len(greeting.session) != remote.SESSION_BYTES:
            return self._refusal("a session needs a new id of 16 bytes")
        elif len(self.guests) >= MOST_SESSIONS:
            return self._refusal(f"the pool has {MOST_SESSIONS} controllers already")
        elif sum(guest.who == who for guest in self.guests.values()) >= MOST_OF_ONE:
            return self._refusal(f"{MOST_OF_ONE} controllers of one FURL are the most it takes")
        else:
            guest = self.guests[greeting.session] = _Visit(self, who, greeting)
        guest.connect(back, max(greeting.received, 0))
        return self._welcome(guest.line.received, guest.ticket)

    def claim(self, session: bytes, ticket: bytes) -> Courier | None:
        """The courier of this session, if that is its ticket."""
        guest = self.guests.get(session)
        if guest is None or not hmac.compare_digest(guest.ticket, ticket):
            return None
        return guest.courier

    def room(self) -> None:
        """There may be room again for objects of controllers."""
        for guest in list(self.guests.values()):
            guest.room()

    def statistics(self) -> ServerStatistics:
        """Who is there."""
        return ServerStatistics(
            sessions=len(self.guests),
            connections=self._keeper.connections,
            unproved=self._keeper.porch.waiting,
            refused=self._keeper.porch.refused,
        )

    def number(self) -> int:
        """A number for a guest, for the log."""
        return next(self._counter)

    def _welcome(self, received: int, ticket: bytes) -> remote.Welcome:
        return remote.Welcome(
            protocol=messages.PROTOCOL,
            version=scattergather.__version__,
            facts=self.pool.facts(),
            received=received,
            ticket=ticket,
        )

    def _refusal(self, reason: str, *, unknown: bool = False) -> remote.Refusal:
        return remote.Refusal(
            protocol=messages.PROTOCOL,
            version=scattergather.__version__,
            reason=reason,
            unknown=unknown,
        )


@implementer(remote.RIPool)
class _FrontDoor(Referenceable):
    """What a controller may call on us; one for each user."""

    def __init__(self, server: LinkServer, who: str) -> None:
        self._server = server
        self._who = who

    def remote_hello(self, greeting: bytes, back: Any) -> bytes:
        return remote.encode(self._server.hello(self._who, greeting, back))

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        guest = self._server.guests.get(session)
        if guest is not None and guest.who == self._who:
            guest.end(reason.decode(errors="replace"))


class _Visit:
    """One controller's session; the ``seams.Peer`` that the pool sends to."""

    def __init__(self, server: LinkServer, who: str, greeting: remote.Greeting) -> None:
        self.who = who
        self.ticket = secrets.token_bytes(carriage.TICKET_BYTES)
        self.line = Line(server.reactor, greeting.session, self._received, self.end)
        self._server = server
        self._back: Any = None
        self._session: PoolSession | None = None
        self._courier: Courier | None = None
        self._greeting = greeting
        self._name = f"{greeting.controller or 'a controller'} #{server.number()}"

    def connect(self, back: Any, received: int) -> None:
        """The controller is there, for the first time or again."""
        self._back = back
        carrier = back.tracker.broker
        self.line.expect(carrier)
        back.notifyOnDisconnect(self._cut, carrier)
        self.line.attach(received)
        if self._session is None:
            self._session = self._server.pool.open(
                self, controller=self._name, workers=self._greeting.workers
            )

    def _cut(self, carrier: Any) -> None:
        if carrier.hung_up:
            self.line.detach(carrier, "the controller hung up", HUNG_UP_GRACE)
        else:
            self.line.detach(carrier, "the connection broke")

    def send(self, message: messages.FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        """Pass a message up to the controller, or soon, together with others."""
        self.line.offer(messages.encode(message), body, patient=patient)
        if isinstance(message, messages.Outcomes | messages.EverywhereDone) and message.objects:
            self.courier.ship(extent.object for extent in message.objects)

    @property
    def courier(self) -> Courier:
        """This end of the session's block stream, from the first object on."""
        if self._courier is None:
            self._courier = Courier(
                self._server.pool.objects,
                arrived=lambda name: self._tell(lambda session: session.arrived((name,))),
                lost=lambda name, why: self._tell(lambda session: session.lost((name,), why)),
                shipped=lambda name: self._tell(lambda session: session.shipped((name,))),
            )
        return self._courier

    def room(self) -> None:
        """There may be room again for objects of the controller."""
        if self._courier is not None:
            self._courier.room()

    def _tell(self, tell: Callable[[PoolSession], None]) -> None:
        if self._session is None:
            return
        try:
            tell(self._session)
        except Exception:
            self._server.log.failure("{name}: an object could not be handled", name=self._name)
            self.dismiss("the pool failed on a large object; its log says how")

    @property
    def waiting(self) -> int:
        """Bytes that the controller has not acknowledged."""
        return self.line.waiting

    def _received(self, head: bytes, body: bytes) -> None:
        if self._session is None:
            return
        try:
            message = messages.read_to_pool(head)
            if isinstance(message, messages.Run) and len(body) < message.count * WIDTH:
                raise msgspec.ValidationError(
                    f"a body of {len(body)} bytes does not hold {message.count} blobs"
                )
            if isinstance(message, messages.Want):
                self.courier.ship(message.objects)
            self._session.receive(message, body)
        except msgspec.MsgspecError as error:
            self.dismiss(f"the pool did not understand a message: {error}")
        except Exception:
            self._server.log.failure("{name}: a message could not be handled", name=self._name)
            self.dismiss("the pool failed on a message; its log says how")

    def dismiss(self, reason: str) -> None:
        """End the session and tell the controller."""
        if self._back is not None:
            self._back.callRemoteOnly("goodbye", self.line.session, reason.encode()[:1000])
        self.end(reason)

    def end(self, reason: str) -> None:
        """End the session."""
        if self._server.guests.pop(self.line.session, None) is None:
            return
        self.line.close()
        if self._courier is not None:
            self._courier.close()
        if self._session is not None:
            self._session.close(reason)
