"""Finds the smallest thing in a value that cannot be sent, for the message of CannotPickle.

Slow and careful: it runs only when pickling has failed already, for half a second at most.
"""

from __future__ import annotations

import enum
import functools
import io
import pickle
import re
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, takewhile
from typing import Any

from scattergather.errors import CannotPickle, ScatterGatherError
from scattergather.wire.code.class_recipe import state
from scattergather.wire.code.names import global_names
from scattergather.wire.code.origin import reduction_by_name
from scattergather.wire.code.recipe import RECIPES, MustNotTravel, refusal
from scattergather.wire.memory.outside import Outside
from scattergather.wire.values.reducing import PROTOCOL, Reducing

MOST_THINGS = 20_000
MOST_SECONDS = 0.5
"""What a search may cost, of processor time: it finds the same where the machine is busy."""
MOST_PATIENCE = 10
"""Times as long it may take, where others are waited for."""
MANY = 64
"""Items of a collection are tried by halves from here on, not one by one."""
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


class _Probe(Reducing, pickle.Pickler):
    """Pickles one thing with the classes that would travel with it, for nobody to load."""

    def __init__(self, outside: Outside | None) -> None:
        Reducing.__init__(self, _whole, outside, RECIPES)
        pickle.Pickler.__init__(self, io.BytesIO(), PROTOCOL)


def _whole(kind: type) -> Any:
    """The reduction of a class, with all that it needs if it travels by value."""
    named = reduction_by_name(kind)
    return (str, (), (type(kind), kind.__bases__, state(kind))) if named is None else named


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


class _Deadline:
    """When a search that begins now is to be over."""

    def __init__(self) -> None:
        self._cost = time.thread_time() + MOST_SECONDS
        self._moment = time.monotonic() + MOST_PATIENCE * MOST_SECONDS

    @property
    def over(self) -> bool:
        return time.thread_time() > self._cost or time.monotonic() > self._moment


def too_deep(value: Any, name: str, outside: Outside | None = None) -> CannotPickle:
    """The error to raise for ``value``, called ``name``, which has more levels than pickle goes."""
    path, last = name, ""
    deadline = _Deadline()
    for _ in range(STEPS_SHOWN):
        parts = takewhile(lambda _: not deadline.over, islice(_parts(value), MOST_THINGS))
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
    deadline = _Deadline()
    error = _failure(value, outside, deadline)
    if error is None:
        return None
    done = {id(value)}
    kept = [value]  # else ids of temporaries come again
    path = name
    # Down from one bad thing to a bad part of it, until no part is bad alone, or one says itself
    # why it cannot be sent.
    while True:
        if refusal(value) or (isinstance(error, MustNotTravel) and error.thing is value):
            return path, value, error
        for step, part in chain(_bad_item(value, done, outside, deadline), _parts(value)):
            if deadline.over or len(done) > MOST_THINGS:
                return path, value, error
            if id(part) in done or isinstance(part, _ATOMS):
                continue
            done.add(id(part))
            kept.append(part)
            failed = _failure(part, outside, deadline)
            if failed is not None:
                path, value, error = path + step, part, failed
                break
        else:
            return path, value, error


def _bad_item(
    thing: Any, done: set[int], outside: Outside | None, deadline: _Deadline
) -> list[tuple[str, Any]]:
    """The first bad one of many items, found by halves."""
    contents = _contents(thing)
    if contents is None or len(contents[0]) < MANY:
        return []
    items, step = contents
    places = [
        (place, each)
        for place, each in enumerate(items)
        if type(each) not in _ATOMS and id(each) not in done
    ]
    low, high = 0, len(places)
    while high - low > 1:
        middle = (low + high) // 2
        half = [each for _, each in places[low:middle]]
        if deadline.over:
            return []
        low, high = (low, middle) if _failure(half, outside, deadline) else (middle, high)
    return [(step(place), each) for place, each in places[low:high]]


def _failure(thing: Any, outside: Outside | None, deadline: _Deadline) -> BaseException | None:
    """Why a thing cannot be sent, by neither of the picklers."""
    try:
        _Probe(outside).dump(thing)
    except RecursionError:
        return None
    except Exception as error:
        if isinstance(error, MustNotTravel) or deadline.over:
            return error
        return _failure_of_dill(thing, outside, error)
    return None


def _failure_of_dill(
    thing: Any, outside: Outside | None, first: BaseException
) -> BaseException | None:
    # It imports dill, which most sessions never need.
    from scattergather.wire.values.by_dill import DillPickler  # noqa: PLC0415

    try:
        DillPickler(io.BytesIO(), _whole, outside, RECIPES).dump(thing)
    except Exception:
        return first
    return None


def _contents(thing: Any) -> tuple[Sequence[Any], Callable[[int], str]] | None:
    """The items of a collection, and the step that leads to each place."""
    kind = type(thing)  # a proxy may say that it is of another class
    if issubclass(kind, dict):
        keys, values = list(thing), list(thing.values())

        def step(place: int) -> str:
            if place < len(values):
                return f"[{_short(keys[place])}]"
            return f" -> key {_short(keys[place - len(values)])}"

        return values + keys, step
    if issubclass(kind, list | tuple):
        return thing, "[{}]".format
    if issubclass(kind, set | frozenset):
        return list(thing), lambda _place: " -> item"
    return None


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a thing is made of, with the step that leads there."""
    contents = _contents(thing)
    if contents is not None:
        yield from ((contents[1](place), part) for place, part in enumerate(contents[0]))
    if isinstance(thing, types.FunctionType):
        yield from _parts_of_function(thing)
    elif isinstance(thing, types.MethodType):
        yield " -> self", thing.__self__
        yield " -> function", thing.__func__
    elif isinstance(thing, property):
        yield from ((" -> getter", thing.fget), (" -> setter", thing.fset))
        yield " -> deleter", thing.fdel
    elif isinstance(thing, classmethod | staticmethod):
        yield "", thing.__func__
    elif isinstance(thing, functools.partial):
        yield from ((f" -> .{name}", getattr(thing, name)) for name in ("func", "args", "keywords"))
    elif isinstance(thing, type):
        yield from _parts_of_class(thing)
        return
    elif isinstance(thing, BaseException):
        yield from ((f" -> .args[{place}]", part) for place, part in enumerate(thing.args))
    yield from _reduced(thing)
    kind = type(thing)
    if _by_value(kind):
        yield f" -> class {kind.__qualname__!r}", kind


def _parts_of_function(thing: types.FunctionType) -> Iterator[tuple[str, Any]]:
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
    for name, part in (*vars(thing).items(), *thing.__annotations__.items()):
        yield f" -> .{name}", part


def _parts_of_class(thing: type) -> Iterator[tuple[str, Any]]:
    if not _by_value(thing):
        return
    own = state(thing)
    yield from ((f" -> .{name}", part) for name, part in own["attributes"].items())
    if isinstance(thing, enum.EnumMeta):
        members: Mapping[str, Any] = thing.__members__
        yield from ((f" -> .{name}.value", member._value_) for name, member in members.items())
        yield from ((f" -> .{name}", vars(member)) for name, member in members.items())
    for name, values in own.items():
        if name not in ("attributes", "enum"):
            yield from ((f" -> {name}", part) for part in values.values())
    yield from ((f" -> base {base.__qualname__!r}", base) for base in thing.__bases__)
    yield " -> metaclass", type(thing)


def _reduced(thing: Any) -> Iterator[tuple[str, Any]]:
    """What pickle writes of a thing: its attributes, or whatever it says that it consists of."""
    try:
        recipe = RECIPES.get(type(thing))
        if recipe is None:
            reduction = thing.__reduce_ex__(PROTOCOL)
        else:
            reduction = recipe(_Probe(None), thing)
    except Exception:
        return
    if not isinstance(reduction, tuple):
        return
    _, args, own, items, pairs = (*reduction, None, None, None)[:5]
    states = own if isinstance(own, tuple) and len(own) == 2 else (own,)
    for state_of in states:
        if type(state_of) is dict:
            yield from ((f" -> .{name}", part) for name, part in state_of.items())
        else:
            yield " -> state", state_of
    yield from ((f"[{place}]", part) for place, part in enumerate(items or ()))
    for key, part in pairs or ():
        yield f"[{_short(key)}]", part
        yield f" -> key {_short(key)}", key
    yield from ((" -> part", part) for part in args if not isinstance(part, type))


def _by_value(kind: type) -> bool:
    """True for a class that travels with what needs it."""
    return reduction_by_name(kind) is None


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
