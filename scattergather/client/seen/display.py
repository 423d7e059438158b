"""Where the user looks, and what is shown there: lines that tasks print, bars, and sentences.

A cell of a notebook, a terminal and a file show the same in different ways. So a ``Display`` is
told what there is to see, and not how. It is found where the user asks for something, by
``here.current_display``, and used later, by other threads, while the user looks elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from scattergather.model.snapshot import JobView
from scattergather.wire.values.bundle import Bundle

Line = str | Bundle
"""What a task printed, a line; or something that it displayed."""

LINES = 200
"""How many lines of a job are shown at a time."""

BAR_SECONDS = 0.1
"""How often a bar is told how far its job is: Jupyter's server cuts a kernel off that says more."""


class Notices(Protocol):
    """Where sentences are shown that belong to no cell. Any thread."""

    def notice(self, text: str) -> None:
        """The user is told this sentence."""

    def pause(self) -> float:
        """Seconds until more is to be shown, after what was shown since this was asked last."""


class JobLines(Protocol):
    """Where the lines of one job are shown. Any thread, one at a time."""

    @property
    def has_place(self) -> bool:
        """Lines stand in their order whenever they come: no result need wait for them."""

    def show(self, lines: Sequence[Line], skipped: int, dropped: int) -> None:
        """These lines are seen, behind those that came before.

        Args:
            lines: each with the task that printed it.
            skipped: how many lines before these are not shown, because there were too many.
            dropped: how many bytes before these have never come here.
        """


class Bar(Protocol):
    """Shows how far one job is. On the thread that waits for it."""

    def show(self, view: JobView) -> None:
        """The bar stands where the job stands."""

    def rest(self) -> None:
        """Nobody waits for now: what is written next does not stand in its way."""

    def close(self, view: JobView) -> None:
        """The bar stands where the job stands, and stays."""


class Display(Protocol):
    """A place where things are shown. Any thread."""

    @property
    def shows_bars(self) -> bool:
        """A bar that nobody asked for is welcome here."""

    @property
    def shows_bundles(self) -> bool:
        """What tasks display is shown here as what it is; else as its text."""

    def lines(self, label: str, more: Callable[[], bool]) -> JobLines:
        """Where the lines of the job that is called ``label`` are shown.

        ``more`` says if there may be more of them: a place is kept for them meanwhile.
        """

    def bar(self, view: JobView) -> Bar:
        """A bar for a job that stands like this."""

    def notice(self, text: str) -> None:
        """The user is told this sentence."""
