"""The bar of who waits for futures: one for all that are waited for, at once or one by one.

Who asks one future after the other for its result waits for all of them. So waits count together
until nothing is outstanding any more of what they were for, and what the bar shows is how far all
calls are of the functions whose futures were waited for.

It is seen by who waits on the main thread. What makes it is done when a wait lasts: most end long
before, and pay for looks at the clock; and if nothing else is outstanding, they are no part of it.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Protocol

from scattergather.client.pipe.waiting import Bell
from scattergather.client.seen import progress
from scattergather.client.seen.here import at_end_of_cells
from scattergather.client.seen.progress import Progress, on_main_thread, shorter
from scattergather.model.snapshot import JobView, together

SOON = 0.05
"""Seconds within which a wait is over that nobody need see."""


class Counted(Protocol):
    """Calls of one function, of which some are waited for."""

    @property
    def busy(self) -> bool:
        """True while a call is outstanding."""

    def lately(self) -> JobView:
        """How far those calls are that were outstanding together."""


class CallsBar:
    """The bar of all waits for futures, one after the other. Main thread.

    It keeps nothing alive: a client that nobody holds ends, whoever has waited for its calls.
    """

    def __init__(self) -> None:
        self._calls: dict[weakref.ref[Counted], None] = {}
        self._bar: Progress | None = None
        self._waited = self._begun = 0.0

    def wait(
        self, calls: Counted, bell: Bell, ready: Callable[[], bool], timeout: float | None
    ) -> None:
        """Block until ``ready()``, at each ring looked at, or for ``timeout`` seconds."""
        begun = time.monotonic()
        until = None if timeout is None else begun + timeout
        over = self._bar is None and bell.wait(ready, shorter(timeout, SOON))
        if over and not self._calls and not calls.busy:
            return
        left = None if until is None else until - time.monotonic()
        if not on_main_thread():
            bell.wait(ready, left)
            return
        self.begin(calls, since=begun)
        try:
            while not bell.wait(ready, shorter(left, self._seconds())):
                if until is not None and (left := until - time.monotonic()) <= 0:
                    return
                self.step()
        finally:
            self.rest()

    def begin(self, *calls: Counted, since: float | None = None) -> None:
        """A wait for some of these calls begins, or has begun at ``since``."""
        if self._calls and not self._busy():
            self.close()
        for each in calls:
            self._calls[weakref.ref(each)] = None
        self._begun = time.monotonic() if since is None else since
        if self._bar is not None:
            self._bar.start()

    def _busy(self) -> bool:
        return any(calls is not None and calls.busy for calls in [each() for each in self._calls])

    def _seconds(self) -> float | None:
        """Until :meth:`step` has something to do."""
        if self._bar is not None:
            return self._bar.seconds()
        return max(0.0, self._begun + progress.PATIENCE - self._waited - time.monotonic())

    def step(self) -> None:
        """The bar shows how far the calls are, if it is time for that."""
        if self._bar is None:
            if self._begun + progress.PATIENCE - self._waited > time.monotonic():
                return
            self._bar = Progress(self._view, None, waited=progress.PATIENCE)
            at_end_of_cells(self.close)
        self._bar.step()

    def rest(self) -> None:
        """The wait is over, and perhaps with it all that was waited for."""
        self._waited += time.monotonic() - self._begun
        if self._bar is not None:
            self._bar.rest()
        if not self._busy():
            self.close()

    def close(self) -> None:
        """The bar stays as the calls stand now; the next wait has another one."""
        bar, self._bar, self._waited = self._bar, None, 0.0
        if bar is not None:
            bar.close()
        self._calls.clear()

    def _view(self) -> JobView:
        known = [calls for each in self._calls if (calls := each()) is not None]
        return together([calls.lately() for calls in known])


BAR = CallsBar()
