"""A job begins: its code goes down, then its tasks, while they are packed.

A list is packed wholly before ``addJob`` returns, so that a bad argument is named at once; it is
sent in pieces meanwhile, so that the workers start on the first of them. Whatever ends this early,
an interrupt included, takes the job back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from scattergather.client.freezing import Frozen, Shipper, call_packer, freeze_types, readable
from scattergather.client.gathering import Gathering
from scattergather.client.inputs import Inputs
from scattergather.client.options import JobOptions
from scattergather.client.outbox import Outbox, Ready
from scattergather.client.round import Round
from scattergather.client.session import Session
from scattergather.client.tasks import checked
from scattergather.errors import CannotPickle
from scattergather.wire import messages
from scattergather.wire.frame import frame
from scattergather.wire.shipping import Shipment

FRAME_BYTES = 1 << 16
FRAME_TASKS = 2000


def begin(
    session: Session,
    round_: Round,
    name: str,
    function: Frozen,
    options: JobOptions,
    shipment: Shipment,
) -> None:
    """The controller knows the job; no task of it yet."""
    session.check()
    retry_on = freeze_types(options.retry_on, shipment)
    session.shipper.send(shipment)
    session.receivers[round_.job] = round_
    session.outbox.send(
        messages.AddJob(
            job=round_.job,
            name=name,
            function=function.name,
            needs=function.needs,
            retry_on=retry_on,
            priority=options.priority,
            retries=options.retries,
            limits=options.limits(),
            code_version=len(session.sources),
        )
    )
    if session.ended:
        # It ended after the look above: nobody else would tell this job.
        session.receivers.pop(round_.job, None)
        session.check()


def take_back(session: Session, round_: Round) -> None:
    """The job was never added."""
    if session.receivers.pop(round_.job, None) is not None:
        session.outbox.send(messages.CancelJob(job=round_.job))
        session.outbox.send(messages.ForgetJob(job=round_.job))
    session.end_if_idle()


def send_list(
    session: Session,
    round_: Round,
    gathering: Gathering,
    tasks: Iterable[Any],
    shipment: Shipment,
) -> None:
    """All tasks are packed and queued.

    Raises:
        CannotPickle, BadRequest: a task cannot be sent; it is named.
    """
    inputs = gathering.inputs
    sender = _Sender(session.outbox, session.shipper, round_, shipment, gathering.expect, inputs)
    packer = sender.packer
    pack = packer.pack
    index = 0
    for index, task in enumerate(tasks):
        try:
            pack(checked(task, index))
        except CannotPickle as error:
            raise readable(error, index) from error.__cause__
        if packer.size >= FRAME_BYTES or len(packer) >= FRAME_TASKS:
            sender.flush()
    sender.flush()
    end(session, round_, gathering)


def end(
    session: Session, round_: Round, gathering: Gathering, error: BaseException | None = None
) -> None:
    """No more tasks will come: the controller is told how many there are."""
    session.outbox.send(messages.EndTasks(job=round_.job, total=gathering.added))
    round_.total = gathering.added
    gathering.close(error)
    # All outcomes may have come already.
    if round_.done:
        session.forget(round_.job)


class _Sender:
    """Queues what a packer holds as one frame, with the code that it needs before it."""

    def __init__(
        self,
        outbox: Outbox,
        shipper: Shipper,
        round_: Round,
        shipment: Shipment,
        expect: Callable[[int], None],
        inputs: Inputs | None,
    ) -> None:
        self.packer = call_packer(shipment)
        self._outbox = outbox
        self._shipper = shipper
        self._job = round_.job
        self._shipment = shipment
        self._expect = expect
        self._inputs = inputs
        self._first = 0
        self._code = len(shipment.code)

    def flush(self) -> None:
        """Queue what was packed since the last time."""
        count = len(self.packer)
        if not count:
            return
        ends, data, needs = self.packer.take()
        if len(self._shipment.code) != self._code:
            self._shipper.send(self._shipment)
            self._code = len(self._shipment.code)
        head = messages.AddTasks(job=self._job, first=self._first, count=count, needs=needs)
        if self._inputs is not None:
            self._inputs.add(self._first, ends, data, needs)
        self._expect(count)
        self._outbox.put(Ready(frame(messages.encode(head), ends.tobytes(), data)))
        self._first += count
