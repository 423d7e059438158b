"""What becomes of a chunk, queued or leased, up to its end in a worker that lives.

Whatever runs in a worker can write into its socket, so what it says of its chunk is checked as what
a stranger says. Outcomes are of the chunk at work, in order, without a gap and no more than there
are; what it does not begin is what it was told not to. Else the worker ends, and its task is
charged.
"""

from __future__ import annotations

import msgspec

from scattergather.model.outcome import OWN_KINDS, can_wait
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.chunks import cancelling
from scattergather.workers.pool.chunks.feeding import assign, feed, recall
from scattergather.workers.pool.staffing import end_bent, fork, report_slots, retire, set_idle
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import PoolWorker, WorkerLease


def take_back(turn: Turn, tenant: Tenant, count: int, chunks: tuple[int, ...] = ()) -> None:
    """The chunks that were queued last go back, until those have ``count`` tasks.

    Then those do that workers hold behind others, as far as they have not begun. With ``chunks``
    only these do.
    """
    if chunks:
        _take_back_of(turn, tenant, count, frozenset(chunks))
        return
    while count > 0 and (tenant.queue or tenant.waiting):
        chunk, queued = tenant.unqueue_last()
        count -= queued.run.count
        turn.report(tenant, messages.GaveBack(chunk=chunk, first=queued.run.first))
    while count > 0 and tenant.ahead:
        count -= recall(turn, tenant, next(iter(tenant.ahead.values()))).count


def _take_back_of(turn: Turn, tenant: Tenant, count: int, chunks: frozenset[int]) -> None:
    queued = [*reversed(tenant.waiting), *reversed(tenant.queue)]
    for chunk in [each for each in queued if each in chunks]:
        if count > 0 and (found := tenant.unqueue(chunk)) is not None:
            count -= found.run.count
            turn.report(tenant, messages.GaveBack(chunk=chunk, first=found.run.first))
    for worker in list(tenant.ahead.values()):
        if count > 0 and worker.leases[1].run.chunk in chunks:
            count -= recall(turn, tenant, worker).count


def recalled(turn: Turn, tenant: Tenant, worker: PoolWorker, chunk: int) -> None:
    """A chunk will not begin in the worker that held it behind another: an idle one gets it."""
    for lease in list(worker.leases)[1:]:
        if lease.run.chunk == chunk:
            worker.leases.remove(lease)
            if tenant.idle and tenant.running < tenant.limit and not lease.cancelled:
                assign(turn, tenant, tenant.idle.popitem()[1], lease.run, lease.body)
            else:
                return_rest(turn, tenant, lease, lease.next)


def arrived(
    turn: Turn, tenant: Tenant, worker: PoolWorker, message: messages.Outcomes, body: bytes
) -> None:
    """A worker sent outcomes: what is new of them is passed on."""
    lease = worker.leases[0] if worker.leases else None
    known = lease.next - message.first if lease is not None else -1
    if lease is None or lease.run.chunk != message.chunk or not 0 <= known < len(message.kinds):
        drop_results(turn, tenant, message)
        if known < 0 and any(each.run.chunk == message.chunk for each in worker.leases):
            end_bent(turn, tenant, worker, "it told of tasks that it had not come to")
        elif (
            lease is not None
            and lease.run.chunk == message.chunk
            and (message.first < lease.run.first or known > len(message.kinds))
        ):  # then it never tells of the next one. A batch that was read in its journal is the last
            end_bent(turn, tenant, worker, "it told of tasks again")
        return
    count = len(message.kinds)
    if (
        message.first + count > lease.run.first + lease.run.count
        or not blobs.sound(body, count)
        or message.kinds.strip(OWN_KINDS)
        or (count > 1 and (message.objects or message.lent or message.borrowed))
    ):
        drop_results(turn, tenant, message)
        end_bent(turn, tenant, worker, "it told of outcomes what cannot be")
        return
    if known or message.first + count > lease.stop:
        message, body = _new_of(message, body, known, lease.stop - message.first)
    lease.next += len(message.kinds)
    if lease.next >= lease.stop:
        # First the next chunk: the worker waits for it, and the report takes its time.
        _ended(turn, tenant, worker)
    patient = (
        bool(worker.leases)
        and can_wait(message.elapsed, len(message.kinds))
        and not message.objects
    )
    turn.report(tenant, message, body, patient=patient)


def prints(worker: PoolWorker, chunk: int, index: int) -> bool:
    """A worker has this task, so that what it printed may be told."""
    return any(
        each.run.chunk == chunk and each.run.first <= index < each.stop for each in worker.leases
    )


def drop_results(turn: Turn, tenant: Tenant, message: messages.Outcomes) -> None:
    """Nobody will hear of these outcomes: what lies beside them is dropped."""
    if message.objects or message.lent:
        names = tuple(extent.object for extent in (*message.objects, *message.lent))
        turn.ask(actions.DropResults(tenant=tenant.number, objects=names))


def gave_back(turn: Turn, tenant: Tenant, worker: PoolWorker, message: messages.GaveBack) -> None:
    """A worker will not begin the rest of a chunk."""
    skipped = message.chunk == worker.skipping
    if skipped:
        worker.skipping = None
    for lease in worker.leases:
        if lease.run.chunk == message.chunk:
            if message.first != lease.next:
                end_bent(turn, tenant, worker, "it gave tasks back that are not the next")
                return
            unasked = message.chunk > worker.halted and not (skipped or lease.cancelled)
            if unasked and lease is worker.leases[0] and lease.next == lease.run.first:
                # It would do so for ever, with one chunk after the other.
                end_bent(turn, tenant, worker, "it does not begin what it gets")
            return_rest(turn, tenant, lease, message.first)
            if lease is worker.leases[0]:
                _ended(turn, tenant, worker)
            else:
                tenant.ahead.pop(worker.number, None)
                worker.leases.remove(lease)
            return


def return_rest(turn: Turn, tenant: Tenant, lease: WorkerLease, first: int) -> None:
    """The rest of a chunk, from ``first`` on, is the controller's again, or gone if cancelled."""
    if first < lease.stop:
        kind = messages.CancelDone if lease.cancelled else messages.GaveBack
        turn.report(tenant, kind(chunk=lease.run.chunk, first=first))


def _ended(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    """A worker is done with its chunk: it begins the next, is idle, or ends."""
    ended = worker.leases.popleft()
    tenant.ahead.pop(worker.number, None)
    if ended.run.chunk == worker.skipping:  # it had begun before the word reached it
        worker.skipping = None
    worker.unread = 0
    if not worker.leases:
        tenant.running -= not worker.blocked
        if worker.blocked:
            worker.blocked = False
            report_slots(turn, tenant)
        if worker.over_since is None:
            set_idle(turn, tenant, worker)
        else:  # what it leaves behind would count as the next task's
            retire(turn, worker)
            fork(turn, tenant)
    else:
        worker.leases[0].body = b""
        if worker.leases[0].cancelled:
            cancelling.interrupt(turn, worker)
    feed(turn)


def _new_of(
    message: messages.Outcomes, body: bytes, known: int, stop: int
) -> tuple[messages.Outcomes, bytes]:
    """Outcomes without the first ``known``, which were read from the journal before.

    Those from ``stop`` on are of tasks that were given back while it took long to find out that
    what they call cannot be loaded. They are not the worker's any more.
    """
    count = len(message.kinds)
    stop = min(stop, count)
    rest = msgspec.structs.replace(
        message, first=message.first + known, kinds=message.kinds[known:stop]
    )
    return rest, blobs.part(body, count, known, stop)
