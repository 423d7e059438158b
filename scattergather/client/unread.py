"""What ``waitForResult`` returns next: the go value, then the jobs in the order of their adding.

Threads read at once, so every change is one call of C, and tells whoever made it whether it was the
first. A job leaves the queue when its results are handed over, all of them or the first of them.
"""

from __future__ import annotations

import threading

from scattergather.client.jobs.gathering import Gathering


class Unread:
    """The queue of one client. Any thread."""

    def __init__(self) -> None:
        self._jobs: list[Gathering] = []
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

    def enter(self, job: Gathering) -> None:
        """A job that is being added waits to be read; the go value no longer does."""
        self._jobs.append(job)
        self._go.acquire(blocking=False)

    def withdraw(self, job: Gathering) -> bool:
        """A job waits no longer; True for the first who says so since it was entered."""
        try:
            self._jobs.remove(job)
        except ValueError:
            return False
        return True

    def read(self, job: Gathering) -> bool:
        """A job is read; True for the first who says so since it was entered."""
        job.read = True
        return self.withdraw(job)

    def enter_again(self, job: Gathering) -> None:
        """``retry`` will have new results of a job; it waits to be read, unless it does already."""
        job.read = False
        if job not in self._jobs:
            self._jobs.append(job)
