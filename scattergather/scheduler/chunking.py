"""How many tasks travel together.

Guided self-scheduling (Polychronopoulos and Kuck, 1987) with measured task times. A chunk should
last about ``CHUNK_SECONDS``: long enough that the cost of moving it (some 0.3 ms of processor time
on all sides) stays a few percent, short enough that the tail of a job stays balanced. Near the end
it shrinks to a share of what is left. Tasks that are not brief, or not surely so, travel alone.

Nothing is known of a new function: its first chunks are single tasks, and a chunk is at most
``GROWTH`` times as long as what has been seen to come back, so that one lucky short task does not
send a thousand long ones to the same worker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scattergather.model.outcome import PATIENT_SECONDS

CHUNK_SECONDS = 0.016
"""What a chunk of short tasks should last."""

BRIEF_SECONDS = 0.004
"""Tasks up to this length (some twenty local round trips) are brief: they travel together."""

AHEAD_SECONDS = 0.1
"""Tasks up to this length may wait in a worker behind another one. What has not begun there can be
taken back at once, so that it costs nothing when the other one turns out to be long."""

LONG_SECONDS = 1.0
"""Tasks beyond this length are not read ahead: waiting for the next costs nothing beside them."""

MAX_BYTES = 1 << 20
"""What the arguments of a chunk of several tasks may take."""

GROWTH = 8


@dataclass(slots=True)
class Estimate:
    """How long one task of a function takes: moving mean, and variance, of seconds."""

    seconds: float | None = None
    variance: float = 0.0

    def learn(self, tasks: int, elapsed: float) -> None:
        """Take in that ``tasks`` tasks took ``elapsed`` seconds together."""
        mean = elapsed / tasks
        if self.seconds is None:
            self.seconds = mean
            return
        weight = min(0.5, 0.1 + 0.02 * tasks)
        surprise = mean - self.seconds
        self.seconds += weight * surprise
        # The mean of n tasks varies n times less than a task does.
        self.variance += weight * (tasks * surprise * surprise - self.variance)

    @property
    def brief(self) -> bool:
        """True when the tasks are known to be short, and none of them is likely to be long."""
        return (
            self.seconds is not None
            and self.seconds <= BRIEF_SECONDS
            and self.variance <= BRIEF_SECONDS**2
        )

    @property
    def ahead(self) -> bool:
        """True when a worker may hold the next chunk before it is through with the one at hand."""
        return self.seconds is not None and self.seconds <= AHEAD_SECONDS

    @property
    def slow(self) -> bool:
        """True when hardly any task is so short that its outcome has to be heard at once."""
        if self.seconds is None:
            return False
        beyond = self.seconds - PATIENT_SECONDS
        return beyond > 0.0 and self.variance < beyond * beyond

    def fitting(self) -> float:
        """How many tasks last ``CHUNK_SECONDS`` together, and hardly ever more than twice that.

        The sum of n tasks lasts n means, give or take sqrt(n) deviations: where durations are
        heavy-tailed even two tasks may be too many, though their mean is small.
        """
        mean = max(self.seconds or 0.0, 1e-7)
        deviation = math.sqrt(self.variance)
        root = (math.sqrt(self.variance + 8 * CHUNK_SECONDS * mean) - deviation) / (2 * mean)
        return min(CHUNK_SECONDS / mean, root * root)


def chunk_size(
    estimate: Estimate, *, queued: int, slots: int, proven: int, mean_bytes: float
) -> int:
    """How many of ``queued`` tasks to send to one of ``slots`` workers next; at least one.

    ``proven`` is the largest number of tasks that came back from one chunk so far.
    """
    share = math.ceil(queued / (2 * slots))
    if share == 1 or not estimate.brief:
        return 1
    room = MAX_BYTES / max(mean_bytes, 1.0)
    return max(1, int(min(estimate.fitting(), share, room, GROWTH * proven)))


def read_ahead(estimate: Estimate, *, slots: int, round_trip: float) -> int:
    """How many chunks beyond one a worker a host should hold, so that no worker waits for us."""
    seconds = estimate.seconds
    if seconds is None:
        return 0
    if estimate.brief:
        return slots * (1 + math.ceil(2 * round_trip / CHUNK_SECONDS))
    if seconds > LONG_SECONDS:
        return 0
    # One a worker, so that outcomes may wait for one another on their way here; and what the
    # workers get through while we hear of it and answer.
    return slots + math.ceil(slots * 2 * round_trip / max(seconds, BRIEF_SECONDS))
