"""The pool's one door: ``handle(event, now) -> list[Action]``.

It sorts events to the modules beside it, each of which opens with its rules, and keeps the
tenants. Two rules are here:

- A worker that waits for a nested result lends its slot, and another is forked if none is idle.
- A tenant that leaves takes its workers along; nothing more is reported to its controller.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions, events, objects
from scattergather.workers.pool.chunks import cancelling, feeding, leases, roll_calls
from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.losses import deaths, watching
from scattergather.workers.pool.staffing import (
    SPARE_SECONDS,
    fork,
    report_slots,
    retire_spares,
    set_idle,
)
from scattergather.workers.pool.statistics import PoolStatistics, statistics_of
from scattergather.workers.pool.tenant import Queued, Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import PoolWorker


class Pool:
    """Tenants and workers of one host, behind a door.

    ``crew`` is what its functions work on, and is theirs. Whoever watches reads ``statistics``.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.crew = Crew(slots)
        self._turn = Turn(self.crew)

    @property
    def wake_at(self) -> float | None:
        """When the pool wants to be ticked."""
        return self.crew.wake_at

    def statistics(self) -> PoolStatistics:
        """The pool at this moment. Takes time for each tenant and worker, not for tasks."""
        return statistics_of(self.crew)

    def working(self) -> list[watching.AtWork]:
        """The workers that have a chunk, and what a look at each of them is to tell."""
        return watching.at_work(self.crew)

    def handle(self, event: events.Event, now: float) -> list[actions.Action]:
        """Take in what happened; returns what is to be done about it, in order."""
        crew, turn = self.crew, self._turn
        tenants = crew.tenants
        asked: list[actions.Action] = []
        turn.now, turn.asked = now, asked
        match event:
            case events.WorkerSaid():
                worker = crew.workers.get(event.worker)
                if worker is not None:
                    _worker_said(turn, worker, event.message, event.body)
            case events.MessageReceived():
                tenant = tenants.get(event.tenant)
                if tenant is not None:
                    _received(turn, tenant, event)
            case events.ObjectsArrived():
                tenant = tenants.get(event.tenant)
                if tenant is not None:
                    objects.arrived(turn, tenant, event.objects)
            case events.ObjectsLost():
                tenant = tenants.get(event.tenant)
                if tenant is not None:
                    objects.lost(turn, tenant, event.objects, event.reason)
            case events.RoomWanted():
                tenant = tenants.get(event.tenant)
                if tenant is not None:
                    tenant.pressed = True
            case events.WorkerExited():
                deaths.worker_exited(turn, event)
            case events.TenantJoined():
                limit = min(event.workers or self.slots, self.slots)
                tenant = tenants[event.tenant] = Tenant(event.tenant, limit)
                fork(turn, tenant)
            case events.TenantLeft():
                _left(turn, event.tenant)
            case events.Sampled():
                watching.sampled(turn, event)
            case events.ChunkRecalled():
                holder = crew.workers.get(event.worker)
                if holder is not None:
                    leases.recalled(turn, tenants[holder.tenant], holder, event.chunk)
            case events.FoundStopped():
                watching.found_stopped(turn, event)
            case events.Ticked():
                _ticked(turn)
            case _:
                assert_never(event)
        for tenant in tenants.values():
            if tenant.pressed:
                objects.make_room(turn, tenant)
        return asked


def _received(turn: Turn, tenant: Tenant, event: events.MessageReceived) -> None:
    message, body = event.message, event.body
    match message:
        case messages.Run() if event.refused:
            objects.lose_chunk(turn, tenant, message, event.refused)
        case messages.Everywhere() if event.refused:
            roll_calls.failed(turn, tenant, message.call, event.refused)
        case messages.Run() if event.missing:
            objects.await_needs(turn, tenant, Queued(message, body, set(event.missing)))
        case messages.Run():
            tenant.queue[message.chunk] = Queued(message, body)
            feeding.feed(turn)
        case messages.Drop():
            objects.drop(turn, tenant, message.objects)
        case messages.Code():
            tenant.code[message.digest] = (message, body)
        case messages.Forget():
            feeding.forget(turn, tenant, message.digests)
        case messages.Resident():
            tenant.residents.append(message)
            for worker in tenant.workers.values():
                if worker.born and worker.doom is None:
                    turn.tell(worker, message)
        case messages.TakeBack():
            leases.take_back(turn, tenant, message.count)
        case messages.Cancel():
            for chunk in message.chunks:
                cancelling.cancel(turn, tenant, chunk)
        case messages.Refresh():
            roll_calls.refresh(turn, tenant, message.call)
        case messages.Everywhere() if event.missing:
            objects.postpone(turn, tenant, message, body, event.missing)
        case messages.Everywhere():
            roll_calls.everywhere(turn, tenant, message, body)
        case messages.NestedOutcome() if event.refused:
            objects.lose_nested(turn, tenant, message, event.refused)
        case messages.NestedOutcome() if event.missing:
            objects.postpone(turn, tenant, message, body, event.missing)
        case messages.NestedOutcome():
            objects.deliver_nested(turn, tenant, message, body)
        case messages.Want():
            pass  # the link sees to it
        case _:
            assert_never(message)


def _worker_said(turn: Turn, worker: PoolWorker, message: messages.FromWorker, body: bytes) -> None:
    tenant = turn.crew.tenants.get(worker.tenant)
    if tenant is None:
        return
    match message:
        case messages.Outcomes():
            leases.arrived(turn, tenant, worker, message, body)
        case messages.Output():
            turn.report(tenant, message, body)
        case messages.Born():
            _born(turn, tenant, worker, message.pid)
        case messages.GaveBack():
            leases.gave_back(turn, tenant, worker, message)
        case messages.EverywhereDone():
            roll_calls.answered(turn, tenant, worker, message, body)
        case messages.NestedSubmit():
            submit = msgspec.structs.replace(message, worker=worker.number)
            turn.report(tenant, submit, body)
        case messages.Code():
            tenant.code[message.digest] = (message, body)
            turn.report(tenant, message, body)
        case messages.Kept():
            objects.keeps(tenant, worker, message.objects)
        case messages.LetGo():
            objects.keeps_no_more(turn, tenant, worker, message.objects)
        case messages.Release():
            objects.released(turn, tenant, worker, message.objects)
        case messages.Slab() | messages.SlabGone():
            pass  # the service has taken what they bring
        case messages.Waiting():
            _waiting(turn, tenant, worker)
        case messages.Resumed():
            if worker.blocked:
                worker.blocked = False
                tenant.running += bool(worker.leases)
                report_slots(turn, tenant)
        case _:
            assert_never(message)


def _born(turn: Turn, tenant: Tenant, worker: PoolWorker, pid: int) -> None:
    worker.pid = pid
    if worker.doom is not None:
        return
    paused = tenant.restarts.pause
    tenant.restarts.lived()
    if paused:
        fork(turn, tenant)
    for resident in tenant.residents:
        turn.tell(worker, resident)
    roll_calls.catch_up(turn, tenant, worker)
    set_idle(turn, tenant, worker)
    tenant.idle.move_to_end(worker.number, last=False)  # nothing of it is warm
    report_slots(turn, tenant)
    roll_calls.settled(turn, tenant, worker)
    feeding.feed(turn)


def _waiting(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    if worker.blocked:
        return
    worker.blocked = True
    tenant.running -= bool(worker.leases)
    if not tenant.idle and tenant.alive < tenant.limit + tenant.blocked:
        fork(turn, tenant)
    report_slots(turn, tenant)
    feeding.feed(turn)


def _left(turn: Turn, number: int) -> None:
    """A tenant and its workers are forgotten: the driver closes their zygote, which ends them."""
    tenant = turn.crew.tenants.pop(number, None)
    if tenant is not None:
        for each in tenant.workers:
            del turn.crew.workers[each]
        feeding.feed(turn)


def _ticked(turn: Turn) -> None:
    turn.crew.wake_at = None
    for worker in turn.crew.workers.values():
        cancelling.escalate(turn, worker)
    for tenant in turn.crew.tenants.values():
        if tenant.restarts.pause:
            if turn.now >= tenant.restarts.until:
                fork(turn, tenant)
            else:
                turn.crew.wake(tenant.restarts.until)
        retire_spares(turn, tenant, SPARE_SECONDS)
    feeding.feed(turn)
