"""What becomes of a chunk, queued or leased, up to its end in a worker that lives."""

from __future__ import annotations

import msgspec

from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.chunks import cancelling
from scattergather.workers.pool.chunks.feeding import assign, feed, recall
from scattergather.workers.pool.crew import Crew, report, report_slots, retire
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import PoolWorker, WorkerLease


def take_back(session: Tenant, count: int, out: list[actions.Action]) -> None:
    """Give back the chunks that were queued last, until those have ``count`` tasks.

    Then those that workers hold behind others, as far as they have not begun.
    """
    while count > 0 and (session.queue or session.waiting):
        chunk, queued = session.unqueue_last()
        count -= queued.run.count
        report(session, messages.GaveBack(chunk=chunk, first=queued.run.first), out)
    if count > 0:
        recall(session, count, out)


def recalled(
    crew: Crew, session: Tenant, worker: PoolWorker, chunk: int, out: list[actions.Action]
) -> None:
    """A chunk will not begin in the worker that held it behind another: an idle one gets it."""
    for lease in list(worker.leases)[1:]:
        if lease.run.chunk == chunk:
            worker.leases.remove(lease)
            if session.idle and session.running < crew.slots and not lease.cancelled:
                assign(session, session.idle.popitem()[1], lease.run, lease.body, out)
            else:
                free(session, lease, lease.next, out)


def arrived(
    crew: Crew,
    session: Tenant,
    worker: PoolWorker,
    message: messages.Outcomes,
    body: bytes,
    now: float,
    out: list[actions.Action],
) -> None:
    """A worker sent outcomes: pass on what is new of them."""
    lease = worker.leases[0] if worker.leases else None
    known = lease.next - message.first if lease is not None else -1
    if lease is None or lease.run.chunk != message.chunk or not 0 <= known < len(message.kinds):
        if message.objects or message.lent:
            names = tuple(extent.object for extent in (*message.objects, *message.lent))
            out.append(actions.DropResults(session=session.number, objects=names))
        return
    if known:
        message, body = _behind(message, body, known)
    lease.next += len(message.kinds)
    if lease.next >= lease.stop:
        # First the next chunk: the worker waits for it, and the report takes its time.
        _ended(crew, session, worker, now, out)
    report(session, message, out, body)


def gave_back(
    crew: Crew,
    session: Tenant,
    worker: PoolWorker,
    message: messages.GaveBack,
    now: float,
    out: list[actions.Action],
) -> None:
    """A worker will not begin the rest of a chunk."""
    if message.chunk == worker.skipping:
        worker.skipping = None
    for lease in worker.leases:
        if lease.run.chunk == message.chunk:
            free(session, lease, message.first, out)
            if lease is worker.leases[0]:
                _ended(crew, session, worker, now, out)
            else:
                session.ahead.pop(worker.number, None)
                worker.leases.remove(lease)
            return


def free(session: Tenant, lease: WorkerLease, first: int, out: list[actions.Action]) -> None:
    """Tell the controller that the rest of a chunk is free, or gone if it was cancelled."""
    if first < lease.stop:
        kind = messages.CancelDone if lease.cancelled else messages.GaveBack
        report(session, kind(chunk=lease.run.chunk, first=first), out)


def _ended(
    crew: Crew, session: Tenant, worker: PoolWorker, now: float, out: list[actions.Action]
) -> None:
    """A worker is done with its chunk: it begins the next, is idle, or ends."""
    worker.leases.popleft()
    session.ahead.pop(worker.number, None)
    worker.escalation.clear()
    worker.stuck = None
    if not worker.leases:
        session.running -= not worker.blocked
        if worker.blocked:
            worker.blocked = False
            report_slots(session, out)
        if worker.over_since is None:
            crew.idle(session, worker, now)
        else:  # what it leaves behind would count as the next task's
            retire(worker, out)
            crew.fork(session, now, out)
    else:
        worker.leases[0].body = b""
        if worker.leases[0].cancelled:
            cancelling.interrupt(crew, worker, now, out)
    feed(crew, now, out)


def _behind(message: messages.Outcomes, body: bytes, known: int) -> tuple[messages.Outcomes, bytes]:
    """Outcomes without the first ``known``, which were read from the journal before."""
    count = len(message.kinds)
    rest = msgspec.structs.replace(
        message, first=message.first + known, kinds=message.kinds[known:]
    )
    return rest, blobs.part(body, count, known, count)
