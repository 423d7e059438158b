"""The door through which scatter sets go out: a list or an iterator of tasks becomes a job.

Whoever adds tasks comes here: ``addJob``, ``map``, and whatever is built on jobs. First all is
prepared, and nothing is sent. Then it begins, and whatever ends that early takes it back, an
interrupt included: an ``addJob`` that raises has added nothing, and one that returns has entered
its job into the queue of ``waitForResult``, which is the last thing it does.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from scattergather.client import naming
from scattergather.client.jobs import adding
from scattergather.client.jobs.feeding import Feeder
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.jobs.job import Job
from scattergather.client.jobs.round import Round
from scattergather.client.jobs.rounds import Rounds
from scattergather.client.jobs.tasks import check_all, iterated
from scattergather.client.options import JobOptions
from scattergather.client.seen.cells import CellRun
from scattergather.client.seen.echo import JobEcho
from scattergather.client.seen.here import current_display, current_run, has_failed
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.receiver import new_job
from scattergather.client.session.session import Session
from scattergather.client.unread import Unread
from scattergather.client.values.freezing import freeze_types
from scattergather.client.values.plain import are_plain
from scattergather.client.values.ref import kept_results
from scattergather.model.snapshot import plural
from scattergather.wire.code.shipping import Shipment

T = TypeVar("T")

_doors: list[weakref.ref[Scatter]] = []
"""Those of all clients of this process, for the numbers of their jobs."""


def unread_jobs(session: Session) -> list[Gathering]:
    """The jobs of a session that nobody has read."""
    doors = [door for each in tuple(_doors) if (door := each()) is not None]
    return [job for door in doors if door.session is session for job in door.unread.all()]


class Scatter:
    """The door of one client. Any thread.

    The client holds it, and so do its executors, jobs, iterations and outstanding calls; no thread
    does. When nobody holds it any more, the controller ends.

    Args:
        function: what jobs run that name none.
    """

    def __init__(self, session: Session, function: naming.Function | None = None) -> None:
        self.session = session
        self.unread = Unread()
        self._function = function
        self._numbers = _numbers_of_this_process()
        # Functions of C, which neither another thread nor an interrupt can come between.
        _doors.append(weakref.ref(self, _doors.remove))
        session.pipe.serve(self)

    def add(
        self,
        tasks: Iterable[Any],
        function: naming.Function | None,
        options: JobOptions,
        *,
        supersede: bool,
    ) -> Job[Any]:
        """A job is under way, and waits to be read; it keeps the tasks of what has a length.

        Args:
            tasks: pairs of args and kwargs.
            function: what they run; None takes that of the client.
            options: of the job.
            supersede: cancel what earlier runs of the same cell have left unread, if they failed.

        Raises:
            BadRequest, UnknownName, CannotPickle: it cannot be done; nothing was started.
            Closed, ControllerLost: there is no controller.
        """
        sized = isinstance(tasks, Sized)
        start = self._prepare(tasks, function, options, keeps=sized, sized=sized)
        job: Job[Any] = Job(self.session, start.rounds, self.unread, self)
        start.rounds.gathering.run = run = current_run()
        if run is not None and not supersede:
            self.unread.adds(run)
        start.begin(self.unread, run)
        return job

    def pass_through(
        self,
        tasks: Iterable[Any],
        function: naming.Function | None,
        options: JobOptions,
        window: int | None,
        sized: bool,
        iterate: Callable[[Rounds], T],
    ) -> T:
        """Tasks are under way whose results nobody keeps: they are for one iteration.

        Args:
            tasks: pairs of args and kwargs.
            function: what they run; None takes that of the client.
            options: as of a job.
            window: how many tasks may be ahead of what was iterated; None packs them all now.
            sized: what they are made from has a length.
            iterate: makes the iteration, before anything is sent: if this is interrupted when all
                has begun, the iteration is garbage, and drops what waits.

        Raises:
            ScatterGatherError: as :meth:`add`; nothing was started.
        """
        start = self._prepare(tasks, function, options, keeps=False, sized=sized, window=window)
        iteration = iterate(start.rounds)
        start.begin()
        return iteration

    def _prepare(
        self,
        tasks: Iterable[Any],
        function: naming.Function | None,
        options: JobOptions,
        *,
        keeps: bool,
        sized: bool,
        window: int | None = None,
    ) -> _Start:
        session = self.session
        session.life.check()
        session.known.check_hosts(options.on or ())
        with Wait(session, lambda: "adding a job", "Nothing of it was added."):
            iterator = iterated(tasks)
            plain = isinstance(tasks, (list, tuple)) and are_plain(tasks)
            if isinstance(tasks, (list, tuple)) and not plain:
                check_all(tasks)
            shipment = session.shipper.shipment()
            frozen = naming.resolve(session, function, self._function, shipment)
            session.draws.look(many=not isinstance(tasks, Sized) or len(tasks) > 1)
            retry_on = freeze_types(options.retry_on, shipment)
        label = options.name or f"job {next(self._numbers)}"
        inputs = KeptInputs(shipment.code) if keeps else None
        gathering = Gathering(label, inputs, options.placement.on)
        if options.keep:
            gathering.refer = partial(kept_results, session)
        channel = None
        if options.echo:
            channel = JobEcho(label, current_display(), lambda: not gathering.finished)
        first = Round(new_job(), gathering, session.echo, channel, fed=not sized)
        feeder = None
        if not isinstance(tasks, Sized) or window is not None:
            feeder = Feeder(session, first, gathering, iterator, shipment, window)
        return _Start(
            session=session,
            rounds=Rounds(
                session, gathering, first, function=frozen, options=options, retry_on=retry_on
            ),
            tasks=tasks,
            plain=plain,
            feeder=feeder,
            shipment=shipment,
        )


def _numbers_of_this_process() -> Iterator[int]:
    """Clients that are open together number their jobs together: no two are called alike."""
    for each in tuple(_doors):
        door = each()
        if door is not None and not door.session.life.closed:
            return door._numbers
    return itertools.count(1)


@dataclass(slots=True, kw_only=True)
class _Start:
    """A scatter set of which nothing was sent yet.

    Attributes:
        plain: ``tasks`` are a list or tuple that ``are_plain`` approved.
        feeder: sends what cannot be packed now; None for what has a length.
    """

    session: Session
    rounds: Rounds
    tasks: Iterable[Any]
    plain: bool
    feeder: Feeder | None
    shipment: Shipment

    def begin(self, unread: Unread | None = None, run: CellRun | None = None) -> None:
        """The set is under way, and waits in ``unread``; if this raises, it never was.

        It supersedes what earlier runs of the same cell than ``run`` have left there.
        """
        session, first, gathering = self.session, self.rounds.first, self.rounds.gathering
        then = "It was taken back; add it again."
        try:
            with Wait(session, lambda: _adding(gathering), then):
                self.rounds.begin(self.shipment)
                if self.feeder is not None:
                    self.feeder.start()
                else:
                    adding.send_list(
                        session, first, gathering, self.tasks, self.shipment, self.plain
                    )
                if unread is not None:
                    if run is not None and (stale := unread.supersede(run, has_failed)):
                        current_display().notice(_superseded(stale))
                    unread.enter(gathering, self.rounds.cancel)
        except BaseException:
            # Around the Wait too: an interrupt may fall when all was done, and the Wait is left.
            if unread is not None:
                unread.withdraw(gathering)
            if self.feeder is None or self.feeder.call_off():
                adding.take_back(session, first)
            else:
                # It feeds already: it says how many tasks there were, and then they are through.
                self.rounds.cancel()
            raise


def _superseded(stale: Sequence[Gathering]) -> str:
    jobs = ", ".join(each.title for each in stale)
    were = "was" if len(stale) == 1 else "were"
    return (
        f"{jobs} of an earlier run of this cell {were} not read and {were} cancelled; "
        "addJob(..., supersede=False) keeps such jobs"
    )


def _adding(gathering: Gathering) -> str:
    sent, done = plural(gathering.added, "task"), gathering.settled
    return f"adding {gathering.label}, of which {sent} had been sent and {done} were through"
