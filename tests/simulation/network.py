"""The network between a controller and its pool daemons, at the place where Foolscap is.

Above it everything is real: ``RemoteHost``, ``LinkServer`` with its guests, ``Line``, ``Stream``.
Pieces may be lost, doubled, late or out of order; connections break, for both ends at once or for
one after the other; a path may be shut in one direction only, and whoever hears nothing for
``SILENCE`` seconds gives its end up, as Foolscap's keepalive does. What is under way when a path is
shut arrives when it opens again, if the connection still lives: TCP repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from foolscap.api import DeadReferenceError
from twisted.internet import error
from twisted.internet.defer import Deferred

from scattergather.link.blocks.courier import Courier
from scattergather.link.host import RemoteHost
from scattergather.link.links import Links
from scattergather.link.seams import ObjectStore
from scattergather.link.stream.piece import Piece
from scattergather.link.switchboard import Back, Switchboard
from scattergather.settings.furl import Furl
from tests.pour import pour
from tests.simulation.clock import Clock, Scope

SILENCE = (10.0, 13.0)
"""Foolscap looks once a keepalive, so a dead peer goes unnoticed for a while longer."""

DOWN, UP = 0, 1
"""Directions: to the daemon, to the controller. End ``DOWN`` of a wire is the controller's."""


class End:
    """One side's end of a connection: a ``Carrier`` for lines, and their ``tracker.broker``."""

    def __init__(self, wire: Wire, side: int, scope: Clock | Scope) -> None:
        self.lines: dict[bytes, Callable[[Piece], None]] = {}
        self.alive = True
        self.hung_up = False
        self.wire, self.side, self.scope = wire, side, scope
        self.latest = 0.0
        self.watchers: list[Callable[[], Any]] = []
        self.asked: list[Deferred[Any]] = []

    def carry(self, session: bytes, piece: Piece) -> None:
        if self.alive:
            self.wire.send_piece(self, session, piece)

    def cut(self, reason: str) -> None:
        """This end is gone; the other learns of it if word can reach it, else by silence."""
        if not self.alive:
            return
        self.alive = False
        for watcher in self.watchers:
            self.scope.callLater(0, watcher)
        for asked in self.asked:
            if not asked.called:
                self.scope.callLater(0, _fail, asked, error.ConnectionLost(reason))
        other = self.wire.ends[1 - self.side]
        if other.alive:
            self.wire.path.after(self.side, other, other.hear_the_end)

    def close(self) -> None:
        """What was sent arrives before the other end hears of it."""
        self.cut("the connection was closed")

    def hear_the_end(self) -> None:
        """The other end closed the connection."""
        if self.alive:
            self.hung_up = True
            self.cut("the connection was closed")

    def watch(self, watcher: Callable[[], Any]) -> None:
        if self.alive:
            self.watchers.append(watcher)
        else:
            self.scope.callLater(0, watcher)

    def piece(self, session: bytes, piece: Piece) -> None:
        line = self.lines.get(session) if self.alive else None
        if line is not None:
            line(piece)


class Reference:
    """What Foolscap calls a ``RemoteReference``: the other side, seen over one connection."""

    def __init__(self, end: End, front_door: Any) -> None:
        self.tracker = SimpleNamespace(broker=end)
        self._end = end
        self._front_door = front_door

    def notifyOnDisconnect(self, watcher: Callable[..., Any], *args: Any) -> None:
        self._end.watch(lambda: watcher(*args))

    def callRemoteOnly(self, name: str, *args: Any) -> None:
        if self._end.alive:
            self._end.wire.path.after(
                self._end.side, self._end.wire.ends[1 - self._end.side], self._goodbye, *args
            )

    def _goodbye(self, session: bytes, reason: bytes) -> None:
        if self._end.wire.ends[1 - self._end.side].alive:
            self._front_door.remote_goodbye(session, reason)

    def callRemote(self, name: str, *args: Any) -> Deferred[bytes]:
        """Only a controller calls and waits, and all it calls is ``hello``."""
        answer: Deferred[bytes] = Deferred()
        if self._end.alive:
            self._end.asked.append(answer)
            self._end.wire.path.after(DOWN, self._end.wire.ends[UP], self._hello, answer, *args)
        else:
            self._end.scope.callLater(0, _fail, answer, DeadReferenceError("cut"))
        return answer

    def _hello(self, answer: Deferred[bytes], greeting: bytes, back: Any) -> None:
        there = self._end.wire.ends[UP]
        if there.alive:
            said = self._front_door.hello(greeting, Reference(there, back))
            self._end.wire.path.after(UP, self._end, _fire, answer, said)


class Wire:
    """One connection."""

    def __init__(self, path: Path) -> None:
        assert path.daemon is not None
        self.path = path
        self.ends = (End(self, DOWN, path.clock), End(self, UP, path.daemon.scope))

    def send_piece(self, end: End, session: bytes, piece: Piece) -> None:
        path, other = self.path, self.ends[1 - end.side]
        chance = path.chance.random()
        if chance < path.loss:
            return
        path.after(
            end.side, other, other.piece, session, piece, shuffled=chance > 1 - path.disorder
        )
        if chance < path.loss + path.doubling:
            path.after(end.side, other, other.piece, session, piece, shuffled=True)


class RoadEnd:
    """One courier's end of a block stream; implements ``link.blocks.courier.Road``."""

    def __init__(self, path: Path, side: int, scope: Clock | Scope, courier: Courier) -> None:
        self.path, self.side, self.scope, self.courier = path, side, scope, courier
        self.latest = 0.0
        self.alive = True
        self.other: RoadEnd | None = None

    def write(self, frames: bytes) -> None:
        if self.alive and self.other is not None:
            self.path.after(self.side, self.other, self.other.hear, frames)

    def hear(self, frames: bytes) -> None:
        if self.alive:
            pour(frames, lambda: self.courier.space(self), lambda n: self.courier.filled(self, n))

    def go_on(self) -> None:
        self.scope.callLater(self.path.delay / 2, self._pump)

    def _pump(self) -> None:
        parts = self.courier.block(self) if self.alive else ()
        if parts:
            self.write(b"".join(parts))
            self.go_on()

    def cut(self, reason: str) -> None:
        """It is gone; the other end learns of it if word can reach it."""
        if self.alive and self.other is not None:
            self.alive = False
            self.path.after(self.side, self.other, self.other.break_off)

    def break_off(self) -> None:
        """The connection breaks at this end."""
        if self.alive:
            self.cut("the connection broke")
            self.courier.detach(self, "it broke")


class Dialler:
    """Gives a courier a connection while it needs one, as ``link.blocks.dialler`` does."""

    def __init__(self, path: Path, session: bytes, ticket: bytes, courier: Courier) -> None:
        self.courier = courier
        self._path, self._session, self._ticket = path, session, ticket
        self._dialling = self._stopped = False

    def look(self) -> None:
        needed = self.courier.outstanding and not self.courier.connected
        if needed and not self._dialling and not self._stopped:
            self._dialling = True
            self._path.clock.callLater(3 * self._path.delay, self._dial)

    def _dial(self) -> None:
        self._dialling = False
        if self._stopped or self.courier.connected or not self.courier.outstanding:
            return
        daemon = self._path.daemon
        if self._path.passable and daemon is not None:
            courier = daemon.server.reception.claim(self._session, self._ticket)
            if courier is not None:
                ours = RoadEnd(self._path, DOWN, self._path.clock, self.courier)
                theirs = RoadEnd(self._path, UP, daemon.scope, courier)
                ours.other, theirs.other = theirs, ours
                self._path.roads = [ours, theirs]
                courier.attach(theirs)
                self.courier.attach(ours)
                return
        self._dialling = True
        self._path.clock.callLater(0.25, self._dial)

    def stop(self) -> None:
        self._stopped = True
        self.courier.close()


class Host(RemoteHost):
    """The real one, whose block stream takes the simulated path."""

    path: Path

    def _give_up(self, reason: str) -> None:
        raise  # what the controller failed on is a fault here

    def _make_dialler(self, session: bytes, ticket: bytes) -> Any:
        courier = Courier(
            self._objects,
            arrived=lambda name: self._listener.arrived((name,)),
            lost=lambda name, reason: self._listener.lost((name,), reason),
            shipped=lambda _: None,
            changed=lambda: dialler.look(),
            expects=True,
        )
        dialler = Dialler(self.path, session, ticket, courier)
        return dialler


class Path:
    """The way to one host; ``daemon`` is None while nothing listens there."""

    def __init__(self, clock: Clock, chance: random.Random, fail: Callable[[Any], None]) -> None:
        self.clock = clock
        self.chance = chance
        self.daemon: Any = None
        self.wire: Wire | None = None
        self.wires = 0
        self.roads: list[RoadEnd] = []
        self.loss = self.doubling = self.disorder = 0.0
        self.delay = chance.choice((1e-4, 1e-3, 0.05))
        self.fail = fail
        self._shut = [0, 0]
        self._stalled: tuple[list[Any], list[Any]] = ([], [])

    def after(
        self,
        direction: int,
        end: End,
        what: Callable[..., Any],
        *args: Any,
        shuffled: bool = False,
    ) -> None:
        """Let something happen at an end once word has reached it: in order unless ``shuffled``."""
        if self._shut[direction]:
            self._stalled[direction].append((end, what, args))
            return
        arrival = self.clock.now + self.delay * (0.5 + self.chance.random())
        if shuffled:
            arrival += self.delay * 20 * self.chance.random()
        else:
            arrival = end.latest = max(end.latest, arrival)
        end.scope.callLater(arrival - self.clock.now, self._arrive, what, args)

    def _arrive(self, what: Callable[..., Any], args: Any) -> None:
        try:
            what(*args)
        except Exception as error:  # those above us would explain it away
            self.fail(error)

    def shut(self, direction: int) -> None:
        """Nothing passes in this direction."""
        self._shut[direction] += 1
        if self._shut[direction] == 1:
            self.listen(direction)

    def open(self, direction: int) -> None:
        """What stalled arrives now."""
        self._shut[direction] -= 1
        if not self._shut[direction]:
            stalled = list(self._stalled[direction])
            self._stalled[direction].clear()
            for end, what, args in stalled:
                self.after(direction, end, what, *args)

    def listen(self, direction: int) -> None:
        """Whoever hears nothing from this direction until its patience ends gives up its end."""
        if self.wire is not None:
            end = self.wire.ends[1 - direction]
            end.scope.callLater(self.chance.uniform(*SILENCE), self._silence, direction, end)

    def _silence(self, direction: int, end: End) -> None:
        frozen = direction == UP and self.daemon is not None and self.daemon.scope.frozen
        if self._shut[direction] or frozen:
            end.cut("nothing was heard of the other end")

    @property
    def passable(self) -> bool:
        """Whoever dials is answered."""
        return self.daemon is not None and not any(self._shut) and not self.daemon.scope.frozen

    def cut_stream(self, side: int) -> None:
        """The block stream breaks, first for one side."""
        if self.roads:
            self.roads[side].break_off()

    def cut(self, side: int) -> None:
        """The connection breaks, first for one side."""
        self.cut_stream(side)
        if self.wire is not None:
            self.wire.ends[side].cut("the connection broke")

    def connect(self) -> Deferred[Any]:
        """A reference to the pool: over the connection there is, or a new one."""
        dialed: Deferred[Any] = Deferred()
        wire = self.wire
        if wire is None or not wire.ends[DOWN].alive:
            if self.daemon is None:
                self.clock.callLater(self.delay, _fail, dialed, error.ConnectionRefusedError())
                return dialed
            if any(self._shut) or self.daemon.scope.frozen:
                return dialed  # no answer: the caller's patience ends
            if wire is not None:  # a Tub that comes again replaces what is left of its first visit
                wire.ends[UP].cut("replaced")
            wire = self.wire = Wire(self)
            self.wires += 1
        reference = Reference(wire.ends[DOWN], self.daemon)
        self.clock.callLater(2 * self.delay, _fire, dialed, reference)
        return dialed


class Board(Switchboard):
    """Without a Tub: calls go to the paths of a simulated network."""

    def __init__(
        self, clock: Clock, chance: random.Random, ended: Callable[[bytes, str], None]
    ) -> None:
        self.reactor = clock  # type: ignore[assignment]
        self.controller, self.hash_seed = "simulated", None
        self.chance = chance
        self.back = Back(ended)
        self.paths: dict[str, Path] = {}

    def about_to_send(self) -> None:
        pass

    def hang_up(self, furl: Furl) -> None:
        wire = self.paths[furl.name].wire
        if wire is not None:
            wire.ends[DOWN].close()

    async def call(self, furl: Furl) -> Any:
        return await self.in_time(self.paths[furl.name].connect())


class SimulatedLinks(Links):
    """The real ones, over a switchboard without a Tub."""

    def __init__(self, clock: Clock, chance: random.Random, objects: ObjectStore) -> None:
        self.hosts = []
        self.board = self.switchboard = Board(clock, chance, self.ended)
        self._objects = objects


def _fire(waiting: Deferred[Any], value: Any) -> None:
    if not waiting.called:
        waiting.callback(value)


def _fail(waiting: Deferred[Any], why: Exception) -> None:
    if not waiting.called:
        waiting.errback(why)
