"""A bar while somebody waits: at once if it was asked for, else when the wait lasts.

``SCATTERGATHER_PROGRESS=0`` in the environment, or ``progress=False``, and none comes by itself.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from scattergather.client.seen.display import BAR_SECONDS, Bar
from scattergather.client.seen.here import current_display
from scattergather.client.seen.terminal import user_has_a_bar
from scattergather.model.snapshot import JobView

PATIENCE = 2.0
"""Seconds after which a wait shows a bar by itself."""

SLOW_SECONDS = 1.0
"""How often a bar is told the time of a job of which nothing has come; before the first of them
nobody can tell how fast it goes."""

VARIABLE = "SCATTERGATHER_PROGRESS"


class Progress:
    """The bar of one wait, or of the waits of one iteration, on the thread that waits.

    Args:
        look: how far the job is.
        wanted: None shows a bar when the wait lasts, where somebody sits before it.
        waited: seconds for which the same was waited for before.
    """

    def __init__(
        self, look: Callable[[], JobView], wanted: bool | None, *, waited: float = 0.0
    ) -> None:
        self._look = look
        self._bar: Bar | None = None
        self._wanted = bool(wanted)
        off = os.environ.get(VARIABLE, "") in ("0", "off", "no")
        self._welcome = self._wanted or (wanted is None and not off)
        self._due: float | None = None
        self._waited = waited
        self._begun = self._since = time.monotonic()
        self._drawn = -math.inf
        self._before = look().settled if self._welcome else 0
        self._shown: JobView | None = None
        self._when = 0.0
        self.start()

    def start(self) -> None:
        """A wait begins; several short ones are a long one."""
        if self._welcome:
            self._since = now = time.monotonic()
            patience = 0.0 if self._wanted else max(0.0, PATIENCE - self._waited)
            self._due = max(now + patience, self._drawn + BAR_SECONDS)

    def seconds(self) -> float | None:
        """Until :meth:`step` has something to do; None: never."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def step(self) -> None:
        """The bar shows how far the job is, if it is time for that."""
        if self._due is None or time.monotonic() < self._due:
            return
        if self._bar is None:
            display = current_display()
            if not self._wanted and (user_has_a_bar() or not display.shows_bars):
                self._due, self._welcome = None, False
                return
            self._bar = display.bar(self._view())
        else:
            # The time that is left changes also while nothing is done; that can be seen later.
            view, now = self._look(), time.monotonic()
            if view != self._shown or now - self._when >= SLOW_SECONDS:
                self._shown, self._when = view, now
                self._bar.show(self._view())
        self._drawn = time.monotonic()
        self._due = self._drawn + BAR_SECONDS

    def _view(self) -> JobView:
        """How far the job is and how fast it went since the wait began; not what waits for what."""
        view, seconds = self._look(), time.monotonic() - self._begun
        rate = max(0, view.settled - self._before) / seconds if seconds >= SLOW_SECONDS else 0.0
        return replace(view, queued=0, running=0, rate=rate, lost="")

    def rest(self) -> None:
        """The wait is over, and another one may begin."""
        if self._due is not None:
            self._waited += time.monotonic() - self._since
        self._due = None
        if self._bar is not None:
            self._bar.rest()

    def close(self) -> None:
        """The bar stays as the job stands now."""
        bar, self._bar, self._due = self._bar, None, None
        if bar is not None:
            bar.close(replace(self._view(), rate=0.0))  # nobody knows when the rest will be there


def shorter(one: float | None, other: float | None) -> float | None:
    """Of two times to wait the shorter; None is for ever."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def on_main_thread() -> bool:
    """A bar that nobody asked for is shown to this thread."""
    return threading.current_thread() is threading.main_thread()
