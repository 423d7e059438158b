"""A bar while somebody waits: at once if it was asked for, else when the wait lasts.

``SCATTERGATHER_PROGRESS=0`` in the environment, or ``progress=False``, and none comes by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from scattergather.client.seen.display import BAR_SECONDS, Bar
from scattergather.client.seen.here import current_display
from scattergather.model.snapshot import JobView

PATIENCE = 2.0
"""Seconds after which a wait shows a bar by itself."""

VARIABLE = "SCATTERGATHER_PROGRESS"


class Progress:
    """The bar of one wait, on the thread that waits.

    Args:
        look: how far the job is.
        wanted: None shows a bar when the wait lasts, where somebody sits before it.
    """

    def __init__(self, look: Callable[[], JobView], wanted: bool | None) -> None:
        self._look = look
        self._bar: Bar | None = None
        self._due: float | None = None
        if wanted or (wanted is None and os.environ.get(VARIABLE, "") not in ("0", "off", "no")):
            self._due = time.monotonic() + (0.0 if wanted else PATIENCE)
        self._wanted = bool(wanted)
        self._before = look() if self._due is not None else None

    def seconds(self) -> float | None:
        """Until :meth:`step` has something to do; None: never."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def step(self) -> None:
        """The bar shows how far the job is, if it is time for that."""
        if self._due is None or time.monotonic() < self._due:
            return
        if self._bar is None:
            display = current_display()
            if not self._wanted and not display.shows_bars:
                self._due = None
                return
            assert self._before is not None
            self._bar = display.bar(self._before)
        self._bar.show(self._look())
        self._due = time.monotonic() + BAR_SECONDS

    def close(self) -> None:
        """The bar stays as the job stands now."""
        bar, self._bar, self._due = self._bar, None, None
        if bar is not None:
            bar.close(self._look())


def shorter(one: float | None, other: float | None) -> float | None:
    """Of two times to wait the shorter; None is for ever."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
