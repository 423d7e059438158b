"""Mappings of arguments that stay when their tasks are over, for the next task.

To map 100 MB, to read them once and to unmap them takes 4 to 6 ms, most of it for page tables. So a
mapping that nobody has any more is *parked*, and the next task that takes the same object from the
same place gets it as it is. It sees what a fresh mapping would show, and nobody else sees anything:

- Nobody has a parked mapping: the interpreter counts who does. A thread that outlives its task and
  reads the array still is among them, and so is a cycle that was not collected yet.
- Before it is given out the kernel is asked whether each of its pages is still the file's. If not
  it was written to, and is unmapped. The look is made then, and not when it is parked: so it counts
  whoever has written meanwhile without being counted.
- It is given out for its own object only. Once that was dropped its place may become another
  object's, whose bytes the mapping then shows: nobody asks for the old one any more, or it came
  back to the same place with the same bytes.

So a parked mapping is not *kept* by a task, and nobody waits for it. Nor does it keep memory. Pages
of the file go when the owner of the slab gives them back, whoever maps them. A mapping that may
have more than a few pages of its own is not parked. The file goes with the last mapping of it: what
is parked in a slab is unmapped when its owner has closed it.

A mapping is parked or not by the count alone, so that an interrupt finds nothing to tear. It is
entered here before it is given out.
"""

from __future__ import annotations

import mmap
import resource
import time
from operator import attrgetter
from sys import getrefcount

from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.memory.views import PrivateView, private, renewed, unchanged
from scattergather.wire.messages.shared import Extent

PARKED = 4
"""How many a worker parks at most: those that were given out last."""

FEW_PAGES = 256
"""What a parked mapping may have of its own. Whoever writes to more has as many page faults, so
that most mappings need no look when they are parked."""


class Spot:
    """A mapping, and what is known of its use."""

    __slots__ = ("faults", "given", "view")

    def __init__(self, view: PrivateView) -> None:
        self.view = view
        self.given = 0.0
        """When it was given out last."""
        self.faults: int | None = None
        """How many page faults this process had then; None where they tell nothing."""


class Parking:
    """The mappings that tasks have, or had. Main thread of a worker, but for :meth:`leave`."""

    def __init__(self) -> None:
        # Changed in place only, by single calls of C, since another thread may be in leave.
        self.spots: set[Spot] = set()
        """Parked, or given out."""

    def give(self, fd: int, extent: Extent) -> PrivateView:
        """A mapping of an extent that nobody else has, and nobody has written to.

        Args:
            fd: of its slab.
            extent: of an object that lives.

        Raises:
            OSError: it cannot be mapped.
        """
        for spot in tuple(self.spots):
            if spot.view.extent == extent and getrefcount(spot.view) <= _ALONE:
                if renewed(spot.view):
                    break
                self.spots.discard(spot)
        else:
            spot = Spot(private(fd, extent))
            self.spots.add(spot)
        spot.given = time.monotonic()
        if extent.length > FEW_PAGES * mmap.PAGESIZE:
            spot.faults = _faults()
        return spot.view

    def settle(self) -> set[ObjectId]:
        """What nobody has any more is parked, within bounds; returns what tasks still have."""
        parked = self._parked()
        if len(parked) > PARKED:
            parked.sort(key=attrgetter("given"))
            for spot in parked[:-PARKED]:
                self.spots.discard(spot)
        for spot in parked[-PARKED:]:
            if spot.faults is not None:
                if _faults() - spot.faults > FEW_PAGES and not unchanged(spot.view):
                    self.spots.discard(spot)
                spot.faults = None
        return {spot.view.extent.object for spot in self.spots.difference(parked)}

    def in_use(self) -> list[PrivateView]:
        """Those that somebody has. Any thread."""
        return [spot.view for spot in self.spots.difference(self._parked())]

    def leave(self, slab: SlabId) -> None:
        """What is parked in this slab is unmapped: no task will take it. Any thread."""
        for spot in self._parked():
            if spot.view.extent.slab == slab:
                self.spots.discard(spot)

    def rest(self, seconds: float) -> None:
        """What was not given out for so long is parked no more."""
        now = time.monotonic()
        for spot in self._parked():
            if now >= spot.given + seconds:
                self.spots.discard(spot)

    def _parked(self) -> list[Spot]:
        """Those that nobody has."""
        return [spot for spot in tuple(self.spots) if getrefcount(spot.view) <= _ALONE]


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


_nobodys = Spot(object())  # type: ignore[arg-type]
_ALONE = getrefcount(_nobodys.view)
"""What is counted of a mapping that nobody has: its spot, and where this Python counts it the one
who asks."""
