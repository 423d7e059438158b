"""Every error that a user can meet, in one tree, by whose fault it is.

``ScatterGatherError``
    ``RequestError``: what was asked for cannot be done; nothing was started.
    ``JobFailed``, ``InputFailed``: the user's function, or the user's iterable, raised.
    ``TaskError``: a task raised something that could not travel; this stands in for it.
    ``TaskLost``: something died under the task.
    ``ControllerLost``: the controller died under the client.

Each error is a sentence that can be shown as it stands, and keeps its facts in attributes. Errors
cross process borders as pickles, so each one can be rebuilt from its fields: see ``__reduce__``.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from scattergather.model.failure import Failure


class ScatterGatherError(Exception):
    """The root of the tree. ``fields`` are the keyword facts that a subclass was made from."""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.__dict__.update(fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self._fields())

    def brief(self) -> ScatterGatherError:
        """The same with the first line of its message only, for all but the first of many."""
        return _rebuild(type(self), self.message.partition("\n")[0], self._fields())

    @property
    def gist(self) -> str:
        """The message up to its first semicolon or line's end: what happened, and no cure."""
        return self.message.partition("\n")[0].partition(";")[0]

    def _fields(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "message"}

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the frames of the user, in which ours would drown them, and the error."""
        return _rendered(self)


E = TypeVar("E", bound=BaseException)


def without_our_frames(error: E) -> E:
    """``error``, of a class of Python's own or the user's, is shown in a notebook as ours are.

    Returns it.
    """
    try:
        if not hasattr(error, "_render_traceback_"):
            error._render_traceback_ = partial(_rendered, error)  # type: ignore[attr-defined]
    except Exception:  # the user's class may forbid it
        pass
    return error


ENDS = (StopIteration, StopAsyncIteration)
"""What an iterator raises when there is no more."""


def in_protocol(
    error: BaseException, mistaken: tuple[type[BaseException], ...] = ENDS
) -> BaseException:
    """``error`` of a task as an iterator or an await may raise it.

    Python reads some exceptions there as something else: those of ``ENDS`` end a loop without a
    word, or become the value of an ``await``. A RuntimeError stands in for the ``mistaken`` ones,
    with the original as its cause, as Python itself does it in generators (PEP 479).
    """
    if not isinstance(error, mistaken):
        return error
    told = RuntimeError(
        f"a task raised {type(error).__name__}, which Python would take for something else here; "
        "it is the cause of this error"
    )
    told.__cause__ = error
    for note in getattr(error, "__notes__", ()):
        told.add_note(note)
    return without_our_frames(told)


def _rendered(error: BaseException) -> list[str]:
    shell = sys.modules["IPython"].get_ipython()
    whole = _chain(error)
    before = [
        (each, each.__traceback__, each.__cause__, each.__context__, each.__suppress_context__)
        for each, _ in whole
    ]
    shown = [
        (each, is_cause)
        for each, is_cause in whole
        # One without a traceback is a remote one, told in its text.
        if each is error or each.__traceback__ is None or _is_the_users(each.__traceback__)
    ]
    try:
        for (each, _), (link, is_cause) in zip(shown, [*shown[1:], (None, True)], strict=True):
            cause, context = (link, None) if is_cause else (None, link)
            _chained(each, without_ours(each.__traceback__), cause, context, is_cause)
        lines: list[str] = shell.InteractiveTB.structured_traceback(
            type(error), error, error.__traceback__
        )
    finally:
        for each, trace, cause, context, suppressed in before:
            _chained(each, trace, cause, context, suppressed)
    return lines


def _chained(
    error: BaseException,
    trace: TracebackType | None,
    cause: BaseException | None,
    context: BaseException | None,
    suppressed: bool,
) -> None:
    put = object.__setattr__  # the class of the error may forbid to set attributes
    error.with_traceback(trace)
    put(error, "__cause__", cause)
    put(error, "__context__", context)
    put(error, "__suppress_context__", suppressed)


def _chain(error: BaseException) -> list[tuple[BaseException, bool]]:
    """``error`` and what led to it, each with whether it is the cause of the one before."""
    chain = [(error, True)]
    while True:
        last = chain[-1][0]
        is_cause = last.__cause__ is not None or last.__suppress_context__
        link = last.__cause__ if is_cause else last.__context__
        if link is None or any(link is each for each, _ in chain):
            return chain
        chain.append((link, is_cause))


_MACHINERY = ("scattergather", "pickle", "dill", "concurrent.futures", "asyncio")
"""Modules whose frames lead from the user's code to the user's code."""

_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = os.path.join(_STANDARD, "site-packages") + os.sep


def without_ours(trace: TracebackType | None) -> TracebackType | None:
    """The same traceback without the frames that no user wrote or called by name."""
    kept = []
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__")) + "."
        if not module.startswith(tuple(name + "." for name in _MACHINERY)):
            kept.append(trace)
        trace = trace.tb_next
    for each in reversed(kept):
        trace = TracebackType(trace, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return trace


def _is_the_users(trace: TracebackType) -> bool:
    """Some of it is neither ours nor the standard library's."""
    rest = without_ours(trace)
    while rest is not None:
        file = rest.tb_frame.f_code.co_filename
        if not file.startswith((_STANDARD, "<frozen ")) or file.startswith(_INSTALLED):
            return True
        rest = rest.tb_next
    return False


def _rebuild(
    kind: type[ScatterGatherError], message: str, fields: dict[str, Any]
) -> ScatterGatherError:
    # What Python takes for an object's layout; ``kind.__new__`` may be that of another base.
    built_in: Any = kind
    while built_in.__module__ != "builtins":
        built_in = built_in.__base__
    error: ScatterGatherError = built_in.__new__(kind, message)
    ScatterGatherError.__init__(error, message, **fields)
    return error


# ---- the request cannot be carried out -----------------------------------------------------


class RequestError(ScatterGatherError):
    """What was asked for cannot be done; the sentence says why and what to do instead."""


class BadRequest(RequestError, TypeError, ValueError):
    """An argument has the wrong shape, type or value: the culprit is named."""


class UnknownName(RequestError, LookupError):
    """A service, command, host or option is not known here: the known ones are listed."""


class CannotConnect(RequestError, ConnectionError):
    """A host cannot be reached, or is not the one that its FURL promises."""


class VersionMismatch(RequestError):
    """Two sides run versions that do not fit; both are named."""


class CannotPickle(RequestError, TypeError):
    """A value cannot travel; ``path`` leads to the culprit (``f -> closure 'log' -> .lock``)."""

    path: str


class TooLarge(RequestError, MemoryError):
    """A value, or what is held already, leaves no room; ``size`` and ``bound`` in bytes."""

    size: int
    bound: int

    @classmethod
    def of(cls, what: str, size: int, bound: int) -> TooLarge:
        """The error for one value that is larger than all the memory that it could go to."""
        return cls(
            f"{what} has {size:,} bytes in one piece, more than the {bound:,} that large values "
            "may take there. Split it, write it to a file that both sides see, or allow more: "
            "spawnScatterGather(memory=...), scattergather pool --memory ...; half of it is for "
            "arguments, half for results",
            size=size,
            bound=bound,
        )


class CannotTransfer(RequestError, OSError):
    """A file or folder cannot be sent or fetched; the sentence names it."""


class CannotImport(RequestError, ImportError):
    """A host lacks a module that a task needs; ``module`` names it."""

    module: str


class NothingToWaitFor(RequestError):
    """``waitForResult`` was called and no job is outstanding."""


class Closed(RequestError, RuntimeError):
    """The client was shut down, or its controller was told to die."""


# ---- the user's own code failed ----------------------------------------------------------


class JobFailed(ScatterGatherError):
    """Some tasks of a job failed.

    Attributes:
        results: all results in task order, the failed places hold their exception.
        failures: one ``Failure`` for each failed task, in task order.
    """

    SHOWN = 4
    """How many of the original exceptions are shown; the rest is counted by kind."""

    results: list[Any]
    failures: list[Failure]

    def __init__(
        self, message: str, *, results: Sequence[Any] = (), failures: Sequence[Failure] = ()
    ) -> None:
        super().__init__(message, results=list(results), failures=list(failures))

    def __str__(self) -> str:
        return "\n".join(self.report())

    def report(self) -> list[str]:
        """The sentence, the first few originals with their remote tracebacks, and the counts."""
        lines = [self.message]
        for failure in self.failures[: self.SHOWN]:
            lines.append("")
            lines += failure.report()
        if len(self.failures) > self.SHOWN:
            kinds = Counter(type(failure.error).__name__ for failure in self.failures)
            counts = ", ".join(f"{kind} x {count}" for kind, count in kinds.most_common())
            lines += ["", f"... {len(self.failures)} failures in all: {counts}"]
        lines += [
            "",
            "All of them: job.failures; what succeeded: error.results or errors='return'.",
        ]
        return lines


class InputFailed(ScatterGatherError):
    """The iterable of a job raised; ``results`` holds what came of the tasks before that."""

    results: list[Any]


class TaskError(ScatterGatherError):
    """Stands in for an exception that could not be pickled or rebuilt.

    Attributes:
        type_name: qualified name of the original exception type.
        text: ``str()`` of the original, at most 64 kB.
    """

    type_name: str
    text: str


# ---- something died under the task ---------------------------------------------------------


class TaskLost(ScatterGatherError):
    """A task ended without an outcome of its own.

    Attributes:
        index: the task's place in its job.
        host, worker: where it ran; ``worker`` is the process id, 0 if it never started.
        attempt: which attempt this was, from 1; ``attempts`` is how many were allowed.
        reason: what happened, in words.
        output: the last lines that the task printed.
        where: the last Python frames of each thread, if the faulthandler could tell.
        arguments: the task's arguments in short, if it was not one of many in a chunk.
        peak: the most memory that its worker held, in bytes; 0 if nobody knows.
    """

    index: int = 0
    host: str = ""
    worker: int = 0
    attempt: int = 1
    attempts: int = 1
    reason: str = ""
    output: str = ""
    where: str = ""
    arguments: str = ""
    peak: int = 0


class TaskKilledWorker(TaskLost):
    """The worker was ended by a signal while it ran this task; ``signal`` is its number."""

    signal: int


class OutOfMemory(TaskLost):
    """The kernel ended the worker for want of memory."""


class ExitCalled(TaskLost):
    """The task ended its worker process; ``status`` is the exit status."""

    status: int


class HostLost(TaskLost):
    """The host, or the link to it, died while the task was there."""


class RefLost(TaskLost):
    """What a task, or a ``get()``, takes lay on a host that is lost, and cannot be made again."""


class TimeLimitExceeded(TaskLost, TimeoutError):
    """The task ran longer than ``time_limit`` seconds; ``limit`` holds them."""

    limit: float


class MemoryLimitExceeded(TaskLost):
    """The task took more than ``memory_limit`` bytes; ``limit`` holds them."""

    limit: int


class ControllerLost(ScatterGatherError):
    """The controller process died; what had arrived stays readable."""
