"""A job begins: its code goes down, then its tasks, while they are packed.

A list is packed wholly before ``addJob`` returns, so that a bad argument is named at once; it is
sent in pieces meanwhile, so that the workers start on the first of them. Whatever ends this early,
an interrupt included, takes the job back.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from scattergather.client.jobs.gathering import Gathering
from scattergather.client.jobs.round import Round
from scattergather.client.jobs.tasks import checked
from scattergather.client.options import JobOptions
from scattergather.client.pipe.outbox import Outbox, Ready, distinct
from scattergather.client.session.receiver import Receiver
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen, readable
from scattergather.client.values.plain import pack_plain
from scattergather.errors import CannotPickle, TooLarge
from scattergather.wire import blobs
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.frame import frame
from scattergather.wire.memory.outside import Placed
from scattergather.wire.memory.slabs import LARGE
from scattergather.wire.messages import page as messages

FRAME_BYTES = 1 << 16
FRAME_TASKS = 2000
FRAME_BESIDE = 1 << 20
"""Bytes of large values whose tasks share a frame: their memory is free when all of them are done.
"""

FIRST_TASKS = 64
"""The first frame is small, so that workers start while the others are packed."""


def begin(
    session: Session,
    receiver: Receiver,
    name: str,
    function: Frozen,
    options: JobOptions,
    shipment: Shipment,
    retry_on: bytes,
    *,
    stream: bool = False,
) -> None:
    """The controller knows the job, and no task of it yet; what comes of it goes to ``receiver``.

    ``retry_on`` is what ``freeze_types`` made of the exception types that ``options`` name.

    Raises:
        Closed, ControllerLost: there is no controller.
    """
    session.life.check()
    function.board(shipment)
    with session.shipper.holding():
        session.shipper.send(shipment)
        session.receivers.enter(receiver)
        session.outbox.send(
            messages.AddJob(
                job=receiver.job,
                name=name,
                function=function.name,
                needs=function.needs,
                retry_on=retry_on,
                priority=options.priority,
                retries=options.retries,
                limits=options.limits(),
                code_version=session.pushed.version,
                stream=stream,
                placement=options.placement,
                keep_children=options.keep_children,
                keep=options.keep,
            )
        )
    if session.life.ended:
        # It ended after the look above: nobody else would tell this job.
        session.receivers.remove(receiver.job)
        session.life.check()


def take_back(session: Session, round_: Round) -> None:
    """The controller drops the job, if it knows of it; nobody hears of it any more."""
    if session.receivers.remove(round_.job):
        session.outbox.send(messages.CancelJob(job=round_.job))
        session.outbox.send(messages.ForgetJob(job=round_.job))
    session.life.end_if_idle()


def send_list(
    session: Session,
    round_: Round,
    gathering: Gathering,
    tasks: Iterable[Any],
    shipment: Shipment,
    plain: bool,
) -> None:
    """All tasks are packed and queued.

    ``plain`` says that they are a list or tuple that ``are_plain`` approved.

    Raises:
        CannotPickle, BadRequest: a task cannot be sent; it is named.
    """
    sender = _Sender(session, round_, gathering, shipment)
    if plain and isinstance(tasks, (list, tuple)):
        _send_plain(sender, tasks)
    else:
        _send_any(sender, tasks)
    end(session.outbox, round_, gathering)
    session.inbox.settle(round_.job)


def _send_plain(sender: _Sender, tasks: Sequence[Any]) -> None:
    first, count = 0, FIRST_TASKS
    while first < len(tasks):
        packed = list(map(pack_plain, tasks[first : first + count]))
        first += len(packed)
        ends = blobs.table(packed)
        size = ends[-1]
        if size <= 4 * FRAME_BYTES and max(map(len, packed)) < LARGE:
            sender.send(ends, b"".join(packed), ())
        else:
            _send_any(sender, tasks[first - len(packed) : first])
        count = max(1, min(FRAME_TASKS, FRAME_BYTES * len(packed) // max(size, 1)))


def _send_any(sender: _Sender, tasks: Iterable[Any]) -> None:
    """All of ``tasks`` are packed and queued, a frame's worth at a time.

    A large argument takes room as soon as it is packed, and nothing frees that room before its task
    was sent and has run. So this thread could wait for room that only its own unsent frame holds,
    for ever. Therefore a frame leaves as soon as it holds a quarter of all room. Refs may hold the
    rest: a value that finds no room beside what waits here sends that off and is packed again, and
    only what finds no room then is refused.

    What one task of a frame takes is there before any of them runs, and lost with all of them if it
    is lost. So tasks that take different results which lie on hosts are in different frames.
    """
    packer = sender.packer
    pack = packer.pack
    waiting, far = 0, packer.far
    for index, task in enumerate(tasks, sender.next):
        try:
            pair = checked(task, index)
            try:
                size = pack(pair)
            except TooLarge:
                if not packer.beside:
                    raise
                sender.send_packed()  # what waits in this frame takes the room
                waiting = 0
                size = pack(pair)
        except CannotPickle as error:
            raise readable(error, index) from error.__cause__
        if packer.far != far:
            if waiting:
                sender.send_all_but_latest()
                waiting, size = 0, 0
            far = packer.far
        waiting += 1
        if size >= FRAME_BYTES or waiting == FRAME_TASKS or packer.beside >= sender.most_beside:
            sender.send_packed()
            waiting = 0
    if waiting:
        sender.send_packed()


def end(
    outbox: Outbox, round_: Round, gathering: Gathering, error: BaseException | None = None
) -> None:
    """No more tasks will come: the controller is told how many there are.

    All outcomes may have come already; so ``ClientInbox.settle`` looks next.
    """
    outbox.send(messages.EndTasks(job=round_.job, total=gathering.added))
    round_.close(gathering.added)
    gathering.close(error)


class _Sender:
    """Queues packed tasks as one frame, after the code that they need."""

    def __init__(
        self, session: Session, round_: Round, gathering: Gathering, shipment: Shipment
    ) -> None:
        self.packer = session.shipper.call_packer(shipment, shared=True)
        self.next = 0
        self._outbox = session.outbox
        self._shipper = session.shipper
        self._job = round_.job
        self._gathering = gathering
        self._shipment = shipment
        # What is packed and not sent cannot become free: it must not take all the room there is.
        self.most_beside = min(FRAME_BESIDE, session.large.bound // 4)

    def send_packed(self) -> None:
        """Queue what the packer holds."""
        objects = self.packer.take_objects()
        self.send(*self.packer.take(), objects)

    def send_all_but_latest(self) -> None:
        """Queue what the packer holds, but for the last task."""
        self.send(*self.packer.take_all_but_latest())

    def send(
        self,
        ends: array[int],
        data: bytes,
        needs: tuple[bytes, ...],
        objects: tuple[Placed, ...] = (),
    ) -> None:
        """Queue the tasks that end at ``ends`` within ``data``."""
        count = len(ends)
        head = messages.AddTasks(
            job=self._job, first=self.next, count=count, needs=needs, objects=distinct(objects)
        )
        if self._gathering.inputs is not None:
            self._gathering.inputs.add(self.next, ends, data, needs, objects)
        self._gathering.expect(count)
        with self._shipper.holding():
            if needs:
                self._shipper.send(self._shipment)
            self._outbox.put(Ready(frame(messages.encode(head), ends.tobytes(), data)))
        self.next += count
