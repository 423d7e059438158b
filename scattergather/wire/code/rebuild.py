"""How functions and classes are made again from their parts, where a payload is loaded.

Pickles name these functions, so their names and arguments are part of the wire. What can refer to
itself is made in two steps: an empty one that the memo knows, then its contents.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from scattergather.errors import CannotImport

_HOOK = "__init_subclass__"
ABSENT = "a host lacks it: install it there, or send the source with push_code()"


def missing(module: str, needed: str, error: BaseException) -> CannotImport:
    """The error for an import that failed while a payload was loaded."""
    lacking = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    culprit = lacking or module
    return CannotImport(
        f"Cannot import {culprit!r}, which {needed} needs ({error}): {ABSENT}.", module=culprit
    )


def import_module(name: str) -> types.ModuleType:
    """The module of that name.

    Raises:
        CannotImport: this host lacks it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise missing(name, "the code that was sent", error) from error


def make_cell() -> types.CellType:
    """An empty closure cell."""
    return types.CellType()


def fill_cell(cell: types.CellType, contents: tuple[Any]) -> None:
    """``cell`` holds the one thing in ``contents``."""
    cell.cell_contents = contents[0]


def make_function(
    code: types.CodeType,
    namespace: dict[str, Any] | str,
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """A function without its state; ``namespace`` may name a module, whose globals it then has."""
    if isinstance(namespace, str):
        namespace = import_module(namespace).__dict__
    else:
        namespace.setdefault("__builtins__", builtins)
        namespace.setdefault("__travelled__", True)
    return types.FunctionType(code, namespace, name, None, closure)


def fill_function(function: types.FunctionType, state: Mapping[str, Any]) -> None:
    """``function`` has its defaults, attributes and those globals that it refers to."""
    for name in state["submodules"]:
        import_module(name)
    function.__globals__.update(state["globals"])
    function.__dict__.update(state["dict"])
    for name, value in state["attributes"].items():
        setattr(function, name, value)


def make_class(
    maker: type,
    metaclass: type,
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    hooked: tuple[type, ...],
) -> type:
    """A class without its attributes.

    ``maker`` is the importable metaclass below ``metaclass``, and ``hooked`` are the notebook's
    bases with an ``__init_subclass__``: the notebook's own hooks did their work at home, with
    options that are gone, and what they did travels as attributes.
    """
    hooks = [(base, vars(base)[_HOOK]) for base in hooked if _HOOK in vars(base)]
    try:
        for base, _ in hooks:
            type.__setattr__(base, _HOOK, classmethod(_no_hook))
        made: type = maker.__new__(metaclass, name, bases, dict(namespace))
    finally:
        for base, hook in hooks:
            type.__setattr__(base, _HOOK, hook)
    return made


def _no_hook(_kind: type, /, **_options: Any) -> None:
    """Stands in for the notebook's ``__init_subclass__``."""


def make_enum(
    metaclass: type, name: str, bases: tuple[type, ...], members: dict[str, Any], module: str
) -> type:
    """An enumeration with its members, but without its methods."""
    namespace: Any = metaclass.__prepare__(name, bases)
    namespace["__module__"] = module
    for member, value in members.items():
        namespace[member] = value
    made: type = metaclass.__new__(metaclass, name, bases, namespace)
    return made


def fill_class(
    kind: type, attributes: dict[str, Any], members: dict[str, Any], virtual: tuple[type, ...]
) -> None:
    """``kind`` has its attributes, its enumeration members theirs, its ABC virtual subclasses."""
    for name, value in attributes.items():
        type.__setattr__(kind, name, value)
    for name, state in members.items():
        kind.__members__[name].__dict__.update(state)  # type: ignore[attr-defined]
    for subclass in virtual:
        kind.register(subclass)  # type: ignore[attr-defined]


def make_cached_property(function: Any, name: str | None) -> functools.cached_property[Any]:
    """A cached property that knows its name."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


def make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """A function with an empty ``lru_cache``."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(function)


def make_weak_keys(items: list[tuple[Any, Any]]) -> weakref.WeakKeyDictionary[Any, Any]:
    """A weak dictionary with these items."""
    return weakref.WeakKeyDictionary(dict(items))


def make_exception(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]
) -> BaseException:
    """An exception made past its ``__init__``, which may want other arguments than ``args``."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
