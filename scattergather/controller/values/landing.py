"""Where results from other hosts land, and when there is room for them.

They may take the same half of ``memory`` as the results of this host, together with what nested
calls pass from host to host. Beyond it a host is not asked for more while the user reads, because
what he has read makes room. Whoever reads nothing, since he waits for all of them or is busy with
one, must not be waited for, whatever else becomes free meanwhile: then they go to files without a
name. So memory keeps its bound, and nothing waits for ever. Files leave a part of their disk to
others. Where there is no more of it, as much memory again is taken, and then results are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from scattergather.model.ids import ObjectId
from scattergather.reactor.seam import Clock, Timer
from scattergather.store.store import Store

PATIENCE = 1.0
"""Seconds for which somebody who has done with a result counts as one who reads."""


class Landing:
    """The store, as the links fill it; implements ``link.seams.ObjectStore``. Reactor thread only.

    Args:
        reactor: Twisted's.
        store: takes what has come. It ``spills``.
        room: hears that there may be room for those that were told that there is none.
    """

    def __init__(self, reactor: Clock, store: Store, room: Callable[[], None]) -> None:
        self._reactor = reactor
        self._store = store
        self._room = room
        self._read = -math.inf
        self._timer: Timer | None = None
        self.length, self.read = store.length, store.read
        self.write, self.stored, self.discard = store.write, store.stored, store.discard

    def reserve(self, name: ObjectId, length: int) -> bool:
        """Make room for a result that is about to arrive; False: none now, and the user makes some.

        Raises:
            ValueError: there never will be room, or it comes from elsewhere already. Then it is not
                this host's to bring: what two wrote would be taken for what one wrote.
            OSError: the system has no memory, or no descriptors, left, or nothing takes any more.
        """
        if self._store.knows(name):
            raise ValueError("an object of that name is here, or comes, from elsewhere")
        if self._store.land(name, length):
            return True
        left = self._read + PATIENCE - self._reactor.seconds()
        if left <= 0:
            return self._store.land(name, length, spill=True)
        if self._timer is None:
            self._timer = self._reactor.callLater(left, self._lose_patience)
        return False

    def drop(self, names: Iterable[ObjectId]) -> None:
        """The user has done with these results."""
        self._read = self._reactor.seconds()
        self._store.drop(names)

    def _lose_patience(self) -> None:
        self._timer = None
        self._room()
