"""The outcomes of one job: taken by the reader thread, read by the user's threads.

A byte a task says what came of it (``PENDING`` while nothing did); outcomes stay in the segments in
which they came. ``segments`` has them as they came, ``_starts`` finds the one that begins at an
index, which is all that reading in order needs. A job of an iterator *forgets*: what iteration
handed over is dropped from the front, so that ten million tasks need no more than what is on its
way. After ``retry`` a task's earlier outcome is void and the next one counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.jobs.reading import Refer
from scattergather.client.jobs.segment import VOID, Segment
from scattergather.client.pipe.waiting import Bell
from scattergather.client.seen.cells import CellRun
from scattergather.client.seen.echo import Printed
from scattergather.errors import ScatterGatherError
from scattergather.model.failure import Failure
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import JobView

PENDING = 255
_TRIM = 1 << 16

Error = Callable[[], ScatterGatherError]
"""Makes an error anew each time that it is raised, so that tracebacks do not pile up in one."""


class Gathering:
    """What came of a job so far.

    Args:
        label: how the job is called in messages: ``job 3``.
        inputs: its packed tasks; None for a job that forgets.
        on: the hosts that it is bound to, none if it may run anywhere.
    """

    def __init__(self, label: str, inputs: KeptInputs | None, on: tuple[str, ...] = ()) -> None:
        self.label = label
        self.on = on
        self.inputs = inputs
        self.printed = Printed()
        self.bell = Bell()
        self.total: int | None = None
        self.added = 0
        self.settled = 0
        self.failed = 0
        self.cancelled = 0
        self.handed = 0
        """How many outcomes iteration handed over, counted when their segment is through."""
        self.unread_bytes = 0
        self.iterating = False
        """True while results are taken one by one: an iterator is read a window beyond them."""
        self.stopped = False
        """True once the job is being cancelled: an iterator is read no further."""
        self.read = False
        """True once somebody has its results, all of them or the first of them."""
        self.spoke = False
        """True once a task has printed something that is shown."""
        self.refer: Refer | None = None
        """Makes what stands for a result, of a job whose results stay where they are."""
        self.run: CellRun | None = None
        """The run of a notebook's cell that added the job."""
        self.interrupted = False
        """True once somebody was interrupted who waited for all of it."""
        self.input_error: BaseException | None = None
        self.told = False
        """True once somebody has asked what failed, or heard of it."""
        self.lost: Error | None = None
        self.segments: dict[int, Segment] = {}
        self._next = 0
        self._starts: dict[int, Segment] = {}
        self._patches: dict[int, Segment] = {}
        self._kinds = bytearray()
        self._base = 0
        self._trimmed = 0
        self._lock = threading.Lock()
        self._reading = threading.RLock()

    # ---- what was asked -------------------------------------------------------------------------

    @property
    def keeps(self) -> bool:
        """False for a job that forgets what iteration handed over."""
        return self.inputs is not None

    @property
    def finished(self) -> bool:
        """Nothing more will come."""
        return self.lost is not None or self.complete

    @property
    def complete(self) -> bool:
        """Every task has its outcome."""
        return self.total is not None and self.settled >= self.total

    def expect(self, count: int) -> None:
        """``count`` tasks more were added. The adding thread."""
        with self._lock:
            self._kinds.extend(bytes((PENDING,)) * count)
            self.added += count

    def close(self, error: BaseException | None = None) -> None:
        """No tasks more will be added. The adding thread."""
        self.input_error = error
        self.total = self.added
        self.bell.ring()

    def stop(self) -> None:
        """No more tasks are read from an iterator, after the one being read now."""
        self.stopped = True
        self.bell.ring()

    def want_whole(self) -> None:
        """All results are wanted together: an iterator is read as fast as they return."""
        self.iterating = False
        self.bell.ring()

    def lose(self, error: Error) -> None:
        """Nothing more will come; ``error`` says why. Any thread."""
        self.abandon(error)
        self.bell.ring()

    def abandon(self, error: Error) -> None:
        """In a copy made by fork, nothing more will come; ``error`` says why.

        Nobody is woken: those who wait are threads of the original.
        """
        if not self.finished:
            self.lost = error

    # ---- what comes: reader thread --------------------------------------------------------------

    def deliver(self, segment: Segment) -> int:
        """Take outcomes, but of tasks that have theirs already; returns how many were new."""
        count = len(segment)
        with self._lock:
            at = segment.first - self._base
            known = self._kinds[at : at + count] if at >= 0 else b""
            if known.count(PENDING) == count:
                self._place(segment)
                new = count
            else:
                new = self._deliver_new(segment)
        if new:
            self.bell.ring()
        return new

    def _place(self, segment: Segment) -> None:
        kinds, first = segment.kinds, segment.first
        at = first - self._base
        self._kinds[at : at + len(kinds)] = kinds
        segment.number = self._next
        self.segments[self._next] = segment
        self._next += 1
        if first in self._starts or self._patches or VOID in kinds:
            for index in range(first, first + len(kinds)):
                self._patches[index] = segment
        else:
            self._starts[first] = segment
        self.unread_bytes += segment.size
        if self.inputs is not None:
            self.inputs.settle(first, kinds)
        self.settled += len(kinds)
        cancelled = kinds.count(Kind.CANCELLED)
        self.cancelled += cancelled
        self.failed += len(kinds) - cancelled - kinds.count(Kind.RETURNED)

    def _deliver_new(self, segment: Segment) -> int:
        new = 0
        for place in range(len(segment)):
            index = segment.first + place
            at = index - self._base
            if 0 <= at < len(self._kinds) and self._kinds[at] == PENDING:
                self._place(segment.cut(place, place + 1, index))
                new += 1
        return new

    # ---- what is read: any thread ---------------------------------------------------------------

    def load(self, segment: Segment) -> list[Any]:
        """The values of a segment, unpickled once."""
        if segment.values is None:
            with self._reading:
                size = segment.size
                before = segment.kinds
                segment.read(lambda index: self.describe(index, segment), self.label)
                if segment.kinds != before:
                    with self._lock:
                        self.failed += before.count(Kind.RETURNED) - segment.kinds.count(
                            Kind.RETURNED
                        )
                        at = segment.first - self._base
                        self._kinds[at : at + len(segment)] = segment.kinds
                self.unread_bytes -= size
        return segment.values or []

    def load_new(self, known: int) -> int:
        """Read every segment from number ``known`` on; returns the number of the next."""
        while known < self._next:
            segment = self.segments.get(known)
            if segment is not None:
                self.load(segment)
            known += 1
        return known

    def arrived(self, known: int) -> bool:
        """True when a segment from number ``known`` on is there, or nothing more will come."""
        return self._next > known or self.finished

    def next_from(self, number: int) -> Segment | None:
        """The first segment from number ``number`` on that is there and was not dropped."""
        while number < self._next:
            segment = self.segments.get(number)
            if segment is not None:
                return segment
            number += 1
        return None

    @property
    def title(self) -> str:
        """What it is called, with how far it is: ``job 3 (5/60)``."""
        total = self.added if self.total is None else self.total
        return f"{self.label} ({self.settled}/{total})"

    def counted(self) -> str:
        """How far it is, in words."""
        total = "?" if self.total is None else self.total
        return f"{self.settled} of {total} tasks are done"

    def view(self, running: int, rate: float) -> JobView:
        """The counts; the controller knows how many run, but perhaps not yet what came of them."""
        outstanding = 0 if self.finished else self.added - self.settled
        running = min(running, outstanding)
        error = None if self.complete or self.lost is None else self.lost()
        return JobView(
            name=self.label,
            total=self.total,
            queued=outstanding - running,
            running=running,
            done=self.settled - self.failed - self.cancelled,
            failed=self.failed,
            cancelled=self.cancelled,
            rate=0.0 if self.finished else rate,
            lost="" if error is None else error.gist,
            on=self.on,
        )

    def find(self, index: int) -> Segment | None:
        """The segment with the outcome of a task, None while there is none."""
        if self._patches and (found := self._patches.get(index)) is not None:
            return found if _holds(found, index) else None
        found = self._starts.get(index)
        if found is not None:
            return found if _holds(found, index) else None
        at = index - self._base
        if 0 <= at < len(self._kinds) and self._kinds[at] != PENDING:
            for segment in list(self.segments.values()):
                if _holds(segment, index):
                    return segment
        return None

    def hand_over(self, segment: Segment) -> None:
        """Iteration is through with a segment; a job that forgets drops it."""
        with self._lock:
            self.handed += len(segment)
            if not self.keeps:
                self.segments.pop(segment.number, None)
                self._starts.pop(segment.first, None)
                if self.handed - self._trimmed > _TRIM:
                    self._trimmed = self.handed
                    self._trim()
        self.bell.ring()

    def _trim(self) -> None:
        """Drop the front of the table of kinds, as far as everything there was handed over."""
        oldest = min((segment.first for segment in self.segments.values()), default=self.added)
        pending = self._kinds.find(PENDING)
        settled = len(self._kinds) if pending < 0 else pending
        front = min(oldest - self._base, settled)
        del self._kinds[:front]
        self._base += front

    def collect(self) -> list[Any]:
        """All results in task order, error objects in the failed places."""
        total = self.added if self.total is None else self.total
        values: list[Any] = [None] * total
        covered = 0
        for segment in list(self.segments.values()):
            own = self.load(segment)
            if VOID not in segment.kinds:
                values[segment.first : segment.first + len(own)] = own
                covered += len(own)
                continue
            for place, kind in enumerate(segment.kinds):
                if kind != VOID:
                    values[segment.first + place] = own[place]
                    covered += 1
        if covered < total and self.lost is not None:
            error = self.lost()
            for index in range(total):
                if self._kinds[index - self._base] == PENDING:
                    values[index] = error
                    error = self.lost().brief()  # what follows says no more
        return values

    def failures(self) -> list[Failure]:
        """Tasks that did not return, in task order."""
        found = []
        for segment in list(self.segments.values()):
            if segment.values is not None and segment.kinds.count(Kind.RETURNED) == len(segment):
                continue
            own = self.load(segment)
            for place, kind in enumerate(segment.kinds):
                if kind not in (Kind.RETURNED, VOID):
                    found.append(
                        Failure(
                            index=segment.first + place,
                            error=own[place],
                            host=segment.host,
                            worker=segment.worker,
                            attempt=segment.attempt,
                        )
                    )
        return sorted(found, key=lambda failure: failure.index)

    def unreturned(self) -> list[int]:
        """The tasks that have an outcome and did not return. Of a job that keeps."""
        with self._reading:
            self.load_new(0)
            with self._lock:
                return [
                    index
                    for index, kind in enumerate(self._kinds)
                    if kind not in (Kind.RETURNED, PENDING)
                ]

    def reopen(self, indexes: Iterable[int]) -> None:
        """These unreturned tasks count as outstanding again.

        Called again it completes what an interrupt left half done.
        """
        again = frozenset(indexes)
        with self._reading, self._lock:
            for segment in self.segments.values():
                for index, kind in enumerate(segment.kinds, segment.first):
                    if index in again and kind not in (Kind.RETURNED, VOID):
                        segment.without(index)
            for index in again:
                if self._kinds[index] not in (Kind.RETURNED, PENDING):
                    self._kinds[index] = PENDING
                    if self.inputs is not None:
                        self.inputs.unsettle(index)
            kinds = self._kinds
            self.settled = len(kinds) - kinds.count(PENDING)
            self.cancelled = kinds.count(Kind.CANCELLED)
            self.failed = self.settled - self.cancelled - kinds.count(Kind.RETURNED)
            self._patches.update(
                (index, segment)
                for segment in self.segments.values()
                if VOID in segment.kinds
                for index in range(segment.first, segment.first + len(segment))
            )

    def describe(self, index: int, segment: Segment | None = None) -> str:
        """A task in words, for the note of its error."""
        text = f"task {index} of {self.label}"
        if segment is not None and segment.host:
            text += f" on {segment.host}"
            text += f", worker {segment.worker}" if segment.worker else ""
            text += f", attempt {segment.attempt}" if segment.attempt > 1 else ""
        return text


def _holds(segment: Segment, index: int) -> bool:
    place = index - segment.first
    return 0 <= place < len(segment.kinds) and segment.kinds[place] != VOID
