"""Large objects, which travel beside the chunks that take them.

- A chunk waits until everything that it takes is on this host; it can be cancelled or given back
  meanwhile like any other in the queue.
- Room is made for what is wanted by dropping what no chunk takes: the controller has it still.
- A task may keep an argument after its end. Its memory is free when the controller has dropped the
  object and no worker keeps it any more.
- What a nested call has returned waits like a chunk. A worker holds it from the moment it is told,
  and says when it releases it; for a dead one we say so.
- When only workers run that wait for nested calls themselves, and nothing can be dropped, there is
  room beyond the bound: they would wait for each other for ever.
- When none runs at all, and what idle ones keep leaves no room, one of these is replaced after the
  other: nothing else would end the wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent, Loss
from scattergather.workers.pool import actions
from scattergather.workers.pool.chunks import roll_calls
from scattergather.workers.pool.chunks.feeding import feed
from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.staffing import end_bent, fork, kill, retire
from scattergather.workers.pool.tenant import Postponed, Queued, Tenant, weight_of
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import Doom, PoolWorker

MOST_KEPT = 1 << 16
"""Arguments that the workers of one tenant may keep, beyond the end of their tasks."""

KEEPING_SECONDS = 2.0
"""How long an idle worker may keep what is in the way: until it has looked what it keeps no more
(``process.values.large.KEPT_SECONDS``)."""


def await_needs(turn: Turn, tenant: Tenant, queued: Queued) -> None:
    """A chunk waits for what it lacks, which is asked for unless it is on its way."""
    tenant.waiting[queued.run.chunk] = queued
    _want(turn, tenant, queued.missing)


def postpone(
    turn: Turn,
    tenant: Tenant,
    message: messages.Everywhere | messages.NestedOutcome,
    body: bytes,
    missing: Iterable[ObjectId],
) -> None:
    """A call everywhere, or the outcome of a nested call, waits for what it takes, like a chunk."""
    tenant.hold(weight_of(message, body))
    postponed = Postponed(message, body, set(missing))
    tenant.postponed.append(postponed)
    _want(turn, tenant, postponed.missing)


def _want(turn: Turn, tenant: Tenant, missing: set[ObjectId]) -> None:
    """The controller is asked for those of these that are not on their way."""
    new = tuple(sorted(missing - tenant.wanted))  # so that it can be replayed
    if new:
        tenant.wanted.update(new)
        turn.report(tenant, messages.Want(objects=new))


def arrived(turn: Turn, tenant: Tenant, names: Iterable[ObjectId]) -> None:
    """These objects are here: chunks that waited for the last of them are ready.

    One that the controller dropped while it was on its way is dropped now.
    """
    unwanted = [name for name in names if name not in tenant.wanted | tenant.here.keys()]
    tenant.wanted.difference_update(names)
    tenant.here.update(dict.fromkeys(names))
    drop(turn, tenant, unwanted)
    _end_waits_for(turn, tenant, names)


def found(turn: Turn, tenant: Tenant, name: ObjectId) -> None:
    """An object that workers here have made has this name, too: who waits for it has it."""
    if name in tenant.wanted:
        tenant.wanted.discard(name)
        _end_waits_for(turn, tenant, [name])


def _end_waits_for(turn: Turn, tenant: Tenant, names: Iterable[ObjectId]) -> None:
    for chunk, queued in list(tenant.waiting.items()):
        queued.missing.difference_update(names)
        if not queued.missing:
            del tenant.waiting[chunk]
            tenant.queue[chunk] = queued
    for each in tenant.postponed:
        each.missing.difference_update(names)
    for each in _end_waits(tenant, [each for each in tenant.postponed if not each.missing]):
        if isinstance(each.message, messages.NestedOutcome):
            deliver_nested(turn, tenant, each.message, each.body)
        else:
            roll_calls.everywhere(turn, tenant, each.message, each.body)
    feed(turn)


def lost(turn: Turn, tenant: Tenant, names: Iterable[ObjectId], reason: str) -> None:
    """These objects will not come: the tasks that take one are lost here, and may run elsewhere."""
    gone = set(names)
    tenant.wanted -= gone
    for chunk, queued in list(tenant.waiting.items()):
        if queued.missing & gone:
            tenant.unqueue(chunk)
            lose_chunk(turn, tenant, queued.run, reason)
    for each in _end_waits(tenant, [each for each in tenant.postponed if each.missing & gone]):
        if isinstance(each.message, messages.NestedOutcome):
            lose_nested(turn, tenant, each.message, reason)
        else:
            roll_calls.failed(turn, tenant, each.message.call, reason)


def _end_waits(tenant: Tenant, over: list[Postponed]) -> list[Postponed]:
    """These wait no more; in one go, as there may be very many. Returns them."""
    if over:
        gone = set(map(id, over))
        tenant.postponed = [each for each in tenant.postponed if id(each) not in gone]
        tenant.held -= sum(weight_of(each.message, each.body) for each in over)
    return over


def lose_chunk(turn: Turn, tenant: Tenant, run: messages.Run, reason: str) -> None:
    """A chunk can never run here: each of its tasks is lost."""
    loss = messages.encode(Loss(kind=LossKind.LOST, reason=reason))
    outcomes = messages.Outcomes(
        chunk=run.chunk, first=run.first, kinds=bytes([Kind.LOST]) * run.count
    )
    turn.report(tenant, outcomes, blobs.pack([loss] * run.count))


def deliver_nested(
    turn: Turn, tenant: Tenant, message: messages.NestedOutcome, body: bytes
) -> None:
    """A worker gets what came of a nested call, and holds its objects.

    One that is dead, or has made no such call, releases them. It may not read for hours, so that
    more answers than calls would take memory without end, and so would large ones.
    """
    worker = tenant.workers.get(message.worker)
    names = tuple(extent.object for extent in message.objects)
    if worker is not None and worker.asked:
        worker.asked -= 1
        worker.held.update(names)
        if not worker.blocked:
            worker.unread += weight_of(message, body)
            if worker.unread > tenant.most:
                kill(turn, worker, Doom.UNREAD)
                return
        turn.tell(worker, message, body)
    elif names:
        turn.report(tenant, messages.Release(objects=names))


def lose_nested(turn: Turn, tenant: Tenant, message: messages.NestedOutcome, reason: str) -> None:
    """What a nested call returned cannot be brought here: it counts as lost."""
    loss = messages.encode(Loss(kind=LossKind.LOST, reason=reason))
    lost = msgspec.structs.replace(message, kind=Kind.LOST, objects=())
    names = tuple(extent.object for extent in message.objects)
    turn.report(tenant, messages.Release(objects=names))
    deliver_nested(turn, tenant, lost, loss)


def released(turn: Turn, tenant: Tenant, worker: PoolWorker, names: Iterable[ObjectId]) -> None:
    """A worker holds each of these nested results once less than before."""
    released = tuple((Counter(names) & worker.held).elements())
    worker.held -= Counter(released)
    turn.report(tenant, messages.Release(objects=released))


def make_room(turn: Turn, tenant: Tenant) -> None:
    """One object is dropped that no chunk here takes; without one this is tried at the next event.

    The controller has it still. It is the one that has been here longest without being taken.
    ``pressed`` stays until something was dropped, because nothing can be while tasks take all of
    it, and whatever ends that (an outcome, a cancel, a death, a ``LetGo``) is an event here: a
    request for room that was answered only once would wait for ever.

    When nothing runs whose end could make room, the chunk that has waited longest goes first. What
    only others take is dropped, and they wait for it once more. Chunks that each have a part of
    what they take, and no room for the rest, would wait for each other.
    """
    workers = tenant.workers.values()
    running = {
        *(
            each.object
            for worker in workers
            for lease in worker.leases
            for each in lease.run.objects
        ),
        *(each.object for call in tenant.everywhere.values() for each in call.message.objects),
        *(name for worker in workers for name in worker.held),
    }
    users: list[messages.Run | messages.Everywhere | messages.NestedOutcome] = [
        *(queued.run for queued in tenant.waiting.values()),
        *(queued.run for queued in tenant.queue.values()),
        *(each.message for each in tenant.postponed),
    ]
    taken = running.union(extent.object for user in users for extent in user.objects)
    for name in sorted(taken.intersection(tenant.here)):
        tenant.here.move_to_end(name)
    stuck = _is_stuck(turn.crew)
    first = _needed_first(turn.crew)
    needed = running | first if stuck else taken
    for name in tenant.here:
        if name not in needed and name not in tenant.kept:
            tenant.pressed = False
            tenant.dropping.add(name)
            _drop_unkept(turn, tenant, [name])
            if name in taken:
                _miss(turn, tenant, name)
            return
    if stuck and any(worker.blocked for worker in turn.crew.workers.values()):
        tenant.pressed = False
        turn.ask(actions.Overdraw())
    elif stuck and first:
        _replace_keeper(turn, tenant, first)


def _replace_keeper(turn: Turn, tenant: Tenant, first: set[ObjectId]) -> None:
    """A worker that keeps what is not needed ``first`` ends: the one that has been idle longest.

    What it kept may be enough, so no other is ended until it is gone.
    """
    names = tenant.here.keys() - first
    keepers = [
        worker
        for worker in tenant.workers.values()
        if any(name in worker.held or worker.number in tenant.kept.get(name, ()) for name in names)
    ]
    if not keepers or any(worker.doom is not None for worker in keepers):
        return
    worker = min(keepers, key=lambda each: each.since)
    if turn.now < worker.since + KEEPING_SECONDS:
        turn.crew.wake(worker.since + KEEPING_SECONDS)
    elif tenant.idle.pop(worker.number, None) is not None:
        retire(turn, worker)
        fork(turn, tenant)


def _is_stuck(crew: Crew) -> bool:
    """No chunk runs but such as wait for nested calls, and none is ready to run."""
    return not any(
        tenant.queue
        or any(worker.busy for worker in tenant.workers.values())
        or any(
            number in tenant.workers and not tenant.workers[number].blocked
            for call in tenant.everywhere.values()
            for number in call.waiting
        )
        for tenant in crew.tenants.values()
    )


def _needed_first(crew: Crew) -> set[ObjectId]:
    """What the chunk, or whatever else was postponed, takes that has waited longest."""
    for tenant in crew.tenants.values():
        for queued in tenant.waiting.values():
            return {extent.object for extent in queued.run.objects}
        for each in tenant.postponed:
            return {extent.object for extent in each.message.objects}
    return set()


def _miss(turn: Turn, tenant: Tenant, name: ObjectId) -> None:
    """Whatever waits and takes this object waits for it, too."""
    for queued in tenant.waiting.values():
        if any(extent.object == name for extent in queued.run.objects):
            queued.missing.add(name)
    for each in tenant.postponed:
        if any(extent.object == name for extent in each.message.objects):
            each.missing.add(name)
    _want(turn, tenant, {name})


def drop(turn: Turn, tenant: Tenant, names: Iterable[ObjectId]) -> None:
    """The controller needs these objects no more; each is dropped when no worker keeps it."""
    tenant.wanted.difference_update(names)
    tenant.dropping.update(names)
    _drop_unkept(turn, tenant, names)


def spare(tenant: Tenant, extents: Iterable[Extent]) -> None:
    """A chunk takes these: those that were to be dropped, and that a worker keeps still, stay.

    The controller needs them again, since what was lost elsewhere is made of them.
    """
    tenant.dropping.difference_update(extent.object for extent in extents)


def keeps(turn: Turn, tenant: Tenant, worker: PoolWorker, names: Iterable[ObjectId]) -> None:
    """A worker keeps these arguments beyond the end of its task, which it has not reported yet."""
    fresh = [name for name in names if name not in tenant.kept]
    if len(tenant.kept) + len(fresh) > MOST_KEPT:
        end_bent(turn, tenant, worker, f"it keeps more than {MOST_KEPT:,} arguments")
        return
    for name in names:
        tenant.kept.setdefault(name, set()).add(worker.number)


def keeps_no_more(
    turn: Turn, tenant: Tenant, worker: PoolWorker, names: Iterable[ObjectId]
) -> None:
    """A worker has none of these arguments any more."""
    for name in names:
        keepers = tenant.kept.get(name)
        if keepers is not None:
            keepers.discard(worker.number)
            if not keepers:
                del tenant.kept[name]
    _drop_unkept(turn, tenant, names)


def died(turn: Turn, tenant: Tenant, worker: PoolWorker) -> None:
    """A dead worker keeps no argument and holds no nested result."""
    if tenant.kept:
        keeps_no_more(turn, tenant, worker, list(tenant.kept))
    if worker.held:
        released(turn, tenant, worker, tuple(worker.held.elements()))


def _drop_unkept(turn: Turn, tenant: Tenant, names: Iterable[ObjectId]) -> None:
    """Those that are to be dropped and that no worker keeps are gone; the controller is told."""
    free = tuple(name for name in names if name in tenant.dropping and name not in tenant.kept)
    if free:
        for name in free:
            tenant.here.pop(name, None)
        tenant.dropping.difference_update(free)
        turn.report(tenant, messages.Dropped(objects=free))
