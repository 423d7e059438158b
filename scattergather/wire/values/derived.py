"""Things that are filled past their class: derived from a property or module, or forwarding all.

Pickle has no way for what these keep in C. They are made again by the base that Python has, past
their own ``__init__``, and have their attributes.

Things whose class has a ``__getattr__`` have their attributes in the same way: pickle would ask an
empty one for ``__setstate__``, and one that forwards what it is asked would go round for ever.

Pickles name the functions here that make them, so names and arguments are part of the wire.
"""

from __future__ import annotations

import copyreg
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

from scattergather.wire.code import rebuild
from scattergather.wire.code.origin import written_in_c

_CONTENTS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    property: lambda found: (found.fget, found.fset, found.fdel, found.__doc__),
    classmethod: lambda found: (found.__func__,),
    staticmethod: lambda found: (found.__func__,),
    functools.cached_property: lambda found: (found.func,),
    types.ModuleType: lambda found: (found.__name__, found.__doc__),
}
BASES = tuple(_CONTENTS)
_LEFT = frozenset({"lock", "__spec__", "__loader__", "__builtins__"})
"""Attributes that the base makes, or that mean nothing elsewhere."""


# ---- on the way out -----------------------------------------------------------------------------


def reduce_derived(thing: Any) -> Any:
    """A module that is imported under its name by that; anything else by what it has."""
    if isinstance(thing, types.ModuleType) and sys.modules.get(thing.__name__) is thing:
        return rebuild.import_module, (thing.__name__,)
    kind = type(thing)
    base = next(base for base in kind.__mro__ if base in _CONTENTS)
    state = object.__getstate__(thing)
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    own = {name: value for name, value in (attributes or {}).items() if name not in _LEFT}
    made = make_derived, (base, kind, _CONTENTS[base](thing))
    return *made, (own, slots or {}), None, None, fill_derived


def answers_for_all(kind: type) -> bool:
    """True of a class with a ``__getattr__`` that says nothing of how it is pickled."""
    own = [vars(base) for base in kind.__mro__ if not written_in_c(base)]
    if not any("__getattr__" in each for each in own) or kind in copyreg.dispatch_table:
        return False
    if any("__reduce__" in each or "__reduce_ex__" in each for each in own):
        return False
    return not any("__setstate__" in vars(base) for base in kind.__mro__)


def reduce_quietly(thing: Any, protocol: int) -> Any:
    """As pickle does it, but that the thing is asked for nothing before it has its attributes."""
    reduction = thing.__reduce_ex__(protocol)
    make, args, state, one_by_one, by_key = (*reduction, None, None, None)[:5]
    if state is None:
        return reduction
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    return make, args, (attributes or {}, slots or {}), one_by_one, by_key, fill_derived


# ---- where a payload is loaded ------------------------------------------------------------------


def make_derived(base: Any, kind: type, content: tuple[Any, ...]) -> Any:
    """A thing of ``kind`` without its attributes."""
    made = base.__new__(kind)
    base.__init__(made, *content)
    return made


def fill_derived(found: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """``found`` has these attributes and slots."""
    attributes, slots = state
    if attributes:
        found.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(found, name, value)
