"""What tasks print: kept for ``job.output``, and shown here, marked with the task.

Jupyter's server cuts a kernel off that sends too much, so what is shown is gathered for a tenth of
a second and holds the last lines only; what is kept has bounds of its own. A thread shows it, since
the reader must not block on a terminal; it comes with the first output and goes when there is none.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import TextIO

from scattergather.client.pipe.waiting import Bell
from scattergather.client.seen.cell import Cell, Display
from scattergather.model.snapshot import in_bytes

INTERVAL = 0.1
IDLE = 2.0
LINES = 200
LINE_BYTES = 500
TASK_BYTES = 64 << 10
JOB_BYTES = 16 << 20


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
    """The echo of one job: ``label`` marks its lines, ``cell`` is where they belong."""

    def __init__(self, label: str, cell: Cell | None) -> None:
        self.label = label
        self.fresh: deque[str] = deque(maxlen=LINES)
        self.skipped = 0
        self.dropped = 0
        """Bytes that did not even come here."""
        self._recent: deque[str] = deque(maxlen=LINES)
        self._display = Display(cell) if cell is not None else None
        self._shown = 0

    def add(self, index: int, text: str, dropped: int = 0) -> None:
        """Queue lines of a task, after ``dropped`` bytes that are missing. Reader thread."""
        self.dropped += dropped
        for line in text.splitlines():
            if len(self.fresh) == LINES:
                self.skipped += 1
            short = line if len(line) <= LINE_BYTES else line[:LINE_BYTES] + " ..."
            self.fresh.append(f"[task {index} of {self.label}] {short}")

    def show(self) -> None:
        """Show what is queued. Not on the reader thread."""
        lines = []
        while self.fresh:
            lines.append(self.fresh.popleft())
        skipped, self.skipped = self.skipped, 0
        if not lines and not self.dropped:
            return
        self._shown += len(lines) + skipped
        head = []
        if self.dropped:
            lost = in_bytes(self.dropped)
            head = [f"[{lost} that {self.label} printed were dropped where they were printed]"]
        if self._display is None:
            self.dropped = 0
            if skipped:
                head.append(
                    f"[{skipped} lines of {self.label} are not shown; job.output(i) has them]"
                )
            _print([*head, *lines])
            return
        self._recent.extend(lines)
        older = self._shown - len(self._recent)
        if older:
            head.append(f"[{older} earlier lines of {self.label}: see job.output(i)]")
        self._display.show("\n".join([*head, *self._recent]))


class Echo:
    """Shows what all jobs of a client print. Any thread may put; one thread shows."""

    def __init__(self) -> None:
        self._dirty: deque[JobEcho] = deque()
        self._notices: deque[str] = deque()
        self._bell = Bell()
        self._closed = False
        self._showing = threading.RLock()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def notice(self, text: str) -> None:
        """A sentence that the user should see."""
        self._notices.append(text)
        self._wake()

    def put(self, channel: JobEcho, index: int, text: str, dropped: int = 0) -> None:
        """A task printed ``text``, after ``dropped`` bytes that are missing."""
        channel.add(index, text, dropped)
        if channel not in self._dirty:
            self._dirty.append(channel)
        self._wake()

    def flush(self) -> None:
        """Everything that was printed so far is shown. Not on the reader thread."""
        # Also when nothing waits: another thread may have taken it, and be about to show it.
        with self._showing:
            while self._notices:
                _print([f"[scattergather] {self._notices.popleft()}"], sys.stderr)
            for _ in range(len(self._dirty)):
                self._dirty.popleft().show()

    def close(self) -> None:
        """The thread ends when everything is shown."""
        self._closed = True
        self._bell.ring()

    def _wake(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="scattergather-echo", daemon=True
                    )
                    self._thread.start()
        self._bell.ring()

    def _something(self) -> bool:
        return bool(self._dirty or self._notices or self._closed)

    def _run(self) -> None:
        while self._bell.wait(self._something, IDLE) and not self._closed:
            time.sleep(INTERVAL)
            self._flush_quietly()
        with self._starting:
            self._thread = None
        # What came between the last look and here started no thread.
        self._flush_quietly()

    def _flush_quietly(self) -> None:
        try:
            self.flush()
        except Exception:
            # A broken stdout must not end the echo of what comes later.
            self._dirty.clear()


def _print(lines: list[str], stream: TextIO | None = None) -> None:
    target = sys.stdout if stream is None else stream
    try:
        target.write("\n".join(lines) + "\n")
        target.flush()
    except (OSError, ValueError, AttributeError):
        # A closed or missing stdout: the output is kept with the job.
        return
