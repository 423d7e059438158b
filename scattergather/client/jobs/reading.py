"""An outcome's bytes become a result or an error. Never on the reader thread, but for futures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from functools import partial
from types import FunctionType
from typing import Any

from scattergather.client.values.large import Part
from scattergather.client.values.plain import load_all, load_one
from scattergather.errors import CannotImport, TaskError
from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.memory import stub
from scattergather.wire.messages import page as messages
from scattergather.wire.values.losses import error_of
from scattergather.wire.values.payload import Unpacker
from scattergather.wire.values.raised import RemoteTraceback, unpack_exception

FAILURES = (Exception, SystemExit, GeneratorExit)
"""What a result may raise while it is unpickled, and may not raise in the thread that asks for it.
An interrupt is the user's own."""

_OUR_NOTE = "[scattergather] "
_WORKERS_NOTE = re.compile(r"\[scattergather\] task \d+ ")
_QUOTED = re.compile(r"'(\w+)'")

Refer = Callable[[messages.TaskOutcomes, tuple[Part, ...], Sequence[bytes]], list[Any]]
"""Makes what stands for results: of the message that brought them, their parts and their blobs."""

Describe = Callable[[int], str]
"""Says of which task an index is, for the note of an error: ``task 3 of job 1 ...``."""


def loader(body: bytes, large: Iterable[Part]) -> Callable[[int, int], Any]:
    """Loads the result that lies between two offsets; parts of it may lie in these objects."""
    if not large:
        return partial(load_one, body, load=Unpacker(body).load)
    held = {each.extent.object: each for each in large}

    def view(name: ObjectId) -> Any:
        return held[name].view()

    def load(start: int, end: int) -> Any:
        return stub.load(memoryview(body)[start:end], view)

    return load


def read_outcomes(
    kinds: bytes,
    body: bytes,
    first: int,
    describe: Describe,
    label: str,
    large: Sequence[Part] = (),
    refer: Callable[[Sequence[bytes]], list[Any]] | None = None,
) -> tuple[list[Any], bytes]:
    """The results, errors in the failed places, and the kinds.

    A result that cannot be rebuilt here counts as raised. With ``refer`` none is rebuilt: that
    makes of their blobs what stands for them.
    """
    count = len(kinds)
    if refer is not None and kinds.count(Kind.RETURNED) == count:
        return refer(blobs.each(body, count)), kinds
    base = count * blobs.WIDTH
    ends = [base + end for end in blobs.ends_of(body, count)]
    if kinds.count(Kind.RETURNED) == count and not large:
        try:
            values = load_all(body, [base, *ends[:-1]], ends, Unpacker(body).load)
        except FAILURES:
            values = []
        if len(values) == count:
            return values, kinds
        # One raised, or ended them by a StopIteration: which one is found out below.
    load = loader(body, large)
    values = []
    changed: bytearray | None = None
    start = base
    for place, (kind, end) in enumerate(zip(kinds, ends, strict=True)):
        if kind == Kind.RETURNED:
            try:
                if refer is None:
                    values.append(load(start, end))
                else:
                    values += refer([body[start:end]])
            except FAILURES as error:
                values.append(not_rebuilt(error, describe(first + place)))
                changed = bytearray(kinds) if changed is None else changed
                changed[place] = Kind.RAISED
        else:
            index = first + place
            blob = body[start:end]
            values.append(read_error(kind, blob, index, describe(index), label))
        start = end
    return values, kinds if changed is None else bytes(changed)


def read_error(kind: int, blob: bytes, index: int, description: str, label: str) -> BaseException:
    """The error of a task that did not return."""
    if kind == Kind.CANCELLED:
        return CancelledError(f"task {index} of {label} was cancelled")
    try:
        if kind in (Kind.LOST, Kind.INTERRUPTED):
            return error_of(messages.read_loss(blob), f"task {index} of {label}", index)
        error = unpack_exception(blob, BOOK)
        _advise(error)
        _address(error, description)
        return error
    except FAILURES as failed:
        return not_rebuilt(failed, description)


def _advise(error: BaseException) -> None:
    """What code names only in strings (``query("@x")``, ``eval``) does not travel with it."""
    if isinstance(error, NameError):
        known = vars(sys.modules["__main__"])
        for name in _QUOTED.findall(str(error)):
            if name in known:
                # As in an annotation in quotes, where an argument is of no help.
                is_code = isinstance(known[name], type | FunctionType)
                error.add_note(
                    f"[scattergather] {name} is a global of the notebook, which the function names "
                    f"only in a string, so it did not travel: pass {name} as an argument"
                    + (", or name it in the function without quotes, too" if is_code else "")
                )


def _address(error: BaseException, description: str) -> None:
    """One note says which task it was, in the client's words.

    The worker's own note has the arguments, but counts a retried task anew and names the machine,
    not the host as the user calls it.
    """
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
    own = [note for note in notes if _WORKERS_NOTE.match(note)]
    vars(error)["__notes__"] = [note for note in notes if note not in own]
    cause = error.__cause__
    if isinstance(cause, RemoteTraceback):
        last = cause.text.rstrip("\n").rpartition("\n")[2]
        if not own and _WORKERS_NOTE.match(last):
            own = [last]  # the error is a stand-in; the note is in the traceback of the original
        for note in (*own, *(note for note in notes if note.startswith(_OUR_NOTE))):
            cause.text = cause.text.replace(note + "\n", "")
    arguments = own[-1].partition(", args ")[2] if own else ""
    place = f"[scattergather] {description}" + (f", args {arguments}" if arguments else "")
    vars(error)["__notes__"].append(place)  # its class may forbid to set attributes


def not_rebuilt(error: BaseException, description: str) -> BaseException:
    """The error of a task whose result raised ``error`` when it was unpickled here."""
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
