"""A terminal, or a file: what ``sys.stdout`` and ``sys.stderr`` are. What was written stays.

A bar is drawn over itself on a terminal only. While one stands there, whatever else is written goes
above it, in one piece: two threads that wrote at once would tear it. A file gets a line now and
then instead.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TextIO
from unicodedata import east_asian_width

from scattergather.client.seen import showing
from scattergather.client.seen.display import Bar, JobLines, Line
from scattergather.model.snapshot import JobView, are, in_bytes, plural

STEPS = 10
"""How many lines a file gets of a bar, at most, if they do not take a minute each."""

LINE_SECONDS = 1.0, 60.0
"""The least and the most time between two lines of a bar in a file, while its job goes on."""

BARS_OF_THE_USER_SECONDS = 1.0
"""How long what is written waits for a bar that the user draws himself."""

_ERASE = "\r\x1b[K"


class Terminal:
    """What is shown is written below what was written before."""

    shows_bundles = False

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._bars: list[_DrawnBar] = []

    @property
    def shows_bars(self) -> bool:
        """A bar that nobody asked for is welcome: somebody sits before it."""
        return _is_terminal(sys.stdout) and _is_terminal(sys.stderr)

    def lines(self, label: str, more: Callable[[], bool]) -> JobLines:
        """Where the lines of a job are written: on ``sys.stdout``."""
        return _TerminalLines(label)

    def bar(self, view: JobView) -> Bar:
        """A bar on ``sys.stderr``: one line that changes on a terminal, a few lines in a file."""
        if _is_terminal(sys.stderr):
            return _DrawnBar(self, view)
        return _ToldBar(self, view)

    def notice(self, text: str) -> None:
        """The sentence is written, on ``sys.stderr``."""
        self.write([f"[scattergather] {text}"], sys.stderr)

    def pause(self) -> float:
        """None: nobody is cut off here."""
        return 0.0

    def write(self, lines: Sequence[str], stream: TextIO | None) -> None:
        """These lines stand there, above the bar if there is one."""
        with self._turn, _above_bars_of_the_user(stream):
            text = "\n".join(lines) + "\n"
            bar = self._bars[-1] if self._bars and _is_terminal(stream) else None
            if bar is not None:
                _put(_ERASE, sys.stderr)
            _put(text, stream)
            if bar is not None:
                _put(bar.drawn, sys.stderr)

    def draw(self, bar: _DrawnBar, text: str) -> None:
        """The bar is this text now, in the place of whichever stood there."""
        with self._turn:
            if bar not in self._bars:
                self._bars.append(bar)
            bar.drawn = _ERASE + _one_line(text, shutil.get_terminal_size().columns - 1)
            _put(bar.drawn, sys.stderr)

    def leave(self, bar: _DrawnBar, last: str) -> None:
        """``last`` stands where the bar did, and what comes next behind it."""
        with self._turn:
            if bar in self._bars:
                self._bars.remove(bar)
                _put(_ERASE + last, sys.stderr)
                if self._bars:
                    _put(self._bars[-1].drawn, sys.stderr)


TERMINAL = Terminal()


class _TerminalLines:
    has_place = False

    def __init__(self, label: str) -> None:
        self._label = label

    def show(self, lines: Sequence[Line], skipped: int, dropped: int) -> None:
        head = []
        if dropped:
            head.append(lost(dropped, self._label))
        if skipped:
            lines_are = plural(skipped, "line") + f" of {self._label} " + are(skipped)
            head.append(f"[{lines_are} not shown; job.output(i) has them]")
        TERMINAL.write([*head, *map(str, lines)], sys.stdout)


class _DrawnBar:
    def __init__(self, terminal: Terminal, view: JobView) -> None:
        self.drawn = ""
        self._terminal = terminal
        self.show(view)

    def show(self, view: JobView) -> None:
        self._terminal.draw(self, showing.job_text(view))

    def close(self, view: JobView) -> None:
        self.show(view)
        self._terminal.leave(self, self.drawn + "\n")

    def rest(self) -> None:
        self._terminal.leave(self, "")


class _ToldBar:
    """Lines in a file: at each tenth of a job, and once a minute, but not for each quick step."""

    def __init__(self, terminal: Terminal, view: JobView) -> None:
        self._terminal = terminal
        self._said = view
        self._when = time.monotonic()

    def show(self, view: JobView) -> None:
        least, most = LINE_SECONDS
        since = time.monotonic() - self._when
        step = max(1, (view.total or 0) // STEPS)
        far = view.total is not None and view.settled // step > self._said.settled // step
        if view.settled > self._said.settled and (since >= most or (far and since >= least)):
            self._say(view)

    def rest(self) -> None:
        """It has no line that others could tear."""

    def close(self, view: JobView) -> None:
        self._say(view)

    def _say(self, view: JobView) -> None:
        self._said = view
        self._when = time.monotonic()
        self._terminal.write([showing.job_text(view)], sys.stderr)


def user_has_a_bar() -> bool:
    """The user draws a bar himself, by tqdm: another one would be too much."""
    return bool(getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ()))


def _above_bars_of_the_user(stream: TextIO | None) -> AbstractContextManager[object]:
    above = ExitStack()
    if not user_has_a_bar() or not _is_terminal(stream):
        return above
    bars = sys.modules["tqdm"].tqdm
    own = bars.get_lock()
    for lock in getattr(own, "locks", (own,)):
        # An interrupt while tqdm draws leaves it locked for good: then the bar is torn.
        if not lock.acquire(timeout=BARS_OF_THE_USER_SECONDS):
            return above
        above.callback(lock.release)
    above.enter_context(bars.external_write_mode(stream, nolock=True))
    return above


def lost(dropped: int, label: str) -> str:
    """The line that says how much of a job's output has never come here."""
    return f"[{in_bytes(dropped)} that {label} printed were dropped where they were printed]"


def _one_line(text: str, columns: int) -> str:
    """What of it fits into one line, of which some letters take two columns."""
    line, left = "", max(1, columns)
    for letter in text:
        left -= 2 if east_asian_width(letter) in "WF" else 1
        if left < 0:
            break
        line += letter if letter.isprintable() else " "
    return line


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (OSError, ValueError, AttributeError):
        return False


def _put(text: str, stream: TextIO | None) -> None:
    try:
        if stream is None:
            return
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError, AttributeError):
        # A closed stream, or one that is none: what tasks print is kept with their job.
        return
