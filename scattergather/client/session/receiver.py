"""Who receives what comes of a job: one receiver for each job that the controller knows."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from scattergather.client.values.large import Part
from scattergather.errors import ScatterGatherError
from scattergather.model.ids import JobId
from scattergather.model.snapshot import JobView, together
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import JobState

Refusal = Callable[[], ScatterGatherError]
"""Makes the error that says why something is not served: a fresh one for each who gets it."""


def new_job() -> JobId:
    """An id that no other job has."""
    return secrets.token_bytes(16)


class Receiver(Protocol):
    """Takes what comes of one job. Reader thread, but where it is said.

    A task has one outcome: what comes of a task that has one already changes nothing.
    """

    @property
    def job(self) -> JobId:
        """The job that it receives for."""

    @property
    def busy(self) -> bool:
        """True while an outcome of a task is still to come. Any thread."""

    @property
    def done(self) -> bool:
        """True when nothing more will come, and the controller may forget the job. Any thread."""

    @property
    def left(self) -> str:
        """The job in words, if results were taken from it and more will come; else empty.

        It is shown to a user who waits for the next job when there is none. Any thread.
        """

    def outcomes(
        self, message: messages.TaskOutcomes, body: bytes, large: tuple[Part, ...]
    ) -> None:
        """Outcomes of neighbouring tasks have come; parts of them lie in the objects ``large``."""

    def dropped(self, first: int, count: int) -> None:
        """These tasks were cancelled. Any thread."""

    def placed(self, first: int, count: int) -> None:
        """A pool has these tasks now."""

    def printed(self, message: messages.TaskOutput, body: bytes) -> None:
        """A task has printed something."""

    def stop(self) -> None:
        """The job is being cancelled: it gets no more tasks. Any thread."""

    def finish(self, error: Refusal) -> bool:
        """The program has ended, and nobody reads results one by one any more.

        What is outstanding goes on, unless an iterator of the user's brings it, which may have no
        end: then whoever waits gets ``error``. Returns whether it goes on.
        """

    def lose(self, error: Refusal) -> None:
        """The controller is gone: no further outcome comes, and whoever waits gets ``error``."""

    def abandon(self, error: Refusal) -> None:
        """This process is a copy made by fork: whoever waits for an outcome here gets ``error``.

        Takes no lock, which a thread of the original may have held, and calls nobody back.
        """

    def view(self, state: JobState | None) -> JobView | None:
        """How far the job is, as far as is known here; None when there is nothing to tell.

        ``state`` is what the controller said of the job last. Any thread.
        """


class Receivers:
    """The receivers of all jobs of which something may come. Any thread."""

    def __init__(self) -> None:
        self._receivers: dict[JobId, Receiver] = {}
        self.delivering = False
        """True while the reader brings outcomes, and calls back whoever waits for them."""

    def __len__(self) -> int:
        return len(self._receivers)

    def enter(self, receiver: Receiver) -> None:
        """What comes of its job goes to this receiver."""
        self._receivers[receiver.job] = receiver

    def remove(self, job: JobId) -> bool:
        """What still comes of the job is ignored; returns whether it had a receiver."""
        return self._receivers.pop(job, None) is not None

    def find(self, job: JobId) -> Receiver | None:
        """The receiver of a job, if it has one."""
        return self._receivers.get(job)

    @property
    def busy(self) -> bool:
        """True while an outcome of any task is still to come."""
        return any(receiver.busy for receiver in self._all())

    def quiet(self) -> bool:
        """Nothing is outstanding, and no callback is running that may change that. Any thread."""
        # The last look is behind the callbacks of what the first one misses already.
        return not self.busy and not self.delivering and not self.busy

    def finish(self, error: Refusal) -> dict[JobId, JobView]:
        """The program has ended; what does not go on is lost by ``error``. Returns those jobs."""
        lost = {}
        for receiver in self._all():
            view = receiver.view(None)
            if not receiver.finish(error) and self.remove(receiver.job) and view is not None:
                lost[receiver.job] = view
        return lost

    def cancel(self) -> list[JobId]:
        """Every busy job stops; returns which: the controller is to cancel them."""
        busy = [receiver for receiver in self._all() if receiver.busy]
        for receiver in busy:
            receiver.stop()
        return [receiver.job for receiver in busy]

    def views(self, states: dict[JobId, JobState]) -> tuple[JobView, ...]:
        """The jobs of which there is something to tell; ``states`` is what the controller said."""
        views = [receiver.view(states.get(receiver.job)) for receiver in self._all()]
        return tuple(view for view in views if view is not None)

    def outstanding(self) -> list[JobView]:
        """How far each job is of which something is outstanding."""
        return [view for view in self.views({}) if view.running + view.queued]

    def whole(self) -> Callable[[], JobView]:
        """What says from now on how far all is that is outstanding now, as one."""
        last = {each: view for each in self._all() if (view := each.view(None)) is not None}
        for receiver, view in list(last.items()):
            if not view.running + view.queued:
                del last[receiver]

        def look() -> JobView:
            for receiver, view in last.items():
                # One of which nothing is outstanding any more may have nothing to tell.
                through = replace(view, queued=0, running=0, done=view.done + view.queued)
                last[receiver] = receiver.view(None) or through
            return together(list(last.values()))

        return look

    def left(self) -> list[str]:
        """In words, each job of which results were taken and more will come."""
        return [left for receiver in self._all() if (left := receiver.left)]

    def lose(self, error: Refusal) -> None:
        """The controller is gone: all that wait for an outcome get ``error``. Reader thread."""
        for receiver in self._all():
            receiver.lose(error)
        self._receivers.clear()

    def abandon(self, error: Refusal) -> None:
        """This process is a copy made by fork: all that wait for an outcome here get ``error``."""
        for receiver in self._all():
            receiver.abandon(error)

    def _all(self) -> list[Receiver]:
        # One call of C: another thread may enter one meanwhile.
        return list(self._receivers.values())
