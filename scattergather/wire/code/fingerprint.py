"""Whether a function is still what it was when it was frozen, told in a microsecond.

``submit(f, x)`` in a loop must not freeze ``f`` each time, yet ``x = 1; submit(f); x = 2;
submit(f)`` has to see both values. So ``f`` is walked once, and whatever it reaches is noted with
the place where it was found: a name in a namespace, a cell, a part of a function. Where all of that
is immutable, looking at these places again, by identity, says whether anything changed. Anything
mutable, and any class that would travel by value, and there is no fingerprint.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from itertools import repeat
from operator import attrgetter, is_
from typing import Any, Generic, TypeVar

from scattergather.wire.code.names import global_names
from scattergather.wire.code.origin import importable

T = TypeVar("T")

_ATOMS = frozenset(
    {int, float, complex, str, bytes, bool, type(None), type(...), range, types.ModuleType,
     type(NotImplemented)}
)  # fmt: skip
_MOST_PARTS = 200
_MISSING = object()
_ALL_MISSING = repeat(_MISSING)
_contents = attrgetter("cell_contents")

Namespace = dict[str, Any]


def fingerprint(function: Any) -> Fingerprint | None:
    """What ``function`` is now; None if something that it reaches can change in place."""
    found = Fingerprint()
    return found if found.reach(function) else None


class Fingerprint:
    """Places, and what stood there; held strongly, since ids of things that are gone come again."""

    __slots__ = ("_cells", "_contents", "_functions", "_modules", "_named", "_names", "_parts")

    def __init__(self) -> None:
        self._parts = 0
        # An import may add the submodule that ``package.module`` in the code means.
        self._modules = len(sys.modules)
        self._named: list[tuple[str, Any, Callable[[Any], Any], Any]] = []
        self._functions: dict[int, tuple[types.FunctionType, Any, Any, Any, Any]] = {}
        self._names: dict[tuple[int, bool], tuple[Namespace, Namespace, bool]] = {}
        self._cells: list[types.CellType] = []
        self._contents: list[Any] = []

    def holds(self) -> bool:
        """Whether the same things stand in all places."""
        try:
            return self._holds()
        except (AttributeError, ValueError):  # a name is gone from its module, a cell is empty
            return False

    def _holds(self) -> bool:
        if self._modules != len(sys.modules):
            return False
        for function, code, defaults, keywords, attributes in self._functions.values():
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keywords
                or (function.__dict__ or None) is not attributes
            ):
                return False
        for now, before, whole in self._names.values():
            if whole and len(now) != len(before):
                return False
            if not all(map(is_, map(now.get, before, _ALL_MISSING), before.values())):
                return False
        if not all(map(is_, map(_contents, self._cells), self._contents)):
            return False
        for module_name, module, show, thing in self._named:
            if sys.modules.get(module_name) is not module or show(module) is not thing:
                return False
        return True

    # ---- the walk -------------------------------------------------------------------------------

    def reach(self, thing: Any) -> bool:
        """Note all that ``thing`` reaches; False if some of it can change in place."""
        self._parts += 1
        kind = type(thing)
        if kind in _ATOMS:
            return True
        if kind is types.FunctionType:
            if id(thing) in self._functions or self._is_named(thing):
                return True
            return self._parts <= _MOST_PARTS and self._reach_function(thing)
        if kind is types.BuiltinFunctionType:  # but not the method of a mutable thing: items.append
            return thing.__self__ is None or type(thing.__self__) is types.ModuleType
        if kind is tuple:
            return len(thing) < _MOST_PARTS and all(map(self.reach, thing))
        return issubclass(kind, type) and self._is_named(thing)

    def _is_named(self, thing: Any) -> bool:
        if not importable(thing):
            return False
        name = thing.__module__
        self._named.append((name, sys.modules.get(name), attrgetter(thing.__qualname__), thing))
        return True

    def _reach_function(self, function: types.FunctionType) -> bool:
        code, defaults, keywords = (
            function.__code__, function.__defaults__, function.__kwdefaults__,
        )  # fmt: skip
        attributes = function.__dict__ or None
        self._functions[id(function)] = (function, code, defaults, keywords, attributes)
        return (
            self.reach(defaults)
            and self._reach_names(function.__globals__, global_names(code), whole=False)
            and all(
                self._reach_names(own, tuple(own), whole=True)
                for own in (keywords, attributes)
                if own is not None
            )
            and all(map(self._reach_cell, function.__closure__ or ()))
        )

    def _reach_names(self, space: Namespace, names: tuple[str, ...], *, whole: bool) -> bool:
        if not names and not whole:
            return True
        before = self._names.setdefault((id(space), whole), (space, {}, whole))[1]
        for name in names:
            if name not in before:
                before[name] = value = space.get(name, _MISSING)
                if value is not _MISSING and not self.reach(value):
                    return False
        return True

    def _reach_cell(self, cell: types.CellType) -> bool:
        try:
            contents = cell.cell_contents
        except ValueError:  # it may be filled at any time
            return False
        self._cells.append(cell)
        self._contents.append(contents)
        return self.reach(contents)


class Memory(Generic[T]):
    """What was made of functions, each for as long as the function stays what it was.

    Args:
        kept: how many functions are remembered.
    """

    def __init__(self, kept: int = 64) -> None:
        self._kept = kept
        self._known: dict[int, tuple[Callable[..., Any], Fingerprint, T]] = {}

    def get(self, function: Callable[..., Any]) -> T | None:
        """What was made of ``function``; None if it has to be made (again). Any thread."""
        entry = self._known.get(id(function))
        return entry[2] if entry is not None and entry[1].holds() else None

    def put(self, function: Callable[..., Any], before: Fingerprint, made: T) -> None:
        """``made`` was made of ``function``. One thread at a time.

        The fingerprint was taken before that, so that a change meanwhile is noticed next time.
        """
        self._known.pop(id(function), None)
        self._known[id(function)] = (function, before, made)
        if len(self._known) > self._kept:
            del self._known[next(iter(self._known))]
