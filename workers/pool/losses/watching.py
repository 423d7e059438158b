"""What follows from a look at a worker that has work.

- A task that goes beyond a limit is told so by an exception, and has a grace to end. Whether it
  does or its worker is ended, it is not tried again: it would go beyond the same limit.
- What waits behind a task that turns out to be long is given back: chunks are of short tasks.
- Where a worker is it says itself, in memory that its tasks can write to: what cannot be ends it.
- A worker that a signal stopped is replaced after ten seconds, and the task in it is charged: it
  may have stopped itself, and would do so for ever. One that computes for hours is not stopped.
- A worker that has a chunk, is in no task, sleeps at fifty looks and takes hardly any time in
  between, will begin nothing more: a task has read from its socket, say, what it was sent. It is
  replaced. Looks are counted, so that time in which this process stood still does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from scattergather.wire.messages.shared import Limits
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.chunks.leases import return_rest
from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.staffing import end_bent, kill
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import Doom, PoolWorker, Stillness

LIMIT_GRACE = 2.0
"""Seconds that a task has, after the exception of a limit, before its worker is replaced."""

FAR_OVER = 2
"""A task that takes so many times the memory that it may has no such grace."""

STOPPED_AFTER = 10.0
"""Seconds after which a worker that was stopped by a signal is replaced."""

ASLEEP_AFTER, ASLEEP_LOOKS = 10.0, 50
"""Seconds, and looks, after which a worker is replaced that sleeps where it should begin a task."""

AWAKE = 0.1
"""Who takes this part of a processor does something, though he sleeps whenever he is looked at."""

STUCK_AFTER = 0.2
"""Seconds after which nothing more waits behind a task: it is no short one."""

_UNLIMITED = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """A worker that has a chunk.

    ``limited``: a look at it is to tell its memory, too. ``heard``: what its task prints is taken.
    """

    worker: int
    limited: bool
    heard: bool = True


def at_work(crew: Crew) -> list[AtWork]:
    """The workers that have a chunk; some may have none any more when they are looked at."""
    return [
        AtWork(
            worker=worker.number,
            limited=worker.leases[0].run.limits != _UNLIMITED,
            heard=worker.tenant in crew.tenants and not crew.tenants[worker.tenant].clogged,
        )
        for worker in crew.workers.values()
        if worker.leases
    ]


def sampled(turn: Turn, event: events.Sampled) -> None:
    """A worker was looked at and runs: its task may be beyond a limit, or take long."""
    worker = turn.crew.workers.get(event.worker)
    tenant = turn.crew.tenants.get(worker.tenant) if worker is not None else None
    if worker is None or tenant is None or not worker.leases or worker.doom is not None:
        return
    lease = worker.leases[0]
    if lease.run.chunk != event.chunk:
        # For a moment it may be in a task whose outcome has come already.
        if lease.strayed_since is None:
            lease.strayed_since = turn.now
        elif turn.now >= lease.strayed_since + STOPPED_AFTER:
            end_bent(turn, tenant, worker, "it is in a task whose outcome it has told")
        return
    lease.strayed_since = lease.still = None
    behind = lease.run.first + lease.run.count
    if not (lease.next - 1 <= event.index < behind and event.started <= turn.now + 1):
        end_bent(turn, tenant, worker, "its journal tells of a task that it cannot be in")
        return
    limits = lease.run.limits
    worker.peak = max(worker.peak, event.memory)
    lease.stopped_since = None
    if limits.memory is not None and event.memory > limits.memory:
        _over_memory(turn, worker, event, limits.memory)
    elif limits.time is not None and turn.now - event.started > limits.time + LIMIT_GRACE:
        kill(turn, worker, Doom.TIME)
    elif turn.now - event.started > STUCK_AFTER:
        _unload(turn, tenant, worker, event.index)


def _over_memory(turn: Turn, worker: PoolWorker, event: events.Sampled, limit: int) -> None:
    """A task takes too much memory: it is told by an exception, later its worker is ended."""
    if worker.over_since is None:
        worker.over_since = turn.now
        _halt(turn, worker, event.chunk)
        turn.ask(actions.WarnWorker(worker=worker.number, chunk=event.chunk, index=event.index))
    elif turn.now > worker.over_since + LIMIT_GRACE or event.memory > FAR_OVER * limit:
        kill(turn, worker, Doom.MEMORY)


def _halt(turn: Turn, worker: PoolWorker, chunk: int) -> None:
    worker.halted = max(worker.halted, chunk)
    turn.ask(actions.StopWorker(worker=worker.number, chunk=chunk))


def _unload(turn: Turn, tenant: Tenant, worker: PoolWorker, index: int) -> None:
    """What waits behind a task that takes long goes back to the controller, in two looks.

    At the first the worker is told to begin nothing more. If at the next it is in the same task
    still, it will find that word when it comes out, so the rest can be run elsewhere from now on.
    """
    lease = worker.leases[0]
    if lease.stuck is None:
        if lease.stop > index + 1 or len(worker.leases) > 1:
            lease.stuck = index
            # Not that of the last one: a chunk that waited for large objects has a lower number.
            last = max(lease.run.chunk for lease in worker.leases)
            _halt(turn, worker, last)
    elif lease.stuck == index:
        return_rest(turn, tenant, lease, index + 1)
        lease.stop = index + 1
        tenant.ahead.pop(worker.number, None)
        while len(worker.leases) > 1:
            behind = worker.leases.pop()
            return_rest(turn, tenant, behind, behind.next)


def found_stopped(turn: Turn, event: events.FoundStopped) -> None:
    """A worker that has a chunk does not run, because a signal stopped it."""
    worker = turn.crew.workers.get(event.worker)
    if worker is None or not worker.leases:
        return
    lease = worker.leases[0]
    if lease.stopped_since is None:
        lease.stopped_since = turn.now
    elif turn.now >= lease.stopped_since + STOPPED_AFTER:
        kill(turn, worker, Doom.STOPPED)


def found_asleep(turn: Turn, event: events.FoundAsleep) -> None:
    """A worker that has a chunk is in no task, and sleeps."""
    worker = turn.crew.workers.get(event.worker)
    tenant = turn.crew.tenants.get(worker.tenant) if worker is not None else None
    if worker is None or tenant is None or not worker.leases:
        return
    lease = worker.leases[0]
    # A call everywhere stands in no journal.
    calls = any(worker.number in call.waiting for call in tenant.everywhere.values())
    seen = lease.still
    lasted = turn.now - seen.since if seen is not None else 0.0
    if (
        seen is None
        or calls
        or seen.next != lease.next
        or event.used - seen.used > AWAKE * max(lasted, 1.0)
    ):
        lease.still = Stillness(turn.now, event.used, lease.next)
    elif lasted >= ASLEEP_AFTER and seen.looks >= ASLEEP_LOOKS:
        kill(turn, worker, Doom.ASLEEP)
    else:
        lease.still = Stillness(seen.since, seen.used, seen.next, seen.looks + 1)
