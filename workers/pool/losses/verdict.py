"""What is said of a task whose worker died under it."""

from __future__ import annotations

import signal

from scattergather.model.outcome import LossKind
from scattergather.wire.messages import zygote
from scattergather.wire.messages.shared import Limits, Loss
from scattergather.workers.pool.events import WorkerExited
from scattergather.workers.pool.worker import Doom, PoolWorker

BENT = "a task, or native code in one, has written where it must not"


def signal_name(number: int) -> str:
    """``SIGSEGV``, or the number of a signal that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def loss_of(worker: PoolWorker, event: WorkerExited, limits: Limits | None = None) -> Loss:
    """The death certificate of one task, as far as the pool knows it.

    Without ``limits`` it is that of a call which was still to come when the worker died.
    """
    peak = max(worker.peak, event.peak)
    limit = 0.0
    match worker.doom:
        case Doom.REFRESH:
            kind, reason = LossKind.LOST, "its worker was replaced by a refresh"
        case Doom.LEFT:
            kind, reason = LossKind.LOST, "its host was dropped, which did not wait for it"
        case Doom.TIME | Doom.MEMORY if limits is None:
            kind, reason = LossKind.LOST, "its worker was ended, for a task that exceeded a limit"
        case Doom.TIME:
            assert limits is not None
            kind, limit = LossKind.TIME_LIMIT, float(limits.time or 0)
            reason = f"it ran longer than its time limit of {limit:g} s and did not stop when told"
        case Doom.MEMORY:
            assert limits is not None
            kind, limit, peak = LossKind.MEMORY_LIMIT, float(limits.memory or 0), worker.peak
            reason = (
                f"it took {peak:,} bytes, its memory limit is {limits.memory:,}, "
                "and it did not stop when told"
            )
        case Doom.BENT:
            kind = LossKind.KILLED_WORKER
            reason = f"its worker was ended because {worker.bent}; {BENT}"
        case Doom.ASLEEP:
            kind = LossKind.KILLED_WORKER
            reason = "its worker slept and did not begin what it had been sent, so it was replaced"
        case Doom.UNREAD:
            kind = LossKind.KILLED_WORKER
            reason = (
                f"its worker was ended: it was sent {worker.unread:,} bytes of what its calls "
                "returned, and waited for none of them"
            )
        case Doom.STOPPED:
            kind = LossKind.KILLED_WORKER
            reason = "its worker was stopped by a signal and did not go on, so it was replaced"
        case _:
            kind, reason = _own_death(event)
    return Loss(
        kind=kind,
        reason=reason,
        worker=worker.pid,
        signal=event.signal,
        status=event.status,
        output=event.harvest.output,
        where=event.harvest.where,
        arguments=event.harvest.arguments,
        limit=limit,
        peak=peak,
    )


def _own_death(event: WorkerExited) -> tuple[LossKind, str]:
    """Kind and reason, of a worker that the pool did not end."""
    if event.harvest.bent:
        how = f"by {signal_name(event.signal)}" if event.signal else f"with status {event.status}"
        return LossKind.KILLED_WORKER, f"its worker ended {how}, and {event.harvest.bent}; {BENT}"
    if event.status == zygote.BENT:
        why = event.harvest.output.rstrip().rpartition("\n")[2]
        return LossKind.KILLED_WORKER, f"its worker ended itself: {why}"
    if event.out_of_memory:
        return LossKind.OUT_OF_MEMORY, "the kernel ended its worker for want of memory"
    if event.signal:
        return LossKind.KILLED_WORKER, f"its worker was ended by {signal_name(event.signal)}"
    return LossKind.EXIT_CALLED, f"it ended its worker process with exit status {event.status}"
