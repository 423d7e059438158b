"""What ``waitForResult`` returns next: the go value, then the jobs in the order of their adding.

Threads read at once, so every change is one call of C, and tells whoever made it whether it was the
first. A job leaves the queue when its results are handed over, all of them or the first of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.seen.cells import CellRun


class Unread:
    """The queue of one client. Any thread."""

    def __init__(self) -> None:
        self._jobs: list[Gathering] = []
        self._cancel: dict[Gathering, Callable[[], None]] = {}
        self._runs: dict[str, str] = {}
        """Of each cell the run that was the last to add a job."""
        self._go = threading.Lock()
        """Locked, for good, by whoever reads the go value or makes it void."""

    @property
    def go_read(self) -> bool:
        """The go value was read, or a job was added before anybody did."""
        return self._go.locked()

    def read_go(self) -> bool:
        """The go value is read; True for the first who says so."""
        return self._go.acquire(blocking=False)

    def oldest(self) -> Gathering | None:
        """The job that was added first of those that nobody has read."""
        try:
            return self._jobs[0]
        except IndexError:
            return None

    def all(self) -> list[Gathering]:
        """The jobs that nobody has read, in the order of their adding."""
        return self._jobs[:]

    def enter(self, job: Gathering, cancel: Callable[[], None]) -> None:
        """A job that is being added waits to be read; the go value no longer does."""
        self._cancel[job] = cancel
        self._jobs.append(job)
        self._go.acquire(blocking=False)

    def supersede(self, run: CellRun, failed: Callable[[CellRun], bool]) -> list[Gathering]:
        """The first job of this run of a cell is added: of earlier runs some wait no longer.

        Those are cancelled that somebody was interrupted to wait for, or whose run has ``failed``:
        who runs the cell again wants its results, and would be given those of the old function.
        Returns them.
        """
        if self.adds(run):
            return []
        stale = []
        for job in self.all():
            earlier = job.run
            if earlier is None or earlier.cell != run.cell or earlier == run:
                continue
            if job.interrupted or failed(earlier):
                self._cancel.get(job, job.stop)()
                if self.withdraw(job):
                    stale.append(job)
        return stale

    def adds(self, run: CellRun) -> bool:
        """Note that this run of a cell adds a job; True if it has added one before."""
        return self._runs.get(run.cell) == run.name or bool(self._runs.update({run.cell: run.name}))

    def withdraw(self, job: Gathering) -> bool:
        """A job waits no longer; True for the first who says so since it was entered."""
        self._cancel.pop(job, None)
        try:
            self._jobs.remove(job)
        except ValueError:
            return False
        return True

    def read(self, job: Gathering) -> bool:
        """A job is read; True for the first who says so since it was entered."""
        job.read = True
        return self.withdraw(job)

    def enter_again(self, job: Gathering, cancel: Callable[[], None]) -> None:
        """``retry`` will have new results of a job; it waits to be read, unless it does already."""
        job.read = job.interrupted = False
        self._cancel[job] = cancel
        if job not in self._jobs:
            self._jobs.append(job)
