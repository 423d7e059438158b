"""Where functions and classes live: in an importable module, or only in the notebook.

A thing is importable when its module and qualified name lead back to it on any host. Everything
else (whatever is in ``__main__``, lambdas, closures, nested classes) has to travel by value.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import types
from collections.abc import Iterable
from typing import Any

from scattergather.errors import CannotImport

NOTEBOOK = frozenset({"__main__", "__mp_main__"})
"""Modules that are another thing in every process, so that a name in them means nothing."""

_OURS = __name__.partition(".")[0]
_NOTHING = object()
_HEAP_TYPE = 1 << 9
_IMMUTABLE_TYPE = 1 << 8


def importable(thing: Any) -> bool:
    """True when a reference by module and qualified name leads to ``thing`` itself."""
    module_name = getattr(thing, "__module__", None)
    if not isinstance(module_name, str) or module_name in NOTEBOOK:
        return False
    module = sys.modules.get(module_name)
    if module is None or in_memory(module_name):
        return False
    found = lookup(module, getattr(thing, "__qualname__", ""))
    return found is thing


def lookup(module: Any, qualname: str) -> Any:
    """What ``qualname`` names in ``module``, or a sentinel that is no value at all."""
    found = module
    for name in qualname.split("."):
        found = getattr(found, name, _NOTHING)
        if found is _NOTHING:
            return _NOTHING
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
    if "ctypes" in sys.modules and (type(kind) is not type or issubclass(kind, type)):
        called = _call_of_ctypes(kind, sys.modules["ctypes"])
        if called is not None:
            return called
    # Pickle says why it cannot, or dill finds a way.
    return NotImplemented if written_in_c(kind) else None


def _call_of_ctypes(kind: Any, ctypes: Any) -> Any:
    """What makes a type of ctypes again that has no name there, as an array has none."""
    solid = ctypes.Structure, ctypes.Union, ctypes.Array, ctypes._Pointer
    for base in (*solid, ctypes._SimpleCData, ctypes._CFuncPtr):
        if kind is type(base):
            return type, (base,)
    swapped, native = ("be", "le") if sys.byteorder == "little" else ("le", "be")
    if vars(kind).get(f"__ctype_{swapped}__") is kind:
        return getattr, (getattr(kind, f"__ctype_{native}__"), f"__ctype_{swapped}__")
    if ctypes._CFuncPtr in kind.__bases__ and kind.__module__ == "ctypes":
        made = ctypes.PYFUNCTYPE if kind._flags_ & ctypes._FUNCFLAG_PYTHONAPI else ctypes.CFUNCTYPE
        if kind._flags_ & ctypes._FUNCFLAG_USE_ERRNO:
            made = functools.partial(made, use_errno=True)
        return made, (kind._restype_, *kind._argtypes_)
    if issubclass(kind, ctypes.Array) and kind is kind._type_ * kind._length_:
        return operator.mul, (kind._type_, kind._length_)
    if issubclass(kind, ctypes._Pointer) and kind is ctypes.POINTER(kind._type_):
        return ctypes.POINTER, (kind._type_,)
    return None


def at_home(kind: type) -> bool:
    """True when ``__main__`` shows ``kind`` under its own name, as after a cell defined it."""
    return kind.__module__ in NOTEBOOK and present(kind.__qualname__) is kind


def present(qualname: str) -> type | None:
    """The class that ``__main__`` has under this name now, if it has one."""
    found = lookup(sys.modules.get("__main__"), qualname)
    return found if isinstance(found, type) else None


# ---- modules that workers do not find by their names --------------------------------------------

_path: frozenset[str] = frozenset()
_looked_at: dict[str, tuple[Any, tuple[str, str] | None, bool]] = {}
"""Modules by name, with what was found of each: where workers find it, and if no file has it."""


def workers_see(path: Iterable[str]) -> None:
    """Workers have these entries of ``sys.path`` from their birth; without a word they have all."""
    global _path
    _path = _path or frozenset(path)


def named_modules() -> list[str]:
    """The modules that were asked for here: whoever wrote or looked at code by reference."""
    return list(_looked_at)


def whereabouts(name: str) -> tuple[str, str] | None:
    """The folder to import a module from and its file, where its name alone may not lead to it.

    The folder is empty for one that was loaded by its path. None: the name will do.
    """
    return _look(name)[1]


def in_memory(name: str) -> bool:
    """True of a module that no file has: Python code filled it here, so it has to travel."""
    return _look(name)[2]


def _look(name: str) -> tuple[Any, tuple[str, str] | None, bool]:
    module = sys.modules.get(name)
    entry = _looked_at.get(name)
    if entry is None or entry[0] is not module:
        entry = _looked_at[name] = (
            module,
            _whereabouts(name, module),
            _is_filled_here(name, module),
        )
    return entry


def _whereabouts(name: str, module: Any) -> tuple[str, str] | None:
    if not _path or module is None or name in NOTEBOOK:
        return None
    if name.partition(".")[0] == _OURS:
        return None  # workers run it, wherever it is; what imports from a place is itself in it
    return place_of(name, module, _path)


def place_of(name: str, module: Any, path: frozenset[str]) -> tuple[str, str] | None:
    """Like :func:`whereabouts`, for whoever has ``path`` as ``sys.path``."""
    spec = getattr(module, "__spec__", None)
    file = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    if not isinstance(file, str) or not os.path.isabs(file):
        return None  # built in, or made of nothing that has a path
    folder, end = os.path.split(file)
    stem, parts = end.partition(".")[0], name.split(".")
    if stem == "__init__":
        folder, stem = os.path.split(folder)
    for part in reversed(parts):
        if stem != part:
            return ("", file) if os.path.isfile(file) else None
        root = folder
        folder, stem = os.path.split(folder)
    return None if os.path.normpath(root) in path or not os.path.exists(root) else (root, file)


def _is_filled_here(name: str, module: Any) -> bool:
    """Libraries in C make modules, too, but of what is theirs, and mostly within packages."""
    if type(module) is not types.ModuleType or "." in name or name in NOTEBOOK:
        return False
    if module.__spec__ is not None or getattr(module, "__file__", None) is not None:
        return False
    space = vars(module)
    return any(
        isinstance(each, types.FunctionType) and each.__globals__ is space
        for value in space.values()
        for each in (value, *(vars(value).values() if isinstance(value, type) else ()))
    ) or any(isinstance(value, type) and value.__module__ == name for value in space.values())


def missing(module: str, needed: str, error: BaseException) -> CannotImport:
    """The error for an import that failed while a payload was loaded."""
    lacking = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    culprit = lacking or module
    return CannotImport(
        f"Cannot import {culprit!r}, which {needed} needs ({error}): a host lacks it: install it "
        "there, or send the source with push_code().",
        module=culprit,
    )
