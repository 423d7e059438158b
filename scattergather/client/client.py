"""``ScatterGather``: what the user holds. Its methods are short; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, get_args

from scattergather.client import naming, place
from scattergather.client.calling import names_its_arguments
from scattergather.client.everywhere import call_everywhere
from scattergather.client.executor import OptionsView, Submissions
from scattergather.client.files.asking import fetch_file, send_file
from scattergather.client.homebound import Homebound, Named
from scattergather.client.hosts import HostsInUse
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.job import Job, finish, wait
from scattergather.client.jobs.scatter import Scatter
from scattergather.client.options import (
    JobOptions,
    check_errors,
    check_flag,
    check_progress,
    check_timeout,
    read_hosts,
)
from scattergather.client.seen import showing
from scattergather.client.seen.here import current_display, current_name, show_moving
from scattergather.client.seen.progress import Progress, on_main_thread
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.life import CURE
from scattergather.client.session.session import Session
from scattergather.client.values.ref import Ref, put
from scattergather.errors import BadRequest, NothingToWaitFor, UnknownName, without_our_frames
from scattergather.model.nearest import there_are
from scattergather.model.quoting import quoted
from scattergather.model.snapshot import Go, Refreshed, counted, plural
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import CommandWord, HostsAnswered
from scattergather.wire.messages.shared import TaskPlace

COMMANDS = get_args(CommandWord)
SHOWN = 5
"""How many jobs are named that wait to be read."""

_PLAIN = JobOptions()

T = TypeVar("T")


class ScatterGather(Named, Homebound, Executor):
    """A controller and its workers, from here. Any thread; made by ``spawnScatterGather``.

    It is also a ``concurrent.futures.Executor``. When nobody holds it, nor a job or an outstanding
    future of it, its work is cancelled and its controller ends.
    """

    def __init__(self, session: Session, function: naming.Function | None = None) -> None:
        self._session = session
        self._scatter = Scatter(session, function)
        self._unread = self._scatter.unread
        self._submissions = Submissions(self._scatter)
        self._told = ""

    def __scattergather_refuse__(self) -> str:
        return "A client cannot travel; pass what the task needs as an argument"

    # ---- data -----------------------------------------------------------------------------------

    @names_its_arguments
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

    @names_its_arguments
    def send_file(
        self, path: Any, to: Any = None, on: Any = None, *, progress: bool | None = None
    ) -> str:
        """A file or folder of this machine lies on hosts, where tasks find it.

        It lies below the host's folder of files, which is ``inside.data`` in a task and outlives
        the session. It is checked by a checksum, appears there when all of it has come, and
        replaces what was there; of a folder that holds for each file. A link below a folder is
        refused, as is all that is no file. If a host is lost meanwhile, this waits for it and goes
        on where it was.

        Args:
            path: of the file or folder.
            to: what it is to be called there, if not as here; with a ``/`` at its end, in what
                folder it is to lie.
            on: the name of a host, or several; None is every host that is up by then.
            progress: show a bar meanwhile; None shows one after two seconds, in a notebook or a
                terminal.

        Returns:
            What it is called there.

        Raises:
            CannotTransfer: it cannot be read here, or written there; the message says why.
            UnknownName: there is no such host.
            CannotConnect: no host is up.
            Closed, ControllerLost: there is no controller.
        """
        return send_file(self._session, path, to, on, check_progress(progress))

    @names_its_arguments
    def fetch_file(
        self, name: Any, on: Any = None, to: Any = None, *, progress: bool | None = None
    ) -> Path:
        """A file or folder of a host's folder of files lies here; returns where.

        As by :meth:`send_file`, the other way round.

        Args:
            name: what it is called there; ``"."`` is all that lies there.
            on: the name of the host; None where there is only one.
            to: where it is to lie, or in what folder; None is the current directory.
            progress: show a bar meanwhile; None shows one after two seconds, in a notebook or a
                terminal.

        Raises:
            CannotTransfer: it cannot be read there, or written here; the message says why.
            BadRequest: several hosts are up, and ``on`` names none.
            UnknownName: there is no such host.
            Closed, ControllerLost: there is no controller.
        """
        return fetch_file(self._session, name, on, to, check_progress(progress))

    # ---- jobs -----------------------------------------------------------------------------------

    @names_its_arguments
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
        memory_limit: int | str | None = None,
        echo: bool = True,
        keep_children: bool = False,
        keep: bool = False,
        supersede: bool = True,
        on: str | Sequence[str] | None = None,
    ) -> Job[Any]:
        """Queue a scatter set: one call of ``function`` for each ``(args, kwargs)``.

        A list is packed before this returns; an iterator is consumed on a thread, as fast as
        results return.

        Args:
            tasks: pairs ``(args, kwargs)``.
            function: a callable, or the name of a service or of a pushed function; None takes
                that of ``spawnScatterGather``, else the only service that the urls or
                ``scattergather pool --service`` name.
            name: how the job is called.
            priority: higher first.
            retries: how often a task may run again after a loss, or an exception in ``retry_on``.
            retry_on: exception types that are retried.
            time_limit: seconds for each attempt of a task.
            memory_limit: bytes for each attempt of a task: a number, or text like ``"300M"``.
            echo: show what the tasks print.
            keep_children: processes that a task leaves (a pool, a server) stay for the next task in
                its worker, until a refresh, a cancel, or the worker's end. Else they are ended, and
                their worker is replaced.
            keep: the results are ``Ref`` objects. What is large stays on the host that made it,
                until nobody has the Ref any more: ``ref.get()`` brings it, and a task that takes
                the Ref gets it.
            supersede: in a notebook, when a cell is run again: what its earlier runs have added and
                nobody has read is cancelled, if a wait for it was interrupted or the run failed.
            on: the name of the host that the tasks run on, or several, as ``c.command("status")``
                shows them; None lets any run them. Where none of these is up, the tasks wait.

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
            keep_children=keep_children,
            on=on,
            keep=keep,
        )
        superseding = check_flag("supersede", supersede)
        return self._scatter.add(tasks, function, options, supersede=superseding)

    def poll(self) -> bool:
        """Would ``waitForResult`` return at once? Never blocks."""
        oldest = self._unread.oldest()
        if oldest is not None:
            return oldest.finished
        session = self._session
        return not self._unread.go_read and (session.known.go is not None or session.life.ended)

    @names_its_arguments
    def waitForResult(
        self, timeout: float | None = None, *, errors: str = "raise", progress: bool | None = None
    ) -> Any:
        """Block for the oldest job that was not read yet: its results, in task order.

        Right after spawning, while no job was added, it returns the go value once: who is ready.

        Args:
            timeout: seconds; then ``TimeoutError``, and the job stays.
            errors: ``"raise"``, or ``"return"`` for a list with the errors in the failed places.
            progress: show a bar meanwhile; None shows one after two seconds, in a notebook or a
                terminal.

        Raises:
            NothingToWaitFor: no job is outstanding.
            JobFailed, InputFailed: as ``Job.results``.
            ControllerLost, Closed: the controller ended before the job did.
        """
        raises, timeout = check_errors(errors), check_timeout(timeout)
        progress = check_progress(progress)
        while True:
            # Looked at first: a job that another thread adds meanwhile makes the go value void.
            go_read = self._unread.go_read
            gathering = self._unread.oldest()
            if gathering is None:
                go = self._wait_go(timeout, go_read)
                if self._unread.read_go():
                    return go
                continue  # another thread was first
            self._tell_which(gathering)
            wait(self._session, gathering, timeout, progress, "c.waitForResult()")
            self._session.echo.flush()
            try:
                values = finish(gathering, raises)
            except KeyboardInterrupt:
                raise
            except BaseException:
                if self._unread.read(gathering):
                    raise
            else:
                if self._unread.read(gathering):
                    return values
            # Another thread has waited for the same job and was first.

    def _tell_which(self, oldest: Gathering) -> None:
        """In a notebook, once a run of a cell: whose results come, where there are several."""
        run, waiting = current_name(), self._unread.all()
        if not run or run == self._told or len(waiting) < 2:
            return
        self._told = run
        rest = [job.label for job in waiting if job is not oldest]
        more = f", ... ({len(rest)} in all)" if len(rest) > SHOWN else ""
        current_display().notice(
            f"waitForResult() returns {oldest.label}, the oldest job that was not read; after it "
            f"come {', '.join(rest[:SHOWN])}{more}"
        )

    def _wait_go(self, timeout: float | None, go_read: bool) -> Go:
        if go_read:
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
        return go

    # ---- commands -------------------------------------------------------------------------------

    @names_its_arguments
    def command(self, word: CommandWord) -> Any:
        """The controller did as told.

        ``refresh`` replaces every worker of this session; those on this machine see the directory,
        ``sys.path`` and environment that this process has by now. ``die`` ends the controller and
        its own workers, ``status`` says what is going on.

        Raises:
            UnknownName: there is no such command.
            Closed, ControllerLost: there is no controller; but ``die`` is content with that.
        """
        asked: Any = word
        if not isinstance(asked, str) or asked not in COMMANDS:
            raise UnknownName(f"unknown command {quoted(word)}; {there_are(COMMANDS, word)}")
        session = self._session
        if word == "die":
            return self._die()
        session.life.check()
        then = "The refresh goes on." if word == "refresh" else ""
        seen = TaskPlace()
        if word == "refresh":
            seen = place.here()
            session.edited.renew()
        with Wait(session, lambda: f"waiting for the answer to command({word!r})", then):
            answer = session.questions.ask(
                lambda call: messages.Command(call=call, word=word, place=seen)
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

    @names_its_arguments
    def push_code(self, source: str) -> int:
        """Source is run in every present and future worker's ``__main__``; returns its version.

        Jobs added from now on see it; those added before keep the code that they were added with.
        It runs when a worker first needs it; if it raises, so do all tasks from then on, until
        ``push_code("")`` withdraws all that was pushed.

        Raises:
            SyntaxError: it does not compile; nothing was sent.
            BadRequest: it is no text, or text with a lone surrogate.
        """
        if not isinstance(source, str):
            raise BadRequest(f"push_code takes source text, not {type(source).__name__}")
        try:
            compile(source, "<pushed code>", "exec", dont_inherit=True)
        except UnicodeEncodeError as error:
            raise BadRequest(f"the source holds what no source can: {error}") from None
        session = self._session
        session.life.check()
        return session.pushed.push(source)

    def run_everywhere(
        self,
        function: naming.Function,
        /,
        *args: Any,
        on: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Call ``function`` once on every worker; results keyed ``host/process id``.

        Args:
            function: a callable, or the name of a service.
            *args: what it is called with.
            on: the host whose workers call it, or several; None takes all that are up. Those that
                are named are waited for.
            **kwargs: what it is called with by name.

        Raises:
            JobFailed: it raised somewhere; the message names where.
            BadRequest, UnknownName, CannotPickle, Closed, ControllerLost: as for ``addJob``.
        """
        return call_everywhere(self._session, function, args, kwargs, read_hosts(on) or ())

    @property
    def hosts(self) -> HostsInUse:
        """The hosts that work for this client, by name: ``c.hosts.add(url)``, ``drop(name)``."""
        return HostsInUse(self._session)

    # ---- concurrent.futures.Executor ------------------------------------------------------------

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue one call; its future is returned."""
        return self._submissions.submit(fn, args, kwargs, _PLAIN)

    @names_its_arguments
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
        mapped = self._submissions.map(fn, iterables, timeout, chunksize, buffersize, _PLAIN)
        mapped.untouched = True  # an interrupt before this finds nobody who has it
        return mapped

    def options(self, **options: Any) -> OptionsView:
        """An executor with these options of ``addJob``.

        Raises:
            UnknownName: there is no such option.
        """
        return OptionsView(self, self._submissions, _PLAIN.changed(**options))

    @names_its_arguments
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing new is taken; the controller ends when what is outstanding is through.

        Args:
            wait: return when it ended.
            cancel_futures: cancel the calls that no pool has yet.
        """
        session = self._session
        if session.life.ended:
            return
        for stream in self._submissions.streams.all():
            stream.mend()
        session.life.drain(f"this client was shut down; {CURE}")
        if cancel_futures:
            for stream in self._submissions.streams.all():
                stream.cancel_all()
            session.life.end_if_idle()
        if wait:
            then = (
                "Nothing new is taken; the controller ends when what is outstanding is through, "
                "c.command('die') ends it now."
            )
            bar = Progress(session.receivers.whole(), None if on_main_thread() else False)
            try:
                with Wait(session, lambda: "waiting for what is outstanding", then):
                    while not session.life.wait_closed(bar.seconds()):
                        bar.step()
                    session.life.wait_through()
            finally:
                bar.close()
            session.echo.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # ``sys.exit`` is a way to end, of which nobody is told more.
        failed = kind is not None and not issubclass(kind, SystemExit)
        if failed and kind is not None:
            left = self._session.receivers.outstanding()
            self._session.cancel_all()
            if left:
                current_display().notice(f"left by {kind.__name__}; cancelled {counted(left)}")
        self.shutdown(wait=True, cancel_futures=failed)

    # ---- how it looks ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        return _shown(self._session)["text/plain"]

    def _repr_html_(self) -> str:
        return _shown(self._session)["text/html"]

    def _ipython_display_(self) -> None:
        # In a notebook it moves. Not by a method of ours: what is displayed keeps no client.
        show_moving(partial(_look, self._session))


def _look(session: Session) -> tuple[bool, dict[str, str]]:
    return session.life.ended, _shown(session)


def _shown(session: Session) -> dict[str, str]:
    """A client as a terminal and a notebook show it."""
    if session.life.closed:
        fate = session.life.fate
        return showing.closed_bundle("closed" + (fate and f", {fate}"))
    snapshot, inbox = session.known.snapshot(), session.inbox
    rate = sum(job.rate for job in snapshot.jobs)
    return showing.client_bundle(snapshot, inbox.returned, inbox.failed, rate)
