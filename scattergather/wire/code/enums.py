"""Enumerations of the notebook, taken apart and made again.

A member is made again from what it is (the number, text or time that it is itself, its value, its
attributes), not by the user's ``__new__`` and ``__init__``: what these were called with is gone,
and the value need not tell. The bookkeeping of the class is left to the ``enum`` module of the
Python that loads it, as it differs between versions.

Wherever a member is met beside its class, it travels by its name: a value may be anything, not
equal to itself (NaN) or not hashable. A combination of flags has no name; it travels by its value.

Pickles name the functions here that make them, so names and arguments are part of the wire.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from scattergather.wire.code.origin import written_in_c

MADE_BY_ENUM = frozenset(
    {
        "_member_names_", "_member_map_", "_value2member_map_", "_hashable_values_",
        "_unhashable_values_", "_unhashable_values_map_", "_boundary_", "_flag_mask_",
        "_singles_mask_", "_all_bits_", "_inverted_", "_iter_member_",
    }
)  # fmt: skip
"""Attributes of an enumeration that come with its members."""
_MADE_WITH_MEMBER = frozenset(
    {"_value_", "_name_", "__objclass__", "_sort_order_", "_hashable_values_", "_inverted_"}
)
_SILENT = {"__init__": lambda *_: None, "__setattr__": object.__setattr__}
"""How members of a class take what the ``enum`` module does to them, while they are entered."""


# ---- on the way out -----------------------------------------------------------------------------


def members(kind: Any) -> dict[str, Any]:
    """The arguments of :func:`enter_members` after the class."""
    shown: Mapping[str, Any] = kind.__members__
    canonical = {id(member) for member in shown.values()}
    return {
        "members": [(name, member, member._value_) for name, member in shown.items()],
        "more": {
            member._name_: own
            for name, member in shown.items()
            if name == member._name_ and (own := _own(member))
        },
        "values": [
            (value, member)
            for value, member in kind._value2member_map_.items()
            if id(member) in canonical and value is not member._value_
        ],
        "boundary": getattr(kind, "_boundary_", None),
    }


def _own(member: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Attributes and slots of a member that the ``enum`` module has not made."""
    state = object.__getstate__(member)
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    own = {
        name: value for name, value in (attributes or {}).items() if name not in _MADE_WITH_MEMBER
    }
    return (own, slots) if own or slots else None


def reduce_member(_writing: object, found: Any) -> Any:
    """A member by its name, a combination of flags by its value."""
    name = _name_of(found)
    return _combined(found) if name is None else (member, (type(found), name))


def empty_member(found: Any) -> Any:
    """A member without value and attributes, which come with its class."""
    name = _name_of(found)
    if name is None:
        return _combined(found)
    solid = next(base for base in type(found).__mro__ if written_in_c(base))
    return make_member, (solid, type(found), name, content_of(found, solid))


def _name_of(found: Any) -> str | None:
    name: str | None = vars(found).get("_name_")
    return name if type(found).__members__.get(name) is found else None


def _combined(found: Any) -> Any:
    """By value; an instance without one, which a mixed-in class may have made, in its own way."""
    return (type(found), (found._value_,)) if "_value_" in vars(found) else NotImplemented


def content_of(found: Any, solid: Any) -> tuple[Any, ...]:
    """What ``solid``, the nearest base of its class that is written in C, makes a thing of."""
    if solid is object:
        return ()
    if hasattr(solid, "__getnewargs__"):
        return tuple(solid.__getnewargs__(found))
    if "__reduce__" in vars(solid):
        return tuple(solid.__reduce__(found)[1])
    return (solid(found),)


# ---- where a payload is loaded ------------------------------------------------------------------


def member(kind: Any, name: str) -> Any:
    """The member of that name.

    Raises:
        LookupError: the class that stands in the notebook now has none.
    """
    found = kind.__members__.get(name)
    if found is None:
        raise LookupError(
            f"{kind.__qualname__} has no member {name!r} here: it was changed meanwhile. "
            "Add the job again."
        )
    return found


def make_member(solid: Any, kind: type, name: str, content: tuple[Any, ...]) -> Any:
    """A member that has its name and what it is by ``solid``, but no value yet."""
    made = solid.__new__(kind, *content)
    if solid.__init__ is not object.__init__:
        solid.__init__(made, *content)
    object.__setattr__(made, "_name_", name)
    return made


class _Existing(type):
    """A metaclass that makes no class: what stands in the namespace is put into one that exists."""

    def __new__(
        mcs, _name: str, _bases: tuple[type, ...], namespace: dict[str, Any], **_options: Any
    ) -> Any:
        kind = namespace.pop("__kind__")
        own = vars(kind)
        for name, value in namespace.items():
            if name not in own or name in ("_new_member_", "_use_args_"):
                type.__setattr__(kind, name, value)
        for name, value in namespace.items():
            if hasattr(type(value), "__set_name__"):
                value.__set_name__(kind, name)
        return kind


class _Entering(enum.EnumMeta, _Existing):
    """The ``enum`` module's work on a class that exists."""


def enter_members(
    kind: Any,
    members: list[tuple[str, Any, Any]],
    more: dict[str, tuple[dict[str, Any], dict[str, Any]]],
    values: list[tuple[Any, Any]],
    boundary: Any,
) -> None:
    """``kind`` has these members.

    Args:
        kind: an enumeration without any.
        members: name, member and value of each, aliases too.
        more: attributes and slots of members, by name.
        values: further values that mean a member.
        boundary: of flags, what becomes of values that none of them has.
    """
    before = dict(vars(kind))
    real = [(name, made, value) for name, made, value in members if name == made._name_]
    for _, made, value in real:
        object.__setattr__(made, "_value_", value)
    ready = iter([made for _, made, _ in real])
    namespace: Any = _Entering.__prepare__(kind.__name__, kind.__bases__)
    namespace["__kind__"] = kind
    namespace["__new__"] = lambda _kind, *_: next(ready)
    for name, _, _ in real:
        namespace[name] = None
    options = {} if boundary is None else {"boundary": boundary}
    stays = MADE_BY_ENUM.union(name for name, _, _ in members)
    try:
        for name, silent in _SILENT.items():
            type.__setattr__(kind, name, silent)
        _Entering.__new__(_Entering, kind.__name__, kind.__bases__, namespace, **options)
    finally:
        restore(kind, before, stays)
    for name, made, _ in members:
        kind._member_map_.setdefault(name, made)
        if name != made._name_:
            type.__setattr__(kind, name, made)
    inner = {name: kind._member_map_.pop(name) for name, _, _ in members}
    kind._member_map_.update(inner)  # in the order of the notebook
    for value, made in values:
        kind._value2member_map_.setdefault(value, made)
    for name, (attributes, slots) in more.items():
        inner[name].__dict__.update(attributes)
        for slot, value in slots.items():
            with suppress(AttributeError):  # a property of that name shows it, and has no setter
                object.__setattr__(inner[name], slot, value)


def restore(kind: type, before: Mapping[str, Any], stays: Collection[str] = ()) -> None:
    """``kind`` has the attributes that it had ``before``, and of others those that may stay."""
    for name, value in dict(vars(kind)).items():
        if name in stays:
            continue
        if name not in before:
            type.__delattr__(kind, name)
        elif before[name] is not value:
            type.__setattr__(kind, name, before[name])
