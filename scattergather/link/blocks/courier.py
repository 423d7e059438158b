"""One session's end of the block stream; the same for a controller and for a daemon.

It outlives its connections, as a session outlives its links, and ends with the session: then it
forgets everything, and what had arrived of an object is discarded. Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, assert_never

from twisted.logger import Logger

from scattergather.link.blocks.deliveries import Credit, Lost, ObjectArrived, Send
from scattergather.link.blocks.exchange import (
    NOWHERE,
    Action,
    CutConnection,
    Exchange,
    GoOn,
    Shipped,
)
from scattergather.link.seams import ObjectStore, Traffic
from scattergather.model.ids import ObjectId
from scattergather.reactor.turns import Turns


class Road(Protocol):
    """A connection of two couriers; ``carriage.Carriage`` is one."""

    def write(self, frames: bytes) -> None:
        """Send these frames at once."""

    def go_on(self) -> None:
        """Ask for blocks as long as there is room to write: some may be wanted."""

    def cut(self, reason: str) -> None:
        """End the connection at once; the courier has left it already."""


class Courier:
    """One end of a session's block stream.

    Args:
        objects: what it reads and fills.
        arrived: called with each object that is here, whole.
        lost: called with each object that was to arrive and will not, and why.
        shipped: called with each object of ours that is there, or that the other end cannot take.
        changed: called when it may need a connection now, or none any more.
        expects: this end says by :meth:`expect` what is to arrive, maybe after it was lost.
        credit: the bytes that may be under way to here; by default its own.

    Attributes:
        settled: how many objects have left or arrived so far, or never will.
        ended: why its last connection ended.
    """

    log = Logger()

    def __init__(
        self,
        objects: ObjectStore,
        *,
        arrived: Callable[[ObjectId], None],
        lost: Callable[[ObjectId, str], None],
        shipped: Callable[[ObjectId], None],
        changed: Callable[[], None] = lambda: None,
        expects: bool = False,
        credit: Credit | None = None,
    ) -> None:
        self.settled = 0
        self.ended = ""
        self._objects = objects
        self._arrived = arrived
        self._lost = lost
        self._shipped = shipped
        self._changed = changed
        self._expects = expects
        self._credit = credit
        self._exchange = Exchange(objects, credit)
        self._expected: set[ObjectId] = set()
        self._missed: set[ObjectId] = set()  # lost before they were expected
        self._road: Road | None = None
        self._unheard = False
        """We said that an object has arrived, and a break may have cut that word off."""
        self._turns = Turns(self._perform)
        self._closed = False

    @property
    def connected(self) -> bool:
        """There is a connection."""
        return self._road is not None

    @property
    def traffic(self) -> Traffic:
        """Bytes of objects that have left and arrived, each as often as it did."""
        return Traffic(sent=self._exchange.sent, received=self._exchange.received)

    @property
    def leaving(self) -> int:
        """How many objects are to leave."""
        return self._exchange.leaving

    @property
    def outstanding(self) -> bool:
        """Something is to leave or to arrive, or to be said once more.

        Who has shipped an object keeps it until it hears that it arrived. If the connection broke
        after that word, he offers the object again over the next one, and hears it again.
        """
        unheard = self._unheard and self._road is None
        return bool(unheard or self._expected or self._exchange.outstanding)

    def ship(self, names: Iterable[ObjectId]) -> None:
        """Bring these objects to the other end, in this order."""
        self._do(self._exchange.ship(names))

    def withdraw(self, names: Iterable[ObjectId]) -> None:
        """Those of them that are not there yet need not arrive."""
        self._do(self._exchange.withdraw(names))

    def expect(self, names: Iterable[ObjectId], *, asked: bool = False) -> None:
        """The other end ships these objects, or has done so; when ``asked`` for, it will."""
        for name in names:
            missed = name in self._missed
            self._missed.discard(name)
            if (asked or not missed) and self._objects.length(name) is None:
                self._expected.add(name)
        self._do([])

    def refuse(self, names: Iterable[ObjectId], why: str) -> None:
        """Those of them that are under way to here are not wanted any more."""
        self._do(self._exchange.refuse(names, why))

    def room(self) -> None:
        """There may be room in ``objects`` again."""
        self._do(self._exchange.room())

    def close(self) -> None:
        """End of the session: nothing is reported any more."""
        if self._closed:
            return
        self._closed = True
        for action in self._turns.remove(lambda _: True):
            if isinstance(action, ObjectArrived) and not action.known:  # nobody would drop it
                self._objects.discard(action.object)
        self._expected.clear()
        self._missed.clear()
        self._exchange.close()
        self._exchange = Exchange(self._objects, self._credit)
        self._leave("the session ended")

    # ---- the connection ------------------------------------------------------------------------

    def attach(self, road: Road) -> None:
        """There is a new connection; one that was there before is cut."""
        if self._closed:
            road.cut("the session ended")
            return
        self._leave("replaced by a new connection")
        self._road = road
        self._do(self._exchange.connected())

    def detach(self, road: Road, why: str) -> None:
        """This connection is gone; no effect if it was replaced already."""
        if road is self._road:
            self.ended = why
            self._exchange.disconnected()
            self._leave("it is gone")
            self._do([])

    def hang_up(self) -> None:
        """The connection is not needed any more: for long nothing has passed, so all was heard."""
        self._unheard = False
        if self._road is not None:
            self.detach(self._road, "it is not needed")

    def space(self, road: Road) -> memoryview:
        """Where the next bytes go that come over this connection; empty if it is not ours."""
        return self._exchange.space() if road is self._road else NOWHERE

    def filled(self, road: Road, count: int) -> None:
        """So many bytes came over this connection, and are there."""
        if road is self._road and (actions := self._exchange.filled(count)):
            self._do(actions)

    def block(self, road: Road) -> tuple[bytes, ...]:
        """The parts of the next block that the other end wants; none if it wants nothing."""
        return self._exchange.block() if road is self._road else ()

    def _leave(self, reason: str) -> None:
        road, self._road = self._road, None
        if road is not None:
            self._turns.remove(lambda action: isinstance(action, Send))
            road.cut(reason)

    def _do(self, actions: list[Action]) -> None:
        if self._closed:
            return
        if self._turns.do(actions):
            self._changed()

    def _perform(self, action: Action) -> None:
        match action:
            case Send(frames):
                if self._road is not None:
                    self._road.write(frames)
            case ObjectArrived(name, known):
                self.settled += 1
                self._unheard = True
                self._expected.discard(name)
                # What was here before was told before, or is not theirs to bring: whoever takes
                # it for theirs would drop it when they leave.
                if not (known and self._expects):
                    self._arrived(name)
            case Lost(name, reason):
                self.settled += 1
                if name in self._expected:
                    self._expected.discard(name)
                elif self._expects:
                    self._missed.add(name)
                self._lost(name, reason)
            case Shipped(name, refused):
                self.settled += 1
                if refused:
                    self.log.warn("an object was refused: {why}", why=refused)
                self._shipped(name)
            case GoOn():
                if self._road is not None:
                    self._road.go_on()
            case CutConnection(reason):
                self.log.warn("cut a block stream: {why}", why=reason)
                self.ended = reason
                self._leave(reason)
            case _:
                assert_never(action)
