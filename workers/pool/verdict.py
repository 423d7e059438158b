"""What is said of a task whose worker died under it."""

from __future__ import annotations

import signal

from scattergather.wire.messages import Limits, Loss
from scattergather.workers.pool.events import WorkerExited
from scattergather.workers.pool.worker import Doom, Worker


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def loss_of(worker: Worker, event: WorkerExited, limits: Limits) -> Loss:
    """The death certificate of one task, as far as the pool knows it."""
    if worker.doom is Doom.REFRESH:
        kind, reason = "TaskLost", "its worker was replaced by a refresh"
    elif worker.doom is Doom.TIME:
        kind = "TimeLimitExceeded"
        reason = f"it ran longer than its time limit of {limits.time} s and did not stop when told"
    elif worker.doom is Doom.MEMORY:
        kind = "MemoryLimitExceeded"
        reason = f"it took {worker.peak} bytes, its memory limit is {limits.memory}"
    elif event.out_of_memory:
        kind = "OutOfMemory"
        reason = f"the kernel ended its worker for want of memory; it held {event.peak} bytes"
    elif event.signal:
        kind, reason = "TaskKilledWorker", f"its worker was ended by {_signal_name(event.signal)}"
    else:
        kind = "ExitCalled"
        reason = f"it ended its worker process with exit status {event.status}"
    return Loss(
        kind=kind,
        reason=reason,
        worker=worker.pid,
        signal=event.signal,
        status=event.status,
        output=event.harvest.output,
        where=event.harvest.where,
        limit=float((limits.time if worker.doom is Doom.TIME else limits.memory) or 0),
        peak=max(worker.peak, event.peak),
    )
