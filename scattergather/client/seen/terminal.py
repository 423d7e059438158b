"""A terminal, or a file: what ``sys.stdout`` and ``sys.stderr`` are. What was written stays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from scattergather.client.seen.display import Bar, JobLines
from scattergather.model.snapshot import JobView, in_bytes


class Terminal:
    """What is shown is written below what was written before."""

    def lines(self, label: str) -> JobLines:
        """Where the lines of a job are written: on ``sys.stdout``."""
        return _TerminalLines(label)

    def bar(self, view: JobView) -> Bar:
        """A bar that tqdm draws, on ``sys.stderr``."""
        return _TerminalBar(view)

    def notice(self, text: str) -> None:
        """The sentence is written, on ``sys.stderr``."""
        _write([f"[scattergather] {text}"], sys.stderr)


TERMINAL = Terminal()


class _TerminalLines:
    def __init__(self, label: str) -> None:
        self._label = label

    def show(self, lines: Sequence[str], skipped: int, dropped: int) -> None:
        head = []
        if dropped:
            head.append(lost(dropped, self._label))
        if skipped:
            head.append(f"[{skipped} lines of {self._label} are not shown; job.output(i) has them]")
        _write([*head, *lines], sys.stdout)


class _TerminalBar:
    def __init__(self, view: JobView) -> None:
        # Most sessions want no bar.
        from tqdm import tqdm  # noqa: PLC0415  (slow)

        self._bar: Any = tqdm(total=view.total, desc=view.name, unit="task", mininterval=0.0)

    def show(self, view: JobView) -> None:
        bar = self._bar
        if bar.total != view.total:
            bar.total = view.total
        if view.failed:
            bar.set_postfix(failed=view.failed, refresh=False)
        bar.update(view.settled - bar.n)

    def close(self, view: JobView) -> None:
        self.show(view)
        self._bar.close()


def lost(dropped: int, label: str) -> str:
    """The line that says how much of a job's output has never come here."""
    return f"[{in_bytes(dropped)} that {label} printed were dropped where they were printed]"


def _write(lines: Sequence[str], stream: TextIO | None) -> None:
    try:
        if stream is not None:
            stream.write("\n".join(lines) + "\n")
            stream.flush()
    except (OSError, ValueError, AttributeError):
        # A closed stream, or one that is none: what tasks print is kept with their job.
        return
