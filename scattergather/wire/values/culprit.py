"""Finds the smallest thing in a value that cannot be sent, for the message of CannotPickle.

Slow and careful: it runs only when pickling has failed already, for half a second at most.
"""

from __future__ import annotations

import io
import pickle
import re
import time
import types
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any

from scattergather.errors import CannotPickle, ScatterGatherError
from scattergather.wire.code.class_recipe import state
from scattergather.wire.code.names import global_names
from scattergather.wire.code.origin import importable, written_in_c
from scattergather.wire.code.recipe import RECIPES, MustNotTravel, refusal, said_by
from scattergather.wire.memory.outside import Outside

MOST_THINGS = 20_000
MOST_SECONDS = 0.5
STEPS_SHOWN = 20
"""Of the way to what is nested too deeply."""
CURE = "Pass what it needs as an argument, or make it inside the task."
ARGUMENT_CURE = (
    "Make it inside the task, of something that can travel, such as a path or plain data."
)
"""For what stands in the arguments themselves; the other one is for what code brings along."""
MEND = "Mend how it is pickled, or make it inside the task."
"""For what raises while it is taken apart."""
_CODE = ("function ", "class ", "task object ")
_BROUGHT = re.compile(r" -> (global|closure|default|getter|setter|class|base) ")
RESULT = "result of "
"""Begins the name of a value on its way home, which has a cure of its own."""
RESULT_CURE = "Return what is needed of it as plain data, such as a list."

_ATOMS = (int, float, complex, str, bytes, bool, type(None), types.ModuleType)


class _Probe(pickle.Pickler):
    """Pickles one thing with the classes that would travel with it, for nobody to load."""

    def __init__(self, outside: Outside | None) -> None:
        super().__init__(io.BytesIO(), 5)
        self.outside = outside
        self.namespaces: dict[int, Any] = {}
        self.holds_code = False

    def reducer_override(self, thing: Any) -> Any:
        kind = type(thing)
        if said_by(kind) is not None:
            raise MustNotTravel(refusal(thing))
        recipe = RECIPES.get(kind)
        if recipe is not None:
            return recipe(self, thing)
        if issubclass(kind, type) and _by_value(thing):
            return str, (), (thing.__bases__, state(thing))
        return NotImplemented


def explain(
    value: Any, name: str, error: BaseException, outside: Outside | None = None
) -> CannotPickle:
    """The error to raise for ``value``, called ``name``, where pickling failed with ``error``."""
    found = _search(value, name, outside)
    if outside is not None:
        outside.abandon()
    path, culprit, why = found or (name, value, error)
    kind = type(culprit)
    said = refusal(culprit) or (str(why) if isinstance(why, MustNotTravel) else None)
    reason = said or f"{_type_name(kind)}: {_told(why)[:500]}"
    full = path if path.endswith(")") else f"{path} (a {_type_name(kind)})"
    cure = CURE if name.startswith(_CODE) or _BROUGHT.search(path) else ARGUMENT_CURE
    if said is None and not _is_refusal(why):
        cure = MEND
    if name.startswith(RESULT):
        cure = RESULT_CURE
    tail = "" if refusal(culprit) or getattr(why, "thing", None) is culprit else f" {cure}"
    return CannotPickle(f"Cannot send {full}: {reason.rstrip('.')}.{tail}", path=full)


def _told(why: BaseException) -> str:
    """In the words of who refused; with its type where that was code of the user."""
    said = str(why)
    if _is_refusal(why):
        return said
    return f"{type(why).__name__}: {said}" if said else type(why).__name__


def _is_refusal(why: BaseException) -> bool:
    """As pickle and most things say that they cannot be pickled."""
    return isinstance(why, TypeError | pickle.PicklingError | ScatterGatherError)


def too_deep(value: Any, name: str, outside: Outside | None = None) -> CannotPickle:
    """The error to raise for ``value``, called ``name``, which has more levels than pickle goes."""
    path, last = name, ""
    deadline = time.monotonic() + MOST_SECONDS
    for _ in range(STEPS_SHOWN):
        parts = takewhile(lambda _: time.monotonic() < deadline, islice(_parts(value), MOST_THINGS))
        deep = (each for each in parts if _is_too_deep(each[1], outside))
        step, part = next(deep, ("", None))
        if step in ("", last):  # from here on it goes down by the same step
            path = path.removesuffix(step)
            break
        path, value, last = path + step, part, step
    if outside is not None:
        outside.abandon()
    message = f"Cannot send {path}: it is nested too deeply. Send it flatter, or as bytes."
    return CannotPickle(message, path=path)


def _is_too_deep(thing: Any, outside: Outside | None) -> bool:
    try:
        _Probe(outside).dump(thing)
    except RecursionError:
        return True
    except Exception:
        return False
    return False


def retold(
    value: Any, name: str, error: CannotPickle, outside: Outside | None = None
) -> CannotPickle:
    """``error``, met in a part of ``value`` that is packed by itself, told from ``name`` on."""
    found = _search(value, name, outside)
    return error if found is None else explain(value, name, error, outside)


def _search(
    value: Any, name: str, outside: Outside | None
) -> tuple[str, Any, BaseException] | None:
    error = _failure(value, outside)
    if error is None:
        return None
    deadline = time.monotonic() + MOST_SECONDS
    done = {id(value)}
    kept = [value]  # else ids of temporaries come again
    path = name
    # Down from one bad thing to a bad part of it, until no part is bad alone, or one says itself
    # why it cannot be sent.
    while True:
        if refusal(value) or (isinstance(error, MustNotTravel) and error.thing is value):
            return path, value, error
        for step, part in _parts(value):
            if time.monotonic() > deadline or len(done) > MOST_THINGS:
                return path, value, error
            if id(part) in done or isinstance(part, _ATOMS):
                continue
            done.add(id(part))
            kept.append(part)
            failed = _failure(part, outside)
            if failed is not None:
                path, value, error = path + step, part, failed
                break
        else:
            return path, value, error


def _failure(thing: Any, outside: Outside | None) -> BaseException | None:
    try:
        _Probe(outside).dump(thing)
    except RecursionError:
        return None
    except Exception as error:
        return error
    return None


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a thing is made of, with the step that leads there."""
    if isinstance(thing, types.FunctionType):
        names = thing.__code__.co_freevars
        for name, cell in zip(names, thing.__closure__ or (), strict=False):
            try:
                yield f" -> closure {name!r}", cell.cell_contents
            except ValueError:
                continue
        for name in global_names(thing.__code__):
            if name in thing.__globals__:
                yield f" -> global {name!r}", thing.__globals__[name]
        for number, default in enumerate(thing.__defaults__ or ()):
            yield f" -> default {number}", default
        for name, default in (thing.__kwdefaults__ or {}).items():
            yield f" -> default {name!r}", default
    elif isinstance(thing, types.MethodType):
        yield " -> self", thing.__self__
        yield " -> function", thing.__func__
    elif isinstance(thing, property):
        yield from ((" -> getter", thing.fget), (" -> setter", thing.fset))
    elif isinstance(thing, classmethod | staticmethod):
        yield "", thing.__func__
    elif isinstance(thing, type) and _by_value(thing):
        for values in state(thing).values():
            yield from ((f" -> .{name}", part) for name, part in values.items())
        yield from ((f" -> base {base.__qualname__!r}", base) for base in thing.__bases__)
    if isinstance(thing, dict):
        for key, part in list(thing.items()):
            yield f"[{_short(key)}]", part
            yield f" -> key {_short(key)}", key
    elif isinstance(thing, list | tuple):
        yield from ((f"[{number}]", part) for number, part in enumerate(thing))
    elif isinstance(thing, set | frozenset):
        yield from ((" -> item", part) for part in thing)
    if not isinstance(thing, type):
        yield from _attributes(thing)
        kind = type(thing)
        if _by_value(kind):
            yield f" -> class {kind.__qualname__!r}", kind


def _by_value(kind: type) -> bool:
    """True for a class that travels with what needs it."""
    return not importable(kind) and not written_in_c(kind)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    own = getattr(thing, "__dict__", None)
    if type(own) is dict:
        yield from ((f" -> .{name}", part) for name, part in list(own.items()))
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            try:
                yield f" -> .{name}", getattr(thing, name)
            except Exception:
                continue
    for name in ("func", "args", "keywords"):
        if type(thing).__name__ == "partial":
            yield f" -> .{name}", getattr(thing, name)


def _short(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:
        return "?"
    return text if len(text) <= 60 else text[:57] + "..."


def _type_name(kind: type) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    if kind.__module__.startswith("scattergather"):
        return f"{kind.__qualname__} of scattergather"
    return f"{kind.__module__}.{kind.__qualname__}"
