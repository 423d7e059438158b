"""A group of classes that name each other, as one blob.

First every by-value class that can be reached is found, then the whole group is written at once:
all skeletons, then what fills them. So it does not matter who refers to whom.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from scattergather.wire.code import rebuild
from scattergather.wire.code.class_recipe import skeleton, state
from scattergather.wire.values.picklers import ValuePickler, write

Placed = Callable[[type], Any]
"""The reduction of a class that is importable or has its place already, else None."""


class _Filling:
    """Pickled in the place of a class's state: the class is filled where this is loaded."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild.fill_class, (self._kind, *state(self._kind))


def bundle(first: type, placed: Placed) -> tuple[tuple[type, ...], bytes, bool]:
    """The group of by-value classes that ``first`` needs, their blob, and if that has byte code.

    Raises:
        CannotPickle: an attribute of one of them cannot travel.
    """
    found = [first]
    met = {id(first)}

    def meet(kind: type) -> Any:
        reduction = placed(kind)
        if reduction is not None:
            return reduction
        if id(kind) not in met:
            met.add(id(kind))
            found.append(kind)
        return rebuild.make_cell, ()  # stands in; this pass is thrown away

    for kind in found:  # grows while it is read
        _written((skeleton(kind), state(kind)), meet, kind)

    def reduce_member(kind: type) -> Any:
        reduction = placed(kind)
        return skeleton(kind) if reduction is None else reduction

    # By name, so that the places do not depend on where the group was entered. What was found
    # last is what the others need: it is filled first.
    group = tuple(sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__)))
    fillings = [_Filling(kind) for kind in reversed(found)]
    blob, holds_code = _written((group, fillings), reduce_member, first)
    return group, blob, holds_code


def _written(value: Any, reduce_class: Placed, kind: type) -> tuple[bytes, bool]:
    buffer = io.BytesIO()
    pickler = ValuePickler(buffer, reduce_class)
    holds_code = write(value, reduce_class, pickler, buffer, f"class {kind.__qualname__!r}")
    return buffer.getvalue(), holds_code
