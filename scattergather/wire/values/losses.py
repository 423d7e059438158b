"""A ``Loss`` becomes the error that the user sees: for the client's tasks, and for nested calls.

The one place that knows which error class a kind of loss is, what it says and which facts it keeps.
"""

from __future__ import annotations

from typing import Any

from scattergather.errors import (
    ExitCalled,
    HostLost,
    MemoryLimitExceeded,
    OutOfMemory,
    RefLost,
    ScatterGatherError,
    TaskKilledWorker,
    TaskLost,
    TimeLimitExceeded,
    TooLarge,
    VersionMismatch,
)
from scattergather.model.outcome import LossKind
from scattergather.wire.messages.shared import Loss
from scattergather.wire.pushed import PUSHED

ERRORS: dict[LossKind, type[ScatterGatherError]] = {
    LossKind.LOST: TaskLost,
    LossKind.KILLED_WORKER: TaskKilledWorker,
    LossKind.OUT_OF_MEMORY: OutOfMemory,
    LossKind.EXIT_CALLED: ExitCalled,
    LossKind.HOST_LOST: HostLost,
    LossKind.TIME_LIMIT: TimeLimitExceeded,
    LossKind.MEMORY_LIMIT: MemoryLimitExceeded,
    LossKind.REF_LOST: RefLost,
    LossKind.TOO_LARGE: TooLarge,
    LossKind.VERSION_MISMATCH: VersionMismatch,
}
"""The error class of each kind of loss."""

_FACTS = (
    "host", "worker", "attempt", "attempts", "reason", "output", "where", "arguments", "peak"
)  # fmt: skip
"""The attributes that every error of a lost task has of its ``Loss``."""

LINES_SHOWN = 20
"""Of what a lost task printed."""


def error_of(loss: Loss, task: str, index: int = 0) -> ScatterGatherError:
    """The error for a lost task, complete with its sentence and its facts.

    Args:
        loss: what is known of it.
        task: how the error calls it, as ``task 3 of job 1``; a capital letter is kept.
        index: the task's place in its job.
    """
    where = f" on {loss.host}" if loss.host else ""
    where += f", worker {loss.worker}" if loss.worker else ""
    facts: dict[str, Any]
    match loss.kind:
        case LossKind.VERSION_MISMATCH:
            message, facts = f"{task} cannot run: {loss.reason}", {}
        case LossKind.TOO_LARGE:
            message = f"{task} ended{where}, and {loss.reason}"
            facts = {"size": loss.size, "bound": int(loss.limit)}
        case _:
            message = f"{task} was lost{where}: {loss.reason}" + _circumstances(loss)
            facts = _facts(loss, index)
    return ERRORS[loss.kind](message, **facts)


def _circumstances(loss: Loss) -> str:
    """What is known beside the reason, for the end of the message."""
    text = f" (attempt {loss.attempt} of {loss.attempts})" if loss.attempts > 1 else ""
    if loss.arguments.startswith(PUSHED):
        text += f"\nIt was in {loss.arguments.removeprefix(PUSHED)}"
    elif loss.arguments:
        text += f"\nIts arguments: {loss.arguments}"
    if loss.peak:
        text += f"\nIts worker held at most {loss.peak:,} bytes"
    if loss.where:
        text += f"\n{_last_words(loss.where)}"
    if loss.output:
        text += "\nThe last that it printed:\n" + "\n".join(
            "    " + line for line in loss.output.splitlines()[-LINES_SHOWN:]
        )
    return text


def _facts(loss: Loss, index: int) -> dict[str, Any]:
    """The attributes of the error."""
    facts = {"index": index} | {name: getattr(loss, name) for name in _FACTS}
    match loss.kind:
        case LossKind.KILLED_WORKER:
            facts["signal"] = loss.signal
        case LossKind.EXIT_CALLED:
            facts["status"] = loss.status
        case LossKind.TIME_LIMIT:
            facts["limit"] = loss.limit
        case LossKind.MEMORY_LIMIT:
            facts["limit"] = int(loss.limit)
        case _:
            pass
    return facts


def _last_words(where: str) -> str:
    """What the faulthandler wrote: what happened, if it says so, and the frames of each thread."""
    first, _, rest = where.partition("\n")
    if not rest or first.startswith((" ", "Thread ", "Current thread ")):
        return f"It was at:\n{where}"
    return f"{first}, at:\n{rest}"
