"""Frames in order over a link that may break: nothing lost, nothing twice.

Both ends hold a ``Stream``. What it is told are events, what it wants done are actions; it has no
clock, no timer and no socket.

Frames make a stream of bytes, which is cut into *pieces* of at most 256 kB: one larger message
would starve the link's pings and get it dropped. The first frame of a reactor turn leaves at once,
those that follow in the same turn share a piece. Pieces are numbered from 1, a piece carries the
number of the last one received in order (a cumulative acknowledgement), and number 0 carries
nothing else. An acknowledgement that finds no piece to ride on leaves alone, after 250 ms or half a
window. At most ``WINDOW`` pieces are under way: Foolscap has no back-pressure of its own.

::

              Connected(received)
       Down ---------------------> Up          Up resends whatever the other end has not received
        |   <---------------------  |
        |    Disconnected, or Drop: a piece is missing, or nothing was acknowledged in 38 s
        v
       Lost  after 4 s of Down, or when the two ends disagree about what was sent

A piece is kept until it is acknowledged, so a link that breaks costs nothing when it comes back
within the grace. A piece that arrives again is dropped by its number, and acknowledged at once.

Whether a link is dead its pulse tells (``link.pulse``), at any speed. An end that is heard and
acknowledges nothing has the time that a piece, and the acknowledgement behind one of its own, take
at ``SLOWEST``; that time begins anew with each piece that comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from scattergather.link.stream.inbox import Inbox
from scattergather.link.stream.outbox import SendWindow
from scattergather.link.stream.piece import Piece
from scattergather.link.stream.round_trip import RoundTrip
from scattergather.wire.frame import Bytes, FrameError, Unwanted

WINDOW = 8
PIECE_BYTES = 1 << 18
ACKNOWLEDGE_PIECES = WINDOW // 2 + 1
"""About half a window: the other end still has as much under way while the word travels."""

ACKNOWLEDGE_SECONDS = 0.25
"""Until then a piece to ride on is likely, and the other end lacks nothing but room."""

SLOWEST = 1 << 14
"""Bytes a second: over a slower way pieces of ``PIECE_BYTES`` are sent again and again."""

PATIENCE = 6.0 + 2 * PIECE_BYTES / SLOWEST
GRACE = 4.0


# ---- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offered:
    """A frame is to be sent: now, or ``within`` so many seconds, together with others.

    A piece costs both ends the same, however many frames are in it.
    """

    head: bytes
    body: Bytes = b""
    within: float | None = None


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The time that ``FlushLater`` asked for is over."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up; the other end has received the pieces up to ``received``.

    ``round_trip`` is how long its answer to the hello took, if it was this end that asked.
    """

    received: int
    round_trip: float | None = None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is gone; ``grace`` is how long it may be, if not as long as usual."""

    reason: str
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class PieceArrived:
    """A piece came over the link."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """``deadline`` may have passed."""


Event = Offered | TurnEnded | Connected | Disconnected | PieceArrived | DeadlinePassed


# ---- actions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transmit:
    """Give this piece to the link."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class DeliverFrame:
    """A frame has arrived, whole and in its place."""

    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class RoundTripChanged:
    """A word to the other end and back takes notably longer or shorter than it did."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FlushLater:
    """Tell ``TurnEnded`` after so many seconds; 0: at the end of this reactor turn."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CutLink:
    """Cut the link, which is of no use any more, and dial again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lose:
    """The session is lost; nothing more will be sent or delivered."""

    reason: str


Action = Transmit | DeliverFrame | RoundTripChanged | FlushLater | CutLink | Lose


# ---- states -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Up:
    """``progress``: since when an acknowledgement is owed to us, if any piece is under way."""

    progress: float


@dataclass(frozen=True, slots=True)
class _Down:
    since: float
    why: str
    grace: float


@dataclass(frozen=True, slots=True)
class _Lost:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatistics:
    """Counts since the stream began, and what it holds now, in bytes.

    ``bytes_sent`` and ``bytes_received`` have passed, each once. ``waiting`` are bytes that no
    piece holds yet, ``under_way`` those that were sent and are not acknowledged; ``sent`` and
    ``received`` are numbers of pieces, ``resumed`` of connections.
    ``round_trip`` is in seconds; None before it was measured.
    """

    waiting: int
    under_way: int
    sent: int
    received: int
    repeated: int
    resumed: int
    round_trip: float | None
    bytes_sent: int
    bytes_received: int


class Stream:
    """One end of a session's stream. It begins without a link.

    Args:
        now: monotonic time.
        grace: how long it may be without a link before it is lost.
        refusal: says why a frame of so many bytes, which has begun to arrive, is not wanted; the
            stream is lost with it.
    """

    def __init__(
        self,
        now: float,
        *,
        grace: float = GRACE,
        patience: float = PATIENCE,
        refusal: Callable[[int], str] | None = None,
    ) -> None:
        self._grace = grace
        self._patience = patience
        self._state: _Up | _Down | _Lost = _Down(now, "never connected", grace)
        self._outbox = SendWindow(PIECE_BYTES, WINDOW)
        self._inbox = Inbox(refusal)
        self._round_trip = RoundTrip(now)
        self._turn_is_open = False
        self._gathering = False
        """A frame waits for others, and ``TurnEnded`` will come."""
        self._connections = 0

    @property
    def received(self) -> int:
        """The number of the last piece received in order: what a hello says."""
        return self._inbox.received

    @property
    def waiting(self) -> int:
        """Bytes that the other end is not known to have."""
        return self._outbox.waiting + self._outbox.under_way

    @property
    def deadline(self) -> float | None:
        """When ``DeadlinePassed`` must come at the latest."""
        match self._state:
            case _Up(progress):
                due = self._inbox.due
                if not self._outbox.under_way:
                    return due
                late = self._late(progress)
                return late if due is None else min(due, late)
            case _Down(since, _, grace):
                return since + grace
            case _Lost():
                return None

    def statistics(self) -> StreamStatistics:
        """What passed so far."""
        return StreamStatistics(
            waiting=self._outbox.waiting,
            under_way=self._outbox.under_way,
            sent=self._outbox.sent,
            received=self._inbox.received,
            repeated=self._inbox.repeated,
            resumed=max(self._connections - 1, 0),
            round_trip=self._round_trip.seconds,
            bytes_sent=self._outbox.bytes_sent,
            bytes_received=self._inbox.bytes_received,
        )

    def handle(self, event: Event, now: float) -> list[Action]:
        """What is to be done about ``event``, in this order."""
        if isinstance(self._state, _Lost):
            return []
        match event:
            case Offered(head, body, within):
                self._outbox.put(head, body)
                if self._turn_is_open or (within is not None and self._gathering):
                    return []
                if within is not None:
                    self._gathering = True
                    return [FlushLater(within)]
                self._turn_is_open = True
                return [*self._transmit(now), FlushLater(0.0)]
            case TurnEnded():
                self._turn_is_open = self._gathering = False
                return self._transmit(now)
            case PieceArrived(piece):
                return self._arrived(piece, now)
            case Connected(received, round_trip):
                return self._connected(received, round_trip, now)
            case Disconnected(reason, grace):
                if isinstance(self._state, _Up):
                    self._state = _Down(now, reason, self._grace if grace is None else grace)
                return []
            case DeadlinePassed():
                return self._ticked(now)
        assert_never(event)

    def _connected(self, received: int, round_trip: float | None, now: float) -> list[Action]:
        if not self._outbox.acknowledge(received):
            return self._lose(f"the other end claims piece {received}, which it cannot have")
        self._connections += 1
        self._state = _Up(now)
        self._inbox.acknowledged()
        self._round_trip.begin(now)
        actions: list[Action] = []
        if round_trip is not None:
            changed = self._round_trip.measured(round_trip, now)
            actions += [] if changed is None else [RoundTripChanged(changed)]
        actions += [self._piece(number, data, now) for number, data in self._outbox.again(now)]
        return actions + self._transmit(now)

    def _arrived(self, piece: Piece, now: float) -> list[Action]:
        if not isinstance(self._state, _Up):
            return []
        actions: list[Action] = []
        before = self._outbox.confirmed
        if not self._outbox.acknowledge(piece.acknowledged):
            return self._lose(f"piece {piece.acknowledged} was acknowledged and never sent")
        if self._outbox.confirmed != before:
            self._state.progress = now
            changed = self._round_trip.measured(now - self._outbox.left - piece.held, now)
            if changed is not None:
                actions.append(RoundTripChanged(changed))
            actions += self._transmit(now)
        if not piece.number:
            return actions
        if piece.number > self._inbox.received + 1:
            return [*actions, *self._drop(f"piece {self._inbox.received + 1} is missing", now)]
        try:
            frames = self._inbox.accept(piece, now, now + ACKNOWLEDGE_SECONDS)
        except Unwanted as why:
            return self._lose(str(why))
        except FrameError as error:
            return self._lose(f"the stream is broken: {error}")
        if self._inbox.owed >= ACKNOWLEDGE_PIECES:
            actions.append(self._piece(0, b"", now))
        actions += [DeliverFrame(head, body) for head, body in frames]
        return actions

    def _ticked(self, now: float) -> list[Action]:
        match self._state:
            case _Up(progress):
                if self._outbox.under_way and now >= self._late(progress):
                    return self._drop(f"nothing was acknowledged in {self._patience:g} s", now)
                if self._inbox.due is not None and now >= self._inbox.due:
                    return [self._piece(0, b"", now)]
            case _Down(since, why, grace):
                if now >= since + grace:
                    return self._lose(f"no connection for {grace:g} s ({why})")
            case _Lost():
                pass
        return []

    def _late(self, progress: float) -> float:
        """When the acknowledgement that is owed is late: it may stand behind what comes."""
        return max(progress, self._inbox.since) + self._patience

    def _transmit(self, now: float) -> list[Action]:
        """Cut what the window has room for."""
        if not isinstance(self._state, _Up):
            return []
        if not self._outbox.under_way:
            self._state.progress = now
        return [self._piece(number, data, now) for number, data in self._outbox.cut(now)]

    def _piece(self, number: int, data: bytes, now: float) -> Transmit:
        inbox = self._inbox
        inbox.acknowledged()
        return Transmit(Piece(number, inbox.received, data, now - inbox.since))

    def _drop(self, why: str, now: float) -> list[Action]:
        self._state = _Down(now, why, self._grace)
        return [CutLink(why)]

    def _lose(self, why: str) -> list[Action]:
        self._state = _Lost()
        return [Lose(why)]
