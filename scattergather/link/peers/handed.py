"""The objects of a session as one peer sees them: what the controller has named, no more. Pure.

Names of objects count up, so whoever knows one can guess the next. A peer is offered what the
controller ``gives`` it. It cannot ask for anything, is not told what else there is, and can bring
only what is ``expected`` from it, of the length that was said.
"""

from __future__ import annotations

from scattergather.link.seams import ObjectStore
from scattergather.model.ids import ObjectId


class HandedObjects:
    """Implements ``link.seams.ObjectStore`` for the stream of one peer.

    Args:
        objects: all that the session has.

    Attributes:
        given: what this peer may have.
        expected: what it is to bring, and the length of each.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.given: set[ObjectId] = set()
        self.expected: dict[ObjectId, int] = {}
        self._objects = objects
        self.write, self.stored, self.discard = objects.write, objects.stored, objects.discard

    def length(self, name: ObjectId) -> int | None:
        """How many bytes one has that the peer may know of; None when it is not here."""
        known = name in self.given or name in self.expected
        return self._objects.length(name) if known else None

    def read(self, name: ObjectId, offset: int, count: int) -> bytes:
        """Bytes of one that it may have. Raises LookupError when it is gone."""
        if name not in self.given:
            raise LookupError("it was not given to this peer")
        return self._objects.read(name, offset, count)

    def reserve(self, name: ObjectId, length: int) -> bool:
        """Make room for one that it is to bring; False: there is none now, or it is not.

        The word that it is may have been overtaken by what it is about.

        Raises:
            ValueError: it is to be of another length, or there never will be room.
        """
        if self.expected.get(name, length) != length:
            raise ValueError(f"it should have {self.expected[name]:,} bytes")
        return name in self.expected and self._objects.reserve(name, length)
