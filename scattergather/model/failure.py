"""A failed task, as it is shown to the user."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from scattergather.errors import without_ours
from scattergather.model.snapshot import plural

LINE = 500
LINES = 60
"""Of one failure in a report: a cell that shows megabytes freezes the notebook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What came of one task that did not return.

    Attributes:
        index: the task's place in its job.
        error: the original exception, a ``TaskLost``, or ``CancelledError``.
        host: where it ran; empty if it never started.
        worker: process id of its worker; 0 if it never started.
        attempt: which attempt this was, from 1.
    """

    index: int
    error: BaseException
    host: str = ""
    worker: int = 0
    attempt: int = 1

    def report(self) -> list[str]:
        """Lines without ends: where it was, the remote traceback, the error and its notes.

        Long ones are cut, and of many lines the middle is left out; ``error`` has all of it.
        """
        place = f"task {self.index}"
        if self.host:
            place += f" on {self.host}" + (f", worker {self.worker}" if self.worker else "")
        if self.attempt > 1:
            place += f", attempt {self.attempt}"
        return [f"--- {place} ---", *_shortened(self._lines())]

    def _lines(self) -> list[str]:
        lines: list[str] = []
        cause = self.error.__cause__
        if cause is not None and cause.__traceback__ is None:  # a remote one, told in its text
            lines += str(cause).strip('\n"').splitlines()
        elif cause is not None:
            trace = without_ours(cause.__traceback__)
            lines += "".join(traceback.format_exception(type(cause), cause, trace)).splitlines()
        summary = "".join(traceback.format_exception_only(self.error)).splitlines()
        if summary[0] in lines:  # a remote traceback ends with it; the notes are new
            notes = getattr(self.error, "__notes__", ())
            return lines + [line for note in notes for line in str(note).splitlines()]
        return lines + summary


def _shortened(lines: list[str]) -> list[str]:
    cut = [line if len(line) <= LINE else line[:LINE] + " ..." for line in lines]
    if len(cut) <= LINES:
        return cut
    third = LINES // 3
    return [*cut[:third], f"... {plural(len(cut) - LINES, 'line')} ...", *cut[third - LINES :]]
