"""The receiving half of a block stream: what is offered, what there is room for. Pure.

Room is asked for in the order of the offers, and one for which there is none now makes those behind
it wait: a large object would never get its turn otherwise. Never more than ``AHEAD`` bytes have
room that were not filled yet, unless it is a single object: nobody can take all the room with
offers. So the sender never sends what cannot be stored, this end never has to stop reading, and the
answers to what it sends itself are always heard.

What was settled is remembered by its number, as far back as the sender's window goes, and answered
again when it is offered again because the answer was lost with its connection. So each object
arrives once.

What had arrived of an object when a connection ended is kept, with its room, until the next one.
Is it offered there again under its number, this end says how far it has come; otherwise the sender
does not have it any more, or has withdrawn it, and it is discarded. A number stands for one and the
same shipment, so what came before and what comes after are parts of the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scattergather.link.blocks.block import MOST_REASON, REFUSED, STORED, WANT, Violation, pack
from scattergather.link.blocks.shipments import WINDOW
from scattergather.link.seams import ObjectStore
from scattergather.model.ids import ObjectId

AHEAD = 1 << 25
LONGEST = 1 << 48


@dataclass(frozen=True, slots=True)
class Send:
    """Give these frames to the connection, if there is one."""

    frames: bytes


@dataclass(frozen=True, slots=True)
class ObjectArrived:
    """This object is here; ``known``: it was before, and somebody has heard of it."""

    object: ObjectId
    known: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """This object will not arrive."""

    object: ObjectId
    reason: str


Outcome = Send | ObjectArrived | Lost


@dataclass(slots=True)
class Credit:
    """Bytes for which there is room and that have not come; one for all that share them."""

    taken: int = 0


@dataclass(slots=True)
class _Delivery:
    object: ObjectId
    length: int
    filled: int = 0
    has_room: bool = False


class Deliveries:
    """What arrives at one end.

    Args:
        objects: what is filled.
        credit: the bytes that may be under way here; by default its own.
    """

    def __init__(self, objects: ObjectStore, credit: Credit | None = None) -> None:
        self._objects = objects
        self._credit = credit or Credit()
        self._open: dict[int, _Delivery] = {}
        self._names: set[ObjectId] = set()
        self._queue: dict[int, None] = {}  # those without room, in order
        self._parted: dict[int, _Delivery] = {}  # those of the last connection that have room
        self._settled: dict[int, bytes] = {}
        self._last = 0
        self._highest = 0

    @property
    def outstanding(self) -> int:
        """How many objects have been offered and are not here yet."""
        return len(self._open) + len(self._parted)

    def disconnected(self) -> None:
        """Whatever has room will go on in the next connection, or be discarded in it."""
        self._parted |= {number: each for number, each in self._open.items() if each.has_room}
        self._open.clear()
        self._names.clear()
        self._queue.clear()
        self._last = 0

    def close(self) -> None:
        """Nothing more will come: what had arrived of objects that are not here is discarded."""
        self.disconnected()
        self.all_again()

    def all_again(self) -> list[Outcome]:
        """The other end has offered again whatever of the last connection it still has for us."""
        return self._discard(list(self._parted))

    def _discard(self, numbers: list[int]) -> list[Outcome]:
        doomed = [self._parted.pop(number) for number in numbers]
        self._credit.taken -= sum(each.length - each.filled for each in doomed)
        # Last: whoever hears that there is room may ask us at once if we want it.
        for each in doomed:
            self._objects.discard(each.object)
        return self.room() if doomed else []

    def offered(self, number: int, name: ObjectId, length: int) -> list[Outcome]:
        """The other end has this object for us."""
        if length > LONGEST:
            raise Violation(f"an object of {length} bytes")
        if answer := self._heard(number, name):
            return [Send(answer)]
        parted = self._parted.get(number)
        if parted is not None and (parted.object, parted.length) == (name, length):
            del self._parted[number]
            self._open[number] = parted
            self._names.add(name)
            return [Send(pack(WANT, number, parted.filled))]
        other = [key for key, each in self._parted.items() if key == number or each.object == name]
        discarded = self._discard(other)
        return [*discarded, *self._offered(number, name, length)]

    def _offered(self, number: int, name: ObjectId, length: int) -> list[Outcome]:
        if self._objects.length(name) is not None:
            return self._arrived(number, name, known=True)
        self._open[number] = _Delivery(name, length)
        self._names.add(name)
        self._queue[number] = None
        return self.room()

    def gone(self, number: int, name: ObjectId) -> list[Outcome]:
        """The other end has not got this object any more.

        It may say so of one that it has offered, at any time.
        """
        if number in self._open:
            if self._open[number].object != name:
                raise Violation(f"number {number} is another object now")
            self._drop(number)
        elif number <= self._last and number in self._settled:
            return []  # our answer and this have crossed
        elif answer := self._heard(number, name):
            return [Send(answer)]
        elif self._objects.length(name) is not None:
            return self._arrived(number, name, known=True)
        discarded = self._discard([number] if number in self._parted else [])
        why = "the other side does not have it any more"
        return [
            *discarded,
            self._settle(number, pack(STORED, number)),
            Lost(name, why),
            *self.room(),
        ]

    def withdrawn(self, number: int) -> list[Outcome]:
        """The other end will not send it."""
        if not 0 < number <= self._last:
            raise Violation(f"withdraws number {number}, which it did not offer")
        if number not in self._open:
            return []
        self._drop(number)
        return self.room()

    def block(self, number: int, offset: int, data: memoryview) -> list[Outcome]:
        """Bytes of an object for which there is room."""
        delivery = self._open.get(number)
        if delivery is None or not delivery.has_room:
            if self._settled.get(number, b"").startswith(REFUSED):
                return []  # they were under way when we refused it
            raise Violation(f"bytes of number {number}, which was not wanted")
        if offset != delivery.filled or offset + len(data) > delivery.length:
            raise Violation(
                f"{len(data)} bytes of number {number} at {offset}, where {delivery.filled} of "
                f"{delivery.length} had come"
            )
        try:
            self._objects.write(delivery.object, offset, data)
        except OSError as error:
            return [*self._refuse(number, delivery.object, str(error)), *self.room()]
        delivery.filled += len(data)
        self._credit.taken -= len(data)
        if delivery.filled < delivery.length:
            return []
        return [*self._complete(number, delivery.object), *self.room()]

    def refuse(self, names: Iterable[ObjectId], why: str) -> list[Outcome]:
        """Those of these objects that are under way are not wanted any more."""
        refused, outcomes = set(names), list[Outcome]()
        for number in [number for number, it in self._open.items() if it.object in refused]:
            outcomes += self._refuse(number, self._open[number].object, why)
        parted = [number for number, it in self._parted.items() if it.object in refused]
        return [*outcomes, *self._discard(parted), *self.room()]

    def room(self) -> list[Outcome]:
        """Ask for the room that those need who wait for it."""
        outcomes: list[Outcome] = []
        while self._queue:
            number = next(iter(self._queue))
            delivery = self._open[number]
            if self._credit.taken and self._credit.taken + delivery.length > AHEAD:
                break
            if self._objects.length(delivery.object) is not None:  # it came on another way
                self._drop(number)
                outcomes += self._arrived(number, delivery.object, known=True)
                continue
            try:
                if not self._objects.reserve(delivery.object, delivery.length):
                    break
            except (ValueError, OSError) as error:
                outcomes += self._refuse(number, delivery.object, str(error))
                continue
            del self._queue[number]
            delivery.has_room = True
            self._credit.taken += delivery.length
            if delivery.length:
                outcomes.append(Send(pack(WANT, number)))
            else:
                outcomes += self._complete(number, delivery.object)
        return outcomes

    def _heard(self, number: int, name: ObjectId) -> bytes:
        """Check a number on its first mention in a connection; the answer if it is settled."""
        if number <= self._last:
            raise Violation(f"number {number} after number {self._last}")
        if answer := self._settled.get(number):
            self._last = number
            return answer
        if number <= self._highest - WINDOW or len(self._open) >= WINDOW:
            raise Violation(f"more than {WINDOW} objects under way")
        if name in self._names:
            raise Violation("one object under two numbers")
        self._last = number
        self._highest = max(self._highest, number)
        return b""

    def _complete(self, number: int, name: ObjectId) -> list[Outcome]:
        del self._open[number]
        self._names.discard(name)
        self._objects.stored(name)
        return self._arrived(number, name, known=False)

    def _arrived(self, number: int, name: ObjectId, *, known: bool) -> list[Outcome]:
        return [self._settle(number, pack(STORED, number)), ObjectArrived(name, known)]

    def _refuse(self, number: int, name: ObjectId, why: str) -> list[Outcome]:
        self._drop(number)
        reason = why.encode(errors="replace")[:MOST_REASON]
        return [self._settle(number, pack(REFUSED, number, 0, reason)), Lost(name, why)]

    def _drop(self, number: int) -> None:
        delivery = self._open.pop(number)
        self._names.discard(delivery.object)
        self._queue.pop(number, None)
        if delivery.has_room:
            self._credit.taken -= delivery.length - delivery.filled
            self._objects.discard(delivery.object)

    def _settle(self, number: int, answer: bytes) -> Send:
        self._settled[number] = answer
        if len(self._settled) >= 2 * WINDOW:
            floor = self._highest - WINDOW
            self._settled = {key: kept for key, kept in self._settled.items() if key > floor}
        return Send(answer)
