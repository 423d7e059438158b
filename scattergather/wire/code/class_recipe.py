"""A class taken apart: the skeleton that makes an empty one, and the state that fills it.

Two steps, because methods name their class, classes name each other, and a base must not run its
``__init_subclass__`` a second time: it has none yet when its subclasses' skeletons are made.
"""

from __future__ import annotations

import abc
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

from scattergather.wire.code import rebuild
from scattergather.wire.code.generics import looks
from scattergather.wire.code.origin import importable

_MADE_BY_TYPE = frozenset({"__dict__", "__weakref__", "__slots__", "__module__", "_abc_impl"})
_MADE_BY_A_LOOK = frozenset({"__slotnames__"})
"""What others leave on a class by a look: ``copyreg``, when an instance is pickled or copied.

It would give the same class another digest, and so a worker two of it.
"""
_MADE_BY_ENUM = frozenset(
    {
        "_member_names_", "_member_map_", "_value2member_map_", "_unhashable_values_",
        "_member_type_", "_value_repr_", "_use_args_", "_new_member_", "_boundary_", "_flag_mask_",
        "_singles_mask_", "_all_bits_", "_inverted_", "__new__", "__new_member__",
    }
)  # fmt: skip


def skeleton(kind: type) -> tuple[Any, ...]:
    """The reduction that makes ``kind`` without its attributes."""
    metaclass = type(kind)
    if isinstance(kind, enum.EnumMeta) and kind.__members__:
        shown: Mapping[str, Any] = kind.__members__
        members = {name: member._value_ for name, member in shown.items()}
        return rebuild.make_enum, (
            metaclass, kind.__name__, kind.__bases__, members, kind.__module__,
        )  # fmt: skip
    namespace: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    for name in ("__slots__", "__orig_bases__"):
        if name in vars(kind):
            namespace[name] = vars(kind)[name]
    if any(map(looks, vars(kind).get("__type_params__", ()))):
        # They may look at this very class, and come with its state.
        namespace["__orig_bases__"] = ()
    slots = namespace.get("__slots__")
    if slots is not None and not isinstance(slots, str | tuple):
        namespace["__slots__"] = tuple(slots)  # an iterator would be empty by now
    hooked = tuple(
        base
        for base in kind.__mro__[1:]
        if "__init_subclass__" in vars(base) and not importable(base)
    )
    arguments = (_maker(metaclass), metaclass, kind.__name__, kind.__bases__, namespace, hooked)
    return rebuild.make_class, arguments


def state(kind: type) -> tuple[Any, ...]:
    """The arguments of :func:`rebuild.fill_class` after the class."""
    members: dict[str, dict[str, Any]] = {}
    skipped = _MADE_BY_TYPE | _MADE_BY_A_LOOK
    if isinstance(kind, enum.EnumMeta) and kind.__members__:
        skipped = skipped | _MADE_BY_ENUM | kind.__members__.keys()
        shown: Mapping[str, Any] = kind.__members__
        for name, member in shown.items():
            own = {key: value for key, value in vars(member).items() if not _generated(key)}
            if own:
                members[name] = own
    attributes = {
        name: value
        for name, value in vars(kind).items()
        if name not in skipped
        and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
    }
    if attributes.get("__annotations__") == {}:
        del attributes["__annotations__"]  # asking for those of a class that has none makes them
    attributes["__qualname__"] = kind.__qualname__
    virtual: tuple[type, ...] = ()
    if isinstance(kind, abc.ABCMeta):
        registered = abc._get_dump(kind)[0]  # type: ignore[attr-defined]
        virtual = tuple(found for reference in registered if (found := reference()) is not None)
    return attributes, members, virtual


def _maker(metaclass: type) -> type:
    """The nearest importable metaclass; ``type`` for those whose ``__new__`` wants the source."""
    if metaclass is typing._TypedDictMeta:  # type: ignore[attr-defined]
        return type
    return next(found for found in metaclass.__mro__ if importable(found))


def _generated(key: str) -> bool:
    return key in {"_value_", "_name_", "__objclass__", "_sort_order_", "_hashable_values_"}
