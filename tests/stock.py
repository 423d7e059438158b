"""Large objects of one process, in shared memory: the in-memory twin of ``seams.ObjectStore``."""

from __future__ import annotations

import os

from scattergather.model.ids import ObjectId


class Stock:
    """Each object is a memfd of its own.

    Attributes:
        capacity: bytes for which there is room; ``most`` is the most that was ever reserved.
        log: what was asked of it, in order, but reads and writes.
    """

    def __init__(self, capacity: int = 1 << 40, longest: int = 1 << 40) -> None:
        self.capacity = capacity
        self.longest = longest
        self.most = 0
        self.log: list[tuple[str, ObjectId]] = []
        self._here: dict[ObjectId, tuple[int, int]] = {}
        self._arriving: dict[ObjectId, tuple[int, int]] = {}

    def put(self, name: ObjectId, data: bytes) -> None:
        """This object is here."""
        file = os.memfd_create("object")
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        self._here[name] = (file, len(data))

    def get(self, name: ObjectId) -> bytes:
        """Its bytes."""
        file, length = self._here[name]
        return os.pread(file, length, 0)

    def forget(self, name: ObjectId) -> None:
        """It is not here any more."""
        os.close(self._here.pop(name)[0])

    def close(self) -> None:
        """Nothing is."""
        for file, _ in [*self._here.values(), *self._arriving.values()]:
            os.close(file)
        self._here.clear()
        self._arriving.clear()

    @property
    def names(self) -> set[ObjectId]:
        """Those that are here."""
        return set(self._here)

    @property
    def arriving(self) -> set[ObjectId]:
        """Those for which there is room and that are not here yet."""
        return set(self._arriving)

    @property
    def held(self) -> int:
        """Bytes of those that are here, or for which there is room."""
        return sum(length for _, length in [*self._here.values(), *self._arriving.values()])

    def length(self, name: ObjectId) -> int | None:
        return self._here[name][1] if name in self._here else None

    def read(self, name: ObjectId, offset: int, count: int) -> bytes:
        return os.pread(self._here[name][0], count, offset)

    def reserve(self, name: ObjectId, length: int) -> bool:
        assert name not in self._here
        assert name not in self._arriving
        if length > self.longest:
            raise ValueError(f"{length} bytes are too many")
        if self.held + length > self.capacity:
            return False
        self.log.append(("reserve", name))
        file = os.memfd_create("object")
        os.ftruncate(file, length)
        self._arriving[name] = (file, length)
        self.most = max(self.most, self.held)
        return True

    def write(self, name: ObjectId, offset: int, data: bytes | memoryview) -> None:
        file, length = self._arriving[name]
        assert offset + len(data) <= length
        assert os.pwrite(file, data, offset) == len(data)

    def stored(self, name: ObjectId) -> None:
        self.log.append(("stored", name))
        self._here[name] = self._arriving.pop(name)

    def discard(self, name: ObjectId) -> None:
        self.log.append(("discard", name))
        os.close((self._arriving.pop(name, None) or self._here.pop(name))[0])
