"""One controller's session, as the daemon holds it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.logger import Logger

from scattergather.link import remote
from scattergather.link.blocks import carriage
from scattergather.link.blocks.courier import Courier
from scattergather.link.peers.company import Company
from scattergather.link.peers.streams import PeerStreams
from scattergather.link.seams import HostPool, PoolSession
from scattergather.link.stream.line import Line
from scattergather.link.stream.stream import StreamStatistics
from scattergather.model.outcome import GATHER_SECONDS
from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.wire.blobs import WIDTH
from scattergather.wire.messages import page as messages

CLOGGED = 1 << 26
"""Bytes that may wait for a controller before its tasks wait for it."""

MOST_WAITING = 1 << 30
"""Bytes that what its tasks make all the same may take, such as output. What they return is not in
it, up to the size that one value may have: no others begin meanwhile."""

SEEN_BYTES = 1 << 20
"""After so many bytes is looked at how many wait; each message counts as ``SMALLEST`` at least."""

SMALLEST = 1 << 6

LOOK_SECONDS = 0.1

MOST_WANTED = 1 << 17
"""Objects that a controller may want at a time."""

HUNG_UP_GRACE = 1.5
"""Seconds; nothing of a controller that was killed may be left after two."""


class Visit:
    """A session that is open; the ``seams.Peer`` that the pool sends to. Reactor thread only.

    It outlives its connections: a controller whose link broke has the grace to come back. Then the
    session is closed and its workers die. One that hung up was killed, most likely, and has a short
    grace: it dials again within half a second if it lives.

    Args:
        pool: whose session it opens.
        who: the user whose FURL the controller has.
        name: what to call the controller in logs.
        back: the reference to the controller.
        over: called when the session ends; False if it had ended before.
        streams: connects the pool to others; None: it has no peers.

    Attributes:
        ticket: what opens its block stream; a secret.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Clock,
        pool: HostPool,
        greeting: remote.Greeting,
        back: Any,
        *,
        who: str,
        name: str,
        over: Callable[[Visit], bool],
        streams: PeerStreams | None = None,
    ) -> None:
        self.who = who
        self._streams = streams
        self._company: Company | None = None
        self._clock = clock
        self._silent = False
        """The last connection was lost in silence: the controller need not be dead."""
        self._unseen = 0
        self._returned = 0
        self._watched: Any = None
        self._looking: Timer | None = None
        self.ticket = secrets.token_bytes(carriage.TICKET_BYTES)
        self._line = Line(
            clock,
            greeting.session,
            self._received,
            self._lost,
            refusal=lambda size: self._session.refusal(size),
        )
        self._name = name
        self._back = back
        self._over = over
        self._courier: Courier | None = None
        self._session = pool.open(
            self, controller=name, workers=greeting.workers, hash_seed=greeting.hash_seed
        )

    @property
    def id(self) -> bytes:
        """The 16 bytes that name the session."""
        return self._line.session

    def statistics(self) -> StreamStatistics:
        """What passed in this session."""
        return self._line.statistics()

    def connect(self, back: Any, received: int) -> int:
        """The controller is there, for the first time or again, and has pieces up to ``received``.

        Returns:
            The number of the last piece that came from it.
        """
        self._back, self._silent = back, False
        carrier = back.tracker.broker
        self._line.expect(carrier)
        if carrier is not self._watched:  # who says hello again and again is told of once
            self._watched = carrier
            back.notifyOnDisconnect(self._cut, carrier)
        self._line.attach(received)
        return self._line.received

    def _cut(self, carrier: Any) -> None:
        if carrier.hung_up:
            self._line.detach(carrier, "the controller hung up", HUNG_UP_GRACE)
        else:
            self._silent = True
            self._line.detach(carrier, "the connection broke")

    def send(self, message: messages.FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        """Pass a message up to the controller, now, or soon together with others."""
        within = GATHER_SECONDS if patient else None
        self._line.offer(messages.encode(message), body, within=within)
        self._unseen += SMALLEST + len(body)
        if isinstance(message, messages.Outcomes):
            self._returned = len(body) + (0 if self._looking is None else self._returned)
        if self._unseen > SEEN_BYTES and self._looking is None:
            self._unseen = 0
            if self._line.waiting > CLOGGED:
                self._session.clog(True)
                self._look()
        if isinstance(message, messages.Outcomes | messages.EverywhereDone) and message.objects:
            self.courier.ship(extent.object for extent in message.objects)

    def _look(self) -> None:
        """Tasks go on when the controller has kept up; one that never does is not waited for."""
        self._looking = None
        waiting = self._line.waiting
        most = MOST_WAITING + min(self._returned, self._session.most)
        if waiting > most:
            self.dismiss(f"more than {most:,} bytes wait for it")
        elif waiting > CLOGGED // 2:
            self._looking = self._clock.callLater(LOOK_SECONDS, self._look)
        else:
            self._session.clog(False)

    def _received(self, head: bytes, body: bytes) -> None:
        try:
            message = messages.read_to_pool(head)
            if isinstance(message, messages.Run) and len(body) < message.count * WIDTH:
                raise msgspec.ValidationError(
                    f"a body of {len(body)} bytes does not hold {message.count} blobs"
                )
            if isinstance(message, messages.OfPeersToPool):
                self._receive_of_peers(message)
                return
            if isinstance(message, messages.Want):
                if self.courier.leaving + len(message.objects) > MOST_WANTED:
                    self.dismiss(f"it wants more than {MOST_WANTED:,} objects at a time")
                    return
                self.courier.ship(message.objects)
            self._session.receive(message, body)
        except msgspec.MsgspecError as error:
            self.dismiss(f"the pool did not understand a message: {error}")
        except Exception:
            self._log.failure("{name}: a message could not be handled", name=self._name)
            self.dismiss("the pool failed on a message; its log says how")

    # ---- large objects ----

    @property
    def courier(self) -> Courier:
        """This end of the session's block stream, from the first object on."""
        if self._courier is None:
            self._courier = Courier(
                self._session.objects,
                arrived=lambda name: self._tell(lambda session: session.arrived((name,))),
                lost=lambda name, why: self._tell(lambda session: session.lost((name,), why)),
                shipped=lambda name: self._tell(lambda session: session.shipped((name,))),
            )
        return self._courier

    def _receive_of_peers(self, message: messages.OfPeersToPool) -> None:
        if self._company is None:
            if self._streams is None:
                raise msgspec.ValidationError("this pool has no peers")
            self._company = Company(
                self._session.objects,
                self._streams,
                tell=self.send,
                arrived=lambda name: self._tell(lambda session: session.arrived((name,))),
            )
        self._company.receive(message)

    def room(self) -> None:
        """There may be room again for objects of the controller."""
        if self._courier is not None:
            self._courier.room()

    def _tell(self, tell: Callable[[PoolSession], None]) -> None:
        try:
            tell(self._session)
        except Exception:
            self._log.failure("{name}: an object could not be handled", name=self._name)
            self.dismiss("the pool failed on a large object; its log says how")

    # ---- the end ----

    def dismiss(self, reason: str) -> None:
        """End the session and tell the controller."""
        self._dismiss(reason, may_return=False)

    def _lost(self, reason: str) -> None:
        """The session is beyond recovery: its controller hears it, or would wait for ever."""
        self._dismiss(reason, may_return=self._silent)

    def _dismiss(self, reason: str, *, may_return: bool) -> None:
        self._back.callRemoteOnly("goodbye", self.id, reason.encode(errors="replace")[:1000])
        self.end(reason, may_return=may_return)

    def end(self, reason: str, *, may_return: bool = False) -> None:
        """End the session; no effect if it has ended.

        Its controller ``may_return`` if nobody knows what has become of it.
        """
        if not self._over(self):
            return
        self._line.close()
        call_off(self._looking)
        if self._courier is not None:
            self._courier.close()
        if self._company is not None:
            self._company.close()
        self._session.close(reason, may_return=may_return)
