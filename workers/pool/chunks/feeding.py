"""Who gets which chunk.

- A worker gets a chunk when it is idle, and a second one when both are of short tasks: then it need
  not wait for us in between. Everything else stays queued here, where it can be cancelled or given
  back without asking a worker.
- When a worker is idle and nothing is queued, it gets what another one holds behind its first
  chunk, if that has not begun: so nothing waits behind a task that turns out to be long.
- Of several that are idle the one that was busy last is first: what it needs is warm, its free
  memory too.
- At most ``slots`` workers run at a time, whichever session they belong to. A free slot goes to the
  session that runs least; one that got none for a second is given a worker beyond the slots.
- Before a chunk goes the code that it needs and the worker lacks.
"""

from __future__ import annotations

from scattergather.model.ids import digest_of
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import PoolWorker, WorkerLease

HUNGRY_AFTER = 1.0


def feed(crew: Crew, now: float, out: list[actions.Action]) -> None:
    """Give queued chunks to idle workers, then to workers that will soon be idle."""
    if len(crew.sessions) == 1:
        (session,) = crew.sessions.values()
        while session.queue and session.idle and session.running < crew.slots:
            _assign(session, session.idle.popitem()[1], out)
        if session.queue:
            _feed_ahead(session, out)
        elif session.ahead and session.idle:
            recall(session, min(len(session.idle), crew.slots - session.running), out)
    else:
        _feed_fairly(crew, now, out)


def _feed_fairly(crew: Crew, now: float, out: list[actions.Action]) -> None:
    ready = [each for each in crew.sessions.values() if each.queue and each.idle]
    free = crew.slots - sum(each.running for each in crew.sessions.values())
    while ready and free > 0:
        session = min(ready, key=lambda each: each.running)
        _assign(session, session.idle.popitem()[1], out)
        free -= 1
        if not (session.queue and session.idle):
            ready.remove(session)
    for session in crew.sessions.values():
        if session.running or not session.queue:
            session.hungry_since = None
        elif session.hungry_since is None:
            session.hungry_since = now
            crew.wake(now + HUNGRY_AFTER)
        elif now < session.hungry_since + HUNGRY_AFTER:
            crew.wake(session.hungry_since + HUNGRY_AFTER)
        elif session.idle:  # else the first worker that is idle brings us here again
            session.hungry_since = None
            _assign(session, session.idle.popitem()[1], out)


def _feed_ahead(session: Tenant, out: list[actions.Action]) -> None:
    for worker in session.workers.values():
        if not session.queue:
            return
        head = next(iter(session.queue.values()))
        if not head.run.ahead:
            return
        if (
            len(worker.leases) == 1
            and worker.leases[0].run.ahead
            and worker.stuck is None
            and worker.skipping is None
            and not worker.blocked
            and worker.doom is None
        ):
            _assign(session, worker, out)


def recall(session: Tenant, count: int, out: list[actions.Action]) -> None:
    """Ask for ``count`` chunks back that workers hold behind others, those they got first."""
    while session.ahead and count > 0:
        _, worker = session.ahead.popitem(last=False)
        recall_from(worker, out)
        count -= 1


def recall_from(worker: PoolWorker, out: list[actions.Action]) -> None:
    """Ask for the chunk back that this worker holds behind another."""
    worker.skipping = worker.leases[1].run.chunk
    out.append(actions.RecallChunk(worker=worker.number, chunk=worker.skipping))


def _assign(session: Tenant, worker: PoolWorker, out: list[actions.Action]) -> None:
    _, queued = session.queue.popitem(last=False)
    assign(session, worker, queued.run, queued.body, out)


def assign(
    session: Tenant, worker: PoolWorker, run: messages.Run, body: bytes, out: list[actions.Action]
) -> None:
    """Give a chunk, and before it the code that it needs, to a worker."""
    teach(session, worker, run.function, run.needs, out)
    if run.retry_on:
        _teach_digest(session, worker, run.retry_on, out)
    lease = WorkerLease(run, run.first, run.first + run.count)
    if worker.leases:
        lease.body = body
        session.ahead[worker.number] = worker
    else:
        session.running += 1
    worker.leases.append(lease)
    out.append(actions.Tell(worker=worker.number, message=run, body=body))


def teach(
    session: Tenant,
    worker: PoolWorker,
    function: str,
    needs: tuple[bytes, ...],
    out: list[actions.Action],
) -> None:
    """Send a worker what it lacks of a function and the code that this needs."""
    digest = digest_of(function)
    if digest is not None:
        _teach_digest(session, worker, digest, out)
    for need in needs:
        _teach_digest(session, worker, need, out)


def _teach_digest(
    session: Tenant, worker: PoolWorker, digest: bytes, out: list[actions.Action]
) -> None:
    if digest in worker.known:
        return
    for each in session.missing(digest, worker.known):
        code, blob = session.code[each]
        worker.known.add(each)
        out.append(actions.Tell(worker=worker.number, message=code, body=blob))


def forget(session: Tenant, digests: tuple[bytes, ...], out: list[actions.Action]) -> None:
    """Drop code that no job names any more, here and in the workers that know it."""
    for digest in digests:
        session.code.pop(digest, None)
    for worker in session.workers.values():
        known = tuple(digest for digest in digests if digest in worker.known)
        if known:
            worker.known.difference_update(known)
            told = messages.Forget(digests=known)
            out.append(actions.Tell(worker=worker.number, message=told))
