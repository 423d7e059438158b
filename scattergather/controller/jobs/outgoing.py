"""What came of tasks, on its way to whoever waits: the client, or a task that submitted a call.

An outcome with parts outside travels alone: a batch that names objects is of one task, so there is
at most one delivery that takes them. If there is none (the task is run again, or its lease is over)
they are dropped when the batch is through. So each of them is released exactly once. A pool that
breaks the rule is not believed: see ``unsound``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from scattergather.controller.jobs import losses
from scattergather.controller.jobs.lineage import Recipe
from scattergather.controller.jobs.nested import NestedCalls
from scattergather.controller.jobs.record import Record
from scattergather.controller.jobs.remaking import Remaking
from scattergather.controller.roster import Roster
from scattergather.controller.seams import ClientEnd
from scattergather.controller.values.objects import ObjectLedger
from scattergather.model.ids import JobId
from scattergather.model.outcome import Kind, LossKind, can_wait
from scattergather.reactor.seam import Clock
from scattergather.scheduler import actions
from scattergather.scheduler.scheduler import Scheduler
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent, Loss

PLACED_SECONDS = 0.01
"""How late the client may learn that a future runs."""

_PLAIN = bytes([Kind.RETURNED, Kind.RAISED])


@dataclass(slots=True)
class Batch:
    """The outcomes that an action of the scheduler speaks of."""

    host: str
    message: messages.Outcomes
    body: bytes
    delivered: bool = False


class Outgoing:
    """Takes outcomes to whoever waits for them. Reactor thread only."""

    def __init__(
        self,
        clock: Clock,
        scheduler: Scheduler,
        jobs: Mapping[JobId, Record],
        roster: Roster,
        objects: ObjectLedger,
        nested: NestedCalls,
        remaking: Remaking,
        client: ClientEnd,
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._jobs = jobs
        self._roster = roster
        self._objects = objects
        self._nested = nested
        self._remaking = remaking
        self._send = client.send
        self._send_soon = client.send_soon
        self._placed: list[actions.ReportPlaced] = []

    # ---- a batch --------------------------------------------------------------------------------

    def batch(self, host: str, message: messages.Outcomes, body: bytes) -> Batch:
        """What a pool has said, after a look at the whole of it.

        What does not make sense counts as a loss of its tasks. It must not be found out later: once
        the scheduler has counted them, they would have no outcome at all, ever.
        """
        kinds, large = message.kinds, message.objects or message.lent or message.borrowed
        if not (large or kinds.strip(_PLAIN)) and blobs.sound(body, len(kinds)):
            return Batch(host, message, body)
        if not (why := self._unsound(host, message, body)):
            return Batch(host, message, body)
        self._objects.drop_unheard(self._roster.entries[host], message.objects, message.lent)
        reason = f"what {host} says of it makes no sense: {why}"
        message, body = losses.outcomes_lost(message, reason)
        return Batch(host, msgspec.structs.replace(message, lent=()), body)

    def without_refs(
        self, host: str, message: messages.Outcomes, body: bytes
    ) -> tuple[messages.Outcomes, bytes]:
        """The same, but that tasks are lost for good which take what is."""
        job = self._scheduler.job_of(message.chunk, host)
        record = None if job is None else self._jobs.get(job)
        if record is None or not blobs.sound(body, len(message.kinds)):
            return message, body
        kinds, made = bytearray(message.kinds), blobs.each(body, len(message.kinds))
        for place, kind in enumerate(kinds):
            if kind == Kind.LOST:
                taken = record.inputs.cut(message.first + place, 1)[2]
                if why := self._objects.why_dead(taken):
                    kinds[place] = Kind.EXCEEDED
                    made[place] = messages.encode(Loss(kind=LossKind.REF_LOST, reason=why))
        return msgspec.structs.replace(message, kinds=bytes(kinds)), blobs.pack(made)

    def _unsound(self, host: str, message: messages.Outcomes, body: bytes) -> str:
        """What is wrong with this; empty if nothing is."""
        count = len(message.kinds)
        if not blobs.sound(body, count):
            return f"a body of {len(body)} bytes does not hold {count} blobs"
        if message.lent and not self._lends(host, message.chunk):
            return "it lends what nobody there waits for"
        if not self._objects.are_new((*message.objects, *message.lent)):
            return "a large part of it has the name of another"
        if count != 1 and (message.objects or message.lent or message.borrowed):
            return f"{count} outcomes share their large parts"
        if not self._objects.needs(message.borrowed):
            return "a large argument that it returned is not known"
        return ""

    def _lends(self, host: str, chunk: int) -> bool:
        """Large parts stay there: who waits is on the same host, or wants it so."""
        job = self._scheduler.job_of(chunk, host)
        if job is None or ((record := self._jobs.get(job)) is not None and record.spec.keep):
            return True
        origin = self._nested.origin(job)
        return origin is not None and origin.host == host

    def through(self, batch: Batch) -> None:
        """All is done that was to be done because of a batch."""
        if not batch.delivered:
            entry = self._roster.entries[batch.host]
            self._objects.drop_unheard(entry, batch.message.objects, batch.message.lent)

    # ---- outcomes -------------------------------------------------------------------------------

    def deliver(self, action: actions.Deliver, batch: Batch) -> None:
        """These outcomes of a batch are final."""
        record = self._jobs.get(action.job)
        if record is None:
            return
        objects = self._large_parts(action.job, batch)
        stays = record.spec.keep and batch.message.lent
        kept = self._kept_parts(record, action, batch) if stays else ()
        kinds, body = batch.message.kinds, batch.body
        if action.count != len(kinds):
            body = blobs.part(body, len(kinds), action.offset, action.offset + action.count)
            kinds = kinds[action.offset : action.offset + action.count]
        if kinds.strip(_PLAIN):
            kinds, body = losses.certified(kinds, body, batch.host, action)
        # First the outcome: somebody waits for it. Where others run, theirs may come with it: a
        # frame by itself costs us and the client as much as a dozen together.
        patient = can_wait(batch.message.elapsed, len(batch.message.kinds))
        self._hand_over(
            messages.TaskOutcomes(
                job=action.job,
                first=action.first,
                kinds=kinds,
                host=batch.host,
                worker=batch.message.worker,
                attempt=action.attempt,
                objects=objects,
                kept=kept,
                needs=batch.message.needs if kept else (),
            ),
            body,
            patient=patient and not (objects or kept) and self._scheduler.working,
        )
        record.failed += len(kinds) - kinds.count(Kind.RETURNED)
        self._roster.entries[batch.host].done += action.count
        self._end_tasks(record, action.first, action.count)

    def _large_parts(self, job: JobId, batch: Batch) -> tuple[Extent, ...]:
        """The objects of an outcome that is about to be delivered, as its receiver knows them."""
        message, entries = batch.message, self._roster.entries
        if not (message.objects or message.lent or message.borrowed):
            return ()
        if self._nested.abandoned(job):
            return ()
        batch.delivered = True
        origin = self._nested.origin(job)
        if origin is not None:
            return self._objects.hold_for_worker(entries[origin.host], entries[batch.host], message)
        return self._objects.hold_for_client(message.objects, message.borrowed)

    def _kept_parts(
        self, record: Record, action: actions.Deliver, batch: Batch
    ) -> tuple[Extent, ...]:
        """What stayed on the host of an outcome that is about to be delivered."""
        batch.delivered = True
        entry = self._roster.entries[batch.host]
        again = record.spec.job in self._remaking
        recipe = None if again else self._recipe(record, action, batch)
        return self._objects.hold_kept(entry, batch.message.lent, recipe)

    def _recipe(self, record: Record, action: actions.Deliver, batch: Batch) -> Recipe:
        """How that is made again."""
        spec = record.spec
        body, needs, objects = record.inputs.cut(action.first, 1)
        return Recipe(
            spec=spec,
            label=f"task {action.first} of {spec.name}",
            body=body,
            needs=needs,
            objects=objects,
            own=self._objects.own(objects),
            retries=max(0, spec.retries - action.attempt + 1),
            flag=batch.body[-1],
        )

    def lose(self, action: actions.Deliver, host: str) -> None:
        """We failed on these outcomes: their tasks are lost, unless they were delivered first."""
        record = self._jobs.get(action.job)
        if record is None or record.finished + action.count > record.added:
            return
        loss = Loss(
            kind=LossKind.LOST,
            reason="the controller failed on its outcome; its log says how",
            host=host,
            attempt=action.attempt,
            attempts=action.attempts,
        )
        record.failed += action.count
        self.send_losses(action.job, action.first, action.count, loss)
        self._end_tasks(record, action.first, action.count)

    def deliver_loss(self, action: actions.DeliverLoss) -> None:
        """These tasks are given up."""
        record = self._jobs.get(action.job)
        if record is None:
            return
        self._end_tasks(record, action.first, action.count)
        record.failed += action.count
        self.send_losses(action.job, action.first, action.count, losses.loss_of(action))

    def send_losses(self, job: JobId, first: int, count: int, loss: Loss) -> None:
        """Each of these tasks ends with this loss."""
        self._hand_over(
            messages.TaskOutcomes(
                job=job,
                first=first,
                kinds=bytes([Kind.LOST]) * count,
                host=loss.host,
                attempt=loss.attempt,
            ),
            blobs.pack([messages.encode(loss)] * count),
        )

    def report_cancelled(self, action: actions.ReportCancelled) -> None:
        """These tasks are cancelled; a task that submitted one is over, or its host is lost."""
        record = self._jobs.get(action.job)
        if record is None:
            return
        self._end_tasks(record, action.first, action.count)
        record.cancelled += action.count
        if action.job in self._remaking:
            self._remaking.cancelled(action.job)
        elif self._nested.origin(action.job) is None:
            self._send(
                messages.TasksCancelled(job=action.job, first=action.first, count=action.count),
                b"",
            )

    def _end_tasks(self, record: Record, first: int, count: int) -> None:
        record.finished += count
        done = record.inputs.release(first, count)
        if done:
            self._objects.release_from_tasks(done)

    def _hand_over(
        self, message: messages.TaskOutcomes, body: bytes, *, patient: bool = False
    ) -> None:
        """To the client, or to the worker whose task submitted it."""
        origin = self._nested.origin(message.job)
        if origin is None and message.job in self._remaking:
            self._remaking.outcome(message, body)
        elif origin is None:
            send = self._send_soon if patient else self._send
            send(message, body)
        else:
            self._nested.answer(origin, message, body)

    # ---- which futures run ----------------------------------------------------------------------

    def report_placed(self, action: actions.ReportPlaced) -> None:
        """These tasks of a stream went to a pool: the client is told in a moment.

        Most tasks of a busy stream are done by then, and a frame for each placement would cost as
        much as its outcome.
        """
        if not self._placed:
            self._clock.callLater(PLACED_SECONDS, self._send_placed)
        self._placed.append(action)

    def _send_placed(self) -> None:
        placed, self._placed = self._placed, []
        at = 0
        while at < len(placed):
            job, first, stop = placed[at].job, placed[at].first, placed[at].first
            while at < len(placed) and (placed[at].job, placed[at].first) == (job, stop):
                stop += placed[at].count
                at += 1
            self._send(messages.TasksPlaced(job=job, first=first, count=stop - first), b"")
