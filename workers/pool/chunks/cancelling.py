"""A cancel: of what waits at once, of what runs by an interrupt that becomes more urgent."""

from __future__ import annotations

import signal

from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions
from scattergather.workers.pool.crew import Crew, kill, report
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import Doom, PoolWorker

TERM_AFTER = 1.0
KILL_AFTER = 2.0
"""Seconds from the interrupt of a cancelled task to SIGTERM and to SIGKILL."""


def cancel(crew: Crew, session: Tenant, chunk: int, now: float, out: list[actions.Action]) -> None:
    """Drop a chunk that is queued; interrupt the worker that has it."""
    queued = session.unqueue(chunk)
    if queued is not None:
        report(session, messages.CancelDone(chunk=chunk, first=queued.run.first), out)
        return
    for worker in session.workers.values():
        for lease in worker.leases:
            if lease.run.chunk == chunk:
                lease.cancelled = True
                if lease is worker.leases[0]:
                    interrupt(crew, worker, now, out)
                return


def interrupt(crew: Crew, worker: PoolWorker, now: float, out: list[actions.Action]) -> None:
    """SIGINT now; SIGTERM and SIGKILL follow unless the chunk ends before."""
    if worker.doom is None:
        out.append(actions.InterruptChunk(worker=worker.number, chunk=worker.leases[0].run.chunk))
        worker.escalation = [
            (now + TERM_AFTER, signal.SIGTERM),
            (now + KILL_AFTER, signal.SIGKILL),
        ]
        crew.wake(now + TERM_AFTER)


def escalate(crew: Crew, worker: PoolWorker, now: float, out: list[actions.Action]) -> None:
    """Send what is due to a worker that did not heed the interrupt."""
    while worker.escalation and worker.escalation[0][0] <= now:
        _, number = worker.escalation.pop(0)
        if number == signal.SIGKILL:
            kill(worker, Doom.CANCEL, out)
        else:
            out.append(actions.KillWorker(worker=worker.number, signal=number, group=True))
    if worker.escalation:
        crew.wake(worker.escalation[0][0])
