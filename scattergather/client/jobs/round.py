"""One way of a job's tasks through the controller: the first, or that of a ``retry``."""

from __future__ import annotations

from array import array
from functools import partial
from itertools import groupby

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.segment import Segment
from scattergather.client.seen.echo import Echo, JobEcho, read_output
from scattergather.client.session.receiver import Refusal
from scattergather.client.values.large import Part
from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import JobView
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import JobState


class Round:
    """Receives what comes of one round, and places it in the gathering of its job. Reader thread.

    Args:
        job: what the controller calls this round: to it each round is a job of its own.
        gathering: where outcomes go.
        echo: shows what the tasks print.
        channel: marks it and knows where it belongs; None keeps what is printed and shows nothing.
        indexes: the job's index of each task of this round; None: they are the same.
        fed: an iterator of the user's brings the tasks, which may have no end.
    """

    def __init__(
        self,
        job: JobId,
        gathering: Gathering,
        echo: Echo,
        channel: JobEcho | None,
        indexes: array[int] | None = None,
        fed: bool = False,
    ) -> None:
        self.job = job
        self._fed = fed
        self._total = None if indexes is None else len(indexes)
        self._gathering = gathering
        self._echo = echo
        self._channel = channel
        self._indexes = indexes
        self._settled = 0
        self._lost = False

    def again(self, job: JobId, indexes: array[int]) -> Round:
        """A further round of the same job, for the tasks with these indexes."""
        return Round(job, self._gathering, self._echo, self._channel, indexes)

    def close(self, total: int) -> None:
        """No more tasks will come: there are so many."""
        self._total = total

    @property
    def done(self) -> bool:
        """True when every task of this round has its outcome, or none will come. Any thread."""
        return self._lost or (self._total is not None and self._settled >= self._total)

    @property
    def busy(self) -> bool:
        """True while an outcome of this round is still to come. Any thread."""
        return not self.done

    def outcomes(
        self, message: messages.TaskOutcomes, body: bytes, large: tuple[Part, ...]
    ) -> None:
        """Outcomes of neighbouring tasks have come: they are the job's, unless it has others."""
        where = message.host, message.worker, message.attempt
        segment = Segment(message.first, message.kinds, body, *where, large)
        if (refer := self._gathering.refer) is not None:
            segment.refer = partial(refer, message, large)
        self._deliver(segment)

    def dropped(self, first: int, count: int) -> None:
        """These tasks were cancelled, which is their outcome. Any thread."""
        self._deliver(Segment(first, bytes((Kind.CANCELLED,)) * count, None, "", 0, 1))

    def _deliver(self, segment: Segment) -> None:
        deliver = self._gathering.deliver
        if self._indexes is None:
            self._settled += deliver(segment)
            return
        places, first = range(len(segment)), segment.first
        # Runs of tasks that are neighbours in the job too stay together.
        for _, run in groupby(places, lambda place: self._index(first + place) - place):
            own = list(run)
            start, stop = own[0], own[-1] + 1
            self._settled += deliver(segment.cut(start, stop, self._index(first + start)))

    def placed(self, first: int, count: int) -> None:
        """A pool has these tasks now; a job makes no difference of it."""

    def printed(self, message: messages.TaskOutput, body: bytes) -> None:
        """A task has printed or displayed something: kept with the job, shown if it has an echo."""
        what = read_output(message, body)
        index = self._index(message.index)
        text = what if isinstance(what, str) else what.text + "\n"
        self._gathering.printed.add(index, text, message.dropped)
        if self._channel is not None:
            self._echo.put(self._channel, index, what, message.dropped)
            self._gathering.spoke = True

    def stop(self) -> None:
        """The job is being cancelled: an iterator is read no further. Any thread."""
        self._gathering.stop()

    def finish(self, error: Refusal) -> bool:
        """The program has ended: what has a length is read to its end, and what has none not.

        Returns whether it goes on; if not, whoever waits gets ``error``.
        """
        if self._fed:
            self.lose(error)  # first: what is only stopped counts as through with what it has
            self.stop()
            return False
        self._gathering.want_whole()
        return True

    def lose(self, error: Refusal) -> None:
        """The controller is gone: whoever waits for the job gets ``error``."""
        self._lost = True
        self._gathering.lose(error)

    def abandon(self, error: Refusal) -> None:
        """This process is a copy made by fork: whoever waits for the job here gets ``error``."""
        self._lost = True
        self._gathering.abandon(error)

    def view(self, state: JobState | None) -> JobView | None:
        """How far the whole job is; ``state`` is what the controller said of this round last."""
        running = 0 if state is None else state.running
        # While nothing runs, what it was before is no rate.
        return self._gathering.view(running, state.rate if state is not None and running else 0.0)

    @property
    def left(self) -> str:
        """The job in words, if its results were taken one by one and more will come; else empty."""
        gathering = self._gathering
        # The last outcome is in the gathering before it is counted here.
        if not gathering.read or self.done or gathering.finished:
            return ""
        how = "its iterator has the rest"
        if gathering.keeps:
            how = "job.results() has them all"
        return f"{gathering.label} was iterated and goes on ({gathering.counted()}): {how}"

    def _index(self, task: int) -> int:
        return task if self._indexes is None else self._indexes[task]
