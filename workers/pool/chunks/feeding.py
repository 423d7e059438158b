"""Who gets which chunk.

- A worker gets a chunk when it is idle, and a second one when both are of short tasks: then it need
  not wait for us in between. Everything else stays queued here, where it can be cancelled or given
  back without asking a worker.
- When a worker is idle and nothing is queued, it gets what another one holds behind its first
  chunk, if that has not begun: so nothing waits behind a task that turns out to be long.
- Of several that are idle the one that was busy last is first: what it needs is warm, its free
  memory too.
- At most ``slots`` workers run at a time, and at most ``limit`` of one tenant. A free slot
  goes to the tenant that runs least; one that got none for a second is given a worker
  beyond the slots.
- Before a chunk goes the code that it needs and the worker lacks.
- A tenant whose controller does not keep up with its outcomes gets nothing more until it does.
"""

from __future__ import annotations

from scattergather.model.ids import digest_of
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import PoolWorker, WorkerLease

HUNGRY_AFTER = 1.0


def feed(turn: Turn) -> None:
    """Queued chunks go to idle workers, then to workers that will soon be idle."""
    tenants = turn.crew.tenants
    if len(tenants) == 1:
        (tenant,) = tenants.values()
        if tenant.clogged:
            return
        while tenant.queue and tenant.idle and tenant.running < tenant.limit:
            _assign(turn, tenant, tenant.idle.popitem()[1])
        if tenant.queue:
            _feed_ahead(turn, tenant)
        elif tenant.ahead and tenant.idle:
            free = min(len(tenant.idle), tenant.limit - tenant.running)
            for worker in list(tenant.ahead.values())[: max(free, 0)]:
                recall(turn, tenant, worker)
    else:
        _feed_fairly(turn)


def _feed_fairly(turn: Turn) -> None:
    crew, now = turn.crew, turn.now
    tenants = list(crew.tenants.values())  # one of them may have to leave
    ready = [each for each in tenants if each.queue and each.idle and not each.clogged]
    ready = [each for each in ready if each.running < each.limit]
    free = crew.slots - sum(each.running for each in tenants)
    while ready and free > 0:
        tenant = min(ready, key=lambda each: each.running)
        _assign(turn, tenant, tenant.idle.popitem()[1])
        free -= 1
        if not (tenant.queue and tenant.idle and tenant.running < tenant.limit):
            ready.remove(tenant)
    for tenant in tenants:
        if tenant.running or not tenant.queue or tenant.clogged:
            tenant.hungry_since = None
        elif tenant.hungry_since is None:
            tenant.hungry_since = now
            crew.wake(now + HUNGRY_AFTER)
        elif now < tenant.hungry_since + HUNGRY_AFTER:
            crew.wake(tenant.hungry_since + HUNGRY_AFTER)
        elif tenant.idle:  # else the first worker that is idle brings us here again
            tenant.hungry_since = None
            _assign(turn, tenant, tenant.idle.popitem()[1])


def _feed_ahead(turn: Turn, tenant: Tenant) -> None:
    for worker in tenant.workers.values():
        if not tenant.queue:
            return
        head = next(iter(tenant.queue.values()))
        if not head.run.ahead:
            return
        if (
            len(worker.leases) == 1
            and worker.leases[0].run.ahead
            and worker.leases[0].stuck is None
            and worker.skipping is None
            and not worker.blocked
            and worker.doom is None
        ):
            _assign(turn, tenant, worker)


def recall(turn: Turn, tenant: Tenant, worker: PoolWorker) -> messages.Run:
    """The chunk that this worker holds behind another is asked back, and returned."""
    del tenant.ahead[worker.number]
    run = worker.leases[1].run
    worker.skipping = run.chunk
    turn.ask(actions.RecallChunk(worker=worker.number, chunk=run.chunk))
    return run


def _assign(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    """The next chunk of a tenant goes to a worker. If that cannot be done the tenant has to leave.

    This is done in turns of other tenants, too, which must not hear of it.
    """
    try:
        _, queued = tenant.queue.popitem(last=False)
        tenant.held -= queued.weight
        assign(turn, tenant, worker, queued.run, queued.body)
    except Exception as error:
        turn.end_session(tenant, error)


def assign(turn: Turn, tenant: Tenant, worker: PoolWorker, run: messages.Run, body: bytes) -> None:
    """A worker gets a chunk, and before it the code that this needs."""
    teach(turn, tenant, worker, run.function, run.needs)
    if run.retry_on:
        _teach_digest(turn, tenant, worker, run.retry_on)
    lease = WorkerLease(run, run.first, run.first + run.count)
    worker.highest = max(worker.highest, run.chunk)
    if worker.leases:
        lease.body = body
        tenant.ahead[worker.number] = worker
    else:
        tenant.running += 1
    worker.leases.append(lease)
    turn.asked.append(actions.Tell(worker=worker.number, message=run, body=body))


def teach(
    turn: Turn, tenant: Tenant, worker: PoolWorker, function: str, needs: tuple[bytes, ...]
) -> None:
    """A worker is sent what it lacks of a function and the code that this needs."""
    digest = digest_of(function)
    if digest is not None:
        _teach_digest(turn, tenant, worker, digest)
    for need in needs:
        _teach_digest(turn, tenant, worker, need)


def _teach_digest(turn: Turn, tenant: Tenant, worker: PoolWorker, digest: bytes) -> None:
    if digest in worker.known:
        return
    for each in tenant.missing(digest, worker.known):
        code, blob = tenant.code[each]
        worker.known.add(each)
        turn.tell(worker, code, blob)


def forget(turn: Turn, tenant: Tenant, digests: tuple[bytes, ...]) -> None:
    """Code that no job names any more is dropped here and in the workers that know it."""
    for digest in digests:
        tenant.forget_code(digest)
    gone = set(digests)
    for worker in tenant.workers.values():
        known = tuple(sorted(gone & worker.known))  # so that it can be replayed
        if known:
            worker.known.difference_update(known)
            turn.tell(worker, messages.Forget(digests=known))
