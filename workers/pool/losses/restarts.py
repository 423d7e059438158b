"""When something that dies at its start may be started again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MOST = 5
PERIOD = 10.0
"""After so many deaths at the start within so many seconds there is a pause: the supervisor's rule
of Erlang/OTP."""

LONGEST = 160.0
"""Seconds that the pause, which doubles with each further death, grows to."""


@dataclass(slots=True)
class Restarts:
    """The deaths of one kind of process before it was ready.

    Attributes:
        count: how many there were since one lived.
        pause: seconds to wait before the next try; 0 while one may try at once.
        until: when that pause ends.
    """

    count: int = 0
    pause: float = 0.0
    until: float = 0.0
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))

    def died(self, now: float) -> bool:
        """A process died before it was ready; True when that begins a pause."""
        self.count += 1
        self._last.append(now)
        often = len(self._last) == MOST and now - self._last[0] <= PERIOD
        if now < self.until or not (often or self.pause):
            return False
        self.pause = min(2 * self.pause, LONGEST) or PERIOD
        self.until = now + self.pause
        return True

    def lived(self) -> None:
        """A process became ready, so what was wrong is over."""
        self._last.clear()
        self.count = 0
        self.pause = self.until = 0.0
