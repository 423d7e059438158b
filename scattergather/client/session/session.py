"""One controller as this process knows it: the page where the parts of a session are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from scattergather.client.files.calls import FileCalls
from scattergather.client.files.receiving import Receiving
from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.pipe import Pipe
from scattergather.client.pipe.process import Log, describe_end
from scattergather.client.pipe.waiting import Bell
from scattergather.client.seen.echo import Echo
from scattergather.client.seen.here import anywhere, at_end_of_cells
from scattergather.client.seen.terminal import TERMINAL
from scattergather.client.session.inbox import ClientInbox
from scattergather.client.session.interrupting import Waits
from scattergather.client.session.known import Known, stopped
from scattergather.client.session.life import CURE, EXITING, Life
from scattergather.client.session.pushed import PushedCode
from scattergather.client.session.questions import Questions
from scattergather.client.session.receiver import Receivers, Refusal
from scattergather.client.values.edited import EditedModules
from scattergather.client.values.equal_draws import EqualDraws
from scattergather.client.values.freezing import Shipper
from scattergather.client.values.large import LargeValues
from scattergather.errors import Closed, ControllerLost
from scattergather.model.snapshot import JobView, counted
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostSpec

DROPPED = "nobody holds this client any more; cancelled "


class Session:
    """The parts of a session, and what the pipe tells them.

    Args:
        hosts: what was asked for.
        pipe: builds the pipe to a controller: ``pipe(outbox, listener)``.
        log: the controller's log.
        memory: bytes that large arguments may take at a time; 0 keeps them in messages.
        received: the folder for files that tasks send.
    """

    def __init__(
        self,
        hosts: Sequence[HostSpec],
        pipe: Callable[[Outbox, Session], Pipe],
        log: Log,
        memory: int,
        received: str = "received",
    ) -> None:
        bell = Bell()
        self._bell = bell
        self.log = log
        self.outbox = Outbox()
        self.pipe = pipe(self.outbox, self)
        self.receivers = Receivers()
        self.life = Life(self.outbox, self.pipe, self.receivers, bell)
        self.known = Known(hosts, self.life, self.pipe, self.receivers, bell)
        self.questions = Questions(self.outbox, self.life)
        self.waits = Waits(self.known)
        self.files = FileCalls(self.outbox, self.life)
        self.large = LargeValues(self.outbox, memory)
        self.echo = Echo(anywhere())
        at_end_of_cells(self.echo.flush)
        self.shipper = Shipper(self.outbox, self.large, self.echo.notice)
        self.pushed = PushedCode(self.outbox)
        self.draws = EqualDraws(self.echo.notice)
        self.edited = EditedModules(self.echo.notice)
        self.lost: list[JobView] = []
        """What was outstanding when the controller was gone."""
        self.inbox = ClientInbox(
            self.outbox,
            self.pipe.descriptors,
            self.receivers,
            self.questions,
            self.life,
            self.known,
            self.large,
            self.files,
            Receiving(self.files, received),
            self.echo,
            # No method of ours: a session that nobody holds is gone at once, without a search.
            partial(_look_around, self.draws, self.edited, self.known),
        )

    # ---- begin and end: any thread --------------------------------------------------------------

    def open(self, first: messages.Spawn) -> None:
        """The controller runs; its first message is queued.

        Raises:
            OSError: it could not be started.
        """
        self.outbox.send(first)
        self.pipe.open()

    def finish(self, more: Callable[[], bool]) -> list[JobView]:
        """The program has ended: what is outstanding goes on, but for jobs that iterators feed.

        Returns those, which were cancelled. ``more`` says whether callbacks of other sessions may
        add to this one.
        """
        self.life.finish(more)
        lost = self.receivers.finish(lambda: Closed(EXITING))
        for job in lost:
            self.outbox.send(messages.CancelJob(job=job))
            self.outbox.send(messages.ForgetJob(job=job))
        self.life.finish(more)  # that was what was outstanding, perhaps
        return list(lost.values())

    def exit(self) -> None:
        """The interpreter ends: so does the controller."""
        self.echo.flush()
        self.life.exit()

    def __del__(self) -> None:
        # Nobody holds the client: its controller ends, and what it had to do is not done.
        life = getattr(self, "life", None)  # an interrupt may have left it half made
        if life is None or life.closed:
            return
        if left := self.receivers.outstanding():
            TERMINAL.notice(DROPPED + counted(left))

    def abandon(self) -> None:
        """This process is a copy made by fork: everything is refused, nothing is ended."""
        self.receivers.abandon(self.life.copied())
        # What waits there is shown by the original, one of whose threads may hold its lock.
        self.echo = Echo()
        self.pipe.abandon()

    def cancel_all(self) -> None:
        """Everything outstanding is cancelled, running tasks too."""
        for job in self.receivers.cancel():
            self.outbox.send(messages.CancelJob(job=job))

    # ---- pipe.Listener: reader thread -----------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """True while something is to come: the hosts, an answer, an outcome."""
        return (
            self.known.go is None
            or bool(len(self.questions) or len(self.files))
            or self.receivers.busy
        )

    def received(self, head: bytes, body: bytes) -> None:
        """A frame has come."""
        self.inbox.sort(head, body)

    def rest(self) -> None:
        """Nothing has come for a moment: memory that has been free for a while is given back."""
        self.large.rest()

    def stopped(self, pid: int, again: bool) -> None:
        """A signal has stopped the controller: whoever waits for it is told."""
        if self.waits.due(first=not again):
            self.echo.notice(stopped(pid))

    def gone(self, status: int | None) -> None:
        """The controller is gone: whatever is outstanding hears it."""
        self.lost = left = self.receivers.outstanding()
        if left and self.pipe.unused and not self.life.closed:
            # Who drops a client while the reader holds us here leaves no word to `__del__`.
            self.echo.notice(DROPPED + counted(left))
        error = self.life.end(lambda: self._loss(status))
        self.receivers.lose(error)
        self.questions.lose()
        self.files.lose()
        self.large.close()
        self.echo.close()
        self.log.close()
        self._bell.ring()

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


def _look_around(draws: EqualDraws, edited: EditedModules, known: Known) -> None:
    """Something goes on: whatever the user had better know of it is told."""
    draws.look()
    if known.near:  # other hosts have files of their own
        edited.look()
