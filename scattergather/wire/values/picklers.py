"""The two picklers and the unpickler, joined with the recipes and with a way for classes.

The C pickler does nearly everything: plain data never goes at the speed of a pickler written in
Python. What it cannot do goes to dill, and then the whole value does, because a value split
between two memos would lose the identity of what its parts share.
"""

from __future__ import annotations

import enum
import io
import pickle
import sys
from collections.abc import Callable, Iterable
from typing import Any

from scattergather.errors import CannotImport, CannotPickle, TooLarge
from scattergather.wire.code import rebuild
from scattergather.wire.code.origin import importable
from scattergather.wire.code.recipe import RECIPES, MustNotTravel, Recipe, refusal, said_by
from scattergather.wire.memory.outside import Outside
from scattergather.wire.values.arrays import ARRAY, reduce_array
from scattergather.wire.values.culprit import explain, retold, too_deep
from scattergather.wire.values.exceptions import reduce_exception, taken_apart

PROTOCOL = 5
ORDINARY = 256
"""Types that a pickler remembers as needing nothing special; a notebook's old classes must go."""

ReduceClass = Callable[[type], Any]
"""What a class becomes: a reduction, or ``NotImplemented`` for a plain reference by name."""


class Reducing:
    """What our picklers add to pickle's and to dill's: recipes, and a way for classes."""

    def __init__(
        self, reduce_class: ReduceClass, outside: Outside | None, recipes: dict[type, Recipe]
    ) -> None:
        self.reduce_class = reduce_class
        self.outside = outside
        self.recipes = recipes
        self._ordinary: set[type] = set()
        self.namespaces: dict[int, Any] = {}
        """By the id of what is taken apart: what else in this value belongs to the same."""
        self.holds_code = False

    def reducer_override(self, thing: Any) -> Any:
        """The recipe of ``thing``; picklers ask for all but plain data."""
        kind = type(thing)
        if kind in self._ordinary:
            return NotImplemented
        recipe = self.recipes.get(kind)
        if recipe is not None:
            return recipe(self, thing)
        if issubclass(kind, type):
            return self.reduce_class(thing)
        if said_by(kind) is not None:
            raise MustNotTravel(refusal(thing))
        if isinstance(kind, enum.EnumMeta) and not importable(kind):
            return self.recipes[enum.Enum](self, thing)
        if issubclass(kind, BaseException) and taken_apart(kind):
            return reduce_exception(thing)
        if (kind.__module__, kind.__qualname__) == ARRAY:
            RECIPES[kind] = reduce_array
            return reduce_array(self, thing)
        if len(self._ordinary) >= ORDINARY:
            self._ordinary.clear()
        self._ordinary.add(kind)
        return NotImplemented

    def meet_again(self) -> None:
        """The recipes are asked again for types that need nothing special."""
        self._ordinary.clear()


class ValuePickler(Reducing, pickle.Pickler):
    """C pickler that knows functions, and asks ``reduce_class`` for classes.

    Reused for many values; :meth:`forget` comes between two.
    """

    def __init__(
        self,
        file: io.BytesIO,
        reduce_class: ReduceClass,
        outside: Outside | None = None,
        recipes: dict[type, Recipe] = RECIPES,
    ) -> None:
        Reducing.__init__(self, reduce_class, outside, recipes)
        callback = None if outside is None else outside.buffer
        pickle.Pickler.__init__(self, file, PROTOCOL, buffer_callback=callback)

    def forget(self) -> None:
        """The next value starts with an empty memo."""
        self.clear_memo()
        if self.namespaces:
            self.namespaces.clear()


class ValueUnpickler(pickle.Unpickler):
    """C unpickler that resolves classes through a book.

    Made anew for every value: its memo survives ``load()``, and clearing it leaves its length, so
    that the next value cannot be read (and calling ``__init__`` again after that crashed CPython
    3.11.7). Over one shared file that is still 780,000 small tasks a second.
    """

    def __init__(
        self,
        file: io.BytesIO,
        doors: dict[tuple[str, str], Any],
        buffers: Iterable[Any] | None = None,
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._doors = doors

    def find_class(self, module: str, name: str) -> Any:
        """The thing of that name; its absence is told with the cure."""
        door = self._doors.get((module, name))
        if door is not None:
            return door
        try:
            # A third of the time that the way through the import machinery takes.
            return getattr(sys.modules[module], name)
        except (KeyError, AttributeError):
            pass
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError) as error:
            if isinstance(error, CannotImport):
                raise
            raise rebuild.missing(module, f"{module}.{name}", error) from error


def write(value: Any, pickler: ValuePickler, buffer: io.BytesIO, name: str) -> bool:
    """Append ``value`` to ``buffer``; nothing of it stays there when it cannot be pickled.

    Returns:
        True when the payload holds byte code.

    Raises:
        CannotPickle: neither pickler can; the message leads to the culprit, from ``name`` on.
    """
    start, outside = buffer.tell(), pickler.outside
    pickler.holds_code = False
    try:
        pickler.dump(value)
    except BaseException as error:  # an interrupt, too, must leave nothing behind
        _cut(buffer, start, outside)
        if isinstance(error, CannotPickle):
            raise retold(value, name, error, outside) from error.__cause__
        if isinstance(error, TooLarge) or not isinstance(error, Exception):
            raise
        if not isinstance(error, RecursionError):
            if isinstance(error, MustNotTravel):
                raise explain(value, name, error, outside) from None  # its sentence says it all
            return _write_by_dill(value, pickler, buffer, name, error)
        raise too_deep(value, name, outside) from error
    finally:
        pickler.forget()
    return pickler.holds_code


def _write_by_dill(
    value: Any, failed: ValuePickler, buffer: io.BytesIO, name: str, first: Exception
) -> bool:
    # dill takes 60 ms to import, and most sessions never need it.
    from scattergather.wire.values.by_dill import DillPickler  # noqa: PLC0415

    start, outside = buffer.tell(), failed.outside
    try:
        pickler = DillPickler(buffer, failed.reduce_class, outside, failed.recipes)
        pickler.dump(value)
    except BaseException as error:
        _cut(buffer, start, outside)
        if isinstance(error, CannotPickle | TooLarge) or not isinstance(error, Exception):
            raise
        raise explain(value, name, first, outside) from first  # dill's says no more
    return pickler.holds_code


def _cut(buffer: io.BytesIO, end: int, outside: Outside | None) -> None:
    buffer.seek(end)
    buffer.truncate()
    if outside is not None:
        outside.abandon()
