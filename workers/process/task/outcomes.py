"""Results and exceptions as outcomes: a kind and a blob.

Nothing a task returns or raises may harm the worker, so whatever touches it here is careful.
"""

from __future__ import annotations

import io
import os
import reprlib
from collections.abc import Awaitable, Callable
from typing import Any

from scattergather.errors import ExitCalled, TaskError, TooLarge
from scattergather.model.outcome import Kind
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.shipping import Inline
from scattergather.wire.frame import MOST_INSIDE
from scattergather.wire.memory.outside import Outside
from scattergather.wire.values.culprit import RESULT
from scattergather.wire.values.exceptions import note as add_note
from scattergather.wire.values.payload import dumps
from scattergather.wire.values.picklers import ValuePickler, write
from scattergather.wire.values.raised import pack_exception
from scattergather.workers.process.task.call import Call, awaited
from scattergather.workers.process.task.interrupts import LIMITS

ARGUMENTS_SHOWN = 200
"""Characters of a task's arguments in the note on its exception."""

NOTHING = dumps(None)
"""The blob of ``None``, which most tasks without a result return."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80
_repr.maxlevel = 3


class _Plain(reprlib.Repr):
    """Runs no code of the user: other objects are named by their type."""

    def repr_instance(self, x: Any, level: int) -> str:
        if type(x) in (float, complex, bool, bytes, type(None)):
            return super().repr_instance(x, level)
        return f"<{type(x).__module__}.{type(x).__qualname__}>"


_plain = _Plain()
_plain.maxstring = _plain.maxother = 80
_plain.maxlevel = 3


class ResultPickler:
    """One pickler for all results; ``pickler`` and ``buffer`` are for the hot loop."""

    def __init__(self, outside: Outside | None = None, carrier: Inline | None = None) -> None:
        self.carrier = carrier or Inline(BOOK)
        self.buffer = io.BytesIO()
        self.outside = outside
        self.pickler = ValuePickler(self.buffer, self.carrier.reduce_class, outside)

    def sealed(self) -> bytes:
        """The blob of what was just written, a stub if parts of it went outside."""
        if self.outside is not None:
            self.outside.seal(self.buffer, 0)
        return self.buffer.getvalue()

    def carefully(self, value: Any, name: str) -> bytes:
        """The blob of a value that the C pickler alone could not write.

        An awaitable is run, if it cannot travel as it is.

        Raises:
            CannotPickle: it cannot travel; the culprit is named.
            BaseException: what an awaitable raised.
        """
        if isinstance(value, Awaitable):
            value = awaited(value)
        self.clear()
        write(value, self.pickler, self.buffer, RESULT + name)
        blob = self.sealed()
        self._rewind()
        return blob

    def clear(self) -> None:
        """Nothing of a value that failed half-way is left."""
        self._rewind()
        if self.outside is not None:
            self.outside.discard()

    def _rewind(self) -> None:
        self.buffer.seek(0)
        self.buffer.truncate()
        self.pickler.forget()


class Circumstances:
    """Where this worker is, for the notes on exceptions.

    Args:
        host: its name.
        advice: what there is to say of an exception in this place; empty for nothing.
    """

    def __init__(
        self, host: str, advice: Callable[[BaseException], str] = lambda _error: ""
    ) -> None:
        self.host = host
        self._advice = advice
        self.pid = os.getpid()

    def raised(
        self,
        error: BaseException,
        *,
        call: Call | None,
        label: str,
        index: int,
        attempt: int,
        arguments: tuple[Any, Any] | None = None,
        skip: int = 1,
    ) -> tuple[int, bytes]:
        """The outcome of a task that raised ``error``; never raises.

        Args:
            error: what it raised.
            call: what was called, if that was found.
            label: name of the job.
            index: number of the task.
            attempt: counts from 1.
            arguments: ``(args, kwargs)`` if they were loaded.
            skip: how many frames of the traceback are ours.
        """
        kind = Kind.RAISED
        if isinstance(error, SystemExit):
            error = self._exit_called(error, index, attempt)
        elif call is not None and isinstance(error, call.retry_on):
            kind = Kind.RETRYABLE
        if isinstance(error, LIMITS) and not error.worker:
            error.host, error.worker = self.host, self.pid
            error.attempt = error.attempts = attempt
        note = f"[scattergather] task {index}"
        if label or call is not None:
            note += f" of {label or (call.name if call is not None else '')}"
        note += f" on {self.host}, worker {self.pid}"
        if arguments is not None:
            note += f", args {shown(*arguments)}"
        try:
            add_note(error, note)
            if advice := self._advice(error):
                add_note(error, f"[scattergather] {advice}")
        except Exception:  # __notes__ is the user's to spoil
            pass
        try:
            packed = pack_exception(error, BOOK, skip=skip)
            if len(packed) <= MOST_INSIDE:
                return kind, packed
            what = f"the {type(error).__qualname__} that the task raised"
            larger = TooLarge.of(what, len(packed), MOST_INSIDE)
            larger.add_note(note)
            return kind, pack_exception(larger, BOOK)
        except BaseException as failed:  # from its own __str__ or __reduce__
            name = f"{type(error).__module__}.{type(error).__qualname__}"
            text = f"{name}, which cannot be shown: that raised {type(failed).__name__}"
            stand_in = TaskError(text, type_name=name, text="")
            stand_in.add_note(note)
            return kind, pack_exception(stand_in, BOOK)

    def _exit_called(self, error: SystemExit, index: int, attempt: int) -> ExitCalled:
        # As the interpreter reads it: None is 0, a text is printed and counts as 1.
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        said = f" ({_repr.repr(error.code)})" if isinstance(error.code, str) else ""
        exited = ExitCalled(
            f"Task {index} called sys.exit with status {status}{said}.",
            index=index,
            host=self.host,
            worker=self.pid,
            attempt=attempt,
            attempts=attempt,
            reason=f"it called sys.exit with status {status}{said}",
            output="",
            status=status,
        )
        exited.__traceback__ = error.__traceback__
        return exited


def in_short(args: Any, kwargs: Any) -> str:
    """Arguments as a death certificate shows them: cheap, and no code of the user runs for it."""
    try:
        text = _plain.repr(args)
        return f"{text}, {_plain.repr(kwargs)}" if kwargs else text
    except Exception as error:  # a subclass of a list, say
        return f"(they cannot be shown: {type(error).__name__})"


def shown(args: Any, kwargs: Any) -> str:
    """Arguments in at most ``ARGUMENTS_SHOWN`` characters, whatever their ``__repr__`` does."""
    try:
        text = _repr.repr(args)
        if kwargs:
            text += f", {_repr.repr(kwargs)}"
        text = text.encode("utf-8", "backslashreplace").decode()
    except BaseException as error:
        return f"(their repr raised {type(error).__name__})"
    return text if len(text) <= ARGUMENTS_SHOWN else text[: ARGUMENTS_SHOWN - 3] + "..."
