"""One end of a block stream: both directions, over one connection after the other. Pure.

``Shipments`` is what leaves and ``Deliveries`` what arrives; here frames are told apart. Methods
return what is to be done, in this order. ``block`` is asked by whoever writes, whenever there is
room to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scattergather.link.blocks import block
from scattergather.link.blocks.block import Cutter, Frame, Violation
from scattergather.link.blocks.deliveries import (
    Credit,
    Deliveries,
    Lost,
    ObjectArrived,
    Send,
)
from scattergather.link.blocks.shipments import Shipments
from scattergather.link.seams import ObjectStore
from scattergather.model.ids import ObjectId


@dataclass(frozen=True, slots=True)
class Shipped:
    """This object of ours is there; or ``refused`` says why it never will be."""

    object: ObjectId
    refused: str = ""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Ask for blocks: the other end wants some."""


@dataclass(frozen=True, slots=True)
class CutConnection:
    """Cut the connection: the other end broke the protocol."""

    reason: str


NOWHERE = memoryview(bytearray())

Action = Send | ObjectArrived | Lost | Shipped | GoOn | CutConnection


class Exchange:
    """One end. It begins without a connection.

    Attributes:
        sent: bytes of objects that have left so far.
        received: bytes of objects that have come so far.

    Args:
        objects: what is read and filled.
        credit: the bytes that may be under way to here; by default its own.
    """

    def __init__(self, objects: ObjectStore, credit: Credit | None = None) -> None:
        self._shipments = Shipments(objects)
        self._deliveries = Deliveries(objects, credit)
        self._cutter: Cutter | None = None
        self.sent = self.received = 0

    @property
    def outstanding(self) -> int:
        """How many objects are not settled, in both directions, as far as is known here."""
        return self._shipments.outstanding + self._deliveries.outstanding

    @property
    def leaving(self) -> int:
        """How many objects of ours are not settled."""
        return self._shipments.outstanding

    def ship(self, names: Iterable[ObjectId]) -> list[Action]:
        """These objects are to leave, in this order."""
        return _send(self._shipments.ship(names))

    def withdraw(self, names: Iterable[ObjectId]) -> list[Action]:
        """Those of them that are not there yet need not arrive."""
        return _send(self._shipments.withdraw(names))

    def refuse(self, names: Iterable[ObjectId], why: str) -> list[Action]:
        """Those of them that are under way to here are not wanted any more."""
        return [*self._deliveries.refuse(names, why)]

    def room(self) -> list[Action]:
        """There may be room now for what was offered to us."""
        return [*self._deliveries.room()]

    def connected(self) -> list[Action]:
        """There is a new connection."""
        self.disconnected()
        self._cutter = Cutter()
        return _send(self._shipments.connected())

    def disconnected(self) -> None:
        """There is none any more: what is not settled goes on in the next one."""
        self._cutter = None
        self._shipments.disconnected()
        self._deliveries.disconnected()

    def close(self) -> None:
        """There will be none any more: nothing is kept of what has not come whole."""
        self.disconnected()
        self._deliveries.close()

    def block(self) -> tuple[bytes, ...]:
        """The parts of a frame with bytes of what the other end wants; none if it wants nothing."""
        parts = self._shipments.block()
        if len(parts) > 1:
            self.sent += len(parts[1])
        return parts

    def space(self) -> memoryview:
        """Where the next bytes go that come over the connection; empty when there is none."""
        return NOWHERE if self._cutter is None else self._cutter.space()

    def filled(self, count: int) -> list[Action]:
        """So many bytes came, and are there. After a ``CutConnection`` there is no connection."""
        if self._cutter is None:
            return []
        try:
            frame = self._cutter.filled(count)
            return [] if frame is None else self._hear(frame)
        except Violation as violation:
            self.disconnected()
            return [CutConnection(str(violation))]

    def _hear(self, frame: Frame) -> list[Action]:
        number = frame.number
        match frame.kind:
            case block.BLOCK:
                self.received += len(frame.payload)
                return [*self._deliveries.block(number, frame.value, frame.payload)]
            case block.OFFER:
                return [*self._deliveries.offered(number, bytes(frame.payload), frame.value)]
            case block.AGAIN:
                return [*self._deliveries.all_again()]
            case block.WITHDRAWN:
                return [*self._deliveries.withdrawn(number)]
            case block.GONE:
                return [*self._deliveries.gone(number, bytes(frame.payload))]
            case block.WANT:
                self._shipments.wanted(number, frame.value)
                return [GoOn()]
            case block.STORED:
                return _settled(*self._shipments.stored(number))
            case block.HERE:
                return []
            case _:
                why = bytes(frame.payload).decode(errors="replace")
                return _settled(*self._shipments.refused(number), why or "it was refused")


def _send(frames: bytes) -> list[Action]:
    return [Send(frames)] if frames else []


def _settled(name: ObjectId | None, frames: bytes, refused: str = "") -> list[Action]:
    told: list[Action] = [] if name is None else [Shipped(name, refused)]
    return told + _send(frames)
