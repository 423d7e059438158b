"""``concurrent.futures.Executor``: ``submit`` and ``map``, for a client and for its views."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Executor, Future
from dataclasses import fields
from itertools import repeat
from typing import Any

from scattergather.client.calling import names_its_arguments
from scattergather.client.futures.future import TaskFuture
from scattergather.client.futures.streams import CallStreams
from scattergather.client.homebound import Homebound, Named
from scattergather.client.jobs.iterating import Results, Walk
from scattergather.client.jobs.rounds import Rounds
from scattergather.client.jobs.scatter import Scatter
from scattergather.client.options import JobOptions, check_timeout
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.life import NO_MORE, OPEN
from scattergather.client.values.freezing import title_of
from scattergather.errors import BadRequest, Closed, InputFailed, in_protocol, without_our_frames
from scattergather.model.quoting import quoted


class Submissions:
    """``submit`` and ``map`` of one client, with any options. Any thread."""

    def __init__(self, scatter: Scatter) -> None:
        self._scatter = scatter
        self._session = scatter.session
        self._life = scatter.session.life
        self.streams = CallStreams(scatter.session)

    def check_hosts(self, options: JobOptions) -> None:
        """The hosts that the options name are there, up or not.

        Raises:
            UnknownName: one is not.
        """
        self._session.known.check_hosts(options.on or ())

    def submit(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: JobOptions
    ) -> TaskFuture:
        """Queue one call.

        Raises:
            BadRequest, UnknownName, CannotPickle: it cannot be called.
            Closed, ControllerLost: there is no controller.
        """
        if self._life.state is not OPEN:
            self._life.check_executor()
        if not callable(fn) and not isinstance(fn, str):
            raise BadRequest(f"submit takes a callable or the name of a service, not {quoted(fn)}")
        return self.streams.submit(fn, args, kwargs, options, self._scatter)

    def map(
        self,
        fn: Any,
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int | None,
        buffersize: int | None,
        options: JobOptions,
    ) -> Mapped:
        """Queue the calls of ``fn`` with the zipped iterables; their results come in order.

        Raises:
            BadRequest, UnknownName, CannotPickle: it cannot be called.
            Closed, ControllerLost: there is no controller.
        """
        timeout = _check_map(iterables, timeout, chunksize, buffersize)
        session, scatter = self._session, self._scatter
        self._life.check_executor()
        if not callable(fn) and not isinstance(fn, str):
            raise BadRequest(f"map takes a callable or the name of a service, not {quoted(fn)}")
        if options.name is None:
            options = options.changed(name=f"map({title_of(fn)})")
        tasks: Iterable[Any] = ((args, {}) for args in zip(*iterables, strict=False))
        sized = buffersize is None or any(map(hasattr, iterables, repeat("__len__")))
        if buffersize is None:
            tasks = self._read_whole(tasks, f"{options.name}")
        then = (
            "Its calls go on; next() of the same iterator goes on with them, "
            "its close() drops those that wait."
        )

        def mapped(rounds: Rounds) -> Mapped:
            walk = Walk(rounds.gathering, lambda: None, ordered=True)
            results = Results(session, walk, scatter, then=then, timeout=timeout)
            return Mapped(results, rounds)

        return scatter.pass_through(tasks, fn, options, buffersize, sized, mapped)

    def _read_whole(self, tasks: Iterable[Any], name: str) -> list[Any]:
        """What the user's iterables bring, which may take a while, or raise."""
        with Wait(self._session, lambda: f"reading the input of {name}", "Nothing was started."):
            try:
                return list(tasks)
            except Exception as error:
                raise without_our_frames(error)  # noqa: B904  (the user's own, as it is)


class OptionsView(Named, Homebound, Executor):
    """An executor of a client, with options of its own. Shutting it down leaves the client.

    Args:
        client: kept alive, and named in the repr.

    Raises:
        UnknownName: the options name a host that is not there.
    """

    def __init__(self, client: object, submissions: Submissions, options: JobOptions) -> None:
        submissions.check_hosts(options)
        self._client = client
        self._submissions = submissions
        self._options = options
        self._outstanding: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._closed = False

    def __scattergather_refuse__(self) -> str:
        return "An executor stays with its client; in a task use scattergather.inside"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue one call with the options of this view; its future is returned."""
        self._check()
        future = self._submissions.submit(fn, args, kwargs, self._options)
        self._outstanding.add(future)
        return future

    @names_its_arguments
    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Results of ``fn`` over the zipped iterables, in order, with the options of this view."""
        self._check()
        mapped = self._submissions.map(fn, iterables, timeout, chunksize, buffersize, self._options)
        mapped.untouched = True  # an interrupt before this finds nobody who has it
        return mapped

    def options(self, **options: Any) -> OptionsView:
        """A further view, with these options changed."""
        return OptionsView(self._client, self._submissions, self._options.changed(**options))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No new calls through this view; the client and its other views go on."""
        self._closed = True
        outstanding = list(self._outstanding)
        if cancel_futures:
            for future in outstanding:
                future.cancel()
        if wait:
            futures.wait(outstanding)  # the argument ``wait`` hides the function

    def _check(self) -> None:
        if self._closed:
            raise Closed(NO_MORE)

    def __repr__(self) -> str:
        plain = JobOptions()
        changed = [
            f"{each.name}={value!r}"
            for each in fields(JobOptions)
            if (value := getattr(self._options, each.name)) != getattr(plain, each.name)
        ]
        return f"<executor of a ScatterGather, with options({', '.join(changed)})>"


def _check_map(
    iterables: tuple[Any, ...],
    timeout: float | None,
    chunksize: Any,
    buffersize: Any,
) -> float | None:
    """The arguments of ``map`` can be meant; returns the timeout.

    Raises:
        BadRequest: one of them cannot.
    """
    if chunksize is not None and (not isinstance(chunksize, int) or chunksize < 1):
        raise BadRequest("chunksize must be >= 1.")
    if buffersize is not None and (not isinstance(buffersize, int) or buffersize < 1):
        raise BadRequest("buffersize must be None or >= 1")
    for place, each in enumerate(iterables):
        if not isinstance(each, Iterable) and not hasattr(each, "__getitem__"):
            raise BadRequest(f"map: iterable {place} is {quoted(each)}, which is not iterable")
    return check_timeout(timeout)


class Mapped(Iterator[Any]):
    """What ``map`` returns. Closed early, or at an error, it drops the calls that still wait.

    Dropped by who never began to iterate it, it leaves them, as that of the standard library does:
    then the calls are what was wanted.
    """

    def __init__(self, results: Results, rounds: Rounds) -> None:
        self._results = results
        self._rounds: Rounds | None = rounds
        self._label = rounds.gathering.label
        self.untouched = False
        """True from its handing over until the first result is asked for."""

    def __repr__(self) -> str:
        rounds = self._rounds
        return f"<{self._label}: closed>" if rounds is None else f"<{rounds.view().line()}>"

    def __iter__(self) -> Mapped:
        return self

    def __next__(self) -> Any:
        self.untouched = False
        try:
            return next(self._results)
        except KeyboardInterrupt:
            raise
        except InputFailed as failed:
            # As the standard library does it: the iterable's own error.
            self.close()
            raise in_protocol(failed.__cause__ or failed) from None
        except BaseException:
            self.close()
            raise

    def __del__(self) -> None:
        # As the generator of the standard library does; takes no lock.
        if not getattr(self, "untouched", False):
            self.close()
        elif self._rounds is not None:
            self._rounds.gathering.stop()  # beyond its window nobody asks for anything

    def close(self) -> None:
        """The calls that no pool has yet are dropped; nothing more comes out."""
        rounds, self._rounds = getattr(self, "_rounds", None), None
        if rounds is not None:
            self._results.stop()
            rounds.drop_waiting()
