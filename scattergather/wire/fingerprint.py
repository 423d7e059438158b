"""Whether a function is still what it was when it was frozen, told in a few microseconds.

``submit(f, x)`` in a loop must not freeze ``f`` each time, yet ``x = 1; submit(f); x = 2;
submit(f)`` has to see both values. So everything that ``f`` reaches is listed: where all of that is
immutable, the identities in the list say whether it changed. Anything mutable, and any class that
would travel by value, and there is no fingerprint.
"""

from __future__ import annotations

import operator
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from scattergather.wire.codebook import Code
from scattergather.wire.names import global_names
from scattergather.wire.origin import importable
from scattergather.wire.shipping import Shipment

_ATOMS = frozenset(
    {int, float, complex, str, bytes, bool, type(None), type(...), range, types.ModuleType,
     type(NotImplemented)}
)  # fmt: skip
_MOST_PARTS = 200
_MISSING = object()


def fingerprint(function: Any) -> list[Any] | None:
    """Everything that ``function`` reaches, to be compared by identity.

    None if some of it can change in place. Keep the list: ids of things that are gone come again.
    """
    parts: list[Any] = []
    return parts if _reach(function, parts, set()) else None


def _reach(thing: Any, parts: list[Any], done: set[int]) -> bool:
    parts.append(thing)
    kind = type(thing)
    if kind in _ATOMS:
        return True
    if kind is types.FunctionType:
        if id(thing) in done or importable(thing):
            return True
        if len(parts) > _MOST_PARTS:
            return False
        done.add(id(thing))
        return _reach_function(thing, parts, done)
    if kind is types.BuiltinFunctionType:  # but not the method of a mutable thing: items.append
        return thing.__self__ is None or type(thing.__self__) is types.ModuleType
    if kind is tuple:
        return len(thing) < _MOST_PARTS and all(_reach(part, parts, done) for part in thing)
    return issubclass(kind, type) and importable(thing)


def _reach_function(function: types.FunctionType, parts: list[Any], done: set[int]) -> bool:
    code = function.__code__
    variables = function.__globals__
    parts.append(code)
    for name in global_names(code):
        if not _reach(variables.get(name, _MISSING), parts, done) and name in variables:
            return False
    for cell in function.__closure__ or ():
        try:
            contents = cell.cell_contents
        except ValueError:
            contents = None
        if not _reach(contents, parts, done):
            return False
    if not _reach(function.__defaults__, parts, done):
        return False
    for own in (function.__kwdefaults__, function.__dict__):
        for name, value in own.items() if own else ():
            parts.append(name)
            if not _reach(value, parts, done):
                return False
    return True


class Freezer:
    """Freezes functions for ``submit``: one that has not changed is not pickled again.

    One thread at a time.

    Args:
        kept: how many functions are remembered.
    """

    def __init__(self, kept: int = 64) -> None:
        self._kept = kept
        self._known: OrderedDict[int, tuple[list[Any], Code]] = OrderedDict()

    def freeze(self, function: Callable[..., Any], shipment: Shipment) -> bytes:
        """Like :meth:`Shipment.freeze`, into ``shipment``.

        Raises:
            CannotPickle: as there.
        """
        print_now = fingerprint(function)
        if print_now is None:
            return shipment.freeze(function)
        key = id(function)
        entry = self._known.get(key)
        if entry is not None and _same(entry[0], print_now):
            self._known.move_to_end(key)
            shipment.include(entry[1])
            return entry[1].digest
        digest = shipment.freeze(function)
        code = shipment.code[digest]
        if not code.needs:  # an annotation can still bring a class of the notebook
            self._known[key] = (print_now, code)
            self._known.move_to_end(key)
            if len(self._known) > self._kept:
                self._known.popitem(last=False)
        return digest


def _same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(map(operator.is_, before, now))
