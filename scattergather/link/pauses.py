"""How long to wait before one tries again: longer each time, and spread by chance."""

from __future__ import annotations

import random

GROWTH = 1.7
SPREAD = 0.5
"""Between a quarter less and a quarter more: many that lost the same host do not call at once."""


class Pauses:
    """Seconds between attempts. Has no clock.

    Args:
        first: the pause after one that was none.
        longest: no pause grows beyond it, but for the spread.
        chance: spreads them.
    """

    def __init__(self, first: float, longest: float, chance: random.Random) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._next = 0.0

    def pause(self) -> float:
        """The pause before the next attempt; the one after it will be longer."""
        pause = self._next * (1 - SPREAD / 2 + SPREAD * self._chance.random())
        self._next = min(max(self._next * GROWTH, self._first), self._longest)
        return pause

    def at_once(self) -> None:
        """There is no pause before the next attempt."""
        self._next = 0.0

    def short(self) -> None:
        """The pause before the next attempt is the first one again."""
        self._next = self._first
