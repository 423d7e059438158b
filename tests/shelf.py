"""Where objects are put: in-memory twins of ``wire.memory.outside.Place``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scattergather.errors import TooLarge
from scattergather.model.ids import ObjectId
from scattergather.wire.memory.arena import Arena
from scattergather.wire.memory.outside import Placed
from scattergather.wire.messages.shared import Extent


@dataclass(frozen=True)
class Lying:
    """An object, and where it lies."""

    extent: Extent


class Shelf:
    """A place with room for so many bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.bytes: dict[ObjectId, bytes] = {}
        self.freed: list[ObjectId] = []
        self.beside: list[int] = []

    def put(self, data: bytes | memoryview, beside: int = 0) -> Placed | None:
        self.beside.append(beside)
        copied = bytes(data)
        if len(copied) > self.room:
            raise TooLarge("there is no room", size=len(copied), bound=self.room)
        name = b"%016d" % (len(self.bytes) + len(self.freed))
        self.bytes[name] = copied
        return Lying(Extent(object=name, length=len(copied)))

    def borrow(self, data: memoryview) -> None:
        return None

    def has_room(self, size: int) -> bool:
        return sum(map(len, self.bytes.values())) + size <= self.room

    def free(self, placed: Placed) -> None:
        self.freed.append(placed.extent.object)
        del self.bytes[placed.extent.object]


class ArenaShelf:
    """A place whose objects lie in an arena, where others can map them."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def put(self, data: bytes | memoryview, beside: int = 0) -> Placed | None:
        extent = self._arena.put(data)
        return None if extent is None else Lying(extent)

    def borrow(self, data: memoryview) -> None:
        return None

    def has_room(self, size: int) -> bool:
        return True

    def free(self, placed: Any) -> None:
        self._arena.free(placed.extent.object)
