"""A class taken apart: the skeleton that makes an empty one, and the state that fills it.

Two steps, because methods name their class, classes name each other, and a base must not run its
``__init_subclass__`` a second time: it has none yet when its subclasses' skeletons are made.
"""

from __future__ import annotations

import abc
import enum
import types
import typing
from typing import Any

from scattergather.wire.code import rebuild
from scattergather.wire.code.enums import MADE_BY_ENUM, members
from scattergather.wire.code.generics import looks
from scattergather.wire.code.origin import importable, reduction_by_name

_MADE_BY_TYPE = frozenset({"__dict__", "__weakref__", "__slots__", "__module__", "_abc_impl"})
_MADE_BY_A_LOOK = frozenset({"__slotnames__"})
"""What others leave on a class by a look: ``copyreg``, when an instance is pickled or copied.

It would give the same class another digest, and so a worker two of it.
"""
_HOOK = "__init_subclass__"
_FIELDS = "_fields_"
"""Of a structure of ctypes, which is laid out when they are set, after what it consists of."""
_LOOK_AT_BASES = frozenset({"typing", "typing_extensions", "enum"})
"""Modules whose ``__init_subclass__`` needs no more of a class than its skeleton has."""


def skeleton(kind: type) -> tuple[Any, ...]:
    """The reduction that makes ``kind`` without its attributes."""
    namespace: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    for name in ("__slots__", "__orig_bases__"):
        if name in vars(kind):
            namespace[name] = vars(kind)[name]
    if any(map(looks, vars(kind).get("__type_params__", ()))):
        # They may look at this very class, and come with its state.
        namespace["__orig_bases__"] = ()
    slots = namespace.get("__slots__")
    if slots is not None and not isinstance(slots, str | tuple | dict):
        namespace["__slots__"] = tuple(slots)  # an iterator would be empty by now
    arguments = (_makers(kind), type(kind), kind.__name__, kind.__bases__, namespace, _hooked(kind))
    return rebuild.make_class, arguments


def state(kind: type) -> dict[str, dict[str, Any]]:
    """The state for :func:`rebuild.fill_class`: by aspect, then by name."""
    skipped = _MADE_BY_TYPE | _MADE_BY_A_LOOK
    found: dict[str, dict[str, Any]] = {}
    if isinstance(kind, enum.EnumMeta):
        found["enum"] = {"members": members(kind)}
        skipped = skipped | MADE_BY_ENUM | kind.__members__.keys()
    attributes = {
        name: value
        for name, value in vars(kind).items()
        if name not in skipped and not _made_with_class(kind, name, value)
    }
    if attributes.get("__annotations__") == {}:
        del attributes["__annotations__"]  # asking for those of a class that has none makes them
    attributes["__qualname__"] = kind.__qualname__
    found["attributes"] = attributes
    if _FIELDS in attributes and type(kind) is not type:
        found["fields"] = {_FIELDS: attributes.pop(_FIELDS)}
    if isinstance(kind, abc.ABCMeta):
        references = abc._get_dump(kind)  # type: ignore[attr-defined]
        registered = tuple(alive for each in references[0] if (alive := each()) is not None)
        if registered:
            found["abc"] = {"registered": registered}
    hooked = _hooked(kind)
    loud = [base for base in hooked if importable(base)][:1]
    if loud:
        found["hooks"] = {"bases": (*loud, *(base for base in hooked if not importable(base)))}
    return found


def _hooked(kind: type) -> tuple[type, ...]:
    """The bases whose ``__init_subclass__`` must not see the empty class.

    Those of the notebook did their work at home, and what they did travels as attributes.
    """
    return tuple(
        base
        for base in kind.__mro__[1:-1]
        if _HOOK in vars(base) and base.__module__ not in _LOOK_AT_BASES
    )


def _made_with_class(kind: type, name: str, value: Any) -> bool:
    """A slot, the ``__dict__`` or the ``__weakref__`` of a class; another's may be an attribute.

    A field of a structure, too.
    """
    if type(value).__name__ == "CField" and type(value).__module__ == "_ctypes":
        return True
    if not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
        return False
    return value.__objclass__ is kind and value.__name__ == name


def _makers(kind: type) -> tuple[type, ...]:
    """The importable metaclasses, nearest first; ``type`` where those want what is not here yet."""
    metaclass: Any = type(kind)
    if issubclass(metaclass, enum.EnumMeta):
        return (type,)
    if metaclass is typing._TypedDictMeta:  # type: ignore[attr-defined]
        return (type,)
    return tuple(
        each
        for each in metaclass.__mro__[:-1]
        if importable(each) or isinstance(reduction_by_name(each), tuple)
    )
