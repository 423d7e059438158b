"""The rounds of one job through the controller: the first, and one more for each ``retry``.

Outcomes of all rounds fall into one gathering. A retry is a wire job of its own, of the tasks that
did not return; what they were packed as is kept, and only what names code may have to be sent anew.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from scattergather.client import naming
from scattergather.client.jobs import adding
from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.inputs import KeptInputs
from scattergather.client.jobs.round import Round
from scattergather.client.options import JobOptions
from scattergather.client.pipe.outbox import Ready, distinct
from scattergather.client.seen import showing
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.receiver import new_job
from scattergather.client.session.session import Session
from scattergather.client.unread import Unread
from scattergather.client.values.freezing import Frozen, freeze_types, moved_classes
from scattergather.client.values.large import far_of
from scattergather.errors import BadRequest
from scattergather.model.ids import JobId
from scattergather.model.snapshot import JobView
from scattergather.wire import blobs
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.frame import frame
from scattergather.wire.memory import stub
from scattergather.wire.memory.outside import Placed
from scattergather.wire.messages import page as messages


class Rounds:
    """What can be done with the tasks of one job that are under way, or were. Any thread.

    ``retry_on`` is what ``freeze_types`` made of the exception types that ``options`` name.
    """

    def __init__(
        self,
        session: Session,
        gathering: Gathering,
        first: Round,
        *,
        function: Frozen,
        options: JobOptions,
        retry_on: bytes,
    ) -> None:
        self.gathering = gathering
        self.first = first
        self._session = session
        self._rounds = [first]
        self._function = function
        self._options = options
        self._retry_on = retry_on
        self._begun = time.monotonic()
        self.displayed: deque[Callable[[], None]] = deque(maxlen=10)
        """Lets what was displayed of the job move again."""
        self._retrying = threading.Lock()
        """What one retry takes up again no other does."""

    def begin(self, shipment: Shipment) -> None:
        """The controller knows the first round, and no task of it yet."""
        label, options, retry_on = self.gathering.label, self._options, self._retry_on
        adding.begin(self._session, self.first, label, self._function, options, shipment, retry_on)

    def view(self) -> JobView:
        """How far the job is, from what is known here."""
        states = [self._session.known.state_of(each.job) for each in self._rounds if not each.done]
        running = sum(state.running for state in states if state is not None)
        seconds = max(time.monotonic() - self._begun, 1e-3)
        view = self.gathering.view(running, self.gathering.settled / seconds)
        return self._session.known.placed(view)

    def look(self) -> tuple[bool, dict[str, str]]:
        """What is displayed of the job, and before it whether that is the last."""
        return self.gathering.finished, showing.job_bundle(self.view())

    def cancel(self) -> None:
        """What runs is ended within three seconds, what waits is dropped, what is done stays."""
        self.gathering.stop()
        for each in self._rounds:
            if not each.done and not self._session.life.ended:
                self._session.outbox.send(messages.CancelJob(job=each.job))

    def drop_waiting(self) -> None:
        """What waits is dropped, what runs goes on; nothing is said of what was taken back."""
        self.gathering.stop()
        for each in self._rounds:
            if not each.done and self._session.receivers.find(each.job) is not None:
                count = self.gathering.added
                drop = messages.CancelTasks(call=0, job=each.job, first=0, count=count)
                self._session.outbox.send(drop)

    def retry(self, function: naming.Function | None, unread: Unread) -> None:
        """The failed and cancelled tasks are under way again, and the job is unread.

        ``function`` is run instead; None runs the same.

        Raises:
            BadRequest: the tasks are not kept.
            Closed, ControllerLost: there is no controller.
        """
        gathering, session = self.gathering, self._session
        session.life.check()
        inputs = gathering.inputs
        if inputs is None:
            raise BadRequest(
                f"{gathering.label} was fed from an iterator, whose tasks are not kept; "
                "give addJob a list to be able to retry"
            )
        then = "It was taken back; retry it again."
        with Wait(session, lambda: f"retrying {gathering.title}", then), self._retrying:
            self._retry(function, inputs, unread)

    def _retry(self, function: Any, inputs: KeptInputs, unread: Unread) -> None:
        gathering, session = self.gathering, self._session
        shipment = session.shipper.shipment()
        for code in inputs.code.values():
            shipment.include(code)
        frozen, retry_on, moved = self._function, self._retry_on, {}
        if function is not None:
            frozen = naming.resolve(session, function, None, shipment)
            retry_on = freeze_types(self._options.retry_on, shipment)
            moved = moved_classes(inputs.code.values(), shipment.reduce_class)
        indexes = array("Q", gathering.unreturned())
        if not indexes:
            return
        again = self.first.again(new_job(), indexes)
        kept = [inputs.task(index) for index in indexes]
        old = [digest for _, digests, _ in kept for digest in digests]
        name, reopened = f"{gathering.label} again", False
        try:
            with session.shipper.holding():
                adding.begin(session, again, name, frozen, self._options, shipment, retry_on)
                needs = tuple(dict.fromkeys((*old, *shipment.take_needs())))
                runs = _runs(again.job, kept, needs, moved)
                frames = [Ready(frame(head, body)) for head, body in runs]
                # What may be refused or take long is over: the old outcomes can be given up.
                reopened = True
                gathering.reopen(indexes)
                unread.enter_again(gathering, self.cancel)
                for each in frames:
                    session.outbox.put(each)
                session.outbox.send(messages.EndTasks(job=again.job, total=len(kept)))
            if session.life.ended:
                # It ended when all were through: nobody else would tell this job.
                session.life.check()
            self._function, self._retry_on = frozen, retry_on
            for move in self.displayed:
                move()
            self._rounds = [each for each in self._rounds if not each.done] + [again]
        except BaseException:
            adding.take_back(session, again)
            if reopened:
                gathering.reopen(indexes)
                again.dropped(0, len(indexes))
            raise


def _runs(
    job: JobId,
    kept: Sequence[tuple[bytes, tuple[bytes, ...], tuple[Placed, ...]]],
    needs: tuple[bytes, ...],
    moved: Mapping[stub.Place, stub.Place],
) -> Iterator[tuple[bytes, bytes]]:
    """The heads and bodies of messages that add these tasks.

    Tasks that take different results which lie on hosts are in different ones, as when they were
    added first.
    """
    first = 0
    for _, run in groupby(kept, lambda task: far_of(task[2])):
        own = list(run)
        head = messages.AddTasks(
            job=job,
            first=first,
            count=len(own),
            needs=needs,
            objects=distinct(each for _, _, taken in own for each in taken),
        )
        first += len(own)
        yield messages.encode(head), blobs.pack(stub.moving(blob, moved) for blob, _, _ in own)
