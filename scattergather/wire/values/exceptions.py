"""Exceptions taken apart, and made again without their ``__init__``.

Pickle makes an exception by calling its class with ``args``, which are what the ``__init__`` of
``Exception`` was called with; that of a class of the user's may want other ones, or build a text
from them a second time. So whatever a class written in Python is, and has not said how to pickle
it, is made again from its parts, wherever in a value it stands.

Pickles name the functions here that make them, so names and arguments are part of the wire.
"""

from __future__ import annotations

import types
from contextlib import suppress
from typing import Any

from scattergather.wire.code.origin import written_in_c
from scattergather.wire.values.derived import fill_derived

_NOT_OURS = frozenset({"obj"})
"""Of an ``AttributeError``, the object that lacks the attribute: it may be anything."""


class Absent:
    """Stands in an exception for what could not travel, and looks like it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def note(error: BaseException, text: str) -> None:
    """``error`` has this note, also where its class forbids to set attributes, as frozen ones."""
    vars(error).setdefault("__notes__", []).append(text)


# ---- on the way out -----------------------------------------------------------------------------


def taken_apart(kind: type[BaseException]) -> bool:
    """True of a class written in Python that does not say how its instances are pickled."""
    if written_in_c(kind) or kind.__module__ == "builtins":
        return False
    reduces = (vars(base) for base in kind.__mro__ if base.__module__ != "builtins")
    return not any("__reduce__" in own or "__reduce_ex__" in own for own in reduces)


def reduce_exception(error: BaseException) -> tuple[Any, ...]:
    """The reduction of an exception to what it has: arguments, fields, attributes, slots."""
    kind = type(error)
    solid = next(base for base in kind.__mro__ if written_in_c(base))
    content = None
    if isinstance(error, BaseExceptionGroup):
        content = error.message, list(error.exceptions)
    fields = tuple(
        (name, value)
        for base in kind.__mro__
        if written_in_c(base) and base not in (BaseException, object)
        for name, found in vars(base).items()
        if isinstance(found, types.MemberDescriptorType | types.GetSetDescriptorType)
        and name not in _NOT_OURS
        and (value := getattr(error, name, None)) is not None
    )
    made = make_exception, (solid, kind, error.args, content, fields)
    own_way = ("__setstate__", "__getstate__")
    if any(isinstance(getattr(kind, name), types.FunctionType) for name in own_way):
        return *made, error.__getstate__()
    state = object.__getstate__(error)
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return *made, (attributes or {}, slots or {}), None, None, fill_derived


# ---- where a payload is loaded ------------------------------------------------------------------


def make_exception(
    solid: Any,
    kind: type[BaseException],
    args: tuple[Any, ...],
    content: tuple[Any, ...] | None,
    fields: tuple[tuple[str, Any], ...],
) -> Any:
    """An exception made by ``solid``, the nearest base written in C, with what that keeps of it.

    A group is made of ``content``, which need not be its ``args``.
    """
    error = solid.__new__(kind, *(args if content is None else content))
    for name, value in fields:
        with suppress(AttributeError, TypeError):  # it cannot be written: it comes from the content
            object.__setattr__(error, name, value)
    object.__setattr__(error, "args", args)  # a frozen data class has a way of its own
    return error
