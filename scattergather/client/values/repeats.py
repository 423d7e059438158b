"""Large objects that call after call packs anew: the user is told of ``c.put``, once an object.

A call is packed when it is submitted, and nothing tells cheaply whether an array is still what it
was: that it is the same object says nothing of its numbers. So each call has a copy of its own.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from functools import partial

from scattergather.model.snapshot import in_bytes

REPEATED_BYTES = 1 << 20
"""From this size on a copy takes longer than all else of a call."""

OFTEN = 3


class Repeats:
    """Counts how often each large object is packed, and keeps none of them alive. Any thread.

    Args:
        tell: shows the user a sentence.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._counts: dict[int, tuple[weakref.ref[object], itertools.count[int]]] = {}
        """By id, as long as the object lives."""

    def packed(self, owner: object, size: int) -> None:
        """An object was packed, of which ``size`` bytes are large."""
        if size < REPEATED_BYTES:
            return
        found = self._counts.get(id(owner))
        if found is None:
            # A function of C, which no interrupt can keep from being called.
            gone = partial(self._counts.pop, id(owner))
            try:
                new = weakref.ref(owner, gone), itertools.count(1)
            except TypeError:  # nothing tells when its id is another object's
                return
            found = self._counts.setdefault(id(owner), new)
        # One thread gets this number.
        if next(found[1]) == OFTEN:
            self._tell(
                f"{type(owner).__name__} of {in_bytes(size)} was copied for {OFTEN} calls, since "
                "each gets it as it is when it is submitted. If it does not change, copy it once: "
                "ref = c.put(it), and give ref to the calls"
            )
