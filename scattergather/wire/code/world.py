"""Worlds: what of the notebook is loaded together, and the globals that it has in common there.

At home all code of a notebook has one ``__main__``. Where it is loaded, functions and classes come
in several blobs and inside of arguments, and what belongs together is a *world*: a worker makes one
for each function that it calls. In a world there is one namespace for each module of home, so what
one function binds there the others see. Worlds share nothing that can be changed, so neither values
nor older code of one job are seen in another.

Names that come with a blob of code are the world's: what comes later with the same names was the
same at home, and by now a task may have changed it. Names that only functions among a task's
arguments bring are those of that task: the next one's take their place.

Outside of worlds (where results come home) each value has globals of its own.
"""

from __future__ import annotations

import builtins
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scattergather.wire.code.names import bound_names, global_names
from scattergather.wire.code.origin import NOTEBOOK, importable, in_memory

MARK = "__travelled__"
"""The name in globals which says that they were made where code was loaded."""

_load = threading.local()
"""``world`` is whose code this thread loads; None for code that is of no world."""


class Shared:
    """The globals of one module in one world; stands in them under ``MARK``."""

    def __init__(self, world: World, variables: dict[str, Any]) -> None:
        self.world = world
        self.variables = variables
        self.owned: set[str] = set()
        """Names that came with a blob of code."""

    def enter(self, values: Mapping[str, Any]) -> None:
        """What has come under these names stands there, but for what the world has already."""
        brought = getattr(_load, "world", None) is self.world
        for name, value in values.items():
            if name not in self.owned:
                self.variables[name] = value
                if brought:
                    self.owned.add(name)


class World:
    """What was loaded together, by digest.

    Args:
        shares: its code has globals in common; at home there is no such world.
    """

    def __init__(self, *, shares: bool = True) -> None:
        self.shares = shares
        self.functions: dict[bytes, Callable[..., Any]] = {}
        self.classes: dict[bytes, tuple[type, ...]] = {}
        self._modules: dict[str, types.ModuleType] = {}
        self._spaces: dict[str, Shared] = {}
        self._lock = threading.Lock()

    def space(self, home: str) -> Shared:
        """The globals of the module that is called ``home``."""
        with self._lock:
            found = self._spaces.get(home)
            if found is None:
                module = self._modules[home] = types.ModuleType(home)
                variables = vars(module)
                if home in NOTEBOOK:
                    variables.clear()
                found = self._spaces[home] = Shared(self, variables)
                _furnish(variables, home)[MARK] = found
            return found

    def module(self, home: str) -> types.ModuleType:
        """The module that has these globals."""
        self.space(home)
        return self._modules[home]

    @contextmanager
    def loading(self) -> Iterator[None]:
        """What this thread loads is this world's; nothing of it stays where that fails."""
        outer, _load.world = getattr(_load, "world", _NOBODY), self
        before = [(each, dict(each.variables), set(each.owned)) for each in self._spaces.values()]
        try:
            yield
        except BaseException:
            for each, variables, owned in before:
                each.variables.clear()
                each.variables.update(variables)
                each.owned = owned
            raise
        finally:
            _load.world = outer


_NOBODY = World(shares=False)


class _Present:
    """The world that is at work in this process."""

    world = _NOBODY


@contextmanager
def outside() -> Iterator[None]:
    """What this thread loads is of no world: it may be used in several."""
    outer, _load.world = getattr(_load, "world", _NOBODY), None
    try:
        yield
    finally:
        _load.world = outer


def enter(world: World) -> None:
    """What is loaded from now on is of this world. Main thread of a worker."""
    _Present.world = world


def is_common(variables: dict[str, Any], module: types.ModuleType | None) -> bool:
    """True of globals that all code which travels has in common, in the world where it is loaded.

    Args:
        variables: the globals.
        module: what has their name here.
    """
    if _Present.world.shares:  # a worker's own ``__main__`` is not that of what came here
        mark = variables.get(MARK)
        return isinstance(mark, Shared) and mark.world is _Present.world
    return module is not None and vars(module) is variables


def share(home: str, package: str | None) -> dict[str, Any]:
    """The globals of ``home`` in the world at work; new ones outside of worlds."""
    world = _loading()
    variables = {} if world is None else world.space(home).variables
    if package:
        variables.setdefault("__package__", package)
    return _furnish(variables, home)


def share_module(home: str) -> types.ModuleType:
    """The module ``home`` of the world at work; a new one outside of worlds."""
    world = _loading()
    return types.ModuleType(home) if world is None else world.module(home)


def _loading() -> World | None:
    world = _Present.world
    return world if world.shares and getattr(_load, "world", world) is not None else None


def _furnish(variables: dict[str, Any], home: str) -> dict[str, Any]:
    variables["__name__"] = home
    variables.setdefault("__builtins__", builtins)
    variables.setdefault(MARK, True)
    return variables


# ---- at home: what may be in several worlds ------------------------------------------------------

_ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})
_CALLED_BY_NAME = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)
_OF_DATACLASSES = ("_dflt_", "_HAS_DEFAULT_FACTORY", "MISSING", "__dataclass_")
_MISSING = object()


def shares(thing: Any, named: dict[int, set[int]]) -> bool:
    """True of a function or class that has something in common with other code of the notebook.

    Modules, what is imported from them, and classes do not count: they are the same everywhere.

    Args:
        thing: it.
        named: ids of what globals name, by the id of the globals; grows.
    """
    if isinstance(thing, type):
        module = sys.modules.get(thing.__module__)
        space = {} if module is None else vars(module)
        found = [getattr(value, "__func__", value) for value in vars(thing).values()]
        return any(_is_named(value, space, named) for value in found)
    if not isinstance(thing, types.FunctionType):
        return False
    code, space = thing.__code__, thing.__globals__
    defaults = (*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values())
    return (
        bool(bound_names(code))
        or any(not _is_fixed(name, space) for name in global_names(code))
        or any(_is_named(value, space, named) for value in defaults)
        or any(map(_is_open, code.co_freevars, thing.__closure__ or ()))
    )


def _is_fixed(name: str, space: dict[str, Any]) -> bool:
    value = space.get(name, _MISSING)
    if value is _MISSING:
        return hasattr(builtins, name) or name.startswith("__")
    return _is_constant(value)


def _is_open(name: str, cell: types.CellType) -> bool:
    """True of a closure cell by which functions may share more than what is constant."""
    if name.startswith(_OF_DATACLASSES):
        return False
    try:
        return not _is_constant(cell.cell_contents)
    except ValueError:  # it is empty
        return True


def _is_named(value: Any, space: dict[str, Any], named: dict[int, set[int]]) -> bool:
    ids = named.get(id(space))
    if ids is None:
        ids = named[id(space)] = {*map(id, space.values())}
    return id(value) in ids and type(value) not in _ATOMS and not _is_constant(value)


def _is_constant(value: Any) -> bool:
    kind = type(value)
    if kind is types.ModuleType:
        return not in_memory(value.__name__)
    if isinstance(value, type) or kind.__module__ in ("typing", "types", "logging"):
        return True
    if kind in _CALLED_BY_NAME:
        owner = getattr(value, "__self__", None)
        return owner is None or isinstance(owner, type | types.ModuleType)
    return callable(value) and "." not in kind.__qualname__ and _is_found(value)


def _is_found(value: Any) -> bool:
    try:
        return importable(value)
    except Exception:  # what has attributes of its own making
        return False
