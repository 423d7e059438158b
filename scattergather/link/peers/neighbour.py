"""One end of the stream between two pools of a session.

::

            something is to pass            the controller makes them meet
    alone  -----------------------> asking ------------------------------> talking
      ^                               |  nobody came: the controller        |
      |                               v  is told, and finds another way     |  nothing passed for a
      +-------------------------------+-------------------------------------+  while, or it broke

Either end asks its controller for a meeting; which of them dials is not theirs to say. What was
under way when a connection broke goes on in the next. Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from scattergather.link.blocks.courier import Courier
from scattergather.link.peers.handed import HandedObjects
from scattergather.link.peers.streams import PeerStreams
from scattergather.link.seams import ObjectStore
from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Timer, call_off, planned
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent

IDLE_SECONDS = 10.0
ASK_SECONDS = 10.0
"""How long the other end may take to come."""

STALLED_SECONDS = 15.0
SLOWEST = 1 << 16
"""A stream on which so many bytes have not passed in that time, while something is to arrive, is
given up, and another way found."""

PAUSES = (0.0, 0.1, 0.5, 1.0)
"""Before it is asked for a connection in the place of one that broke, in seconds. One that has
broken that often, while nothing has come through, is given up."""


class Neighbour:
    """What passes between this pool and another one, for one session.

    Args:
        name: what the controller calls the other pool.
        objects: those of the session.
        streams: makes connections.
        tell: says something to the controller.
        arrived: hears what has come.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        objects: ObjectStore,
        streams: PeerStreams,
        tell: Callable[[messages.OfPeersFromPool], None],
        arrived: Callable[[ObjectId], None],
    ) -> None:
        self.name = name
        self._objects = objects
        self._handed = HandedObjects(objects)
        self._streams = streams
        self._tell = tell
        self._heard = arrived
        self._timer: Timer | None = None
        self._asked = False
        self._calling = False
        self._connected = False
        self._breaks = 0
        self._settled = 0
        self._passed = (0, 0)
        self._closed = False
        self.courier = Courier(
            self._handed,
            arrived=self._arrived,
            lost=self._lost,
            shipped=self._handed.given.discard,
            changed=self.look,
            credit=streams.credit,
        )

    @property
    def idle(self) -> bool:
        """Nothing is to pass."""
        return not (self._handed.expected or self.courier.outstanding)

    # ---- what the controller says ---------------------------------------------------------------

    def hand(self, names: Iterable[ObjectId]) -> None:
        """The peer may have these."""
        self._handed.given.update(names)
        self.courier.ship(names)
        self.look()

    def expect(self, extents: Iterable[Extent]) -> None:
        """The peer brings these."""
        for extent in extents:
            if self._objects.length(extent.object) is None:
                self._handed.expected[extent.object] = extent.length
            else:
                self._tell(messages.Fetched(peer=self.name, objects=(extent.object,)))
        self.courier.room()
        self.look()

    def mint(self, certificate: bytes) -> None:
        """The peer with this certificate is going to call."""
        key = self._streams.mint(self, certificate, self.name)
        self._tell(messages.KeyMinted(peer=self.name, key=key))

    def meet(self, message: messages.MeetPeer) -> None:
        """Call the peer, unless that is being done: both ends may have asked for it."""
        if not self._calling:
            self._calling = True
            Deferred.fromCoroutine(self._call(message))

    async def _call(self, message: messages.MeetPeer) -> None:
        try:
            await self._streams.call(self, message)
        except Exception as why:
            if not self._closed and not self.courier.connected:
                self._log.info("no stream to {peer}: {why}", peer=self.name, why=why)
                said = str(why) or type(why).__name__
                self._tell(messages.NotFetched(peer=self.name, why=said[:1000], unreachable=True))
        finally:
            self._calling = False

    def part(self) -> None:
        """Nothing is to pass any more."""
        self.courier.refuse(list(self._handed.expected), "it comes another way")
        self._handed.expected.clear()
        self.courier.withdraw(list(self._handed.given))
        self._handed.given.clear()
        self._breaks = 0
        self.look()

    def close(self) -> None:
        """The session is over."""
        self._closed = True
        call_off(self._timer)
        self._streams.forget(self)
        self.courier.close()

    # ---- what passes ----------------------------------------------------------------------------

    def _arrived(self, name: ObjectId) -> None:
        if self._handed.expected.pop(name, None) is not None:
            self._tell(messages.Fetched(peer=self.name, objects=(name,)))
        self._heard(name)
        self._streams.poke()

    def _lost(self, name: ObjectId, why: str) -> None:
        if self._handed.expected.pop(name, None) is not None:
            self._tell(messages.NotFetched(peer=self.name, objects=(name,), why=why[:1000]))
        self._streams.poke()

    # ---- the connection -------------------------------------------------------------------------

    def look(self) -> None:
        """A connection may be needed now, or none any more."""
        if self._closed:
            return
        if self.courier.settled != self._settled:
            self._settled, self._breaks = self.courier.settled, 0
        before, self._connected = self._connected, self.courier.connected
        if self._connected:
            self._asked = False
            if not before:
                self._plan(STALLED_SECONDS, self._look_again)
            elif not planned(self._timer):
                self._plan(IDLE_SECONDS if self.idle else STALLED_SECONDS, self._look_again)
            return
        if self.idle:
            call_off(self._timer)
            self._asked = False
        elif before:
            self._broke(self.courier.ended)
        elif not self._asked:
            self._ask()

    def _look_again(self) -> None:
        """Nothing has happened for a while, or something has."""
        traffic, before = self.courier.traffic, self._passed
        self._passed = traffic.sent + traffic.received, self.courier.settled
        if self._passed[0] - before[0] >= SLOWEST or self._passed[1] != before[1]:
            self._plan(IDLE_SECONDS if self.idle else STALLED_SECONDS, self._look_again)
        elif self.idle:
            self.courier.hang_up()
        elif self._handed.expected:
            self._give_up(f"hardly anything has come from {self.name} for {STALLED_SECONDS:g} s")
        else:
            self._plan(STALLED_SECONDS, self._look_again)

    def _broke(self, why: str) -> None:
        self._log.info("the stream to {peer} broke: {why}", peer=self.name, why=why)
        if self._breaks >= len(PAUSES):
            self._give_up(f"the way to {self.name} breaks again and again ({why})")
            return
        pause = PAUSES[self._breaks]
        self._breaks += 1
        self._asked = True
        self._plan(pause, self._ask)

    def _ask(self) -> None:
        if self.idle or self.courier.connected:
            self._asked = False
            return
        self._asked = True
        self._plan(ASK_SECONDS, self._give_up, f"{self.name} has not come in {ASK_SECONDS:g} s")
        self._tell(messages.AskKey(peer=self.name))

    def _give_up(self, why: str) -> None:
        """The controller finds another way for what is expected."""
        self._asked = False
        missed = tuple(self._handed.expected)
        self.part()
        if self.courier.connected:
            self.courier.hang_up()
        self._tell(
            messages.NotFetched(peer=self.name, objects=missed, why=why[:1000], unreachable=True)
        )

    def _plan(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        call_off(self._timer)
        self._timer = self._streams.reactor.callLater(seconds, call, *arguments)
