"""How functions and classes are made again from their parts, where a payload is loaded.

Pickles name these functions, so their names and arguments are part of the wire. What can refer to
itself is made in two steps: an empty one that the memo knows, then its contents.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from scattergather.errors import CannotImport
from scattergather.wire.code.enums import enter_members, restore
from scattergather.wire.code.origin import missing, written_in_c
from scattergather.wire.code.world import MARK, Shared
from scattergather.wire.validation import METADATA, enter_model

_HOOK = "__init_subclass__"
_QUIET = threading.RLock()
"""Who holds it may change hooks of classes; others would put back what they found meanwhile."""


def import_module(name: str) -> types.ModuleType:
    """The module of that name.

    Raises:
        CannotImport: this host lacks it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise missing(name, "the code that was sent", error) from error


def import_from(name: str, root: str, file: str) -> types.ModuleType:
    """The module of that name from this file, below the folder ``root`` if it has one.

    Where there is no such file, on another host, the name has to do.

    Raises:
        CannotImport: this host lacks it.
    """
    if not os.path.exists(root or file):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise CannotImport(
                f"Cannot import {name!r} ({error}), which was loaded from {file}: this host lacks "
                "it. Put it on the host's module path, or its code into a cell: then it travels.",
                module=name,
            ) from error
    if root:
        module = _found_here(name)  # a finder of an editable installation needs no entry
        if module is None:
            if root not in sys.path:
                sys.path.append(root)
            importlib.invalidate_caches()
            module = import_module(name)
        if _is_from(module, file):
            return module
    return _by_path(name, file)


def _found_here(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and name.startswith(error.name or "?"):
            return None  # itself, or the package that it is in
        raise missing(name, "the code that was sent", error) from error


_FROM_PATHS: dict[tuple[str, str], types.ModuleType] = {}


def _is_from(module: types.ModuleType | None, file: str) -> bool:
    spec = getattr(module, "__spec__", None)
    return file in (getattr(spec, "origin", None), getattr(module, "__file__", None))


def _by_path(name: str, file: str) -> types.ModuleType:
    standing = sys.modules.get(name)
    if standing is not None and _is_from(standing, file):
        return standing
    module = _FROM_PATHS.get((name, file))
    if module is None:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise CannotImport(f"{file} is no module that can be imported.", module=name)
        module = _FROM_PATHS[name, file] = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(name, module)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del _FROM_PATHS[name, file]
            if sys.modules.get(name) is module:
                del sys.modules[name]
            raise
    return module


def find(name: str, root: str, file: str, qualname: str) -> Any:
    """What is called ``qualname`` in a module that :func:`import_from` finds."""
    found: Any = import_from(name, root, file)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def make_module(name: str) -> types.ModuleType:
    """An empty module that only its users know."""
    return types.ModuleType(name)


def fill_module(module: types.ModuleType, content: dict[str, Any]) -> None:
    """``module`` has this content."""
    _enter(vars(module), content)


def make_cell() -> types.CellType:
    """An empty closure cell."""
    return types.CellType()


def fill_cell(cell: types.CellType, contents: tuple[Any]) -> None:
    """``cell`` holds the one thing in ``contents``."""
    cell.cell_contents = contents[0]


def make_function(
    code: types.CodeType,
    namespace: dict[str, Any] | types.ModuleType | str,
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """A function without its state; ``namespace`` may be a module, or its name: whose globals."""
    if isinstance(namespace, str):
        namespace = import_module(namespace).__dict__
    elif isinstance(namespace, types.ModuleType):
        namespace = namespace.__dict__
    else:
        namespace.setdefault("__builtins__", builtins)
        namespace.setdefault(MARK, True)
    return types.FunctionType(code, namespace, name, None, closure)


MADE: list[Callable[[Any], object]] = []
"""Called with each function that is made here. Workers are told so."""


def fill_function(function: types.FunctionType, state: Mapping[str, Mapping[str, Any]]) -> None:
    """``function`` has these of its attributes and of the globals that it refers to."""
    for name in state.get("submodules", ()):
        import_module(name)
    if values := state.get("globals"):
        _enter(function.__globals__, values)
    function.__dict__.update(state.get("dict", {}))
    for name, value in state.get("attributes", {}).items():
        setattr(function, name, value)
    for tell in MADE:
        tell(function)


def _enter(variables: dict[str, Any], values: Mapping[str, Any]) -> None:
    mark = variables.get(MARK)
    if isinstance(mark, Shared):
        mark.enter(values)
    else:
        variables.update(values)


def make_class(
    makers: tuple[Any, ...],
    metaclass: type,
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    hooked: tuple[type, ...],
) -> type:
    """A class without its attributes.

    ``makers`` are the importable metaclasses at and above ``metaclass``. One of somebody's library
    may want options that are gone: then the next one makes it. Nor may an ``__init_subclass__`` of
    the bases in ``hooked`` look at a class that is empty yet, so they are quiet meanwhile.
    """
    *first, last = makers
    with _quiet(hooked):
        for maker in first:
            try:
                partly: type = maker.__new__(metaclass, name, bases, dict(namespace))
            except Exception:
                continue
            solid: Any = next(base for base in maker.__mro__ if written_in_c(base))
            solid.__init__(partly, name, bases, dict(namespace))  # ctypes' go on there
            return partly
        made: type = last.__new__(metaclass, name, bases, dict(namespace))
    return made


@contextmanager
def _quiet(bases: Iterable[type]) -> Iterator[None]:
    """No class that this thread makes runs an ``__init_subclass__`` of these bases."""
    me = threading.get_ident()
    hooks = []
    with _QUIET:
        try:
            for base in bases:
                hook = vars(base).get(_HOOK)
                if hook is not None and not written_in_c(base):
                    hooks.append((base, hook))
                    type.__setattr__(base, _HOOK, classmethod(_quietened(hook, me)))
            yield
        finally:
            for base, hook in hooks:
                type.__setattr__(base, _HOOK, hook)


def _quietened(hook: Any, thread: int) -> Callable[..., None]:
    def quiet(kind: type, /, **options: Any) -> None:
        if threading.get_ident() != thread:
            hook.__get__(None, kind)(**options)

    return quiet


def fill_class(kind: type, state: Mapping[str, Mapping[str, Any]]) -> None:
    """``kind`` has these attributes, enumeration members and virtual subclasses.

    Last of all its bases from a library hear of it (``hooks``), by the first of their
    ``__init_subclass__``. The options of the class statement are gone, so one that asks for some
    hears nothing; and the attributes that it set at home have travelled, so they stay as they are.
    """
    metaclass: Any = type(kind)
    solid: Any = next(base for base in metaclass.__mro__ if written_in_c(base))
    for name, value in state.get("attributes", {}).items():
        solid.__setattr__(kind, name, value)
    if METADATA in state.get("attributes", ()):
        enter_model(kind)
    for name, value in state.get("fields", {}).items():
        setattr(kind, name, value)  # the metaclass does more than to keep it
    if "enum" in state:
        enter_members(kind, **state["enum"]["members"])
    for subclass in state.get("abc", {}).get("registered", ()):
        kind.register(subclass)  # type: ignore[attr-defined]
    for bases in state.get("hooks", {}).values():
        before = dict(vars(kind))
        loud, *others = bases
        with _quiet(others), suppress(Exception):
            vars(loud)[_HOOK].__get__(None, kind)()
        restore(kind, before)


def make_instance(kind: Any, *args: Any) -> Any:
    """An instance of a class of which a part is missing still, perhaps one that it looks for."""
    try:
        return kind.__new__(kind, *args)
    except Exception:
        solid: Any = next(base for base in kind.__mro__ if written_in_c(base))
        return solid.__new__(kind, *(() if solid is object else args))


def make_after(_done: None, make: Callable[..., Any], *args: Any) -> Any:
    """What ``make`` gives, once the first argument was made."""
    return make(*args)


def make_cached_property(function: Any, name: str | None) -> functools.cached_property[Any]:
    """A cached property that knows its name."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


def make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """A function with an empty ``lru_cache``."""
    made = functools.lru_cache(maxsize=maxsize, typed=typed)(function)
    for tell in MADE:
        tell(made)
    return made


def make_weak_keys(items: list[tuple[Any, Any]]) -> weakref.WeakKeyDictionary[Any, Any]:
    """A weak dictionary with these items."""
    return weakref.WeakKeyDictionary(dict(items))


def make_weak_values(items: list[tuple[Any, Any]]) -> weakref.WeakValueDictionary[Any, Any]:
    """A weak dictionary with these items, as far as anybody holds the values."""
    return weakref.WeakValueDictionary(dict(items))
