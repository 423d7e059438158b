"""A refresh, a leave and a call everywhere: over when all workers of a tenant have answered."""

from __future__ import annotations

import msgspec

from scattergather.model.outcome import Kind, LossKind
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.chunks.feeding import teach
from scattergather.workers.pool.losses.verdict import loss_of
from scattergather.workers.pool.staffing import fork, kill, retire_spares
from scattergather.workers.pool.tenant import Breach, Renewal, RollCall, Tenant, weight_of
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import Doom, PoolWorker

# ---- refresh ----


def refresh(turn: Turn, tenant: Tenant, call: int) -> None:
    """All workers are replaced; the new ones are forked before the old ones are dead."""
    running = sum(bool(worker.leases) for worker in tenant.workers.values())
    _end_refresh(turn, tenant)
    for worker in tenant.workers.values():
        kill(turn, worker, Doom.REFRESH)
    tenant.idle.clear()
    tenant.restarts.lived()  # or so we hope: it is given a fresh start
    forked = fork(turn, tenant)
    tenant.refresh = Renewal(call, set(forked), begun=turn.now, interrupted=running)


def settled(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    """A worker is ready, or will never be: a refresh waits no longer for it."""
    if tenant.refresh is not None:
        tenant.refresh.waiting.discard(worker.number)
        if not tenant.refresh.waiting:
            _end_refresh(turn, tenant)


def _end_refresh(turn: Turn, tenant: Tenant) -> None:
    ended, tenant.refresh = tenant.refresh, None
    if ended is not None:
        turn.report(
            tenant,
            messages.RefreshDone(
                call=ended.call,
                workers=tenant.alive,
                interrupted=ended.interrupted,
                seconds=turn.now - ended.begun,
            ),
        )


def leave(turn: Turn, tenant: Tenant) -> None:
    """All workers end and none is forked any more; what they had not begun is given back."""
    tenant.limit = 0
    while tenant.queue or tenant.waiting:
        chunk, queued = tenant.unqueue_last()
        turn.report(tenant, messages.GaveBack(chunk=chunk, first=queued.run.first))
    for worker in tenant.workers.values():
        kill(turn, worker, Doom.LEFT)
    tenant.idle.clear()
    if not tenant.workers:
        _end_refresh(turn, tenant)


# ---- everywhere ----


def everywhere(turn: Turn, tenant: Tenant, message: messages.Everywhere, body: bytes) -> None:
    """Every worker that lives, or is being forked, calls a function once."""
    retire_spares(turn, tenant, 0.0)
    fork(turn, tenant)  # the doomed are replaced at their exit: too late
    targets = [worker for worker in tenant.workers.values() if worker.doom is None]
    if not targets:
        why = "no worker lives there: those that were forked died before they were ready"
        failed(turn, tenant, message.call, why)
        return
    if message.call in tenant.everywhere:
        raise Breach(f"call {message.call} on every worker came twice")
    tenant.hold(weight_of(message, body))
    waiting = {worker.number for worker in targets}
    tenant.everywhere[message.call] = RollCall(message, body, waiting)
    for worker in targets:
        if worker.born:
            _tell(turn, tenant, worker, message, body)


def failed(turn: Turn, tenant: Tenant, call: int, why: str) -> None:
    """No worker here can make this call."""
    loss = Loss(kind=LossKind.LOST, reason=why)
    none = messages.EverywhereDone(call=call, worker=0, kind=Kind.LOST, last=True)
    turn.report(tenant, none, messages.encode(loss))


def catch_up(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    """A worker that was just born is told of the calls that wait for it."""
    for call in tenant.everywhere.values():
        if worker.number in call.waiting:
            _tell(turn, tenant, worker, call.message, call.body)


def answered(
    turn: Turn, tenant: Tenant, worker: PoolWorker, message: messages.EverywhereDone, body: bytes
) -> None:
    """A worker has made a call everywhere, or died before."""
    call = tenant.everywhere.get(message.call)
    if call is None or worker.number not in call.waiting:
        names = tuple(extent.object for extent in message.objects)
        turn.ask(actions.DropResults(tenant=tenant.number, objects=names))
        return
    call.waiting.discard(worker.number)
    if not call.waiting:
        del tenant.everywhere[message.call]
        tenant.held -= weight_of(call.message, call.body)
    done = msgspec.structs.replace(message, worker=worker.pid, last=not call.waiting)
    turn.report(tenant, done, body)


def lost(turn: Turn, tenant: Tenant, worker: PoolWorker, event: events.WorkerExited) -> None:
    """A dead worker will call nothing any more."""
    for number, call in list(tenant.everywhere.items()):
        if worker.number in call.waiting:
            done = messages.EverywhereDone(call=number, worker=worker.pid, kind=Kind.LOST)
            answered(turn, tenant, worker, done, messages.encode(loss_of(worker, event)))


def _tell(
    turn: Turn, tenant: Tenant, worker: PoolWorker, message: messages.Everywhere, body: bytes
) -> None:
    teach(turn, tenant, worker, message.function, message.needs)
    turn.tell(worker, message, body)
