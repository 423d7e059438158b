"""Reductions for what pickle refuses or would look up in ``__main__``: functions and their parts.

The same reductions serve the C pickler and dill's, so both write payloads that one plain C
unpickler reads. Why dill does not do functions here: on mutually recursive functions, and on
classes whose methods name each other, it runs without end; each function gets globals of its own;
and it replaces ``sys.stdout`` while it looks for names, under the feet of other threads. Seen with
dill 0.4.1.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import functools
import io
import marshal
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from scattergather.wire.code import rebuild
from scattergather.wire.code.enums import reduce_member
from scattergather.wire.code.generics import reduce_alias, reduce_new_type, reduce_parameter
from scattergather.wire.code.names import attribute_names, global_names
from scattergather.wire.code.origin import (
    NOTEBOOK,
    importable,
    in_memory,
    place_of,
    whereabouts,
)
from scattergather.wire.code.world import is_common, share, share_module


class Sharing(Protocol):
    """Who knows which globals functions have where they are loaded."""

    namespaces: dict[int, Any]


class Writing(Sharing, Protocol):
    """The pickler, as far as a recipe needs it."""

    holds_code: bool
    outside: Any


_REFUSE = "__scattergather_refuse__"


class MustNotTravel(TypeError):
    """A thing says, or we know, that it must not travel; the text is reason and cure.

    ``thing`` is what must not, where it is known.
    """

    def __init__(self, text: object, thing: object = None) -> None:
        super().__init__(text)
        self.thing = thing


def refusal(thing: Any) -> str | None:
    """Why ``thing`` must not travel, if it says so with ``__scattergather_refuse__``."""
    if isinstance(thing, type):
        return None
    said = said_by(type(thing))
    if callable(said):
        said = said(thing)
    return None if said is None else str(said)


def said_by(kind: type) -> Any:
    """``__scattergather_refuse__`` of a class; a metaclass that answers everything is not asked."""
    return next(
        (vars(base)[_REFUSE] for base in kind.__mro__ if _REFUSE in vars(base)),
        None,
    )


def travels(function: types.FunctionType) -> bool:
    """True of a function that goes by value; an importable one goes by reference."""
    module: str | None = function.__module__
    if module is not None and module.startswith("scattergather.wire."):
        return False
    return not importable(function)


def reference(thing: Any) -> Any:
    """The reduction of an importable function or class, whose name alone may not lead to it."""
    place = whereabouts(thing.__module__)
    if place is None:
        return NotImplemented
    return rebuild.find, (thing.__module__, *place, thing.__qualname__)


def reduce_function(writing: Writing, function: types.FunctionType) -> Any:
    """An importable function by reference, another one by value.

    Functions of one module share one namespace within a payload, so that ``global`` statements in
    one are seen by the other; it is filled after they exist, so that they may name each other.
    """
    if not travels(function):
        return reference(function)
    made = empty_function(writing, function)
    return *made, function_state(function), None, None, rebuild.fill_function


def empty_function(writing: Sharing, function: types.FunctionType) -> tuple[Any, ...]:
    """The reduction that makes ``function`` without its state."""
    space = namespace_of(function, writing.namespaces)
    arguments = (function.__code__, space, function.__name__, function.__closure__)
    return rebuild.make_function, arguments


def _home(variables: dict[str, Any]) -> str:
    """The module whose globals these are, where others can import it; else empty."""
    home = str(variables.get("__name__", ""))
    if home in NOTEBOOK or getattr(sys.modules.get(home), "__dict__", None) is not variables:
        return ""
    return "" if in_memory(home) else home


def namespace_of(function: types.FunctionType, known: dict[int, Any]) -> Any:
    """The globals that ``function`` will have, or the module whose it has, or its name."""
    variables = function.__globals__
    if home := _home(variables):
        return home if whereabouts(home) is None else sys.modules[home]
    if id(variables) not in known:
        home = str(variables.get("__name__", ""))
        package = variables.get("__package__")  # relative imports start there
        if is_common(variables, sys.modules.get(home)):
            known[id(variables)] = _Common(home, package)
        else:
            known[id(variables)] = {"__name__": home} | (
                {"__package__": package} if package else {}
            )
    return known[id(variables)]


class _Common:
    """Pickled in the place of globals that all code of a world has in common."""

    def __init__(self, home: str, package: str | None) -> None:
        self._arguments = home, package

    def __reduce__(self) -> tuple[Any, ...]:
        return share, self._arguments


def function_state(function: types.FunctionType) -> dict[str, dict[str, Any]]:
    """The state for :func:`rebuild.fill_function`: by aspect, then by name."""
    code, variables = function.__code__, function.__globals__
    values = {name: variables[name] for name in global_names(code) if name in variables}
    values.pop("__name__", None)
    values.pop("__builtins__", None)
    submodules = _submodules(values, code)
    if _home(variables):
        # The module brings its own, but for what its source cannot say: an import hook's names,
        # such as those that pytest puts in for `assert`.
        values = {name: value for name, value in values.items() if not name.isidentifier()}
    attributes = {
        "__qualname__": function.__qualname__,
        "__module__": function.__module__,
        "__doc__": function.__doc__,
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "__annotations__": function.__annotations__,
    }
    if parameters := getattr(function, "__type_params__", ()):
        attributes["__type_params__"] = parameters
    return {
        "globals": values,
        "submodules": dict.fromkeys(submodules),
        "dict": function.__dict__,
        "attributes": attributes,
    }


def _submodules(values: dict[str, Any], code: types.CodeType) -> tuple[str, ...]:
    """Modules that ``import a.b`` bound under the name ``a``: importing ``a`` alone lacks them."""
    packages = [
        value.__name__
        for value in values.values()
        if isinstance(value, types.ModuleType) and hasattr(value, "__path__")
    ]
    if not packages:
        return ()
    spoken = set(attribute_names(code))
    return tuple(
        sorted(
            name
            for package in packages
            for name in list(sys.modules)
            if name.startswith(package + ".")
            and spoken.issuperset(name[len(package) + 1 :].split("."))
        )
    )


def reduce_code(writing: Writing, code: types.CodeType) -> Any:
    """Byte code, which only the same minor version of Python can run."""
    # Version 2 of the format, because later ones look at reference counts: the same code would
    # get another digest each time.
    writing.holds_code = True
    return marshal.loads, (marshal.dumps(code, 2),)


def reduce_cell(_writing: Writing, cell: types.CellType) -> Any:
    """A closure cell; it may hold the function that it belongs to."""
    try:
        contents = cell.cell_contents
    except ValueError:
        return rebuild.make_cell, ()
    return rebuild.make_cell, (), (contents,), None, None, rebuild.fill_cell


def reduce_module(_writing: Writing, module: types.ModuleType) -> Any:
    """A module by its name, or by its path; one that no file has by value."""
    name = module.__name__
    known = sys.modules.get(name) is module
    place = whereabouts(name) if known else place_of(name, module, frozenset())
    if place is not None:
        return rebuild.import_from, (name, *place)
    if known and not in_memory(name):
        return rebuild.import_module, (name,)
    content = {key: value for key, value in vars(module).items() if not key.startswith("__")}
    make = share_module if is_common(vars(module), sys.modules.get(name)) else rebuild.make_module
    return make, (name,), content, None, None, rebuild.fill_module


def reduce_method(_writing: Writing, method: types.MethodType) -> Any:
    """A method whose function goes by another name on its object, by value."""
    name = getattr(method.__func__, "__name__", None)  # a partial, or an object with __call__
    if name is None:
        return types.MethodType, (method.__func__, method.__self__)
    standing = _standing(method, name)
    if standing is not None:
        return standing
    if getattr(method.__self__, name, None) == method:
        return getattr, (method.__self__, name)  # what pickle writes, if nobody registers another
    return types.MethodType, (method.__func__, method.__self__)


def reduce_builtin_method(_writing: Writing, method: types.BuiltinMethodType) -> Any:
    """A method written in C; a function is found by its name."""
    return _standing(method, method.__name__) or NotImplemented


def _standing(method: Any, name: str) -> Any:
    """A method that its module offers as a function, like ``random.random``, by that name.

    With its object it would bring the state of this process's generator along, and every worker
    would draw the same numbers.
    """
    owner = method.__self__
    if owner is None or isinstance(owner, (types.ModuleType, type)):
        return None
    module = sys.modules.get(type(owner).__module__)
    if module is None or getattr(module, name, None) is not method:
        return None
    return getattr, (module, name)


def reduce_property(_writing: Writing, found: property) -> Any:
    """A property with its functions."""
    return property, (found.fget, found.fset, found.fdel, found.__doc__)


_WRAPPED = frozenset({*functools.WRAPPER_ASSIGNMENTS, "__wrapped__"})


def reduce_wrapped(_writing: Writing, found: Any) -> Any:
    """A ``classmethod`` or ``staticmethod`` with its function, and attributes of its own."""
    own = {name: value for name, value in vars(found).items() if name not in _WRAPPED}
    made = type(found), (found.__func__,)
    return (*made, own) if own else made


def reduce_proxy(_writing: Writing, proxy: types.MappingProxyType[Any, Any]) -> Any:
    """A read-only view as a copy of what it shows."""
    return types.MappingProxyType, (dict(proxy),)


def reduce_cached_property(_writing: Writing, found: functools.cached_property[Any]) -> Any:
    """A cached property without its lock."""
    return rebuild.make_cached_property, (found.func, found.attrname)


_FOR_INSTANCES = "_method_cache"


def reduce_cached(_writing: Writing, found: Any) -> Any:
    """An ``lru_cache`` with its attributes, without what it holds."""
    if importable(found):
        return NotImplemented
    settings = found.cache_parameters()
    made = rebuild.make_cached, (found.__wrapped__, settings["maxsize"], settings["typed"])
    return *made, vars(found)


def reduce_dispatch(_writing: Writing, found: functools.singledispatchmethod[Any]) -> Any:
    """A ``singledispatchmethod`` without what Python 3.13 keeps there for each instance."""
    state = {name: value for name, value in vars(found).items() if name != _FOR_INSTANCES}
    if _FOR_INSTANCES in vars(found):
        state[_FOR_INSTANCES] = weakref.WeakKeyDictionary()
    return copyreg.__newobj__, (type(found),), state  # type: ignore[attr-defined]


def reduce_weak_keys(_writing: Writing, found: weakref.WeakKeyDictionary[Any, Any]) -> Any:
    """A weak dictionary as one with the same items; ``singledispatch`` holds one."""
    return rebuild.make_weak_keys, (list(found.items()),)


def reduce_weak_values(_writing: Writing, found: weakref.WeakValueDictionary[Any, Any]) -> Any:
    """A weak dictionary as one with the same items; registries of instances are such."""
    return rebuild.make_weak_values, (list(found.items()),)


def reduce_weak_set(_writing: Writing, found: weakref.WeakSet[Any]) -> Any:
    """A weak set as one with the same items."""
    return weakref.WeakSet, (list(found),)


def reduce_stream(_writing: Writing, stream: io.IOBase) -> Any:
    """The standard streams as those of the other process; no other open file."""
    for name in ("stdout", "stderr", "stdin"):
        if stream is getattr(sys, name):
            return getattr, (sys, name)
    raise MustNotTravel("An open file cannot travel")


def reduce_lock(_writing: Writing, _lock: Any) -> Any:
    """Never: dill would make a lock of its own in each process, silently."""
    raise MustNotTravel("A lock means nothing in another process")


def reduce_generator(_writing: Writing, _generator: Any) -> Any:
    """Never: where it stands is in its frame."""
    raise MustNotTravel("A generator cannot travel")


def reduce_constant(_writing: Writing, constant: Any) -> Any:
    """The constants of ``dataclasses`` are compared by identity: they go by their names."""
    for name, value in vars(dataclasses).items():
        if value is constant:
            return name
    return NotImplemented


Recipe = Callable[[Any, Any], Any]

RECIPES: dict[type, Recipe] = {
    types.FunctionType: reduce_function,
    enum.Enum: reduce_member,
    types.CodeType: reduce_code,
    types.CellType: reduce_cell,
    types.ModuleType: reduce_module,
    types.MethodType: reduce_method,
    types.BuiltinMethodType: reduce_builtin_method,
    types.MappingProxyType: reduce_proxy,
    property: reduce_property,
    classmethod: reduce_wrapped,
    staticmethod: reduce_wrapped,
    functools.cached_property: reduce_cached_property,
    type(functools.lru_cache(int)): reduce_cached,
    functools.singledispatchmethod: reduce_dispatch,
    typing.TypeVar: reduce_parameter,
    typing.TypeVarTuple: reduce_parameter,
    typing.ParamSpec: reduce_parameter,
    typing.NewType: reduce_new_type,
    weakref.WeakKeyDictionary: reduce_weak_keys,
    weakref.WeakValueDictionary: reduce_weak_values,
    weakref.WeakSet: reduce_weak_set,
    io.TextIOWrapper: reduce_stream,
    io.BufferedReader: reduce_stream,
    io.BufferedWriter: reduce_stream,
    io.BufferedRandom: reduce_stream,
    io.FileIO: reduce_stream,
    type(threading.Lock()): reduce_lock,
    type(threading.RLock()): reduce_lock,
    types.GeneratorType: reduce_generator,
    types.AsyncGeneratorType: reduce_generator,
    type(dataclasses.MISSING): reduce_constant,
    type(dataclasses.KW_ONLY): reduce_constant,
    type(dataclasses._FIELD): reduce_constant,  # type: ignore[attr-defined]
    type(dataclasses._HAS_DEFAULT_FACTORY): reduce_constant,  # type: ignore[attr-defined]
}
"""By exact type; that of ``Enum`` is for the members of all enumerations of the notebook.

Classes are not here: they travel by digest (``wire.code.shipping``).
"""

if sys.version_info >= (3, 12):
    RECIPES[typing.TypeAliasType] = reduce_alias
