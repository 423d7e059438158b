"""Drives one end of a session's stream: gives it time, a connection and its pieces.

The same for a controller and for a daemon. Reactor thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, assert_never

from scattergather.link.stream import stream
from scattergather.link.stream.piece import Piece
from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.reactor.turns import Turns
from scattergather.wire.frame import Bytes


class Connection(Protocol):
    """One connection of two Tubs; ``LinkBroker`` is one."""

    lines: dict[bytes, Callable[[Piece], None]]

    def carry(self, session: bytes, piece: Piece) -> None:
        """Send a piece; silent when the connection is gone."""

    def cut(self, reason: str) -> None:
        """End the connection at once."""


class Line:
    """One end of a session.

    Args:
        session: 16 bytes that name the session.
        deliver: called with head and body of every frame, in order.
        lost: called once, with the reason, when the session is beyond recovery.
        measured: called with the round trip, in seconds, whenever it has changed notably.
    """

    def __init__(
        self,
        reactor: Clock,
        session: bytes,
        deliver: Callable[[bytes, bytes], None],
        lost: Callable[[str], None],
        measured: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.session = session
        self._reactor = reactor
        self._deliver = deliver
        self._lost = lost
        self._measured = measured
        self._stream = stream.Stream(reactor.seconds())
        self._carrier: Connection | None = None
        self._early: list[Piece] | None = None
        self._timer: Timer | None = None
        self._turns = Turns(self._perform)
        self._closed = False

    @property
    def received(self) -> int:
        """The last piece received: what a hello says."""
        return self._stream.received

    @property
    def connected(self) -> bool:
        """True while there is a connection to send over."""
        return self._carrier is not None and self._early is None

    def statistics(self) -> stream.StreamStatistics:
        """What passed so far."""
        return self._stream.statistics()

    def expect(self, carrier: Connection) -> None:
        """Pieces may come over this connection from now on; they are kept for ``attach``.

        The other end may send as soon as it has heard our hello, and before we have its answer.
        """
        self.detach(self._carrier, "replaced by a new connection")
        self._carrier = carrier
        self._early = []
        carrier.lines[self.session] = self._arrived

    def attach(self, received: int, round_trip: float | None = None) -> None:
        """The expected connection is up; the other end has the pieces up to ``received``.

        ``round_trip`` is how long it took to answer our hello, if we said one.
        """
        early, self._early = self._early or [], None
        self._tell(stream.Connected(received, round_trip))
        for piece in early:
            self._tell(stream.PieceArrived(piece))

    def detach(self, carrier: Connection | None, reason: str, grace: float | None = None) -> None:
        """This connection is gone; no effect if it was replaced already.

        The session is lost after ``grace`` seconds, or the usual ones, without another.
        """
        if carrier is None or carrier is not self._carrier:
            return
        self._carrier, self._early = None, None
        carrier.lines.pop(self.session, None)
        self._tell(stream.Disconnected(reason, grace))

    def offer(self, head: bytes, body: Bytes = b"", *, patient: bool = False) -> None:
        """Send a frame, now or when there is a connection again; patient ones soon, together."""
        self._tell(stream.Offered(head, body, patient))

    def close(self) -> None:
        """End of the session: nothing is sent, delivered or reported any more."""
        self._closed = True
        self._turns.withdraw(lambda _: True)
        if self._carrier is not None:
            self._carrier.lines.pop(self.session, None)
            self._carrier = None
        call_off(self._timer)

    def _arrived(self, piece: Piece) -> None:
        if self._early is not None:
            self._early.append(piece)
        else:
            self._tell(stream.PieceArrived(piece))

    def _tell(self, event: stream.Event) -> None:
        if self._closed:
            return
        self._turns.take(self._stream.handle(event, self._reactor.seconds()))
        self._set_timer()

    def _perform(self, action: stream.Action) -> None:
        match action:
            case stream.Transmit(piece):
                if self._carrier is not None:
                    self._carrier.carry(self.session, piece)
            case stream.DeliverFrame(head, body):
                self._deliver(head, body)
            case stream.RoundTripChanged(seconds):
                self._measured(seconds)
            case stream.FlushLater(seconds):
                self._reactor.callLater(seconds, self._tell, stream.TurnEnded())
            case stream.CutLink(reason):
                carrier = self._carrier
                self.detach(carrier, reason)
                if carrier is not None:
                    carrier.cut(reason)
            case stream.Lose(reason):
                self.close()
                self._lost(reason)
            case _:
                assert_never(action)

    def _set_timer(self) -> None:
        """A timer that is early enough stays as it is, and looks again when it fires."""
        deadline = None if self._closed else self._stream.deadline
        if deadline is None:
            return
        left = max(deadline - self._reactor.seconds(), 0.0)
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= deadline:
                return
            self._timer.reset(left)
        else:
            self._timer = self._reactor.callLater(left, self._tell, stream.DeadlinePassed())
