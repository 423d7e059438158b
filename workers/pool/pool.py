"""The pool's one door: ``handle(event, now) -> list[Action]``.

It sorts events to the modules beside it, each of which opens with its rules, and keeps the
tenants. Two rules are here:

- A worker that waits for a nested result lends its slot, and another is forked if none is idle.
- A tenant that leaves takes its workers along; nothing more is reported to its controller.
- Whatever goes wrong for one tenant, an error of ours or a bound that it exceeds, ends that one's
  session and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import msgspec

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions, events, objects
from scattergather.workers.pool.chunks import cancelling, feeding, leases, roll_calls
from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.losses import deaths, watching
from scattergather.workers.pool.staffing import (
    SPARE_SECONDS,
    end_bent,
    fork,
    report_slots,
    resize,
    retire_spares,
    set_idle,
)
from scattergather.workers.pool.statistics import PoolStatistics, statistics_of
from scattergather.workers.pool.tenant import A_NAME, APIECE, Breach, Queued, Tenant, weight
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import PoolWorker

MOST_CHUNKS = 1 << 17
"""That wait here for one tenant: each object that comes is looked for in all of them."""

MOST_HELD = 1 << 30
"""Bytes of messages that one tenant may have in a pool, unless somebody says otherwise."""


ROOM_SECONDS = 0.05
"""How often room is looked for, for a tenant, because of what others do."""


class Pool:
    """Tenants and workers of one host, behind a door.

    ``crew`` is what its functions work on, and is theirs. Whoever watches reads ``statistics``.

    Args:
        slots: how many workers run at a time.
        most: about how many bytes of chunks, code and calls one tenant may have here.
        own: the pool is its one tenant's own, who may have more workers than it began with.
    """

    def __init__(self, slots: int, most: int = MOST_HELD, *, own: bool = False) -> None:
        self.most = most
        self.crew = Crew(slots, own=own)
        self._turn = Turn(self.crew)

    @property
    def slots(self) -> int:
        """How many workers run at a time."""
        return self.crew.slots

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

    def refusal(self, tenant: int, size: int) -> str:
        """Why a message of so many bytes, of which the first have come, must not; empty if it may.

        It counts before there is memory for it, not only when it is here.
        """
        found = self.crew.tenants.get(tenant)
        return "" if found is None else found.refusal(size)

    def tenant_of(self, action: actions.Action) -> int:
        """The tenant for whose sake this is asked; 0: that of none, or of one who has left."""
        worker = self.crew.workers.get(getattr(action, "worker", 0))
        found: int = getattr(action, "tenant", 0) or (worker.tenant if worker is not None else 0)
        return found

    def handle(self, event: events.Event, now: float) -> list[actions.Action]:
        """Take in what happened; returns what is to be done about it, in order."""
        crew, turn = self.crew, self._turn
        tenants = crew.tenants
        asked: list[actions.Action] = []
        turn.now, turn.asked = now, asked
        try:
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
                case events.Clogged():
                    tenant = tenants.get(event.tenant)
                    if tenant is not None:
                        tenant.clogged = event.clogged
                        feeding.feed(turn)
                case events.WorkerExited() as exited:
                    owner = _owner(crew, exited)  # afterwards nobody knows any more
                    if owner is not None:
                        _guarded(turn, owner, lambda *_: deaths.worker_exited(turn, exited))
                case events.TenantJoined():
                    limit = min(event.workers or self.slots, self.slots)
                    tenant = tenants[event.tenant] = Tenant(event.tenant, limit, self.most)
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
                case events.FoundAsleep():
                    watching.found_asleep(turn, event)
                case events.Contradicted():
                    bent = crew.workers.get(event.worker)
                    if bent is not None:
                        end_bent(turn, tenants[bent.tenant], bent, event.why)
                case events.Ticked():
                    _ticked(turn)
                case _:
                    assert_never(event)
        except Exception as error:
            owner = _owner(crew, event)
            if owner is None:
                raise
            turn.end_session(owner, error)
            feeding.feed(turn)
        for tenant in tenants.values():
            if tenant.pressed:
                _make_room(turn, _owner(crew, event))
                break
        return asked


def _owner(crew: Crew, event: events.Event) -> Tenant | None:
    """For whose sake a pool takes in an event; None: for all."""
    match event:
        case events.Ticked():
            return None
        case (
            events.WorkerSaid()
            | events.WorkerExited()
            | events.FoundStopped()
            | events.FoundAsleep()
            | events.Sampled()
            | events.ChunkRecalled()
            | events.Contradicted()
        ):
            worker = crew.workers.get(event.worker)
            return None if worker is None else crew.tenants.get(worker.tenant)
        case _:
            return crew.tenants.get(event.tenant)


def _make_room(turn: Turn, owner: Tenant | None) -> None:
    """Room is looked for, for each tenant that wants some. That takes as long as it has chunks.

    In the turns of others this is done now and then only: none may make theirs long.
    """
    for tenant in list(turn.crew.tenants.values()):
        if not tenant.pressed:
            continue
        if owner in (None, tenant) or turn.now >= tenant.next_try:
            tenant.next_try = turn.now + ROOM_SECONDS
            _guarded(turn, tenant, objects.make_room)
        else:
            turn.crew.wake(tenant.next_try)


def _guarded(turn: Turn, tenant: Tenant, do: Callable[[Turn, Tenant], object]) -> None:
    """Something is done for a tenant in the turn of another, or of all."""
    try:
        do(turn, tenant)
    except Exception as error:
        turn.end_session(tenant, error)


def _received(turn: Turn, tenant: Tenant, event: events.MessageReceived) -> None:
    message, body = event.message, event.body
    match message:
        case messages.Run():
            if message.chunk <= tenant.last:
                raise Breach(f"chunk {message.chunk} came twice, or behind a later one")
            if not message.count:  # it would never end: no outcome of it could come
                raise Breach(f"chunk {message.chunk} has no tasks")
            if len(tenant.queue) + len(tenant.waiting) >= MOST_CHUNKS:
                raise Breach(f"more than {MOST_CHUNKS:,} chunks of it wait")
            tenant.last = message.chunk
            if tenant.dropping and message.objects:
                objects.spare(tenant, message.objects)
            if event.refused:
                objects.lose_chunk(turn, tenant, message, event.refused)
                return
            names = len(message.needs) + len(message.objects)
            texts = len(message.function) + len(message.label)
            held = APIECE + len(body) + texts + A_NAME * names
            queued = Queued(message, body, tenant.hold(held))
            if event.missing:
                queued.missing.update(event.missing)
                objects.await_needs(turn, tenant, queued)
                return
            tenant.queue[message.chunk] = queued
            feeding.feed(turn)
        case messages.Everywhere() if event.refused:
            roll_calls.failed(turn, tenant, message.call, event.refused)
        case messages.Drop():
            objects.drop(turn, tenant, message.objects)
        case messages.Code():
            tenant.keep_code(message, body)
        case messages.Forget():
            feeding.forget(turn, tenant, message.digests)
        case messages.Resident():
            # Here, and for each worker that does not read just now.
            tenant.hold((1 + tenant.limit) * weight(message.source))
            tenant.residents.append(message)
            for worker in tenant.workers.values():
                if worker.born and worker.doom is None:
                    turn.tell(worker, message)
        case messages.TakeBack():
            leases.take_back(turn, tenant, message.count, message.chunks)
        case messages.Cancel():
            cancelling.cancel(turn, tenant, message.chunks)
        case messages.Resize():
            resize(turn, tenant, message.workers)
            feeding.feed(turn)
        case messages.Leave():
            roll_calls.leave(turn, tenant)
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
        case messages.Excerpt():
            objects.found(turn, tenant, message.object)
        case messages.Want() | messages.AskFiles():
            pass  # the link, or the service, sees to it
        case (
            messages.Hand()
            | messages.Await()
            | messages.MintKey()
            | messages.MeetPeer()
            | messages.PartPeers()
        ):
            pass  # the link sees to it
        case _:
            assert_never(message)


def _worker_said(turn: Turn, worker: PoolWorker, message: messages.FromWorker, body: bytes) -> None:
    tenant = turn.crew.tenants.get(worker.tenant)
    if tenant is None:
        return
    if worker.bent:
        if isinstance(message, messages.Outcomes):
            leases.drop_results(turn, tenant, message)
        return
    match message:
        case messages.Outcomes():
            leases.arrived(turn, tenant, worker, message, body)
        case messages.Output():
            if leases.prints(worker, message.chunk, message.index):
                turn.report(tenant, message, body)
        case messages.Born():
            if worker.born or not message.pid:
                end_bent(turn, tenant, worker, "it said that it was born, once too often")
            else:
                _born(turn, tenant, worker, message.pid)
        case messages.GaveBack():
            leases.gave_back(turn, tenant, worker, message)
        case messages.EverywhereDone():
            roll_calls.answered(turn, tenant, worker, message, body)
        case messages.NestedSubmit():
            own = any(lease.run.chunk == message.chunk for lease in worker.leases)
            chunk = message.chunk if own else 0  # of none, as when its task is over
            worker.asked += 1
            submit = msgspec.structs.replace(message, worker=worker.number, chunk=chunk)
            turn.report(tenant, submit, body)
        case messages.Code():
            if message.digest not in tenant.code:  # what others run stays as it is
                tenant.keep_code(message, body)
            turn.report(tenant, message, body)
        case messages.Kept():
            objects.keeps(turn, tenant, worker, message.objects)
        case messages.LetGo():
            objects.keeps_no_more(turn, tenant, worker, message.objects)
        case messages.Release():
            objects.released(turn, tenant, worker, message.objects)
        case messages.SendFile():
            worker.asked += 1
            turn.report(tenant, msgspec.structs.replace(message, worker=worker.number))
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
    if worker.blocked or not worker.leases:
        return
    worker.blocked = True
    worker.unread = 0
    tenant.running -= bool(worker.leases)
    if not tenant.idle and tenant.alive < tenant.limit + tenant.blocked:
        fork(turn, tenant)
    report_slots(turn, tenant)
    feeding.feed(turn)


def _left(turn: Turn, number: int) -> None:
    """A tenant and its workers are forgotten: the driver closes their zygote, which ends them."""
    if turn.crew.remove_tenant(number) is not None:
        feeding.feed(turn)


def _ticked(turn: Turn) -> None:
    turn.crew.wake_at = None
    for tenant in list(turn.crew.tenants.values()):
        _guarded(turn, tenant, _time_passed)
    feeding.feed(turn)


def _time_passed(turn: Turn, tenant: Tenant) -> None:
    for worker in tenant.workers.values():
        cancelling.escalate(turn, worker)
    if tenant.restarts.pause:
        if turn.now >= tenant.restarts.until:
            fork(turn, tenant)
        else:
            turn.crew.wake(tenant.restarts.until)
    retire_spares(turn, tenant, SPARE_SECONDS)
