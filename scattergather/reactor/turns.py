"""One after the other: what is to be done because something happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Turns(Generic[Thing]):
    """Does each thing in its turn. Not for threads.

    To do one may bring more at once: whoever is told something may answer within the call. Those go
    to the end of the line, so that they never overtake what is due.

    Args:
        do: one thing.
    """

    def __init__(self, do: Callable[[Thing], object]) -> None:
        self._do = do
        self._due: deque[Thing] = deque()
        self._at_it = False

    def take(self, things: Iterable[Thing]) -> bool:
        """These are due. Returns when all is done; or, False, at once within a doing.

        Raises:
            Exception: the first of what a doing raised; the others had their turns all the same.
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

    def withdraw(self, which: Callable[[Thing], bool]) -> list[Thing]:
        """Those are not to be done any more; returns them."""
        gone = [thing for thing in self._due if which(thing)]
        stay = [thing for thing in self._due if not which(thing)]
        self._due.clear()
        self._due.extend(stay)
        return gone
