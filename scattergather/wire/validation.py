"""What pydantic makes of functions and classes of the notebook.

A function under ``@validate_call`` holds a validator, and with that all globals of the notebook. So
it goes as what it was made of, and makes its validator when it is called. A parametrised model like
``Page[Cat]`` is what that expression gives because a table of pydantic's says so, and is entered
there. Where pydantic is another one than is known here, both are left to pickle.

Pickles name the functions here that make them, so names and arguments are part of the wire.
"""

from __future__ import annotations

import copyreg
import operator
import re
import sys
from contextlib import suppress
from typing import Any

VALIDATED_CALL = "pydantic._internal._validate_call", "ValidateCallWrapper"
METADATA = "__pydantic_generic_metadata__"
_NAME = re.compile(r"[^\W\d]\w*")


def origin_of(kind: type) -> tuple[Any, tuple[Any, ...]] | None:
    """The generic model of which a class is a parametrised form, and its arguments."""
    made_of = vars(kind).get(METADATA)
    if not isinstance(made_of, dict) or not made_of.get("origin"):
        return None
    return made_of["origin"], tuple(made_of.get("args", ()))


# ---- on the way out -----------------------------------------------------------------------------


def reduce_validated_call(wrapper: Any) -> Any:
    """By its function, and by what the annotations of that name."""
    try:
        config = {**wrapper.config_wrapper.config_dict, "defer_build": True}
        return type(wrapper), (
            wrapper.function,
            config,
            wrapper.validate_return,
            _named(wrapper.schema_type, wrapper.ns_resolver),
        )
    except AttributeError:
        return NotImplemented


def _named(function: Any, resolver: Any) -> dict[str, Any]:
    """What annotations in quotes name; the others are there themselves."""
    annotations = getattr(function, "__annotations__", {}).values()
    names = {name for each in annotations for name in _NAME.findall(_quoted(each))}
    if not names:
        return {}
    own = getattr(resolver, "_base_ns_tuple", None)  # of a function within another, its locals
    spaces = (getattr(own, "locals", {}), getattr(function, "__globals__", {}))
    return {
        name: next(space[name] for space in spaces if name in space)
        for name in sorted(names)
        if any(name in space for space in spaces)
    }


def _quoted(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return " ".join(re.findall(r"ForwardRef\('([^']*)'", repr(annotation)))


# ---- where a payload is loaded ------------------------------------------------------------------


def enter_model(kind: type) -> None:
    """A parametrised model is from now on what its expression gives, as ``Page[Cat]``.

    What a task pickles by itself has it as that expression: the name ``Page[Cat]`` leads nowhere.
    """
    copyreg.dispatch_table.setdefault(type(kind), _reduce_model)
    found = origin_of(kind)
    generics: Any = sys.modules.get("pydantic._internal._generics")
    if found is None or generics is None:
        return
    origin, arguments = found
    with suppress(AttributeError, TypeError):
        generics.set_cached_generic_type(origin, arguments, kind, origin, arguments)


def _reduce_model(kind: type) -> Any:
    found = origin_of(kind)
    return (operator.getitem, found) if found else kind.__qualname__
