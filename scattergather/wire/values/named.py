"""Things that say to pickle that they are what a name of the notebook means.

Of a sentinel (``def __reduce__(self): return "MISSING"``) there is to be one in each process. Its
name leads to it where the notebook is; elsewhere to the one that came first, as long as somebody
holds that, and its attributes are those that it came with.

Pickles name the functions here that make them, so names and arguments are part of the wire.
"""

from __future__ import annotations

import copyreg
import sys
import threading
from collections import OrderedDict
from typing import Any
from weakref import WeakValueDictionary

from scattergather.wire.code.enums import content_of
from scattergather.wire.code.origin import (
    NOTEBOOK,
    in_memory,
    lookup,
    reduction_by_name,
    written_in_c,
)

MOST_HELD = 4096
"""Sentinels without room for a weak reference: so many are held, the oldest goes."""


class _Known:
    """Those that came here, by class and name. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alive: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()
        self._held: OrderedDict[tuple[int, str], Any] = OrderedDict()
        self._empty: set[int] = set()

    def settle(self, made: Any, name: str) -> Any:
        """The one of this class and name that was there before; if there was none, ``made``."""
        key = id(type(made)), name
        with self._lock:
            for known in (self._alive, self._held):
                found = known.get(key)
                if type(found) is type(made):
                    return found
            try:
                self._alive[key] = made
            except TypeError:
                self._held[key] = made
                if len(self._held) > MOST_HELD:
                    self._held.popitem(last=False)
            self._empty.add(id(made))
        return made

    def has_to_be_filled(self, found: Any) -> bool:
        """True once for each that was new."""
        with self._lock:
            is_empty = id(found) in self._empty
            self._empty.discard(id(found))
        return is_empty


_KNOWN = _Known()


# ---- on the way out -----------------------------------------------------------------------------


def speaks(thing: Any) -> bool:
    """True of a thing that says itself how it is pickled, and may mean a name of the notebook."""
    kind = type(thing)
    if reduction_by_name(kind) is not None:
        return "__module__" in getattr(thing, "__dict__", ())
    if kind in copyreg.dispatch_table:
        return True
    own = (vars(base) for base in kind.__mro__ if not written_in_c(base))
    return any("__reduce__" in each or "__reduce_ex__" in each for each in own)


def reduce_by_itself(thing: Any, protocol: int) -> Any:
    """As the thing says; a name of the notebook goes with what makes it elsewhere."""
    kind = type(thing)
    registered = copyreg.dispatch_table.get(kind)
    said = thing.__reduce_ex__(protocol) if registered is None else registered(thing)
    module = getattr(thing, "__module__", None)
    if not isinstance(said, str) or not isinstance(module, str):
        return said
    if module in NOTEBOOK:
        module = "__main__"
    elif not in_memory(module):
        return said
    solid = next(base for base in kind.__mro__ if written_in_c(base))
    made = the_one, (solid, kind, module, said, content_of(thing, solid))
    state = object.__getstate__(thing)
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return *made, (attributes or {}, slots or {}), None, None, fill_the_one


# ---- where a payload is loaded ------------------------------------------------------------------


def the_one(solid: Any, kind: type, module: str, name: str, content: tuple[Any, ...]) -> Any:
    """What ``name`` means in the module, if it is of this class; else the one of that name."""
    found = lookup(sys.modules.get(module), name)
    return found if type(found) is kind else _KNOWN.settle(solid.__new__(kind, *content), name)


def fill_the_one(found: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """``found`` has these attributes and slots, if it is new here."""
    if _KNOWN.has_to_be_filled(found):
        attributes, slots = state
        if attributes:
            found.__dict__.update(attributes)
        for name, value in slots.items():
            object.__setattr__(found, name, value)
