"""What follows from a look at a worker that has work.

- A task that goes beyond a limit is told so by an exception, and has a grace to end. Whether it
  does or its worker is ended, it is not tried again: it would go beyond the same limit.
- What waits behind a task that turns out to be long is given back: chunks are of brief tasks.
- A worker that a signal stopped is replaced after ten seconds, and the task in it is charged: it
  may have stopped itself, and would do so for ever. One that computes for hours is not stopped.
"""

from __future__ import annotations

from scattergather.wire.messages.shared import Limits
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.chunks.leases import free
from scattergather.workers.pool.crew import Crew, kill
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import Doom, PoolWorker

LIMIT_GRACE = 2.0
"""Seconds that a task has, after the exception of a limit, before its worker is replaced."""

FAR_OVER = 2
"""A task that takes so many times the memory that it may has no such grace."""

STOPPED_AFTER = 10.0
"""Seconds after which a worker that was stopped by a signal is replaced."""

STUCK_AFTER = 0.2
"""Seconds after which nothing more waits behind a task: it is no brief one."""


def limited(crew: Crew) -> list[int]:
    """The workers whose running chunk has limits: their memory is to be sampled too."""
    return [
        worker.number
        for worker in crew.workers.values()
        if worker.leases and worker.leases[0].run.limits != Limits()
    ]


def sampled(crew: Crew, event: events.Sampled, now: float, out: list[actions.Action]) -> None:
    """It runs."""
    worker = crew.workers.get(event.worker)
    session = crew.sessions.get(worker.session) if worker is not None else None
    if worker is None or session is None or not worker.leases or worker.doom is not None:
        return
    lease = worker.leases[0]
    if lease.run.chunk != event.chunk:
        return
    limits = lease.run.limits
    worker.peak = max(worker.peak, event.memory)
    worker.stopped_since = None
    if limits.memory is not None and event.memory > limits.memory:
        _over_memory(worker, event, limits.memory, now, out)
    elif limits.time is not None and now - event.started > limits.time + LIMIT_GRACE:
        kill(worker, Doom.TIME, out)
    elif now - event.started > STUCK_AFTER:
        _unload(session, worker, event.index, out)


def _over_memory(
    worker: PoolWorker, event: events.Sampled, limit: int, now: float, out: list[actions.Action]
) -> None:
    """At first sight the task is told, by an exception; if that does not help, it is ended."""
    if worker.over_since is None:
        worker.over_since = now
        out.append(actions.StopWorker(worker=worker.number, chunk=event.chunk))
        out.append(actions.WarnWorker(worker=worker.number, chunk=event.chunk, index=event.index))
    elif now > worker.over_since + LIMIT_GRACE or event.memory > FAR_OVER * limit:
        kill(worker, Doom.MEMORY, out)


def _unload(session: Tenant, worker: PoolWorker, index: int, out: list[actions.Action]) -> None:
    """Free what waits behind a task that takes long, in two looks.

    At the first the worker is told to begin nothing more. If at the next it is in the same task
    still, it will find that when it comes out, whenever we free the rest.
    """
    lease = worker.leases[0]
    if worker.stuck is None:
        if lease.stop > index + 1 or len(worker.leases) > 1:
            worker.stuck = index
            # Not that of the last one: a chunk that waited for large objects has a lower number.
            last = max(lease.run.chunk for lease in worker.leases)
            out.append(actions.StopWorker(worker=worker.number, chunk=last))
    elif worker.stuck == index:
        free(session, lease, index + 1, out)
        lease.stop = index + 1
        session.ahead.pop(worker.number, None)
        while len(worker.leases) > 1:
            behind = worker.leases.pop()
            free(session, behind, behind.next, out)


def found_stopped(
    crew: Crew, event: events.FoundStopped, now: float, out: list[actions.Action]
) -> None:
    """It does not run: a signal stopped it."""
    worker = crew.workers.get(event.worker)
    if worker is not None:
        if worker.stopped_since is None:
            worker.stopped_since = now
        elif now >= worker.stopped_since + STOPPED_AFTER:
            kill(worker, Doom.STOPPED, out)
