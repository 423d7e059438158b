"""What becomes of a dead worker's tasks, and who takes its place.

What it finished is in its socket or its journal and counts. The task it was in is lost (or
interrupted, or cancelled, by the pool's own doing), everything behind that is given back. So only
the task that ran is charged.
"""

from __future__ import annotations

import signal

from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import SPENT
from scattergather.workers.pool import actions, events, objects
from scattergather.workers.pool.chunks import roll_calls
from scattergather.workers.pool.chunks.feeding import feed
from scattergather.workers.pool.chunks.leases import free
from scattergather.workers.pool.crew import Crew, report, report_slots
from scattergather.workers.pool.losses.verdict import loss_of, signal_name
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import Doom, PoolWorker, WorkerLease

_KINDS: dict[Doom | None, Kind] = {
    Doom.REFRESH: Kind.INTERRUPTED,
    Doom.TIME: Kind.EXCEEDED,
    Doom.MEMORY: Kind.EXCEEDED,
}
"""What comes of the task in a worker that the pool itself ended; else it is lost."""


def worker_exited(
    crew: Crew, event: events.WorkerExited, now: float, out: list[actions.Action]
) -> None:
    """A worker is dead: settle what it held, and fork another unless it was one too many."""
    worker = crew.workers.pop(event.worker, None)
    if worker is None:
        return
    session = crew.sessions.get(worker.session)
    if session is None:
        return
    del session.workers[worker.number]
    session.idle.pop(worker.number, None)
    session.ahead.pop(worker.number, None)
    session.running -= worker.busy
    if worker.blocked:
        report_slots(session, out)
    _settle_leases(session, worker, event, out)
    objects.died(session, worker, out)
    roll_calls.lost(session, worker, event, out)
    if not worker.born and worker.doom is None:
        _died_early(crew, session, event, now, out)
    elif worker.doom is not Doom.RETIRED:
        crew.fork(session, now, out)
    roll_calls.settled(session, worker, now, out)
    feed(crew, now, out)


def _settle_leases(
    session: Tenant, worker: PoolWorker, event: events.WorkerExited, out: list[actions.Action]
) -> None:
    """Every task of the dead worker's chunks gets its due: outcome, loss, or freedom."""
    if not worker.leases:
        return
    lease, harvest = worker.leases[0], event.harvest
    for index, kind, blob in harvest.outcomes if harvest.chunk == lease.run.chunk else ():
        if index == lease.next:
            _outcome(session, worker, lease, kind, blob, out)
    began = harvest.chunk == lease.run.chunk and harvest.running == lease.next
    # A chunk that ends its worker before the first task begins (it is too large, or our code
    # fails on it) would circle for ever if nothing were charged. Kills are nobody's fault.
    killed = event.signal == signal.SIGKILL and not event.out_of_memory
    blameless = killed or worker.doom is not None or event.status == SPENT
    charged = began or (lease.next == lease.run.first and not blameless)
    if charged and lease.next < lease.stop:
        if worker.doom is Doom.CANCEL or lease.cancelled:
            kind, blob = Kind.CANCELLED, b""
        else:
            loss = loss_of(worker, event, lease.run.limits)
            kind = _KINDS.get(worker.doom, Kind.LOST)
            blob = messages.encode(loss)
        _outcome(session, worker, lease, kind, blob, out)
    for each in worker.leases:
        free(session, each, each.next, out)


def _outcome(
    session: Tenant,
    worker: PoolWorker,
    lease: WorkerLease,
    kind: int,
    blob: bytes,
    out: list[actions.Action],
) -> None:
    """Report what came of the next task of a lease."""
    message = messages.Outcomes(
        chunk=lease.run.chunk, first=lease.next, kinds=bytes([kind]), worker=worker.pid
    )
    lease.next += 1
    report(session, message, out, blobs.pack([blob]))


def _died_early(
    crew: Crew,
    session: Tenant,
    event: events.WorkerExited,
    now: float,
    out: list[actions.Action],
) -> None:
    """It died before it was ready: after a few of those, say so and wait."""
    restarts = session.restarts
    if not restarts.died(now):
        crew.fork(session, now, out)
        return
    crew.wake(restarts.until)
    how = signal_name(event.signal) if event.signal else f"exit status {event.status}"
    why = (
        f"{restarts.count} workers in a row died before they were ready, the last with "
        f"{how}; the next is tried in {restarts.pause:.0f} s"
    )
    if event.harvest.output:
        why += f"; it printed: {event.harvest.output[-2000:]}"
    changed = messages.WorkersChanged(workers=session.alive, alive=session.alive, why=why)
    report(session, changed, out)
