"""Where functions and classes live: in an importable module, or only in the notebook.

A thing is importable when its module and qualified name lead back to it on any host. Everything
else (whatever is in ``__main__``, lambdas, closures, nested classes) has to travel by value.
"""

from __future__ import annotations

import sys
import types
from typing import Any

NOTEBOOK = frozenset({"__main__", "__mp_main__"})
"""Modules that are another thing in every process, so that a name in them means nothing."""

_ABSENT = object()
_HEAP_TYPE = 1 << 9
_IMMUTABLE_TYPE = 1 << 8


def importable(thing: Any) -> bool:
    """True when a reference by module and qualified name leads to ``thing`` itself."""
    module_name = getattr(thing, "__module__", None)
    if not isinstance(module_name, str) or module_name in NOTEBOOK:
        return False
    module = sys.modules.get(module_name)
    if module is None:
        return False
    found = lookup(module, getattr(thing, "__qualname__", ""))
    return found is thing


def lookup(module: Any, qualname: str) -> Any:
    """What ``qualname`` names in ``module``, or a sentinel that is no value at all."""
    found = module
    for name in qualname.split("."):
        found = getattr(found, name, _ABSENT)
        if found is _ABSENT:
            return _ABSENT
    return found


def written_in_c(kind: type) -> bool:
    """True for types that no Python code made: they cannot travel by value."""
    return not kind.__flags__ & _HEAP_TYPE or bool(kind.__flags__ & _IMMUTABLE_TYPE)


def name_in_types(kind: type) -> str | None:
    """The name in :mod:`types` of a type like ``mappingproxy``, which ``builtins`` lacks."""
    return _NAMES_IN_TYPES.get(kind)


_NAMES_IN_TYPES = {
    value: name
    for name, value in vars(types).items()
    if isinstance(value, type) and value.__module__ == "builtins"
}


def reduction_by_name(kind: type) -> Any:
    """The reduction of a class that every host has; None for one that has to travel."""
    if importable(kind):
        return NotImplemented
    name = name_in_types(kind)
    if name is not None and kind is not type(None):
        return getattr, (types, name)
    # Pickle says why it cannot, or dill finds a way.
    return NotImplemented if written_in_c(kind) else None


def at_home(kind: type) -> bool:
    """True when ``__main__`` shows ``kind`` under its own name, as after a cell defined it."""
    return kind.__module__ in NOTEBOOK and present(kind.__qualname__) is kind


def present(qualname: str) -> type | None:
    """The class that ``__main__`` has under this name now, if it has one."""
    found = lookup(sys.modules.get("__main__"), qualname)
    return found if isinstance(found, type) else None
