"""dill, for what the C pickler refuses: imported when first needed, as it takes 60 ms."""

from __future__ import annotations

import io
import warnings
from typing import Any

import dill

from scattergather.wire.picklers import PROTOCOL, Outside, ReduceClass
from scattergather.wire.recipe import RECIPES, Refused, refusal


class DillPickler(dill.Pickler):  # type: ignore[misc]
    """dill's pickler with our functions and classes, so that a C unpickler reads what it writes."""

    def __init__(
        self, file: io.BytesIO, reduce_class: ReduceClass, outside: Outside | None = None
    ) -> None:
        super().__init__(file, PROTOCOL, recurse=True, buffer_callback=outside)
        self._reduce_class = reduce_class
        self.namespaces: dict[int, dict[str, Any]] = {}
        self.holds_code = False

    def dump(self, value: Any) -> None:
        """Write ``value``; a warning of dill is an error."""
        with warnings.catch_warnings():
            # It warns where it writes a reference that cannot be found again.
            warnings.simplefilter("error", dill.PicklingWarning)
            super().dump(value)

    def reducer_override(self, thing: Any) -> Any:
        """As :meth:`ValuePickler.reducer_override`."""
        kind = type(thing)
        recipe = RECIPES.get(kind)
        if recipe is not None:
            return recipe(self, thing)
        if issubclass(kind, type):
            return self._reduce_class(thing)
        if hasattr(kind, "__scattergather_refuse__"):
            raise Refused(refusal(thing))
        return NotImplemented
