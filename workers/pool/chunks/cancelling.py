"""A cancel: of what waits at once, of what runs by an interrupt that becomes more urgent."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.staffing import kill
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.turn import Turn
from scattergather.workers.pool.worker import Doom, PoolWorker

TERM_AFTER = 1.0
KILL_AFTER = 2.0
"""Seconds from the interrupt of a cancelled task to SIGTERM and to SIGKILL."""


def cancel(turn: Turn, tenant: Tenant, chunks: Iterable[int]) -> None:
    """Chunks that are queued are dropped; workers that are at one are interrupted."""
    leased = set()
    for chunk in chunks:
        queued = tenant.unqueue(chunk)
        if queued is not None:
            turn.report(tenant, messages.CancelDone(chunk=chunk, first=queued.run.first))
        else:
            leased.add(chunk)
    for worker in tenant.workers.values():
        for lease in worker.leases:
            if lease.run.chunk in leased and not lease.cancelled:
                lease.cancelled = True
                if lease is worker.leases[0]:
                    interrupt(turn, worker)


def interrupt(turn: Turn, worker: PoolWorker) -> None:
    """A worker gets SIGINT; SIGTERM and SIGKILL follow unless its chunk ends before."""
    if worker.doom is None:
        lease = worker.leases[0]
        turn.ask(actions.InterruptChunk(worker=worker.number, chunk=lease.run.chunk))
        worker.halted = max(worker.halted, lease.run.chunk)
        lease.escalation = (
            (turn.now + TERM_AFTER, signal.SIGTERM),
            (turn.now + KILL_AFTER, signal.SIGKILL),
        )
        turn.crew.wake(turn.now + TERM_AFTER)


def escalate(turn: Turn, worker: PoolWorker) -> None:
    """A worker that did not heed the interrupt is sent the signals that are due."""
    lease = worker.leases[0] if worker.leases else None
    if lease is None or not lease.escalation:
        return
    for at, number in lease.escalation:
        if at > turn.now:
            turn.crew.wake(at)
            break
        if number == signal.SIGKILL:
            kill(turn, worker, Doom.CANCEL)
        else:
            turn.ask(actions.KillWorker(worker=worker.number, signal=number, group=True))
    lease.escalation = tuple(each for each in lease.escalation if each[0] > turn.now)
