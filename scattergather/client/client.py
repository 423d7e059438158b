"""``ScatterGather``: what the user holds. Its methods are short; the work is done elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future
from html import escape
from types import TracebackType
from typing import Any, TypeVar, get_args

from scattergather.client import naming
from scattergather.client.everywhere import call_everywhere
from scattergather.client.executor import Mapped, OptionsView, check_map
from scattergather.client.futures.future import TaskFuture
from scattergather.client.futures.streams import CallStreams
from scattergather.client.jobs import adding
from scattergather.client.jobs.feeding import Feeder
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.jobs.iterating import Results, Walk
from scattergather.client.jobs.job import Job, finish, wait
from scattergather.client.jobs.plain import are_plain
from scattergather.client.jobs.round import Round
from scattergather.client.jobs.tasks import check_all, iterated
from scattergather.client.options import JobOptions, check_errors, check_timeout
from scattergather.client.seen import showing
from scattergather.client.seen.cell import current_cell
from scattergather.client.seen.echo import JobEcho, Printed
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.life import CURE
from scattergather.client.session.receiver import new_job
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen, freeze_types, title_of
from scattergather.client.values.ref import Ref, put
from scattergather.errors import (
    BadRequest,
    NothingToWaitFor,
    UnknownName,
    without_our_frames,
)
from scattergather.model.snapshot import Go, Refreshed, plural
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import CommandWord, HostsAnswered

COMMANDS = get_args(CommandWord)
_PLAIN = JobOptions()

T = TypeVar("T")


class ScatterGather(Executor):
    """A controller and its workers, from here. Any thread; made by ``spawnScatterGather``.

    It is also a ``concurrent.futures.Executor``. When nobody holds it, nor a job or an outstanding
    future of it, its work is cancelled and its controller ends.
    """

    def __init__(self, session: Session, function: naming.Function | None = None) -> None:
        self._session = session
        self._function = function
        self._streams = CallStreams(session)
        self._unread: list[Gathering] = []
        self._numbers = itertools.count(1)
        self._go_read = False
        session.pipe.serve(self)

    def __scattergather_refuse__(self) -> str:
        return "A client cannot travel; pass what the task needs as an argument"

    # ---- data -----------------------------------------------------------------------------------

    def put(self, value: T) -> Ref[T]:
        """Lay a value where tasks can take it: at most one copy a host, however many take it.

        It stays as it is now; its classes are the notebook's when a task takes it. Pass the ``Ref``
        that this returns as an argument of tasks, at any depth: the function gets the value itself,
        which it may change without harm to others.

        Raises:
            CannotPickle: it cannot travel; the message leads to the culprit.
            TooLarge: there is no room for it; ``spawnScatterGather(memory=...)``.
            Closed, ControllerLost: there is no controller.
        """
        with Wait(self._session, lambda: "putting a value", "Nothing was put."):
            return put(self._session, value)

    # ---- jobs -----------------------------------------------------------------------------------

    def addJob(
        self,
        tasks: Iterable[Any],
        function: naming.Function | None = None,
        *,
        name: str | None = None,
        priority: int = 0,
        retries: int = 3,
        retry_on: tuple[type[BaseException], ...] = (),
        time_limit: float | None = None,
        memory_limit: int | None = None,
        echo: bool = True,
    ) -> Job[Any]:
        """Queue a scatter set: one call of ``function`` for each ``(args, kwargs)``.

        A list is packed before this returns; an iterator is consumed on a thread, as fast as
        results return.

        Args:
            tasks: pairs ``(args, kwargs)``.
            function: a callable, or the name of a service or of a pushed function; None takes
                that of ``spawnScatterGather``, else the service of the urls, else the only one.
            name: how the job is called.
            priority: higher first.
            retries: how often a task may run again after a loss, or an exception in ``retry_on``.
            retry_on: exception types that are retried.
            time_limit: seconds for each attempt of a task.
            memory_limit: bytes for each attempt of a task.
            echo: show what the tasks print.

        Raises:
            BadRequest, UnknownName, CannotPickle: it cannot be done; nothing was started.
            Closed, ControllerLost: there is no controller.
        """
        options = JobOptions(
            name=name,
            priority=priority,
            retries=retries,
            retry_on=retry_on,
            time_limit=time_limit,
            memory_limit=memory_limit,
            echo=echo,
        )
        job = self._add(tasks, function, options, keeps=isinstance(tasks, Sized))
        self._go_read = True
        self._unread.append(job._gathering)
        return job

    def _add(
        self,
        tasks: Iterable[Any],
        function: naming.Function | None,
        options: JobOptions,
        *,
        keeps: bool,
        window: int | None = None,
    ) -> Job[Any]:
        session = self._session
        session.life.check()
        sized = isinstance(tasks, Sized) and window is None
        with Wait(session, lambda: "adding a job", "Nothing of it was added."):
            iterator = iterated(tasks)
            plain = isinstance(tasks, (list, tuple)) and are_plain(tasks)
            if isinstance(tasks, (list, tuple)) and not plain:
                check_all(tasks)
            shipment = session.shipper.shipment()
            frozen = naming.resolve(session, function, self._function, shipment)
        label = options.name or f"job {next(self._numbers)}"
        gathering = Gathering(label, KeptInputs(shipment.code) if keeps else None)
        gathering.iterating = window is not None
        channel = JobEcho(label, current_cell()) if options.echo else None
        printed = Printed()
        round_ = Round(new_job(), gathering, printed, session.echo, channel)
        retry_on = freeze_types(options.retry_on, shipment)
        with Wait(session, lambda: _adding(gathering), "It was taken back; add it again."):
            try:
                adding.begin(session, round_, label, frozen, options, shipment, retry_on)
                if sized:
                    adding.send_list(session, round_, gathering, tasks, shipment, plain)
            except BaseException:
                adding.take_back(session, round_)
                raise
        job: Job[Any] = Job(
            self,
            gathering,
            name=label,
            function=frozen,
            options=options,
            retry_on=retry_on,
            printed=printed,
            channel=channel,
        )
        job._rounds.append(round_)
        if not sized:
            Feeder(session, round_, gathering, iterator, shipment, window).start()
        return job

    def poll(self) -> bool:
        """Would ``waitForResult`` return at once? Never blocks."""
        unread = self._unread
        if unread:
            return unread[0].finished
        return not self._go_read and (
            self._session.known.go is not None or self._session.life.ended
        )

    def waitForResult(
        self, timeout: float | None = None, *, errors: str = "raise", progress: bool = False
    ) -> Any:
        """Block for the oldest job that was not read yet: its results, in task order.

        Right after spawning, while no job was added, it returns the go value once: who is ready.

        Args:
            timeout: seconds; then ``TimeoutError``, and the job stays.
            errors: ``"raise"``, or ``"return"`` for a list with the errors in the failed places.
            progress: show a bar meanwhile.

        Raises:
            NothingToWaitFor: no job is outstanding.
            JobFailed, InputFailed: as ``Job.results``.
            ControllerLost, Closed: the controller ended before the job did.
        """
        raises, timeout = check_errors(errors), check_timeout(timeout)
        while True:
            try:
                gathering = self._unread[0]
            except IndexError:
                return self._wait_go(timeout)
            wait(self._session, gathering, timeout, progress, "c.waitForResult()")
            self._session.echo.flush()
            try:
                values = finish(gathering, raises)
            except KeyboardInterrupt:
                raise
            except BaseException:
                if self._was_read(gathering):
                    raise
            else:
                if self._was_read(gathering):
                    return values
            # Another thread has waited for the same job and was first.

    def _wait_go(self, timeout: float | None) -> Go:
        if self._go_read:
            self._session.life.check()
            left = self._session.receivers.left()
            why = "no job is outstanding; addJob(tasks) adds one"
            raise NothingToWaitFor("\n".join(left) or why)
        then = "They go on joining; c.waitForResult() waits again."
        with Wait(self._session, lambda: "waiting for the hosts", then):
            go = self._session.known.wait_go(timeout)
        if go is None:
            why = self._session.known.standstill()
            raise without_our_frames(TimeoutError(f"the hosts have not answered yet\n{why}"))
        self._go_read = True
        return go

    def _was_read(self, gathering: Gathering) -> bool:
        """It leaves the queue; of threads that say so at once one hears that it was there."""
        gathering.read = True
        try:
            self._unread.remove(gathering)
        except ValueError:
            return False
        return True

    def _unread_again(self, gathering: Gathering) -> None:
        """``retry`` made new results of it."""
        gathering.read = False
        if gathering not in self._unread:
            self._unread.append(gathering)

    # ---- commands -------------------------------------------------------------------------------

    def command(self, word: CommandWord) -> Any:
        """The controller did as told.

        ``refresh`` replaces every worker of this session, ``die`` ends the controller and its own
        workers, ``status`` says what is going on.

        Raises:
            UnknownName: there is no such command.
            Closed, ControllerLost: there is no controller; but ``die`` is content with that.
        """
        if word not in COMMANDS:
            raise UnknownName(f"unknown command {word!r}; there are: {', '.join(COMMANDS)}")
        session = self._session
        if word == "die":
            return self._die()
        session.life.check()
        then = "The refresh goes on." if word == "refresh" else ""
        with Wait(session, lambda: f"waiting for the answer to command({word!r})", then):
            answer = session.questions.ask(
                lambda call: messages.Command(call=call, word=word)
            ).answer
        if word == "status":
            return session.known.snapshot()
        value = answer.value if answer is not None else None
        if not isinstance(value, HostsAnswered):
            return None
        snapshot = session.known.snapshot()
        up = [host for host in snapshot.hosts if host.state == "up"]
        problems = [*value.problems, snapshot.absent()]
        return Refreshed(
            workers=value.workers,
            hosts=max(len(up), int(value.workers > 0)),
            interrupted=value.interrupted,
            seconds=value.seconds,
            problems=tuple(problem for problem in problems if problem),
        )

    def _die(self) -> str:
        session = self._session
        session.life.refuse_copy()
        if session.life.ended:
            return "the controller had ended already."
        workers = session.known.snapshot().workers
        with Wait(session, lambda: "waiting for the controller to end", "It was told to."):
            session.life.die(f"this client was closed by command('die'); {CURE}")
        return f"controller stopped; {plural(workers, 'worker')} released."

    def push_code(self, source: str) -> int:
        """Source is run in every present and future worker's ``__main__``; returns its version.

        Jobs added from now on see it; those added before keep the code that they were added with.
        It runs when a worker first needs it; if it raises, so do all tasks from then on, until
        ``push_code("")`` withdraws all that was pushed.

        Raises:
            SyntaxError: it does not compile; nothing was sent.
        """
        if not isinstance(source, str):
            raise BadRequest(f"push_code takes source text, not {type(source).__name__}")
        compile(source, "<pushed code>", "exec")
        session = self._session
        session.life.check()
        return session.pushed.push(source)

    def run_everywhere(
        self, function: naming.Function, /, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Call ``function`` once on every worker; results keyed ``host/process id``.

        Raises:
            JobFailed: it raised somewhere; the message names where.
            CannotPickle, Closed, ControllerLost: as for ``addJob``.
        """
        return call_everywhere(self._session, function, args, kwargs)

    # ---- concurrent.futures.Executor ------------------------------------------------------------

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue one call; see ``concurrent.futures.Executor.submit``."""
        return self._submit(fn, args, kwargs, _PLAIN)

    def _submit(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: JobOptions
    ) -> TaskFuture:
        self._session.life.check_executor()
        if not callable(fn) and not isinstance(fn, str):
            raise BadRequest(f"submit takes a callable or the name of a service, not {fn!r}")
        return self._streams.submit(fn, args, kwargs, options, self, self._named)

    def _named(self, name: str) -> Frozen:
        return naming.resolve(self._session, name, None, self._session.shipper.shipment())

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Results of ``fn`` over the zipped iterables, in order.

        Args:
            fn: a callable, or the name of a service.
            *iterables: where its arguments come from.
            timeout: seconds from now; a result that is not there by then raises ``TimeoutError``.
            chunksize: checked; chunks adapt by themselves.
            buffersize: how many calls may be ahead of what was read; None reads all input first.
        """
        return self._map(fn, iterables, timeout, chunksize, buffersize, _PLAIN)

    def _map(
        self,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int | None,
        buffersize: int | None,
        options: JobOptions,
    ) -> Iterator[Any]:
        timeout = check_map(iterables, timeout, chunksize, buffersize)
        session = self._session
        session.life.check_executor()
        tasks: Iterable[Any] = ((args, {}) for args in zip(*iterables, strict=False))
        if buffersize is None:
            tasks = list(tasks)
        if options.name is None:
            options = options.changed(name=f"map({title_of(fn)})")
        job = self._add(tasks, fn, options, keeps=False, window=buffersize)
        gathering, round_ = job._gathering, job._rounds[0]

        def drop() -> None:
            gathering.stop()
            if not round_.done and not session.life.ended:
                session.outbox.send(
                    messages.CancelTasks(call=0, job=round_.job, first=0, count=gathering.added)
                )

        walk = Walk(gathering, lambda: None, ordered=True)
        then = (
            "Its calls go on; next() of the same iterator goes on with them, "
            "its close() drops those that wait."
        )
        return Mapped(Results(session, walk, self, then=then, timeout=timeout), drop)

    def options(self, **options: Any) -> OptionsView:
        """An executor with these options of ``addJob``.

        Raises:
            UnknownName: there is no such option.
        """
        return OptionsView(self, _PLAIN.changed(**options))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing new is taken; the controller ends when what is outstanding is through.

        Args:
            wait: return when it ended.
            cancel_futures: cancel the calls that no pool has yet.
        """
        session = self._session
        if session.life.ended:
            return
        for stream in self._streams.all():
            stream.mend()
        session.life.drain(f"this client was shut down; {CURE}")
        if cancel_futures:
            for stream in self._streams.all():
                stream.cancel_all()
            session.life.end_if_idle()
        if wait:
            then = (
                "Nothing new is taken; the controller ends when what is outstanding is through, "
                "c.command('die') ends it now."
            )
            with Wait(session, lambda: "waiting for what is outstanding", then):
                session.life.wait_through()
            session.echo.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._session.cancel_all()
        self.shutdown(wait=True, cancel_futures=kind is not None)

    # ---- how it looks ---------------------------------------------------------------------------

    def _end(self) -> str:
        fate = self._session.life.fate
        return "closed" + (fate and f", {fate}")

    def _counts(self) -> tuple[int, int, float]:
        session = self._session
        rate = sum(job.rate for job in session.known.snapshot().jobs)
        return session.inbox.returned, session.inbox.failed, rate

    def __repr__(self) -> str:
        if self._session.life.closed:
            return f"<ScatterGather: {self._end()}>"
        return showing.client_text(self._session.known.snapshot(), *self._counts())

    def _repr_html_(self) -> str:
        if self._session.life.closed:
            return f"<div><b>ScatterGather</b>: {escape(self._end())}</div>"
        return showing.client_html(self._session.known.snapshot(), *self._counts())


def _adding(gathering: Gathering) -> str:
    sent, done = plural(gathering.added, "task"), gathering.settled
    return f"adding {gathering.label}, of which {sent} had been sent and {done} were through"
