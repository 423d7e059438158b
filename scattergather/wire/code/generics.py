"""Type variables and type aliases of the notebook, taken apart and made again.

Pickle would write each as a name in ``__main__``. Those of Python 3.12's syntax (``def f[T: A]``,
``type Tree[T] = T | list[Tree[T]]``) look at their bounds and values only when they are asked, so
these may name what they belong to. Only that syntax makes such ones: they are made with something
to look at that is empty, and then it is filled.

Pickles name the functions here that make them, so names and arguments are part of the wire.
"""

from __future__ import annotations

import sys
import types
import typing
import weakref
from typing import Any, Protocol

from scattergather.wire.code.origin import NOTEBOOK

_STARS = {typing.TypeVar: "", typing.TypeVarTuple: "*", typing.ParamSpec: "**"}
_LAZY = sys.version_info >= (3, 12)
_DEFAULTS = sys.version_info >= (3, 13)
"""``typing`` has defaults. Before, ``typing_extensions`` writes them on variables of ``typing``."""


class Owning(Protocol):
    """The pickler, which remembers what belongs to what in a value."""

    namespaces: dict[int, Any]


# ---- on the way out -----------------------------------------------------------------------------


def importable_name(thing: Any) -> bool:
    """These have no qualified name; they are found by their plain one."""
    module = sys.modules.get(thing.__module__)
    return thing.__module__ not in NOTEBOOK and getattr(module, thing.__name__, None) is thing


def reduce_parameter(writing: Owning, parameter: Any) -> Any:
    """A ``TypeVar``, ``TypeVarTuple`` or ``ParamSpec``."""
    if importable_name(parameter):
        return NotImplemented
    alias = writing.namespaces.get(id(parameter))
    if alias is not None:
        return parameter_of, (alias, alias.__type_params__.index(parameter))
    kind: Any = type(parameter)
    name = parameter.__name__
    options: dict[str, Any] = {}
    if _has_default(parameter):
        options["default"] = parameter.__default__
        kind = getattr(_home_of_defaults(), kind.__name__)
    bound, constraints = _bound(parameter), getattr(parameter, "__constraints__", ())
    if _LAZY and getattr(parameter, "__infer_variance__", False):
        if looks(parameter) and (_DEFAULTS or not options):
            cell = types.CellType()
            made = make_parameter, (_spelled(parameter, 0), parameter.__module__, cell)
            return (*made, (cell, _looked_at([parameter])), None, None, fill)
        options["infer_variance"] = True
    if bound is not None:
        options["bound"] = bound
    for flag in ("covariant", "contravariant"):
        if getattr(parameter, f"__{flag}__", False):
            options[flag] = True
    return make_variable, (kind, parameter.__module__, name, constraints, options)


def reduce_new_type(_writing: object, found: Any) -> Any:
    """A ``NewType``."""
    if importable_name(found):
        return NotImplemented
    return make_new_type, (found.__module__, found.__name__, found.__supertype__)


def reduce_alias(writing: Owning, alias: Any) -> Any:
    """What ``type X = ...`` has made."""
    if importable_name(alias):
        return NotImplemented
    parameters = alias.__type_params__
    for parameter in parameters:
        writing.namespaces[id(parameter)] = alias
    cell = types.CellType()
    spelled = [_spelled(parameter, 2 * place) for place, parameter in enumerate(parameters)]
    brackets = f"[{', '.join(spelled)}]" if spelled else ""
    made = make_alias, (alias.__name__, brackets, alias.__module__, cell)
    contents = [*_looked_at(parameters), alias.__value__]
    return (*made, (cell, contents), None, None, fill)


def looks(parameter: Any) -> bool:
    """True of a parameter that looks at something when it is asked for bound or default."""
    bounds = getattr(parameter, "__constraints__", ()) or _bound(parameter)
    return bounds is not None or _has_default(parameter)


def _bound(parameter: Any) -> Any:
    return getattr(parameter, "__bound__", None)


def _home_of_defaults() -> Any:
    return typing if _DEFAULTS else sys.modules.get("typing_extensions")


def _has_default(parameter: Any) -> bool:
    home = _home_of_defaults()
    none = getattr(home, "NoDefault", None)
    return home is not None and getattr(parameter, "__default__", none) is not none


def _looked_at(parameters: list[Any] | tuple[Any, ...]) -> list[Any]:
    """The bound or constraints of each parameter, and its default."""
    found: list[Any] = []
    for each in parameters:
        constraints = getattr(each, "__constraints__", ())
        found += [constraints or _bound(each)]
        found += [each.__default__ if _has_default(each) else None]
    return found


def _spelled(parameter: Any, place: int) -> str:
    """Its declaration, as source that looks for what it names from ``place`` on in the cell."""
    kind: Any = type(parameter)
    source, here = f"{_STARS[kind]}{parameter.__name__}", f"cell.cell_contents[{place}]"
    constraints = getattr(parameter, "__constraints__", ())
    if constraints:
        source += f": ({' '.join(f'{here}[{number}],' for number in range(len(constraints)))})"
    elif kind is typing.TypeVar and parameter.__bound__ is not None:
        source += f": {here}"
    if _DEFAULTS and _has_default(parameter):
        star = "*" if kind is typing.TypeVarTuple else ""
        source += f" = {star}cell.cell_contents[{place + 1}]"
    return source


# ---- where a payload is loaded ------------------------------------------------------------------


_known: weakref.WeakValueDictionary[tuple[type, str, str], Any] = weakref.WeakValueDictionary()
"""Those that came here: the same may come with a function, with its arguments, with a class."""


def make_variable(
    kind: Any, module: str, name: str, constraints: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """A parameter; the one that the notebook or this process has, if that is the same."""
    return _settled(kind(name, *constraints, **options), module, _SHOWN)


def make_new_type(module: str, name: str, supertype: Any) -> Any:
    """A ``NewType``; the one that the notebook or this process has, if that is the same."""
    return _settled(typing.NewType(name, supertype), module, ("__supertype__",))


_SHOWN = (
    "__bound__", "__constraints__", "__covariant__", "__contravariant__", "__infer_variance__",
    "__default__",
)  # fmt: skip


def _settled(made: Any, module: str, shown: tuple[str, ...]) -> Any:
    made.__module__ = module
    key = type(made), module, made.__name__
    for known in (getattr(sys.modules.get(module), made.__name__, None), _known.get(key)):
        if type(known) is type(made) and all(
            getattr(known, name, None) == getattr(made, name, None) for name in shown
        ):
            return known
    _known[key] = made
    return made


def make_parameter(spelled: str, module: str | None, cell: types.CellType) -> Any:
    """A parameter that looks into the cell when it is asked for its bound or default."""
    return parameter_of(make_alias("_", f"[{spelled}]", module, cell), 0)


def make_alias(name: str, brackets: str, module: str | None, cell: types.CellType) -> Any:
    """A type alias whose value is the last thing in the cell, when somebody asks for it."""
    space = {"__name__": module, "cell": cell}
    exec(f"type {name}{brackets} = cell.cell_contents[-1]", space)
    return space[name]


def parameter_of(alias: Any, place: int) -> Any:
    """The parameter that the alias declares at this place."""
    return alias.__type_params__[place]


def fill(_made: Any, state: tuple[types.CellType, list[Any]]) -> None:
    """What was made finds these in its cell."""
    cell, contents = state
    cell.cell_contents = contents
