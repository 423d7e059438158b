"""What all workers of a session have to answer before it is over: a refresh, a call everywhere."""

from __future__ import annotations

import msgspec

from scattergather.model.outcome import Kind, LossKind
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Loss
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.chunks.feeding import teach
from scattergather.workers.pool.crew import Crew, kill, report
from scattergather.workers.pool.losses.verdict import loss_of
from scattergather.workers.pool.tenant import RollCall, Tenant
from scattergather.workers.pool.worker import Doom, PoolWorker

# ---- refresh ----


def refresh(crew: Crew, session: Tenant, call: int, now: float, out: list[actions.Action]) -> None:
    """Replace all workers. The new ones are forked before the old ones are dead."""
    running = sum(bool(worker.leases) for worker in session.workers.values())
    _end_refresh(session, now, out)
    for worker in session.workers.values():
        kill(worker, Doom.REFRESH, out)
    session.idle.clear()
    session.restarts.lived()  # or so we hope: it is given a fresh start
    forked = crew.fork(session, now, out)
    session.refresh = RollCall(call, set(forked), begun=now, interrupted=running)


def settled(session: Tenant, worker: PoolWorker, now: float, out: list[actions.Action]) -> None:
    """A worker is ready, or will never be: a refresh waits no longer for it."""
    if session.refresh is not None:
        session.refresh.waiting.discard(worker.number)
        if not session.refresh.waiting:
            _end_refresh(session, now, out)


def _end_refresh(session: Tenant, now: float, out: list[actions.Action]) -> None:
    ended, session.refresh = session.refresh, None
    if ended is not None:
        report(
            session,
            messages.RefreshDone(
                call=ended.call,
                workers=session.alive,
                interrupted=ended.interrupted,
                seconds=now - ended.begun,
            ),
            out,
        )


# ---- everywhere ----


def everywhere(
    crew: Crew,
    session: Tenant,
    message: messages.Everywhere,
    body: bytes,
    now: float,
    out: list[actions.Action],
) -> None:
    """Let every worker that lives, or is being forked, call a function once."""
    crew.retire_spares(session, now, 0.0, out)
    crew.fork(session, now, out)  # the doomed are replaced at their exit: too late
    targets = [worker for worker in session.workers.values() if worker.doom is None]
    if not targets:
        why = "no worker lives there: those that were forked died before they were ready"
        failed(session, message.call, why, out)
        return
    session.everywhere[message.call] = (
        message,
        body,
        RollCall(message.call, {worker.number for worker in targets}),
    )
    for worker in targets:
        if worker.born:
            _tell(session, worker, message, body, out)


def failed(session: Tenant, call: int, why: str, out: list[actions.Action]) -> None:
    """No worker here can make this call."""
    loss = Loss(kind=LossKind.LOST, reason=why)
    none = messages.EverywhereDone(call=call, worker=0, kind=Kind.LOST, last=True)
    report(session, none, out, messages.encode(loss))


def catch_up(session: Tenant, worker: PoolWorker, out: list[actions.Action]) -> None:
    """Tell a worker that was just born of the calls that wait for it."""
    for message, body, round_ in session.everywhere.values():
        if worker.number in round_.waiting:
            _tell(session, worker, message, body, out)


def answered(
    session: Tenant,
    worker: PoolWorker,
    message: messages.EverywhereDone,
    body: bytes,
    out: list[actions.Action],
) -> None:
    """A worker has called it, or died."""
    entry = session.everywhere.get(message.call)
    if entry is None:
        names = tuple(extent.object for extent in message.objects)
        out.append(actions.DropResults(session=session.number, objects=names))
        return
    waiting = entry[2].waiting
    waiting.discard(worker.number)
    if not waiting:
        del session.everywhere[message.call]
    done = msgspec.structs.replace(message, worker=worker.pid, last=not waiting)
    report(session, done, out, body)


def lost(
    session: Tenant, worker: PoolWorker, event: events.WorkerExited, out: list[actions.Action]
) -> None:
    """A dead worker will call nothing any more."""
    for message, _, round_ in list(session.everywhere.values()):
        if worker.number in round_.waiting:
            done = messages.EverywhereDone(call=message.call, worker=worker.pid, kind=Kind.LOST)
            answered(session, worker, done, messages.encode(loss_of(worker, event)), out)


def _tell(
    session: Tenant,
    worker: PoolWorker,
    message: messages.Everywhere,
    body: bytes,
    out: list[actions.Action],
) -> None:
    teach(session, worker, message.function, message.needs, out)
    out.append(actions.Tell(worker=worker.number, message=message, body=body))
