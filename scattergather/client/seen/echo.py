"""What tasks print: kept for ``job.output``, and shown here, marked with the task.

Jupyter's server cuts a kernel off that sends too much, so what is shown is gathered for a tenth of
a second, longer when it was much, and holds the last lines only; what is kept has bounds of its
own. A thread shows it, since the reader must not block on a terminal; it comes with the first
output and goes when there is none.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from scattergather.client.pipe.waiting import Bell, readers, start_thread
from scattergather.client.seen.display import LINES, Display, Line, Notices
from scattergather.client.seen.printout import settled_lines
from scattergather.client.seen.terminal import TERMINAL
from scattergather.model.snapshot import in_bytes
from scattergather.wire.messages import page as messages
from scattergather.wire.values.bundle import Bundle, unpack_bundle

INTERVAL = 0.1
IDLE = 2.0
LINE_BYTES = 500
TASK_BYTES = 64 << 10
JOB_BYTES = 16 << 20


BUNDLES = 100
"""How many things that tasks of one job display are shown as what they are."""

BUNDLE_BYTES = 64_000_000
"""And how many bytes of them."""


def read_output(message: messages.TaskOutput, body: bytes) -> str | Bundle:
    """What a task printed, or displayed."""
    if not message.display:
        return body.decode("utf-8", "backslashreplace")
    try:
        return unpack_bundle(body)
    except ValueError:
        return "[something was displayed that cannot be read here]"


class Printed:
    """What the tasks of one job printed, within bounds; of the oldest tasks it is dropped first."""

    def __init__(self) -> None:
        self._of: dict[int, str] = {}
        self._cut: dict[int, int] = {}
        self._size = 0
        self._lock = threading.Lock()

    def add(self, index: int, text: str, dropped: int = 0) -> None:
        """Task ``index`` printed ``text``, after ``dropped`` bytes that are missing."""
        with self._lock:
            before = self._of.pop(index, "")
            kept = (before + text)[-TASK_BYTES:]
            missing = dropped + len(before) + len(text) - len(kept)
            if missing:
                self._cut[index] = self._cut.get(index, 0) + missing
            self._of[index] = kept
            self._size += len(kept) - len(before)
            while self._size > JOB_BYTES and len(self._of) > 1:
                oldest = next(iter(self._of))
                gone = self._of.pop(oldest)
                self._size -= len(gone)
                self._cut[oldest] = self._cut.get(oldest, 0) + len(gone)

    def get(self, index: int) -> str:
        """What task ``index`` printed; its first line says so if something is missing."""
        with self._lock:
            cut = self._cut.get(index, 0)
            text = self._of.get(index, "")
        return f"[{cut} bytes of earlier output were dropped]\n{text}" if cut else text


class JobEcho:
    """The echo of one job: ``label`` marks its lines, ``display`` is where they belong.

    ``more`` says if more may come.
    """

    def __init__(self, label: str, display: Display, more: Callable[[], bool]) -> None:
        self.label = label
        self._lines = display.lines(label, more)
        self._rich = display.shows_bundles
        self._bundles = 0
        self._room = BUNDLE_BYTES
        self._moves = False
        """Something is queued that takes a new place."""
        self._last = -1
        """The task of what was queued last."""
        self._fresh: deque[Line] = deque(maxlen=LINES)
        self._skipped = 0
        self._dropped = 0
        """Bytes that did not even come here."""

    def add(self, index: int, what: str | Bundle, dropped: int = 0) -> None:
        """Queue what a task printed or displayed, after ``dropped`` bytes that are missing.

        Reader thread.
        """
        self._dropped += dropped
        mark = f"[task {index} of {self.label}]"
        if isinstance(what, Bundle):
            size = sum(len(each) for each in what.data.values() if isinstance(each, (str, bytes)))
            if self._rich and self._bundles < BUNDLES and size <= self._room:
                self._bundles += 1
                self._room -= size
                if index != self._last and not what.update:
                    self._queue(mark)
                self._last = index
                self._queue(what)
                # Behind it: whoever shows meanwhile would take this back, and not show it.
                self._moves = True
                return
            if self._rich and self._room >= 0:
                self._bundles, self._room = BUNDLES, -1
                most = f"{BUNDLES} things, or {in_bytes(BUNDLE_BYTES)}"
                self._queue(f"[{self.label} displays more than {most}: the rest is text only]")
            what = what.text
        for line in settled_lines(what):
            short = line if len(line) <= LINE_BYTES else line[:LINE_BYTES] + " ..."
            self._queue(f"{mark} {short}")
            self._last = index

    def _queue(self, line: Line) -> None:
        if len(self._fresh) == LINES:
            self._skipped += 1
        self._fresh.append(line)

    @property
    def has_place(self) -> bool:
        """What is queued stands behind what is shown already, whenever it is shown."""
        return self._lines.has_place and not self._moves

    def show(self) -> None:
        """Show what is queued. Not on the reader thread."""
        self._moves = False
        lines = []
        while self._fresh:
            lines.append(self._fresh.popleft())
        skipped, self._skipped = self._skipped, 0
        dropped, self._dropped = self._dropped, 0
        if lines or dropped:
            self._lines.show(lines, skipped, dropped)


class Echo:
    """Shows what all jobs of a client print. Any thread may put; one thread shows.

    Args:
        display: for sentences that belong to no job.
    """

    def __init__(self, display: Notices = TERMINAL) -> None:
        self._display = display
        self._dirty: deque[JobEcho] = deque()
        self._notices: deque[str] = deque()
        self._bell = Bell()
        self._closed = False
        self._showing = threading.RLock()
        self._runs = False
        """A thread shows. Set when it was started, not before: an interrupt would leave none."""
        self._starting = threading.Lock()

    def notice(self, text: str) -> None:
        """A sentence that the user should see."""
        self._notices.append(text)
        self._wake()

    def put(self, channel: JobEcho, index: int, what: str | Bundle, dropped: int = 0) -> None:
        """A task printed or displayed this, after ``dropped`` bytes that are missing."""
        channel.add(index, what, dropped)
        if channel not in self._dirty:
            self._dirty.append(channel)
        self._wake()

    def flush(self) -> None:
        """Everything that was printed so far is shown. Not on the reader thread."""
        # Also when nothing waits: another thread may have taken it, and be about to show it.
        with self._showing:
            while self._notices:
                self._display.notice(self._notices.popleft())
            for _ in range(len(self._dirty)):
                self._dirty.popleft().show()

    def flush_before_results(self) -> None:
        """What tasks have printed stands before what came of them is handed over. Any thread."""
        # The reader, in a callback, must not block on a terminal.
        if threading.get_ident() in readers:
            return
        with self._showing:
            # With each result a piece of output that stands already would be sent as a whole: of
            # quick tasks it is more than Jupyter's server takes. The thread shows these.
            for channel in list(self._dirty):
                if not channel.has_place:
                    channel.show()

    def close(self) -> None:
        """The thread ends when everything is shown."""
        self._closed = True
        self._bell.ring()

    def _wake(self) -> None:
        if not self._runs:
            with self._starting:
                if not self._runs:
                    try:
                        start_thread(self._run, "scattergather-echo")
                    except RuntimeError:
                        self._show_notices()
                        return
                    self._runs = True
        self._bell.ring()

    def _show_notices(self) -> None:
        """Where no thread can be had: else nobody who waits would hear why nothing goes on.

        When the interpreter ends, whoever ends it shows the rest. What tasks have printed is shown
        before their results are handed over.
        """
        if self._showing.acquire(blocking=False):
            try:
                while self._notices:
                    self._display.notice(self._notices.popleft())
            finally:
                self._showing.release()

    def _something(self) -> bool:
        return bool(self._dirty or self._notices or self._closed)

    def _run(self) -> None:
        while self._bell.wait(self._something, IDLE) and not self._closed:
            time.sleep(max(INTERVAL, self._display.pause()))
            self._flush_quietly()
        with self._starting:
            self._runs = False
        # What came between the last look and here started no thread.
        self._flush_quietly()

    def _flush_quietly(self) -> None:
        try:
            self.flush()
        except Exception:
            # A broken stdout must not end the echo of what comes later.
            self._dirty.clear()
