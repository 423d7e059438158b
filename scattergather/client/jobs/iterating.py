"""Results one by one: in task order, or as they come.

An iterator keeps its place in a segment and moves on only when a result was handed over, so an
interrupted ``next`` loses nothing. It raises a failed task's error in its place and can go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.segment import VOID, Segment
from scattergather.client.seen.progress import Progress, shorter
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.session import Session
from scattergather.errors import (
    BadRequest,
    InputFailed,
    RequestError,
    in_protocol,
    without_our_frames,
)


class Walk:
    """Where an iteration stands.

    ``seek`` stands on the next outcome, without waiting. Handing over is left to the caller, who
    does it without a call between taking the value and returning it: an interrupt is looked for at
    calls, so it finds the value either here or with the user.

    Args:
        begin: called before the first result is handed over.
        ordered: by task index; else as they came.
    """

    def __init__(self, gathering: Gathering, begin: Callable[[], object], ordered: bool) -> None:
        self.gathering = gathering
        self.segment: Segment | None = None
        self.values: list[Any] = []
        self.place = 0
        self.index = 0
        self._begin: Callable[[], object] | None = begin
        self._ordered = ordered
        self._number = 0

    def begin(self) -> None:
        """The job counts as read, and its results as windowed."""
        begin, self._begin = self._begin, None
        if begin is not None:
            self.gathering.iterating = True
            begin()

    def ready(self) -> bool:
        """``seek`` would stand on something, or nothing more will come."""
        gathering = self.gathering
        if self._ordered:
            return gathering.find(self.index) is not None or gathering.finished
        return gathering.arrived(self._number)

    def seek(self) -> bool:
        """Stand on the next outcome: ``values[place]``, whose task is ``index``.

        False while it is not there, or at the end.
        """
        while True:
            segment = self.segment
            if segment is not None:
                if self.place < len(segment.kinds):
                    if segment.kinds[self.place] != VOID:
                        self.index = segment.first + self.place
                        return True
                    if not self._ordered:  # retried: its new outcome comes later
                        self.place += 1
                        continue
                self.segment = None
                self.gathering.hand_over(segment)
            segment = self._find()
            if segment is None:
                return False
            self.values = self.gathering.load(segment)
            self.place = self.index - segment.first if self._ordered else 0
            self._number = segment.number + 1
            self.segment = segment

    def bar(self, last: Progress | None) -> Progress:
        """The bar of a wait that begins; it may be that of the iteration's last one."""
        if last is None:
            return Progress(lambda: self.gathering.view(0, 0.0), None)
        last.start()
        return last

    def end_error(self) -> BaseException | None:
        """What to raise at the end, beside StopIteration."""
        gathering = self.gathering
        if gathering.lost is not None and not gathering.complete:
            return gathering.lost()
        if gathering.input_error is not None:
            return input_failed(gathering, [])
        return None

    def _find(self) -> Segment | None:
        if self._ordered:
            return self.gathering.find(self.index)
        return self.gathering.next_from(self._number)


class Iteration:
    """What hands over the results of a walk one by one, whoever waits for them and how.

    Args:
        then: what whoever interrupts it is told, of what goes on.
        holder: kept alive until the end: the job, and with it the client.
        raises: a failed task's error is raised; else it is handed over.
        numbered: pairs of index and result are handed over.
        timeout: seconds from now until the last result.
    """

    def __init__(
        self,
        session: Session,
        walk: Walk,
        holder: object,
        *,
        then: str,
        raises: bool = True,
        numbered: bool = False,
        timeout: float | None = None,
    ) -> None:
        self._session = session
        self._walk = walk
        self._holder = holder
        self._then = then
        self._raises = raises
        self._numbered = numbered
        self._until = None if timeout is None else time.monotonic() + timeout
        self._over = False
        self._bar: Progress | None = None

    def __repr__(self) -> str:
        return f"<results of {self._walk.gathering.title}>"

    def stop(self) -> None:
        """Nothing more comes out."""
        self._over = True
        self._holder = None

    def end(self) -> BaseException | None:
        """Nothing more will come; returns why, if it is not that all results were handed over."""
        self._over = True
        if self._bar is not None:
            self._bar.close()
        error = self._walk.end_error()
        self._holder = None
        return error


class Results(Iteration, Iterator[Any]):
    """What ``for r in job`` runs on."""

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        walk = self._walk
        if self._over:
            raise StopIteration
        if not walk.seek():
            walk.begin()
            self._wait()
            if not walk.seek():
                raise self.end() or StopIteration
        if walk.gathering.spoke:
            self._session.echo.flush_before_results()
        walk.begin()
        return take(walk, self._raises, self._numbered)

    def _wait(self) -> None:
        session, walk, gathering = self._session, self._walk, self._walk.gathering
        self._bar = bar = walk.bar(self._bar)
        try:
            with Wait(
                session, lambda: f"waiting for the next result of {gathering.title}", self._then
            ):
                while not gathering.bell.wait(walk.ready, shorter(self._left(), bar.seconds())):
                    left = self._left()
                    if left is not None and left <= 0:
                        what = f"{gathering.label} is not through in time"
                        raise too_late(session, what, gathering)
                    bar.step()
        finally:
            bar.rest()

    def _left(self) -> float | None:
        return None if self._until is None else self._until - time.monotonic()


def take(walk: Walk, raises: bool, numbered: bool) -> Any:
    """Hand over what ``walk`` stands on: raise or return it. No calls between step and return."""
    value, place, index = walk.values[walk.place], walk.place, walk.index
    failed = walk.segment is not None and walk.segment.kinds[place] != 0
    if failed and raises:
        value = in_protocol(without_our_frames(value))
    if not walk.gathering.keeps:
        walk.values[place] = None
    walk.place = place + 1
    walk.index = index + 1
    if failed and raises:
        raise value
    if numbered:
        return index, value
    return value


def too_late(session: Session, what: str, gathering: Gathering) -> TimeoutError:
    """The error of a wait that was given a time, which says why nothing goes on if it does not."""
    why = session.known.standstill()
    text = f"{what}: {gathering.counted()}" + (why and f"\n{why}")
    return without_our_frames(TimeoutError(text))


def input_failed(gathering: Gathering, results: list[Any]) -> InputFailed:
    """The error of a job whose iterator raised, with that as its cause."""
    cause = gathering.input_error
    # What was wrong with a task is a sentence of ours already.
    ours = isinstance(cause, RequestError)
    why = str(cause) if ours else f"their iterator raised {type(cause).__name__}: {cause}"
    failed = InputFailed(
        f"the tasks of {gathering.label} ended after {gathering.added}: {why}", results=results
    )
    failed.__cause__ = cause
    return failed


def check_whole(gathering: Gathering) -> None:
    """All results can be had: iteration has taken none that a job of an iterator does not keep.

    Raises:
        BadRequest: they are gone.
    """
    if gathering.handed and not gathering.keeps:
        raise BadRequest(
            f"{gathering.label} was iterated, and a job of an iterator keeps nothing that it "
            "handed over; give addJob a list, or collect while you iterate"
        )
