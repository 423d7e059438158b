"""One after the other: what is to be done because something happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Turns(Generic[Thing]):
    """Does one thing after the other, in the order in which they came. For one thread only.

    To do a thing may bring more things at once: whoever is told something may answer within the
    call. What comes in that way goes to the end of the line, and never overtakes what stands there.

    Args:
        do: does one thing.
    """

    def __init__(self, do: Callable[[Thing], object]) -> None:
        self._do = do
        self._due: deque[Thing] = deque()
        self._at_it = False

    def do(self, things: Iterable[Thing]) -> bool:
        """These things are done, and all that they brought; returns True.

        Called while a thing is being done, it returns False at once, and they are done in turn.

        Raises:
            Exception: the first of what was raised by a thing; the others were done all the same.
        """
        due, do = self._due, self._do
        due.extend(things)
        if self._at_it:
            return False
        self._at_it = True
        failure: Exception | None = None
        try:
            while due:
                try:
                    do(due.popleft())
                except Exception as error:
                    failure = failure or error
        finally:
            self._at_it = False
        if failure is not None:
            raise failure
        return True

    def remove(self, which: Callable[[Thing], bool]) -> list[Thing]:
        """Things for which ``which`` is true stand in the line no more; returns them."""
        gone = [thing for thing in self._due if which(thing)]
        stay = [thing for thing in self._due if not which(thing)]
        self._due.clear()
        self._due.extend(stay)
        return gone
