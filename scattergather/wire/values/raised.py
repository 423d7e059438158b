"""Exceptions of tasks on their way home.

What arrives is an exception of the original type, with its attributes and notes, whose cause is
the remote traceback as text. What cannot be rebuilt, and what would end the notebook if it were
raised there (``SystemExit``, ``KeyboardInterrupt``), is stood in for by a ``TaskError``.

An exception whose text is longer than 64 kB, which nobody reads and ten thousand of which fill the
notebook's memory, has the strings among its arguments cut to that. Its attributes are data, not
text: they arrive whole, as large as the task made them.
"""

from __future__ import annotations

import linecache
import os
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from scattergather.errors import CannotPickle, RequestError, TaskError
from scattergather.wire.code.codebook import BOOK, CodeBook
from scattergather.wire.code.shipping import Carrier
from scattergather.wire.values.exceptions import Absent, note, reduce_exception, taken_apart
from scattergather.wire.values.payload import dumps, loads

MOST_TEXT = 64 << 10
MOST_PARTS = 1000
"""Of one list or the like in an exception, from which those that cannot travel are taken out."""
_VERSION = 2
_BARE_FRAME = re.compile(
    r'^(?P<indent> +)File "(?P<file>[^"\n]+)", line (?P<line>[0-9]+), in .*\n(?!(?P=indent)  )',
    re.MULTILINE,
)
_HERE = Path(__file__).parents[2]
_OURS = (f"{_HERE / 'wire'}{os.sep}", f"{_HERE / 'workers' / 'process'}{os.sep}")
_MACHINERY = frozenset({"scattergather", "importlib", "pickle", "dill"})
_MUTE = "<its __str__ raised"
_ONLY_EXCEPTIONS = "only what is derived from Exception is raised here"


class RemoteTraceback(Exception):
    """The cause of an exception that came from a worker: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{_with_sources(self.text)}"""'


def _with_sources(text: str) -> str:
    """``text`` with the lines of source that a worker has not: those of the notebook's cells."""

    def completed(frame: re.Match[str]) -> str:
        line = linecache.getline(frame["file"], int(frame["line"])).strip()
        return f"{frame[0]}{frame['indent']}  {line}\n" if line else frame[0]

    return _FRAME.sub(_in_its_cell, _BARE_FRAME.sub(completed, text))


_FRAME = re.compile(r'File "(?P<file>[^"\n]+)", line ')


def _in_its_cell(frame: re.Match[str]) -> str:
    """The frame as IPython names it where it is one of the notebook's cells: ``Cell In[3]``."""
    try:
        shell = sys.modules["IPython"].get_ipython()
        kind, name = shell.compile.format_code_name(frame["file"])
    except (KeyError, AttributeError, TypeError):  # no notebook, or a file like any other
        return frame[0]
    return f"{kind} {name}, line "


class _Form:
    """Pickled in the place of an exception: it is made again as the reduction says."""

    def __init__(self, reduction: tuple[Any, ...]) -> None:
        self._reduction = reduction

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduction


def _own(error: BaseException) -> tuple[Any, ...]:
    """How it is pickled anywhere in a value."""
    if taken_apart(type(error)):
        return reduce_exception(error)
    reduction = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if not isinstance(reduction, tuple):
        raise TypeError(f"it says that it is {reduction!r}")
    return reduction


def _shortened(reduction: tuple[Any, ...]) -> _Form:
    """The texts that it is made of are cut."""
    make, args, *state = reduction
    return _Form((make, _cut(args), *state))


def _cut(value: Any) -> Any:
    if type(value) is tuple:
        return tuple(_cut(each) for each in value)
    return _fit(value) if type(value) is str else value


class _Pruning:
    """Puts something that shows the same in the place of each part that cannot travel.

    Args:
        travels: says whether a part arrives as it is.
    """

    def __init__(self, travels: Callable[[Any], bool]) -> None:
        self._travels = travels
        self._within: set[int] = set()
        self.absent: list[Absent] = []

    def pruned(self, value: Any) -> Any:
        """``value``, or as much of it as travels."""
        if self._travels(value):
            return value
        if id(value) not in self._within:
            self._within.add(id(value))
            kind = type(value)
            if isinstance(value, Exception):
                for way in (_own, reduce_exception):
                    form = _Form(self.reduction(way(value)))
                    if self._travels(form):
                        return form
            elif kind in (list, tuple) and len(value) <= MOST_PARTS:
                return kind(self.pruned(each) for each in value)
            elif kind is dict and len(value) <= MOST_PARTS:
                return {self.pruned(key): self.pruned(each) for key, each in value.items()}
        try:
            text = _fit(repr(value))
        except Exception:
            text = f"<{_type_name(type(value))}>"
        self.absent.append(Absent(text))
        return self.absent[-1]

    def reduction(self, reduction: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same for all that an exception is made of."""
        make, args, *state = reduction
        return make, tuple(map(self.pruned, args)), *(map(self.pruned, state))


def pack_exception(
    error: BaseException, carrier: Carrier | CodeBook = BOOK, *, skip: int = 0
) -> bytes:
    """``error`` as bytes; never raises.

    Args:
        error: what the task raised.
        carrier: as for :class:`Packer`.
        skip: how many leading frames of its traceback are ours.
    """
    type_name, text = _type_name(type(error)), _raw_text(error)
    blob, why = b"", _ONLY_EXCEPTIONS
    if isinstance(error, Exception):
        blob, why = _packed(error, carrier, is_long=len(text) > MOST_TEXT)
    trace = traceback_text(error, skip)
    return pickle.dumps((_VERSION, blob, type_name, _fit(text), trace, why), 5)


def _packed(error: Exception, carrier: Carrier | CodeBook, *, is_long: bool) -> tuple[bytes, str]:
    """The best blob of an exception, and what of it is absent; or none, and why not."""
    book = carrier if isinstance(carrier, CodeBook) else carrier.book

    def travels(value: Any) -> bool:
        try:
            loads(dumps(value, carrier), book)
        except Exception:
            return False
        return True

    pruning = _Pruning(travels)
    ways = [
        lambda: _own(error),
        lambda: reduce_exception(error),
        lambda: pruning.reduction(_own(error)),
    ]
    forms: list[Callable[[], Any]] = [lambda: error]
    forms += [partial(_formed, way) for way in ways[1:]]
    if is_long:
        forms = [partial(_formed, way, _shortened) for way in ways] + forms
    first = ""
    for number, form in enumerate(forms):
        pruning.absent.clear()
        is_cut = is_long and number < len(ways)
        blob, said = _tried(form, error, carrier, book, is_cut=is_cut, absent=pruning.absent)
        if blob:
            shown = dict.fromkeys(repr(each) for each in pruning.absent)
            return blob, ", ".join(
                each if len(each) < 100 else f"{each[:96]} ..." for each in shown
            )
        if form is forms[-len(ways)]:
            first = said
    # What it says may be new each time, as the address of something among its arguments.
    blob, _ = _tried(forms[1], error, carrier, book, any_text=True)
    return blob, "" if blob else first


def _formed(way: Callable[[], tuple[Any, ...]], form: Any = _Form) -> Any:
    return form(way())


def unpack_exception(body: bytes, book: CodeBook = BOOK) -> BaseException:
    """The exception in ``body``, with the remote traceback as its cause."""
    version, *parts = pickle.loads(body)
    if version != _VERSION:
        raise ValueError(f"an exception in format {version} came; this side reads {_VERSION}")
    blob, type_name, text, trace, why = parts
    error: BaseException | None = None
    if blob:
        try:
            error = loads(blob, book)
        except Exception as failed:
            why = f"it cannot be rebuilt here: {failed}"
    if isinstance(error, BaseException) and why:
        note(error, f"Shown here, but left where it was raised: {why}")
    if not isinstance(error, BaseException):
        message = f"{type_name}: {text}" if text else type_name
        error = TaskError(message, type_name=type_name, text=text)
        error.add_note(f"TaskError stands in for {type_name}: {why}")
    object.__setattr__(error, "__cause__", RemoteTraceback(trace))  # it may be frozen
    return error


def text_of(error: BaseException) -> str:
    """``str(error)``, whatever its ``__str__`` does, not longer than :data:`MOST_TEXT`."""
    return _fit(_raw_text(error))


def _raw_text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failed:
        return f"{_MUTE} {type(failed).__name__}>"


def traceback_text(error: BaseException, skip: int = 0) -> str:
    """The traceback with its chain, without the first ``skip`` frames of ``error`` itself."""
    trace: TracebackType | None = error.__traceback__
    for _ in range(skip):
        if trace is not None:
            trace = trace.tb_next
    try:
        if isinstance(error, RequestError) and not _passes_through_a_task(error, trace):
            return _fit("".join(traceback.format_exception_only(error)))
        told = traceback.TracebackException(type(error), error, trace, compact=True)
        _drop_our_frames(told)
        return _fit("".join(told.format()))
    except Exception as failed:
        return f"{_type_name(type(error))} (its traceback cannot be shown: {failed!r})\n"


def _drop_our_frames(told: traceback.TracebackException | None) -> None:
    """Those of the worker and the wire: how a limit ends a task, or how a value is pickled."""
    while told is not None:
        if told.stack:
            told.stack[:] = [each for each in told.stack if not each.filename.startswith(_OURS)]
            if not told.stack:
                told.stack = None  # type: ignore[assignment]  # else a heading without frames
        for each in told.exceptions or ():
            _drop_our_frames(each)
        told = told.__cause__ or told.__context__


def _passes_through_a_task(error: BaseException, trace: TracebackType | None) -> bool:
    """False if all frames, those of the causes too, are ours or of what imports and pickles."""
    link: BaseException | None = error
    while link is not None:
        while trace is not None:
            module = str(trace.tb_frame.f_globals.get("__name__"))
            if module.partition(".")[0] not in _MACHINERY:
                return True
            trace = trace.tb_next
        link = link.__cause__ or link.__context__
        trace = None if link is None else link.__traceback__
    return False


def _tried(
    form: Callable[[], Any],
    error: Exception,
    carrier: Carrier | CodeBook,
    book: CodeBook,
    *,
    is_cut: bool = False,
    absent: Sequence[Absent] = (),
    any_text: bool = False,
) -> tuple[bytes, str]:
    """The form as bytes if ``error`` comes out of them again, else nothing and why not.

    Its text may be another one where it is cut, or tells of something that is ``absent``.
    """
    try:
        blob = dumps(form(), carrier, name="exception")
        copy = loads(blob, book)
        # A message built in __init__ from an argument is built twice by a naive copy.
        there, here = _raw_text(copy), _raw_text(error)
        same = there == here
        if is_cut or absent or any_text:
            same = not there.startswith(_MUTE) and (not is_cut or len(there) < len(here))
        if same and type(copy) is type(error):
            return blob, ""
        return b"", "a copy of it would not be the same"
    except CannotPickle as failed:
        return b"", f"it cannot travel, because of {failed.path}"
    except Exception as failed:
        return b"", f"a copy of it cannot be made ({type(failed).__name__}: {text_of(failed)})"


def _fit(text: str) -> str:
    """At most :data:`MOST_TEXT` bytes of UTF-8, the middle left out, surrogates replaced."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > MOST_TEXT:
        half = MOST_TEXT // 2 - 32
        mark = f"\n... [{len(data) - 2 * half} bytes cut here] ...\n"
        data = data[:half] + mark.encode() + data[-half:]
    return data.decode("utf-8", "replace")


def _type_name(kind: type) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
