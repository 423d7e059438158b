"""Global names that a piece of code refers to, and namespaces that lack some of them."""

from __future__ import annotations

import builtins
import dis
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

_OPERATIONS = frozenset(
    {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
)
"""The last is that of what a generic class of Python 3.12's syntax looks at only when asked."""

_BINDING = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})

_KEPT = 4096

_Entry = tuple[CodeType, tuple[str, ...], tuple[str, ...], frozenset[str]]
_known: OrderedDict[int, _Entry] = OrderedDict()
"""By id, because hashing a code object reads all of it; the entry keeps the object alive, so that
an id never comes to mean another one."""


def global_names(code: CodeType) -> tuple[str, ...]:
    """The global names used by ``code`` and the code nested in it, sorted.

    Attribute names stand in ``co_names`` too, and would drag unrelated values of the notebook
    along; so the instructions are read. (dill reads the printed disassembly with ``sys.stdout``
    replaced, which other threads would see.)
    """
    return _entry(code)[1]


def attribute_names(code: CodeType) -> tuple[str, ...]:
    """All of ``co_names``, nested code included: ``x.y.z`` shows which submodules it needs."""
    return _entry(code)[2]


def bound_names(code: CodeType) -> frozenset[str]:
    """The global names that ``code`` and the code nested in it binds or deletes."""
    return _entry(code)[3]


def _entry(code: CodeType) -> _Entry:
    entry = _known.get(id(code))
    if entry is None:
        used: set[str] = set()
        seen: set[str] = set()
        bound: set[str] = set()
        _collect(code, used, seen, bound)
        entry = (code, tuple(sorted(used)), tuple(sorted(seen)), frozenset(bound))
        _known[id(code)] = entry
        while len(_known) > _KEPT:
            try:
                _known.popitem(last=False)
            except KeyError:  # another thread emptied it first
                break
    return entry


def _collect(code: CodeType, used: set[str], seen: set[str], bound: set[str]) -> None:
    seen.update(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname in _OPERATIONS:
            used.add(instruction.argval)
        if instruction.opname in _BINDING:
            bound.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _collect(constant, used, seen, bound)


def complete(function: Callable[..., Any], namespace: Mapping[str, Any]) -> None:
    """Give a loaded function, and by-value functions it calls, the resident names it lacks.

    Args:
        function: as :meth:`CodeBook.function` returned it.
        namespace: the worker's ``__main__``, filled by pushed source.

    A name that travelled with the function wins: a job never runs with older code than its own.
    """
    pending: list[Any] = [function]
    done: set[int] = set()
    while pending:
        thing = pending.pop()
        if id(thing) in done:
            continue
        done.add(id(thing))
        if not isinstance(thing, FunctionType):
            pending += parts(thing)
            continue
        own = thing.__globals__
        if "__travelled__" not in own:  # the namespace of a real module is not ours to fill
            continue
        for name in global_names(thing.__code__):
            if name in own:
                pending.append(own[name])
            elif not hasattr(builtins, name) and name in namespace:
                own[name] = namespace[name]
        pending += [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]


def parts(thing: Any) -> list[Any]:
    """Where functions hide in what can be called: methods, partials, wrappers, classes."""
    kind = type(thing)
    if issubclass(kind, type):
        return [*vars(thing).values()] if thing.__module__ == "__main__" else []
    parts = [getattr(thing, name, None) for name in ("__func__", "__wrapped__", "func", "fget")]
    if kind.__module__ == "__main__":
        parts.append(kind)
    return [part for part in parts if part is not None]


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (reading an empty cell raises)
    except ValueError:
        return False
    return True
