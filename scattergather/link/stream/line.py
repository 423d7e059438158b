"""Drives one end of a session's stream: gives it time, a connection and its pieces.

The same for a controller and for a daemon. Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from scattergather.link.stream import stream
from scattergather.link.stream.piece import Piece
from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.reactor.turns import Turns
from scattergather.wire.frame import Bytes

NEAR = 0.001
"""Seconds that a deadline may be passed before it is noticed; the shortest one is 0.25."""


class Connection(Protocol):
    """One connection of two Tubs; ``LinkBroker`` is one."""

    lines: dict[bytes, Callable[[Piece], None]]

    def carry(self, session: bytes, piece: Piece) -> None:
        """Send a piece; silent when the connection is gone."""

    def cut(self, reason: str) -> None:
        """End the connection at once."""


@dataclass(frozen=True, slots=True)
class _Apart:
    """There is no connection."""


@dataclass(frozen=True, slots=True)
class _Greeting:
    """Somebody says hello over a connection.

    The other end may send as soon as it has heard our hello, and before we have its answer: those
    pieces are kept. There are no more than it may send without a word of ours.
    """

    carrier: Connection
    early: list[Piece] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Attached:
    """Pieces go and come over this connection."""

    carrier: Connection


@dataclass(frozen=True, slots=True)
class _Closed:
    """The session is over."""


class Line:
    """One end of a session.

    Args:
        session: 16 bytes that name the session.
        deliver: called with head and body of every frame, in order.
        lost: called once, with the reason, when the session is beyond recovery.
        measured: called with the round trip, in seconds, whenever it has changed notably.
        refusal: says why a frame of so many bytes, which has begun to arrive, is not wanted.
    """

    def __init__(
        self,
        clock: Clock,
        session: bytes,
        deliver: Callable[[bytes, bytes], None],
        lost: Callable[[str], None],
        measured: Callable[[float], None] = lambda _: None,
        refusal: Callable[[int], str] | None = None,
    ) -> None:
        self.session = session
        self._clock = clock
        self._deliver = deliver
        self._lost = lost
        self._measured = measured
        self._stream = stream.Stream(clock.seconds(), refusal=refusal)
        self._state: _Apart | _Greeting | _Attached | _Closed = _Apart()
        self._timer: Timer | None = None
        self._turns = Turns(self._perform)

    @property
    def received(self) -> int:
        """The number of the last piece received: what a hello says."""
        return self._stream.received

    @property
    def waiting(self) -> int:
        """Bytes that the other end is not known to have."""
        return self._stream.waiting

    @property
    def connected(self) -> bool:
        """True while there is a connection to send over."""
        return isinstance(self._state, _Attached)

    def statistics(self) -> stream.StreamStatistics:
        """What passed so far."""
        return self._stream.statistics()

    def expect(self, carrier: Connection) -> None:
        """A hello is about to be said over this connection; another one is used no more."""
        if isinstance(self._state, _Closed):
            return
        self._detach("replaced by a new connection")
        self._state = _Greeting(carrier)
        carrier.lines[self.session] = self._arrived

    def attach(self, received: int, round_trip: float | None = None) -> None:
        """The hello was answered: the other end has the pieces up to ``received``.

        ``round_trip`` is how long that took, if it was this end that said hello. Where the
        connection broke in the meantime, the session waits for another one.
        """
        if isinstance(self._state, _Greeting):
            carrier, early = self._state.carrier, self._state.early
            self._state = _Attached(carrier)
            self._tell(stream.Connected(received, round_trip))
            for piece in early:
                self._tell(stream.PieceArrived(piece))
        else:
            self._set_timer()

    def detach(self, carrier: Connection, reason: str, grace: float | None = None) -> None:
        """This connection is gone; no effect if it was replaced already.

        The session is lost after ``grace`` seconds, or the usual ones, without another.
        """
        if isinstance(self._state, _Greeting | _Attached) and self._state.carrier is carrier:
            self._detach(reason, grace)

    def _detach(self, reason: str, grace: float | None = None) -> None:
        if isinstance(self._state, _Greeting | _Attached):
            self._state.carrier.lines.pop(self.session, None)
            self._state = _Apart()
            self._tell(stream.Disconnected(reason, grace))

    def offer(self, head: bytes, body: Bytes = b"", *, within: float | None = None) -> None:
        """Send a frame, when there is a connection: now, or in so many seconds, with others."""
        if isinstance(self._state, _Closed):
            return
        actions = self._stream.handle(stream.Offered(head, body, within), self._clock.seconds())
        if actions:  # else it waits for others, and no deadline has changed
            self._turns.do(actions)
            self._set_timer()

    def close(self) -> None:
        """End of the session: nothing is sent, delivered or reported any more."""
        state, self._state = self._state, _Closed()
        if isinstance(state, _Greeting | _Attached):
            state.carrier.lines.pop(self.session, None)
        self._turns.remove(lambda _: True)
        call_off(self._timer)

    def _arrived(self, piece: Piece) -> None:
        if isinstance(self._state, _Greeting):
            if len(self._state.early) < stream.WINDOW + 1:  # and one that only acknowledges
                self._state.early.append(piece)
        else:
            self._tell(stream.PieceArrived(piece))

    def _tell(self, event: stream.Event) -> None:
        if isinstance(self._state, _Closed):
            return
        self._turns.do(self._stream.handle(event, self._clock.seconds()))
        self._set_timer()

    def _perform(self, action: stream.Action) -> None:
        match action:
            case stream.Transmit(piece):
                if isinstance(self._state, _Attached):
                    self._state.carrier.carry(self.session, piece)
            case stream.DeliverFrame(head, body):
                self._deliver(head, body)
            case stream.RoundTripChanged(seconds):
                self._measured(seconds)
            case stream.FlushLater(seconds):
                self._clock.callLater(seconds, self._tell, stream.TurnEnded())
            case stream.CutLink(reason):
                if isinstance(self._state, _Attached):
                    carrier = self._state.carrier
                    self._detach(reason)
                    carrier.cut(reason)
            case stream.Lose(reason):
                self.close()
                self._lost(reason)
            case _:
                assert_never(action)

    def _set_timer(self) -> None:
        """A timer that is early enough stays as it is, and looks again when it fires."""
        deadline = None if isinstance(self._state, _Closed) else self._stream.deadline
        if deadline is None:
            return
        left = max(deadline - self._clock.seconds(), 0.0)
        if self._timer is not None and self._timer.active():
            # What was planned for a deadline is planned a little behind it: the clock goes on.
            if self._timer.getTime() <= deadline + NEAR:
                return
            self._timer.reset(left)
        else:
            self._timer = self._clock.callLater(left, self._tell, stream.DeadlinePassed())
