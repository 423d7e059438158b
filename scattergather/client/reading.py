"""An outcome's bytes become a result or an error. Never on the reader thread, but for futures."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from scattergather import errors
from scattergather.errors import CannotImport, TaskError, TaskLost
from scattergather.model.outcome import Kind
from scattergather.wire import blobs, messages
from scattergather.wire.codebook import BOOK
from scattergather.wire.payload import Unpacker
from scattergather.wire.raised import unpack_exception

_LOSSES: dict[str, type[TaskLost]] = {
    kind.__name__: kind
    for kind in (
        errors.TaskLost,
        errors.TaskKilledWorker,
        errors.OutOfMemory,
        errors.ExitCalled,
        errors.HostLost,
        errors.TimeLimitExceeded,
        errors.MemoryLimitExceeded,
    )
}
_MOST_ARGUMENTS = 1 << 16

Describe = Callable[[int], str]
"""Says of which task an index is, for the note of an error: ``task 3 of job 1 ...``."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def read_outcomes(
    kinds: bytes, body: bytes, first: int, describe: Describe, label: str
) -> tuple[list[Any], bytes]:
    """The results, errors in the failed places, and the kinds.

    A result that cannot be rebuilt here counts as raised.
    """
    count = len(kinds)
    ends = blobs.ends_of(body, count)
    base = count * blobs.WIDTH
    unpacker = Unpacker(body)
    values: list[Any] = []
    changed: bytearray | None = None
    start = base
    for place, (kind, end) in enumerate(zip(kinds, ends, strict=True)):
        if kind == Kind.RETURNED:
            try:
                values.append(unpacker.load(start))
            except Exception as error:
                values.append(_not_rebuilt(error, describe(first + place)))
                changed = bytearray(kinds) if changed is None else changed
                changed[place] = Kind.RAISED
        else:
            index = first + place
            blob = body[start : base + end]
            values.append(read_error(kind, blob, index, describe(index), label))
        start = base + end
    return values, kinds if changed is None else bytes(changed)


def read_error(kind: int, blob: bytes, index: int, description: str, label: str) -> BaseException:
    """The error of a task that did not return."""
    if kind == Kind.CANCELLED:
        return CancelledError(f"task {index} of {label} was cancelled")
    try:
        if kind in (Kind.LOST, Kind.INTERRUPTED):
            return read_loss(blob, index, label)
        return unpack_exception(blob, BOOK, note=f"[scattergather] {description}")
    except Exception as error:
        return _not_rebuilt(error, description)


def read_loss(blob: bytes, index: int, label: str) -> TaskLost:
    """A loss as the error that its kind names."""
    loss = messages.read_loss(blob)
    where = f" on {loss.host}" if loss.host else ""
    where += f", worker {loss.worker}" if loss.worker else ""
    message = f"task {index} of {label} was lost{where}: {loss.reason}"
    if loss.attempts > 1:
        message += f" (attempt {loss.attempt} of {loss.attempts})"
    if loss.where:
        message += f"\nIt was at {loss.where}"
    if loss.output:
        message += "\nThe last that it printed:\n" + "\n".join(
            "    " + line for line in loss.output.splitlines()[-10:]
        )
    facts: dict[str, Any] = {
        "index": index,
        "host": loss.host,
        "worker": loss.worker,
        "attempt": loss.attempt,
        "attempts": loss.attempts,
        "reason": loss.reason,
        "output": loss.output,
    }
    match loss.kind:
        case "TaskKilledWorker":
            facts["signal"] = loss.signal
        case "ExitCalled":
            facts["status"] = loss.status
        case "TimeLimitExceeded":
            facts["limit"] = loss.limit
        case "MemoryLimitExceeded":
            facts |= {"limit": int(loss.limit), "peak": loss.peak}
        case _:
            pass
    return _LOSSES.get(loss.kind, TaskLost)(message, **facts)


def arguments_of(blob: bytes | None) -> str:
    """The arguments in a packed call, shortly: ``, args (7, k=2)``; empty if they cannot be."""
    if blob is None or len(blob) > _MOST_ARGUMENTS:
        return ""
    try:
        args, kwargs = Unpacker(blob).load(0)
        shown = [_short.repr(each) for each in args[:6]]
        shown += [f"{name}={_short.repr(each)}" for name, each in list(kwargs.items())[:6]]
        more = ", ..." if len(args) > 6 or len(kwargs) > 6 else ""
        return f", args ({', '.join(shown)}{more})"
    except Exception:
        return ""


def _not_rebuilt(error: Exception, description: str) -> BaseException:
    note = f"[scattergather] the result cannot be rebuilt here: {description}"
    if isinstance(error, CannotImport):
        error.add_note(note)
        return error
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    failed = TaskError(
        f"the result of {description} cannot be rebuilt here: {type(error).__name__}: {error}",
        type_name=kind,
        text=str(error),
    )
    failed.__cause__ = error
    return failed
