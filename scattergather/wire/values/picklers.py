"""The two picklers and the unpickler, joined with the recipes and with a way for classes.

The C pickler does nearly everything: plain data never goes at the speed of a pickler written in
Python. What it cannot do goes to dill, and then the whole value does, because a value split
between two memos would lose the identity of what its parts share.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable
from typing import Any

from scattergather.errors import CannotImport, CannotPickle, TooLarge
from scattergather.wire.code import origin
from scattergather.wire.code.recipe import RECIPES, MustNotTravel, Recipe
from scattergather.wire.memory.outside import Outside
from scattergather.wire.values.culprit import explain, retold, too_deep
from scattergather.wire.values.reducing import PROTOCOL, ReduceClass, Reducing


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
            raise origin.missing(module, f"{module}.{name}", error) from error


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
