"""What our picklers add to pickle's and to dill's.

The search for a culprit asks the same, so that it never blames what would have travelled.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from scattergather.wire.code.origin import importable
from scattergather.wire.code.recipe import RECIPES, MustNotTravel, Recipe, refusal, said_by
from scattergather.wire.memory.outside import Outside
from scattergather.wire.validation import VALIDATED_CALL, reduce_validated_call
from scattergather.wire.values.arrays import ARRAY, reduce_array
from scattergather.wire.values.chance import GENERATORS, reduce_generator_of_chance
from scattergather.wire.values.derived import BASES, answers_for_all, reduce_derived, reduce_quietly
from scattergather.wire.values.exceptions import reduce_exception, taken_apart
from scattergather.wire.values.named import reduce_by_itself, speaks

PROTOCOL = 5
ORDINARY = 256
"""Types that a pickler remembers as needing nothing special; a notebook's old classes must go."""

ReduceClass = Callable[[type], Any]
"""What a class becomes: a reduction, or ``NotImplemented`` for a plain reference by name."""


class Reducing:
    """What our picklers add to pickle's and to dill's: recipes, and a way for classes."""

    def __init__(
        self, reduce_class: ReduceClass, outside: Outside | None, recipes: dict[type, Recipe]
    ) -> None:
        self.reduce_class = reduce_class
        self.outside = outside
        self.recipes = recipes
        self._ordinary: set[type] = set()
        self.namespaces: dict[int, Any] = {}
        """By the id of what is taken apart: what else in this value belongs to the same."""
        self.holds_code = False

    def reducer_override(self, thing: Any) -> Any:
        """The recipe of ``thing``; picklers ask for all but plain data."""
        kind = type(thing)
        if kind in self._ordinary:
            return NotImplemented
        recipe = self.recipes.get(kind)
        if recipe is not None:
            return recipe(self, thing)
        if issubclass(kind, type):
            return self.reduce_class(thing)
        if said_by(kind) is not None:
            raise MustNotTravel(refusal(thing))
        if isinstance(kind, enum.EnumMeta) and not importable(kind):
            return self.recipes[enum.Enum](self, thing)
        if issubclass(kind, BaseException) and taken_apart(kind):
            return reduce_exception(thing)
        if (kind.__module__, kind.__qualname__) == ARRAY:
            RECIPES[kind] = reduce_array
            return reduce_array(self, thing)
        if (kind.__module__, kind.__qualname__) in GENERATORS:
            RECIPES[kind] = reduce_generator_of_chance
            return reduce_generator_of_chance(self, thing)
        if issubclass(kind, BASES):
            return reduce_derived(thing)
        if (kind.__module__, kind.__qualname__) == VALIDATED_CALL:
            return reduce_validated_call(thing)
        if speaks(thing):
            return reduce_by_itself(thing, PROTOCOL)
        if answers_for_all(kind):
            return reduce_quietly(thing, PROTOCOL)
        if len(self._ordinary) >= ORDINARY:
            self._ordinary.clear()
        self._ordinary.add(kind)
        return NotImplemented

    def meet_again(self) -> None:
        """The recipes are asked again for types that need nothing special."""
        self._ordinary.clear()
