"""Virtual time: a heap of calls, and scopes that can be frozen or die with all they had planned.

``Clock`` and ``Scope`` stand in for the reactor: ``seconds`` and ``callLater``, as the link and the
front desk use them. Calls of one moment run in the order in which they were made, so a run depends
on nothing but its seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Call:
    """What Twisted calls an ``IDelayedCall``."""

    __slots__ = ("_args", "_clock", "_number", "_owner", "_time", "_what")

    def __init__(self, clock: Clock, owner: Scope | None, what: Callable[..., Any], args: Any):
        self._clock, self._owner, self._what, self._args = clock, owner, what, args
        self._time, self._number = 0.0, -1

    def active(self) -> bool:
        return self._number >= 0

    def getTime(self) -> float:
        return self._time

    def cancel(self) -> None:
        self._number = -1

    def reset(self, seconds: float) -> None:
        self._clock.put(self, self._clock.now + seconds)


class Clock:
    """The time of a world."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Call]] = []
        self._count = 0

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, what: Callable[..., Any], *args: Any) -> Call:
        return self.put(Call(self, None, what, args), self.now + delay)

    def put(self, call: Call, time: float) -> Call:
        self._count += 1
        call._time, call._number = time, self._count
        heapq.heappush(self._heap, (time, self._count, call))
        return call

    def own(self, owner: Scope, delay: float, what: Callable[..., Any], args: Any) -> Call:
        return self.put(Call(self, owner, what, args), self.now + delay)

    def step(self) -> None:
        """Run the next call that is due."""
        while True:
            time, number, call = heapq.heappop(self._heap)
            if call._number != number:
                continue  # cancelled, or put off
            owner = call._owner
            if owner is not None and not owner.runs(call):
                continue
            call._number = -1
            self.now = time
            call._what(*call._args)
            return

    def planned(self) -> int:
        """How many calls are still to come; not those of the dead."""
        return sum(
            call._number == number and not (call._owner is not None and call._owner.over)
            for _, number, call in self._heap
        )


class Scope:
    """A machine or a process: what it planned waits while it is frozen, and dies with it."""

    def __init__(self, clock: Clock, parent: Scope | None = None) -> None:
        self.clock = clock
        self._parent = parent
        self._held: list[Call] = []
        self.frozen = False
        self.dead = False

    def seconds(self) -> float:
        return self.clock.now

    def callLater(self, delay: float, what: Callable[..., Any], *args: Any) -> Call:
        return self.clock.own(self, delay, what, args)

    @property
    def over(self) -> bool:
        """It is dead, or what it was part of is."""
        return self.dead or (self._parent is not None and self._parent.over)

    def runs(self, call: Call) -> bool:
        """Whether a call that is due may run now; it is kept if it may later."""
        scope: Scope | None = self
        while scope is not None:
            if scope.dead:
                call.cancel()
                return False
            if scope.frozen:
                scope._held.append(call)
                return False
            scope = scope._parent
        return True

    def thaw(self) -> None:
        """Go on: what was held back happens now, in its order."""
        self.frozen = False
        held, self._held = self._held, []
        for call in held:
            if call.active():
                self.clock.put(call, self.clock.now)
