"""The sending half of a block stream: what is to leave, and how far it is. Pure.

An object is *waiting* until it gets a number and is offered, in the order in which it was shipped.
At most ``WINDOW`` numbers are under way, counted from the oldest that is not settled: so the other
end need not remember more than that many settled ones, to answer an offer that comes again. When
the connection is gone everything under way is offered anew, under its number, and sent from where
the other end says that it has come to::

    waiting --> offered --WANT--> wanted --(all blocks)--> sent --STORED--> settled
                   |  STORED: it is there already                             ^
                   +-------------  REFUSED at any time  ----------------------+
                   |  it is not here any more: GONE ---------------STORED-----+

The other end may want an object again that it had and has dropped, and say so elsewhere before its
answer is heard here. So one that is shipped while it is under way is offered once more afterwards;
whoever has it still says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from scattergather.link.blocks.block import (
    AGAIN,
    BLOCK,
    BLOCK_BYTES,
    GONE,
    OFFER,
    WITHDRAWN,
    Violation,
    head,
    pack,
)
from scattergather.link.seams import ObjectStore
from scattergather.model.ids import ObjectId

WINDOW = 1024


class _State(Enum):
    OFFERED = "offered"
    WANTED = "wanted"
    SENT = "sent"
    GONE = "gone"


@dataclass(slots=True)
class _Shipment:
    object: ObjectId
    length: int = 0
    offset: int = 0
    state: _State = _State.OFFERED
    again: bool = False


class Shipments:
    """What leaves one end. Methods that return bytes return frames that are to be sent."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._connected = False
        self._unsaid = False
        """Something under way was withdrawn, and the other end, which keeps it, has not heard."""
        self._waiting: dict[ObjectId, None] = {}
        self._under_way: dict[int, _Shipment] = {}  # in the order of their numbers
        self._numbers: dict[ObjectId, int] = {}
        self._wanted: deque[int] = deque()
        self._next = 1

    @property
    def outstanding(self) -> int:
        """How many objects are not settled, and if it has to be said that some are withdrawn."""
        return len(self._waiting) + len(self._under_way) + self._unsaid

    def ship(self, names: Iterable[ObjectId]) -> bytes:
        """These objects are to leave, also those that are about to."""
        for name in names:
            number = self._numbers.get(name)
            if number is None:
                self._waiting[name] = None
            else:
                self._under_way[number].again = True
        return self._offer()

    def withdraw(self, names: Iterable[ObjectId]) -> bytes:
        """Those of these objects that are not settled need not leave."""
        frames = []
        for name in names:
            self._waiting.pop(name, None)
            number = self._numbers.get(name)
            if number is not None:
                self._under_way[number].again = False
                self._settle(number)
                frames.append(pack(WITHDRAWN, number))
        if not self._connected:
            self._unsaid = self._unsaid or bool(frames)
            return b""
        return b"".join([*frames, self._offer()])

    def connected(self) -> bytes:
        """There is a connection, on which nothing has been said yet."""
        self._connected, self._unsaid = True, False
        again = [self._announce(number, it) for number, it in self._under_way.items()]
        said = pack(AGAIN, 0) if self._next > 1 else b""
        return b"".join([*again, said, self._offer()])

    def disconnected(self) -> None:
        """It is gone, and with it whatever was under way."""
        self._connected = False
        self._wanted.clear()

    def block(self) -> tuple[bytes, ...]:
        """The parts of the next frame of what the other end wants; none when it wants nothing."""
        while self._wanted:
            number = self._wanted[0]
            shipment = self._under_way.get(number)
            if shipment is None or shipment.state is not _State.WANTED:
                self._wanted.popleft()
                continue
            offset = shipment.offset
            count = min(BLOCK_BYTES, shipment.length - offset)
            try:
                data = self._objects.read(shipment.object, offset, count)
            except LookupError:
                return (self._say_gone(number, shipment),)
            shipment.offset += len(data)
            if shipment.offset == shipment.length:
                shipment.state = _State.SENT
            return head(BLOCK, number, offset, data), data
        return ()

    def wanted(self, number: int, offset: int) -> None:
        """There is room for it, and its bytes up to ``offset`` are there.

        Raises:
            Violation: it was not offered, is under way, or has no bytes beyond that.
        """
        shipment = self._find(number)
        if shipment is None or shipment.state is _State.GONE:
            return
        if shipment.state is not _State.OFFERED:
            raise Violation(f"wants number {number} twice")
        if offset >= shipment.length:
            raise Violation(f"wants {shipment.length} bytes of number {number} from {offset} on")
        shipment.offset, shipment.state = offset, _State.WANTED
        self._wanted.append(number)

    def stored(self, number: int) -> tuple[ObjectId | None, bytes]:
        """It is there: the object, if it was sent, and the offers for which there is room now.

        Raises:
            Violation: it cannot be there yet.
        """
        shipment = self._find(number)
        if shipment is None:
            return None, b""
        if shipment.state is _State.WANTED:
            raise Violation(f"has number {number} before it was sent")
        self._settle(number)
        name = None if shipment.state is _State.GONE else shipment.object
        return name, self._offer()

    def refused(self, number: int) -> tuple[ObjectId | None, bytes]:
        """There is no room for it, for ever: the object, and what is offered now."""
        shipment = self._find(number)
        if shipment is None:
            return None, b""
        self._settle(number)
        return shipment.object, self._offer()

    def _find(self, number: int) -> _Shipment | None:
        """The shipment; None if it is settled (our word and the other end's may cross)."""
        if not 0 < number < self._next:
            raise Violation(f"answers number {number}, which was not offered")
        return self._under_way.get(number)

    def _settle(self, number: int) -> None:
        shipment = self._under_way.pop(number)
        del self._numbers[shipment.object]
        if shipment.again:
            self._waiting[shipment.object] = None

    def _offer(self) -> bytes:
        """Give numbers to what waits, as far as the window goes."""
        if not self._connected:
            return b""
        frames = []
        while self._waiting and self._next < next(iter(self._under_way), self._next) + WINDOW:
            name = next(iter(self._waiting))
            del self._waiting[name]
            number, self._next = self._next, self._next + 1
            shipment = self._under_way[number] = _Shipment(name)
            self._numbers[name] = number
            frames.append(self._announce(number, shipment))
        return b"".join(frames)

    def _announce(self, number: int, shipment: _Shipment) -> bytes:
        """The frame that says what this number is."""
        length = self._objects.length(shipment.object)
        if length is None:
            return self._say_gone(number, shipment)
        shipment.length, shipment.state = length, _State.OFFERED
        return pack(OFFER, number, length, shipment.object)

    def _say_gone(self, number: int, shipment: _Shipment) -> bytes:
        shipment.state = _State.GONE
        return pack(GONE, number, 0, shipment.object)
