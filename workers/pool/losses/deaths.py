"""What becomes of a dead worker's tasks, and who takes its place.

What it finished is in its socket or its journal and counts. The task it was in is lost (or
interrupted, or cancelled, by the pool's own doing), everything behind that is given back. So only
the task that ran is charged.

A task can write over its worker's journal. Where that cannot be believed nobody can say which tasks
of the chunk had begun, and none of them may run a second time unseen: each is charged, as when a
whole host is lost.
"""

from __future__ import annotations

import signal

from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import BENT, SPENT
from scattergather.workers.pool import events, objects
from scattergather.workers.pool.chunks import roll_calls
from scattergather.workers.pool.chunks.feeding import feed
from scattergather.workers.pool.chunks.leases import return_rest
from scattergather.workers.pool.losses.verdict import loss_of, signal_name
from scattergather.workers.pool.staffing import fork, report_slots
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import Doom, PoolWorker, WorkerLease

_KINDS: dict[Doom | None, Kind] = {
    Doom.REFRESH: Kind.INTERRUPTED,
    Doom.LEFT: Kind.INTERRUPTED,
    Doom.TIME: Kind.EXCEEDED,
    Doom.MEMORY: Kind.EXCEEDED,
}
"""What comes of the task in a worker that the pool itself ended; else it is lost."""


def worker_exited(turn: Turn, event: events.WorkerExited) -> None:
    """What a dead worker had is settled, and another is forked unless it was one too many."""
    worker = turn.crew.workers.pop(event.worker, None)
    if worker is None:
        return
    tenant = turn.crew.tenants.get(worker.tenant)
    if tenant is None:
        return
    del tenant.workers[worker.number]
    tenant.idle.pop(worker.number, None)
    tenant.ahead.pop(worker.number, None)
    tenant.running -= worker.busy
    if worker.blocked:
        report_slots(turn, tenant)
    _settle_leases(turn, tenant, worker, event)
    objects.died(turn, tenant, worker)
    roll_calls.lost(turn, tenant, worker, event)
    if not worker.born and worker.doom is None:
        _died_early(turn, tenant, event)
    elif worker.doom is not Doom.RETIRED:
        fork(turn, tenant)
    roll_calls.settled(turn, tenant, worker)
    feed(turn)


def _settle_leases(
    turn: Turn, tenant: Tenant, worker: PoolWorker, event: events.WorkerExited
) -> None:
    """Every task of the dead worker's chunks gets its due: outcome, loss, or freedom."""
    if not worker.leases:
        return
    lease, harvest = worker.leases[0], event.harvest
    if _is_bent(worker, lease, harvest):
        while lease.next < lease.stop:
            _charge(turn, tenant, worker, lease, event)
        for each in worker.leases:
            return_rest(turn, tenant, each, each.next)
        return
    for index, kind, blob in harvest.outcomes if harvest.chunk == lease.run.chunk else ():
        if index == lease.next:
            _outcome(turn, tenant, worker, lease, kind, blob)
    began = harvest.chunk == lease.run.chunk and harvest.running == lease.next
    # A chunk that ends its worker before the first task begins (it is too large, or our code
    # fails on it) would circle for ever if nothing were charged. Kills are nobody's fault.
    killed = event.signal == signal.SIGKILL and not event.out_of_memory
    blameless = killed or worker.doom is not None or event.status == SPENT
    if worker.doom is Doom.ASLEEP or event.status == BENT:
        # A task of another chunk has taken, or spoiled, what this worker was sent.
        blameless = harvest.chunk not in (-1, lease.run.chunk)
    if began and (harvest.untold or harvest.dropped):
        output = messages.Output(
            chunk=harvest.chunk, index=lease.next, worker=worker.pid, dropped=harvest.dropped
        )
        turn.report(tenant, output, harvest.untold)
    charged = began or worker.bent or (lease.next == lease.run.first and not blameless)
    if charged and lease.next < lease.stop:
        _charge(turn, tenant, worker, lease, event)
    for each in worker.leases:
        return_rest(turn, tenant, each, each.next)


def _charge(
    turn: Turn, tenant: Tenant, worker: PoolWorker, lease: WorkerLease, event: events.WorkerExited
) -> None:
    """The next task of a lease ended with its worker."""
    if worker.doom is Doom.CANCEL or lease.cancelled:
        kind, blob = Kind.CANCELLED, b""
    else:
        loss = loss_of(worker, event, lease.run.limits)
        kind = _KINDS.get(worker.doom, Kind.LOST)
        blob = messages.encode(loss)
    _outcome(turn, tenant, worker, lease, kind, blob)


def _is_bent(worker: PoolWorker, lease: WorkerLease, left: events.Harvest) -> bool:
    """A journal cannot be believed: it does not fit itself, or what we know of its chunk."""
    if left.bent:
        return True
    if left.finished is None:
        return False
    if left.chunk != lease.run.chunk:  # it has not begun this one
        return lease.next > lease.run.first or left.chunk > worker.highest
    if left.finished > lease.run.first + lease.run.count:
        return True
    if left.finished >= lease.next:
        begins = left.finished - len(left.outcomes)
        return begins > lease.next or left.running not in (None, left.finished)
    # It was about to note that all its outcomes had been sent.
    return bool(left.outcomes) or left.running != lease.next - 1


def _outcome(
    turn: Turn, tenant: Tenant, worker: PoolWorker, lease: WorkerLease, kind: int, blob: bytes
) -> None:
    """The controller is told what came of the next task of a lease."""
    message = messages.Outcomes(
        chunk=lease.run.chunk, first=lease.next, kinds=bytes([kind]), worker=worker.pid
    )
    lease.next += 1
    turn.report(tenant, message, blobs.pack([blob]))


def _died_early(turn: Turn, tenant: Tenant, event: events.WorkerExited) -> None:
    """A worker died before it was ready; after a few of those the controller hears of a pause."""
    restarts = tenant.restarts
    if not restarts.died(turn.now):
        fork(turn, tenant)
        return
    turn.crew.wake(restarts.until)
    how = signal_name(event.signal) if event.signal else f"exit status {event.status}"
    what = (
        f"could not be forked ({event.why})"
        if event.why
        else f"died before they were ready, the last with {how}"
    )
    why = f"{restarts.count} workers in a row {what}; the next is tried in {restarts.pause:.0f} s"
    if event.harvest.output:
        why += f"; it printed: {event.harvest.output[-2000:]}"
    changed = messages.WorkersChanged(workers=tenant.alive, alive=tenant.alive, why=why)
    turn.report(tenant, changed)
