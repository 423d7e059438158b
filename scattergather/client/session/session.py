"""One controller as this process knows it: who waits for what, and what is known of its hosts.

States, each with what a new request gets::

    open --shutdown()--> draining --nothing outstanding--> dying --> ended
     |                                                       ^
     +--die, exit, garbage, the controller's death-----------+

In ``open`` requests are served; later each gets the error that says why not. Results that arrived
stay readable in all states. What is said "reader thread" runs there and must not block.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

import scattergather
from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.pipe import Pipe
from scattergather.client.pipe.process import Log, describe_end
from scattergather.client.pipe.waiting import Bell
from scattergather.client.seen.echo import Echo
from scattergather.client.session.interrupting import Wait
from scattergather.client.values.freezing import Shipper
from scattergather.client.values.large import LargeValues, Part
from scattergather.errors import (
    Closed,
    ControllerLost,
    RequestError,
    ScatterGatherError,
    VersionMismatch,
)
from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import Go, HostView, JobView, Snapshot
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostSpec, HostState, JobState

GO_SECONDS = 5.0
DIE_SECONDS = 5.0
NO_MORE = "cannot schedule new futures after shutdown"
CURE = "start another with spawnScatterGather()"

Refusal = Callable[[], ScatterGatherError]


class Receiver(Protocol):
    """Takes what comes for one job. Reader thread."""

    @property
    def busy(self) -> bool:
        """Something is outstanding."""

    @property
    def done(self) -> bool:
        """Nothing more will come, and the controller may forget the job."""

    def outcomes(
        self, message: messages.TaskOutcomes, body: bytes, large: tuple[Part, ...]
    ) -> None:
        """Final outcomes came; parts of them lie in the objects ``large``."""

    def dropped(self, first: int, count: int) -> None:
        """These tasks were cancelled."""

    def placed(self, first: int, count: int) -> None:
        """These tasks went to a pool."""

    def printed(self, message: messages.TaskOutput, body: bytes) -> None:
        """A task printed something."""

    def stop(self) -> None:
        """The job is being cancelled: no more tasks."""

    def lose(self, error: Refusal) -> None:
        """Nothing more will come, because of this."""

    def abandon(self, error: Refusal) -> None:
        """The same in a copy of this process made by fork: takes no lock and calls nobody back."""

    def view(self, state: JobState | None) -> JobView | None:
        """How far it is, as far as is known here; None when there is nothing to tell.

        ``state`` is what the controller said of it last. Any thread.
        """


class Question:
    """A numbered call; whoever made it waits for the answer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.bell = Bell()
        self.answer: messages.Answer | None = None
        self.outcomes: list[tuple[messages.EverywhereOutcome, bytes, tuple[Part, ...]]] = []


class Session:
    """See the module. Any thread, but for what is said to be the reader's.

    Args:
        hosts: what was asked for.
        pipe: builds the pipe to a controller: ``pipe(outbox, listener)``.
        log: the controller's log.
        memory: bytes that large arguments may take at a time; 0 keeps them in messages.
    """

    def __init__(
        self,
        hosts: Sequence[HostSpec],
        pipe: Callable[[Outbox, Session], Pipe],
        log: Log,
        memory: int,
    ) -> None:
        self.hosts = tuple(hosts)
        self.log = log
        self.outbox = Outbox()
        self.large = LargeValues(self.outbox, memory)
        self.shipper = Shipper(self.outbox, self.large)
        self.echo = Echo()
        self.bell = Bell()
        self.receivers: dict[JobId, Receiver] = {}
        self.waits: dict[int, Wait] = {}
        """What threads of the user's wait for, by thread."""
        self.go: Go | None = None
        self.status: messages.Status | None = None
        self.sources: list[str] = []
        self.returned_tasks = 0
        self.failed_tasks = 0
        self.ended = False
        self.draining = False
        self.copied = False
        """True in a copy of this process made by fork."""
        self._refusal: Refusal | None = None
        self._dying = False
        self._lost = False
        self._unasked = False
        self._running = False
        self._start_error: Exception | None = None
        self._calls: dict[int, Question] = {}
        self._numbers = iter(range(1, 1 << 62))
        self._begun = time.monotonic()
        self._process = os.getpid()
        self.pipe = pipe(self.outbox, self)

    # ---- begin and end --------------------------------------------------------------------------

    def open(self, first: messages.Spawn) -> None:
        """The controller runs; its first message is queued.

        Raises:
            OSError: it could not be started.
        """
        try:
            self.outbox.send(first)
            self.pipe.open()
            self.bell.wait(lambda: self._running or self.ended)
        except BaseException:
            # The reader may be starting the process right now: it sees the end of the pipe.
            self.pipe.hang_up()
            raise
        if self._start_error is not None:
            raise self._start_error

    def check(self) -> None:
        """Raises what a new request gets, unless it is served.

        Raises:
            Closed: shut down, told to die, or a copy made by fork.
            ControllerLost: the controller died.
        """
        if self._refusal is not None:
            raise self._refusal()

    def check_executor(self) -> None:
        """Like :meth:`check`, in the words of ``concurrent.futures`` after ``shutdown``."""
        if self._refusal is not None:
            if self.draining and not self._lost:
                raise Closed(NO_MORE)
            raise self._refusal()

    def abandon(self) -> None:
        """In a copy of this process made by fork: everything is refused, nothing is ended."""
        self._refusal = _closed(
            "this client was copied by fork and works only in the process that made it "
            f"(pid {self._process}); start another here with spawnScatterGather()"
        )
        self.ended = self.copied = self._unasked = True
        for receiver in list(self.receivers.values()):
            receiver.abandon(self._refusal)
        # What waits there is shown by the original, one of whose threads may hold its lock.
        self.echo = Echo()
        self.pipe.abandon()

    def drain(self, why: str) -> None:
        """No new requests; the controller ends when nothing is outstanding."""
        if self._refusal is None:
            self._refusal = _closed(why)
        self.draining = True
        self.end_if_idle()

    def end_if_idle(self) -> None:
        """If draining and nothing is outstanding, the controller is told to end."""
        if self.draining and not self._dying and not self.busy:
            self._dying = True
            self.outbox.send(messages.Command(call=0, word="die"))
            self.bell.ring()

    def die(self, why: str) -> None:
        """The controller is gone when this returns; what was outstanding gets ``Closed``."""
        if self._refusal is None:
            self._refusal = _closed(why)
        self._dying = True
        self.outbox.send(messages.Command(call=0, word="die"))
        self._wait_ended()

    def wait_through(self) -> None:
        """Block until a draining controller has ended."""
        self.bell.wait(lambda: self.ended or self._dying)
        self._wait_ended()

    def _wait_ended(self) -> None:
        """Block until a dying controller is gone; if it takes too long it is killed."""
        if not self.bell.wait(lambda: self.ended, DIE_SECONDS):
            self.pipe.hang_up()
            self.bell.wait(lambda: self.ended, DIE_SECONDS)

    def exit(self) -> None:
        """The interpreter ends: so does the controller."""
        if self.ended:
            return
        self.echo.flush()
        self._refusal = self._refusal or _closed("the interpreter is exiting")
        self._dying = True
        self.pipe.hang_up()
        if self.pipe.reader.is_alive():
            self.pipe.reader.join(1.0)

    def cancel_all(self) -> None:
        """Everything outstanding is cancelled, running tasks too."""
        for job, receiver in list(self.receivers.items()):
            if receiver.busy:
                receiver.stop()
                self.outbox.send(messages.CancelJob(job=job))

    @property
    def closed(self) -> bool:
        """The controller is gone, or going."""
        return self.ended or self._dying

    @property
    def busy(self) -> bool:
        """Something is outstanding."""
        return any(receiver.busy for receiver in list(self.receivers.values()))

    # ---- requests -------------------------------------------------------------------------------

    def new_job(self) -> JobId:
        """An id for a job."""
        return secrets.token_bytes(16)

    def call(
        self,
        make: Callable[[int], messages.CancelTasks | messages.Command | messages.RunEverywhere],
        *body: bytes,
        timeout: float | None = None,
    ) -> Question:
        """Send a numbered call and wait for its answer.

        Raises:
            RequestError: the controller refused; the sentence is its own.
            ControllerLost, Closed: it ended meanwhile.
            TimeoutError: no answer in ``timeout`` seconds.
        """
        self._alive()
        call = Question(next(self._numbers))
        self._calls[call.number] = call
        try:
            self.outbox.send(make(call.number), *body)
            if not call.bell.wait(lambda: call.answer is not None or self.ended, timeout):
                raise TimeoutError(f"the controller did not answer in {timeout} s")
        finally:
            self._calls.pop(call.number, None)
        if call.answer is None:
            self._alive()
        elif call.answer.error:
            raise RequestError(call.answer.error)
        return call

    def _alive(self) -> None:
        if self.ended and self._refusal is not None:
            raise self._refusal()

    def wait_go(self, timeout: float | None) -> Go | None:
        """The go value: from the controller, or after five seconds what is known by then.

        None when ``timeout`` is over first.
        """
        left = self._begun + GO_SECONDS + 1.0 - time.monotonic()
        late = timeout is None or timeout >= left
        self.bell.wait(lambda: self.go or self.ended, left if late else timeout)
        if self.go is None and self.ended:
            self._alive()
        if self.go is None and late:
            hosts = self.snapshot().hosts
            self.go = Go(hosts=hosts, workers=sum(host.workers for host in hosts))
        return self.go

    # ---- the pipe: reader thread ----------------------------------------------------------------

    def started(self, process: subprocess.Popen[bytes] | None, error: Exception | None) -> None:
        """See ``pipe.Listener``."""
        self._start_error = error
        self._running = error is None
        self.bell.ring()

    def received(self, head: bytes, body: bytes) -> None:
        """See ``pipe.Listener``."""
        message = messages.read_to_client(head)
        match message:
            case messages.TaskOutcomes():
                returned = message.kinds.count(Kind.RETURNED)
                self.returned_tasks += returned
                self.failed_tasks += len(message.kinds) - returned
                large = self.large.hold(message.objects) if message.objects else ()
                self._to(message.job, lambda job: job.outcomes(message, body, large))
            case messages.TasksPlaced():
                self._to(message.job, lambda job: job.placed(message.first, message.count))
            case messages.TasksCancelled():
                self._to(message.job, lambda job: job.dropped(message.first, message.count))
            case messages.TaskOutput():
                self._to(message.job, lambda job: job.printed(message, body))
            case messages.Status():
                self.status = message
            case messages.GoReady():
                hosts = tuple(_view(host, host.busy + host.queued) for host in message.hosts)
                up = sum(host.workers for host in hosts if host.state == "up")
                self.go = Go(hosts=hosts, workers=up)
                self.bell.ring()
            case messages.EverywhereOutcome():
                parts = self.large.hold(message.objects)
                if (call := self._calls.get(message.call)) is not None:
                    call.outcomes.append((message, body, parts))
            case messages.Answer():
                if (call := self._calls.get(message.call)) is not None:
                    call.answer = message
                    call.bell.ring()
            case messages.Notice():
                self.echo.notice(message.text)
            case messages.Freed():
                self.large.freed(message.objects)
            case messages.Slab():
                self.large.adopt(message.slab, message.size, self.pipe.descriptors.take())
            case messages.SlabGone():
                self.large.abandon(message.slab)
            case messages.Refused():
                self._refusal = _mismatch(message)
                self._dying = self._unasked = True
            case _:
                assert_never(message)

    def _to(self, job: JobId, tell: Callable[[Receiver], None]) -> None:
        receiver = self.receivers.get(job)
        if receiver is None:
            return
        tell(receiver)
        if receiver.done:
            self.forget(job)
        elif self.draining and not receiver.busy:
            self.end_if_idle()

    def settle(self, job: JobId) -> None:
        """Forget a job if nothing more will come of it. Any thread."""
        receiver = self.receivers.get(job)
        if receiver is not None and receiver.done:
            self.forget(job)

    def forget(self, job: JobId) -> None:
        """Nothing more of a job is needed. Any thread."""
        if self.receivers.pop(job, None) is not None and not self.ended:
            self.outbox.send(messages.ForgetJob(job=job))
        self.end_if_idle()

    def rest(self) -> None:
        """See ``pipe.Listener``."""
        self.large.rest()

    @property
    def waiting(self) -> bool:
        """See ``pipe.Listener``."""
        return self.go is None or bool(self._calls) or self.busy

    def stopped(self, pid: int, again: bool) -> None:
        """See ``pipe.Listener``."""
        waits = list(self.waits.values())
        due = [wait for wait in waits if wait.due()]
        if again and not due:
            return
        for wait in waits:
            wait.told = True
        self.echo.notice(_stopped(pid))

    def gone(self, status: int | None) -> None:
        """See ``pipe.Listener``: whatever is outstanding hears it."""
        if self._refusal is None or not self._dying:
            self._lost = self._unasked = True
            self._refusal = self._loss(status)
        self.ended = True
        for receiver in list(self.receivers.values()):
            receiver.lose(self._refusal)
        self.receivers.clear()
        for call in list(self._calls.values()):
            call.bell.ring()
        self.large.close()
        self.echo.close()
        self.log.close()
        self.bell.ring()

    def _loss(self, status: int | None) -> Refusal:
        lines = self.log.tail()
        why = f"the controller died ({describe_end(status)})"
        if (failure := self.pipe.failure) is not None:
            what = f"{type(failure).__name__}: {failure}"
            why = f"the connection to the controller failed in this process ({what})"
        message = f"{why}; what had arrived stays readable; {CURE}"
        if lines:
            message += "\nThe last lines of its log:\n" + "\n".join("    " + each for each in lines)
        elif self.log.path:
            message += f"\nIts log: {self.log.path}"
        return lambda: ControllerLost(message, status=status, log=lines)

    # ---- what is known --------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many workers there are, as far as is known; at least 1."""
        hosts = self.status.hosts if self.status is not None else ()
        known = sum(host.workers for host in hosts if host.state == "up")
        return known or (self.go.workers if self.go is not None else 0) or 1

    def services(self) -> set[str] | None:
        """The services of all hosts that are up; None before every host has answered."""
        if self.go is None:
            return None
        hosts = [*self.go.hosts, *self.snapshot().hosts]
        return {name for host in hosts if host.state == "up" for name in host.services}

    def is_stopped(self) -> bool:
        """A signal has stopped the controller."""
        return not self.ended and self.pipe.is_stopped()

    def standstill(self) -> str:
        """Why nothing goes on, with the cure; empty when all that is known is well."""
        process = self.pipe.process
        if process is not None and self.is_stopped():
            return _stopped(process.pid)
        snapshot = self.snapshot()
        return "" if snapshot.workers else f"No worker is there: {snapshot.absent()}"

    @property
    def fate(self) -> str:
        """Why it ended, if the user did not end it; else empty."""
        return self._refusal().gist if self._unasked and self._refusal is not None else ""

    def snapshot(self) -> Snapshot:
        """What the controller pushed last, and of jobs what has come here since."""
        status = self.status
        states = {} if status is None else {state.job: state for state in status.jobs}
        views = [each.view(states.get(job)) for job, each in list(self.receivers.items())]
        jobs = tuple(view for view in views if view is not None)
        if status is None:
            hosts = self.go.hosts if self.go is not None else tuple(map(_expected, self.hosts))
            return Snapshot(hosts=hosts, jobs=jobs)
        outstanding = sum(view.running + view.queued for view in jobs)
        return Snapshot(
            hosts=tuple(_view(host, outstanding) for host in status.hosts),
            jobs=jobs,
            controller_pid=status.controller_pid,
            uptime=status.uptime,
            rerun=status.rerun,
            held=status.held,
        )

    def state_of(self, job: JobId) -> JobState | None:
        """What the controller last said of a job."""
        for state in self.status.jobs if self.status is not None else ():
            if state.job == job:
                return state
        return None


def _stopped(pid: int) -> str:
    return (
        f"the controller (process {pid}) was stopped by a signal and does nothing. "
        f"Let it go on with: kill -CONT {pid}"
    )


def _view(host: HostState, outstanding: int) -> HostView:
    """``outstanding`` tasks are known to be; no more can keep its workers busy."""
    return HostView(
        name=host.name,
        state=host.state,
        workers=host.workers,
        busy=min(host.busy, outstanding),
        queued=min(host.queued, outstanding),
        done=host.done,
        python=host.python,
        version=host.version,
        services=host.services,
        why=host.why,
        round_trip=host.round_trip,
        memory=host.memory,
    )


def _expected(host: HostSpec) -> HostView:
    return HostView(name=host.name, state="connecting", workers=host.workers)


def _mismatch(theirs: messages.Refused) -> Refusal:
    return lambda: VersionMismatch(
        f"this process has loaded scattergather {scattergather.__version__} (protocol "
        f"{messages.PROTOCOL}), but what is installed now is {theirs.version} (protocol "
        f"{theirs.protocol}), which its controller runs. Restart the kernel, or this process"
    )


def _closed(message: str) -> Refusal:
    return lambda: Closed(message)
