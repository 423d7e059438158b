"""``Job``: what ``addJob`` returns, and all that can be done with a job."""

from __future__ import annotations

import operator
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

from scattergather.client import naming
from scattergather.client.calling import names_its_arguments
from scattergather.client.homebound import Homebound, Named
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.iterating import Results, Walk, check_whole, input_failed, too_late
from scattergather.client.jobs.rounds import Rounds
from scattergather.client.options import check_errors, check_progress, check_timeout
from scattergather.client.seen import showing
from scattergather.client.seen.here import current_display, show_moving
from scattergather.client.seen.progress import Progress, shorter
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.session import Session
from scattergather.client.unread import Unread
from scattergather.errors import BadRequest, JobFailed, without_our_frames
from scattergather.model.failure import Failure
from scattergather.model.quoting import quoted
from scattergather.model.snapshot import JobView, plural

T = TypeVar("T")


class Job(Named, Homebound, Generic[T]):
    """A scatter set on its way. Any thread.

    Iterating it gives its results in task order, each as soon as possible; ``await job`` and
    ``async for`` do the same in a notebook's cell. While somebody holds it, its controller goes on.

    Args:
        rounds: its tasks on their way.
        unread: where it waits to be read.
        holder: kept alive as long as the job: when it is garbage, the controller ends.
    """

    def __init__(self, session: Session, rounds: Rounds, unread: Unread, holder: object) -> None:
        self.name = rounds.gathering.label
        self._session = session
        self._gathering = rounds.gathering
        self._rounds = rounds
        self._unread = unread
        self._holder = holder

    def __del__(self) -> None:
        # Iterated and dropped half way: nobody can ask for the rest, which waits to be asked for.
        gathering: Gathering | None = getattr(self, "_gathering", None)
        if gathering is None or gathering.keeps or not gathering.read or gathering.finished:
            return  # also when making it was interrupted
        self.cancel()

    def __scattergather_refuse__(self) -> str:
        return "A job stays with its client; pass its results"

    # ---- results --------------------------------------------------------------------------------

    @names_its_arguments
    def results(
        self, *, errors: str = "raise", progress: bool | None = None, timeout: float | None = None
    ) -> list[T]:
        """All results, in task order, when the job is through.

        Args:
            errors: ``"raise"``, or ``"return"`` for a list with the errors in the failed places.
            progress: show a bar meanwhile; None shows one after two seconds, in a notebook or a
                terminal.
            timeout: seconds; then ``TimeoutError``, and the job goes on.

        Raises:
            JobFailed: tasks failed or were cancelled; it holds all results.
            InputFailed: the iterator of the tasks raised; it holds the results so far. With
                ``"return"`` they are returned, and one line says so.
            ControllerLost, Closed: the controller ended before the job did.
        """
        raises, timeout = check_errors(errors), check_timeout(timeout)
        progress = check_progress(progress)
        check_whole(self._gathering)
        wait(self._session, self._gathering, timeout, progress, "job.results()")
        self._session.echo.flush()
        return self._finish(raises)

    def _finish(self, raises: bool) -> list[T]:
        try:
            values = finish(self._gathering, raises)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._unread.read(self._gathering)
            raise
        self._unread.read(self._gathering)
        return values

    def __iter__(self) -> Iterator[T]:
        return self._iterate(self._walk(ordered=True))

    @names_its_arguments
    def as_completed(self, *, errors: str = "raise") -> Completed[T]:
        """Pairs ``(index, result)`` as they come, for ``for`` and for ``async for``.

        Args:
            errors: ``"raise"`` raises a failed task's error, ``"return"`` hands it over.
        """
        return Completed(self, check_errors(errors))

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._wait_async().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._iterate_async(self._walk(ordered=True), raises=True, numbered=False)

    async def _wait_async(self) -> list[T]:
        import asyncio  # noqa: PLC0415  (slow)

        from scattergather.client.jobs.asynchronous import until  # noqa: PLC0415  (slow)

        gathering = self._gathering
        check_whole(gathering)
        gathering.want_whole()
        bar = Progress(lambda: gathering.view(0, 0.0), None)
        try:
            await until(gathering.bell, lambda: gathering.finished, bar)
        except asyncio.CancelledError as error:
            gathering.interrupted = True
            said = f"waiting for {gathering.title}"
            raise self._session.waits.cancelled(error, said, _then("await job")) from None
        finally:
            bar.close()
        self._session.echo.flush()
        return self._finish(True)

    def _iterate(self, walk: Walk, *, raises: bool = True, numbered: bool = False) -> Results:
        return Results(
            self._session,
            walk,
            self,
            then=self._goes_on(),
            raises=raises,
            numbered=numbered,
        )

    def _goes_on(self) -> str:
        then = "job.results() has all of it"
        if not self._gathering.keeps:
            then = "next() of the same iterator goes on with it"
        return f"It goes on; {then}, job.cancel() stops it."

    def _iterate_async(self, walk: Walk, *, raises: bool, numbered: bool) -> AsyncIterator[Any]:
        from scattergather.client.jobs.asynchronous import AsyncResults  # noqa: PLC0415  (slow)

        session, then = self._session, self._goes_on()
        return AsyncResults(session, walk, self, then=then, raises=raises, numbered=numbered)

    def _walk(self, ordered: bool) -> Walk:
        gathering, unread = self._gathering, self._unread
        check_whole(gathering)
        return Walk(gathering, lambda: unread.read(gathering), ordered)

    # ---- how it stands --------------------------------------------------------------------------

    def done(self) -> bool:
        """True when nothing more will come."""
        return self._gathering.finished

    def __len__(self) -> int:
        """How many tasks there are, of an iterator's so far."""
        return self._gathering.added

    @property
    def progress(self) -> JobView:
        """Counts, from what is known here."""
        return self._rounds.view()

    @property
    def failures(self) -> list[Failure]:
        """The tasks that failed or were cancelled so far, in task order."""
        self._gathering.told = True
        return self._gathering.failures()

    @names_its_arguments
    def output(self, index: int) -> str:
        """What task ``index`` printed: the last 64 kB of it."""
        number, added = _place(index), self._gathering.added
        if not 0 <= number < max(added, 1):
            last = f", numbered from 0 to {added - 1}" if added else ""
            raise without_our_frames(
                IndexError(f"{self.name} has {plural(added, 'task')}{last}: none is {number}")
            )
        return self._gathering.printed.get(number)

    # ---- what can be done -----------------------------------------------------------------------

    @names_its_arguments
    def cancel(self) -> None:
        """What runs is ended within three seconds, what waits is dropped, what is done stays."""
        self._rounds.cancel()

    @names_its_arguments
    def retry(self, function: naming.Function | None = None) -> Job[T]:
        """The failed and cancelled tasks run again; this job is returned, for a chain.

        Their results fall into their places in it.

        Args:
            function: to run instead, mended; None runs the same.

        Raises:
            BadRequest: the job was fed from an iterator, whose tasks are not kept.
            Closed, ControllerLost: there is no controller.
        """
        self._rounds.retry(function, self._unread)
        return self

    # ---- how it looks ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        return showing.job_text(self.progress)

    def _repr_html_(self) -> str:
        return showing.job_html(self.progress)

    def _ipython_display_(self) -> None:
        # In a notebook it moves. Elsewhere this is not for us, and the reprs are taken.
        self._rounds.displayed.append(show_moving(self._rounds.look))


def _place(index: Any) -> int:
    """The number of a task, whichever kind of integer it is.

    Raises:
        BadRequest: it is none.
    """
    try:
        return operator.index(index)
    except TypeError:
        raise BadRequest(f"the number of a task must be an integer, not {quoted(index)}") from None


class Completed(Generic[T]):
    """What ``as_completed`` returns: iterable, and async iterable."""

    def __init__(self, job: Job[T], raises: bool) -> None:
        self._job = job
        self._raises = raises

    def __repr__(self) -> str:
        return f"<as completed: {self._job.progress.line()}>"

    def __len__(self) -> int:
        return len(self._job)

    def __iter__(self) -> Iterator[tuple[int, T]]:
        walk = self._job._walk(ordered=False)
        return self._job._iterate(walk, raises=self._raises, numbered=True)

    def __aiter__(self) -> AsyncIterator[tuple[int, T]]:
        walk = self._job._walk(ordered=False)
        return self._job._iterate_async(walk, raises=self._raises, numbered=True)


def wait(
    session: Session,
    gathering: Gathering,
    timeout: float | None,
    progress: bool | None,
    again: str,
) -> None:
    """Block until a job is through; its outcomes are unpickled as they come.

    If it stands still, errors say why. ``again`` is what would wait once more.

    Raises:
        TimeoutError: it is not, after ``timeout`` seconds.
        KeyboardInterrupt: the user's, with a sentence on how to go on.
    """
    gathering.want_whole()
    bar = Progress(lambda: session.known.placed(gathering.view(0, 0.0)), progress)
    try:
        with Wait(session, lambda: f"waiting for {gathering.title}", _then(again)):
            if not _through(gathering, timeout, bar):
                raise too_late(session, f"{gathering.label} is not through yet", gathering)
    except KeyboardInterrupt:
        gathering.interrupted = True
        raise
    finally:
        bar.close()


def _then(again: str) -> str:
    return f"It goes on; {again} waits again, job.cancel() stops it."


def _through(gathering: Gathering, timeout: float | None, bar: Progress) -> bool:
    """False when ``timeout`` is over first."""
    until = None if timeout is None else time.monotonic() + timeout
    known = 0
    while not gathering.finished:
        bar.step()
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            return False
        ready: Callable[[], bool] = lambda: gathering.arrived(known)  # noqa: E731, B023
        gathering.bell.wait(ready, shorter(left, bar.seconds()))
        # While the rest is computed elsewhere; at the end little is left to do.
        known = gathering.load_new(known)
    return True


def finish(gathering: Gathering, raises: bool) -> list[Any]:
    """The results of a job that is through.

    Raises:
        JobFailed, InputFailed, ControllerLost, Closed: as ``Job.results``.
    """
    values = gathering.collect()
    if not raises:
        if gathering.input_error is not None and not gathering.told:
            # What was never added has no place in the list, in which its error could stand.
            gathering.told = True
            current_display().notice(f"{input_failed(gathering, [])}. The list ends there")
        return values
    if gathering.lost is not None and not gathering.complete:
        error = gathering.lost()
        error.results = values  # type: ignore[attr-defined]
        raise error
    if gathering.input_error is not None:
        gathering.told = True
        raise input_failed(gathering, values) from gathering.input_error
    if gathering.failed or gathering.cancelled:
        failures = gathering.failures()
        cancelled = sum(isinstance(failure.error, CancelledError) for failure in failures)
        what = "were cancelled" if cancelled == len(failures) else "failed"
        more = f", {cancelled} of them cancelled" if 0 < cancelled < len(failures) else ""
        raise JobFailed(
            f"{len(failures)} of {len(values)} tasks of {gathering.label} {what}{more}",
            results=values,
            failures=failures,
        ) from None
    return values
