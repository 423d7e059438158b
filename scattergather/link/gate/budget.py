"""What may be spent on callers of whom nobody knows yet who they are: processor time, by share.

A bound on callers a second is too many on a slow machine and too few on a fast one, and says
nothing of what each costs. This counts what they cost. It has no clock.
"""

from __future__ import annotations


class Budget:
    """An account of processor time.

    It fills while it is left alone, up to a little, and whoever has spent it rests until enough
    for a group of callers is there again. So one caller is heard at once, and a flood in groups.

    Args:
        share: what flows in, in seconds of processor time a second.
        most: seconds that it holds; it begins full.
        least: seconds that must be there after a rest.
        now: monotonic time.
    """

    def __init__(self, *, share: float, most: float, least: float, now: float) -> None:
        self._share = share
        self._most = most
        self._least = least
        self._left = most
        self._since = now

    def spend(self, seconds: float, now: float) -> float:
        """Take out ``seconds``; how long to rest now, 0 if something is left."""
        flowed = self._share * (now - self._since)
        self._left = min(self._most, self._left + flowed) - seconds
        self._since = now
        return 0.0 if self._left > 0 else (self._least - self._left) / self._share
