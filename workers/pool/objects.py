"""Large objects, which travel beside the chunks that take them.

- A chunk waits until everything that it takes is on this host; it can be cancelled or given back
  meanwhile like any other in the queue.
- Room is made for what is wanted by dropping what no chunk takes: the controller has it still.
- A task may keep an argument after its end. Its memory is free when the controller has dropped the
  object and no worker keeps it any more.
- What a nested call has returned waits like a chunk. A worker that was given it says when it has it
  no more, and of a dead one we say so.
- When only workers run that wait for nested calls themselves, and nothing can be dropped, there is
  room beyond the bound: they would wait for each other for ever.
- When none runs at all, and what idle ones keep leaves no room, one of these is replaced after the
  other: nothing else would end the wait.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss
from scattergather.workers.pool import actions
from scattergather.workers.pool.chunks import roll_calls
from scattergather.workers.pool.chunks.feeding import feed
from scattergather.workers.pool.crew import Crew, report, retire
from scattergather.workers.pool.tenant import Queued, Tenant
from scattergather.workers.pool.worker import PoolWorker

KEEPING_SECONDS = 2.0
"""How long an idle worker may keep what is in the way: until it has looked what it keeps no more
(``process.values.large.KEPT_SECONDS``)."""


def wait(session: Tenant, queued: Queued, out: list[actions.Action]) -> None:
    """A chunk is not ready: ask for what it lacks, unless that is on its way."""
    session.waiting[queued.run.chunk] = queued
    _want(session, queued.missing, out)


def postpone(
    session: Tenant,
    message: messages.Everywhere | messages.NestedOutcome,
    body: bytes,
    missing: Iterable[ObjectId],
    out: list[actions.Action],
) -> None:
    """Nor is a call everywhere, or what a nested call returned."""
    lacking = set(missing)
    session.postponed.append((message, body, lacking))
    _want(session, lacking, out)


def _want(session: Tenant, missing: set[ObjectId], out: list[actions.Action]) -> None:
    new = tuple(sorted(missing - session.wanted))  # so that it can be replayed
    if new:
        session.wanted.update(new)
        report(session, messages.Want(objects=new), out)


def arrived(
    crew: Crew,
    session: Tenant,
    names: Iterable[ObjectId],
    now: float,
    out: list[actions.Action],
) -> None:
    """These are here: chunks that waited for the last of them are ready.

    What was dropped while it was on its way is dropped again.
    """
    unwanted = [name for name in names if name not in session.wanted | session.here.keys()]
    session.wanted.difference_update(names)
    session.here.update(dict.fromkeys(names))
    drop(session, unwanted, out)
    for chunk, queued in list(session.waiting.items()):
        queued.missing.difference_update(names)
        if not queued.missing:
            del session.waiting[chunk]
            session.queue[chunk] = queued
    for each in list(session.postponed):
        message, body, missing = each
        missing.difference_update(names)
        if not missing:
            session.postponed.remove(each)
            if isinstance(message, messages.NestedOutcome):
                give(session, message, body, out)
            else:
                roll_calls.everywhere(crew, session, message, body, now, out)
    feed(crew, now, out)


def lost(
    session: Tenant, names: Iterable[ObjectId], reason: str, out: list[actions.Action]
) -> None:
    """These will not come: the tasks that take one are lost here, and may run elsewhere."""
    gone = set(names)
    session.wanted -= gone
    for chunk, queued in list(session.waiting.items()):
        if queued.missing & gone:
            del session.waiting[chunk]
            lose(session, queued.run, reason, out)
    for each in list(session.postponed):
        message, _, missing = each
        if missing & gone:
            session.postponed.remove(each)
            if isinstance(message, messages.NestedOutcome):
                withhold(session, message, reason, out)
            else:
                roll_calls.failed(session, message.call, reason, out)


def lose(session: Tenant, run: messages.Run, reason: str, out: list[actions.Action]) -> None:
    """A chunk can never run here."""
    loss = messages.encode(Loss(kind=LossKind.LOST, reason=reason))
    outcomes = messages.Outcomes(
        chunk=run.chunk, first=run.first, kinds=bytes([Kind.LOST]) * run.count
    )
    report(session, outcomes, out, blobs.pack([loss] * run.count))


def give(
    session: Tenant, message: messages.NestedOutcome, body: bytes, out: list[actions.Action]
) -> None:
    """A worker gets what came of a nested call."""
    worker = session.workers.get(message.worker)
    names = tuple(extent.object for extent in message.objects)
    if worker is not None:
        worker.given.update(names)
        out.append(actions.Tell(worker=worker.number, message=message, body=body))
    elif names:
        report(session, messages.Release(objects=names), out)


def withhold(
    session: Tenant, message: messages.NestedOutcome, reason: str, out: list[actions.Action]
) -> None:
    """What a nested call returned cannot be brought here: it counts as lost."""
    loss = messages.encode(Loss(kind=LossKind.LOST, reason=reason))
    lost = msgspec.structs.replace(message, kind=Kind.LOST, objects=())
    names = tuple(extent.object for extent in message.objects)
    report(session, messages.Release(objects=names), out)
    give(session, lost, loss, out)


def given_back(
    session: Tenant, worker: PoolWorker, names: Iterable[ObjectId], out: list[actions.Action]
) -> None:
    """A worker needs these no more, once for each time that it was given one."""
    worker.given.subtract(names)
    worker.given = +worker.given
    report(session, messages.Release(objects=tuple(names)), out)


def make_room(crew: Crew, session: Tenant, now: float, out: list[actions.Action]) -> None:
    """Drop one that no chunk here takes, or try again later; the controller has it still.

    The one that has been here longest without being taken. When nothing runs that could make room,
    the chunk that has waited longest goes first: others wait for what they take once more.
    """
    workers = session.workers.values()
    running = {
        *(
            each.object
            for worker in workers
            for lease in worker.leases
            for each in lease.run.objects
        ),
        *(each.object for call, _, _ in session.everywhere.values() for each in call.objects),
        *(name for worker in workers for name in worker.given),
    }
    users: list[messages.Run | messages.Everywhere | messages.NestedOutcome] = [
        *(queued.run for queued in session.waiting.values()),
        *(queued.run for queued in session.queue.values()),
        *(message for message, _, _ in session.postponed),
    ]
    taken = running.union(extent.object for user in users for extent in user.objects)
    for name in sorted(taken.intersection(session.here)):
        session.here.move_to_end(name)
    stuck = _is_stuck(crew)
    first = _needed_first(crew)
    needed = running | first if stuck else taken
    for name in session.here:
        if name not in needed and name not in session.kept:
            session.pressed = False
            session.dropping.add(name)
            _report_free(session, [name], out)
            if name in taken:
                _miss(session, name, out)
            return
    if stuck and any(worker.blocked for worker in crew.workers.values()):
        session.pressed = False
        out.append(actions.Overdraw())
    elif stuck and first:
        _replace_keeper(crew, session, first, now, out)


def _replace_keeper(
    crew: Crew, session: Tenant, first: set[ObjectId], now: float, out: list[actions.Action]
) -> None:
    """End the one that has been idle longest of those that keep what is not needed ``first``.

    What it kept may be enough, so no other until it is gone.
    """
    names = session.here.keys() - first
    keepers = [
        worker
        for worker in session.workers.values()
        if any(
            name in worker.given or worker.number in session.kept.get(name, ()) for name in names
        )
    ]
    if not keepers or any(worker.doom is not None for worker in keepers):
        return
    worker = min(keepers, key=lambda each: each.since)
    if now < worker.since + KEEPING_SECONDS:
        crew.wake(worker.since + KEEPING_SECONDS)
    elif session.idle.pop(worker.number, None) is not None:
        retire(worker, out)
        crew.fork(session, now, out)


def _is_stuck(crew: Crew) -> bool:
    """Nothing runs, but for chunks that wait for nested calls, and nothing is ready to."""
    return not any(
        session.queue
        or any(worker.busy for worker in session.workers.values())
        or any(
            number in session.workers and not session.workers[number].blocked
            for _, _, round_ in session.everywhere.values()
            for number in round_.waiting
        )
        for session in crew.sessions.values()
    )


def _needed_first(crew: Crew) -> set[ObjectId]:
    """What the chunk, or whatever else was postponed, takes that has waited longest."""
    for session in crew.sessions.values():
        for queued in session.waiting.values():
            return {extent.object for extent in queued.run.objects}
        for message, _, _ in session.postponed:
            return {extent.object for extent in message.objects}
    return set()


def _miss(session: Tenant, name: ObjectId, out: list[actions.Action]) -> None:
    """Whatever waits and takes this waits for it, too."""
    for queued in session.waiting.values():
        if any(extent.object == name for extent in queued.run.objects):
            queued.missing.add(name)
    for message, _, missing in session.postponed:
        if any(extent.object == name for extent in message.objects):
            missing.add(name)
    _want(session, {name}, out)


def drop(session: Tenant, names: Iterable[ObjectId], out: list[actions.Action]) -> None:
    """The controller needs these no more."""
    session.wanted.difference_update(names)
    session.dropping.update(names)
    _report_free(session, names, out)


def keep(session: Tenant, worker: PoolWorker, names: Iterable[ObjectId]) -> None:
    """A task that is about to end has kept these."""
    for name in names:
        session.kept.setdefault(name, set()).add(worker.number)


def let_go(
    session: Tenant, worker: PoolWorker, names: Iterable[ObjectId], out: list[actions.Action]
) -> None:
    """A worker has none of these any more."""
    for name in names:
        keepers = session.kept.get(name)
        if keepers is not None:
            keepers.discard(worker.number)
            if not keepers:
                del session.kept[name]
    _report_free(session, names, out)


def died(session: Tenant, worker: PoolWorker, out: list[actions.Action]) -> None:
    """A worker is dead, and has let go of everything."""
    if session.kept:
        let_go(session, worker, list(session.kept), out)
    if worker.given:
        given_back(session, worker, tuple(worker.given.elements()), out)


def _report_free(session: Tenant, names: Iterable[ObjectId], out: list[actions.Action]) -> None:
    free = tuple(name for name in names if name in session.dropping and name not in session.kept)
    if free:
        for name in free:
            session.here.pop(name, None)
        session.dropping.difference_update(free)
        report(session, messages.Dropped(objects=free), out)
