"""dill, for what the C pickler refuses: imported when first needed, as it takes 60 ms."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from typing import Any

from scattergather.wire.code.recipe import Recipe
from scattergather.wire.memory.outside import Outside
from scattergather.wire.values.reducing import PROTOCOL, ReduceClass, Reducing

_theirs = "dill" in sys.modules
dill: Any = importlib.import_module("dill")
if not _theirs:
    # Importing it changes how pickle's Python picklers (joblib's, say) write classes: by dill's
    # ways, in a process whose user has not asked for dill.
    dill.extend(use_dill=False)


class DillPickler(Reducing, dill.Pickler):  # type: ignore[misc]
    """dill's pickler with our functions and classes, so that a C unpickler reads what it writes."""

    def __init__(
        self,
        file: io.BytesIO,
        reduce_class: ReduceClass,
        outside: Outside | None,
        recipes: dict[type, Recipe],
    ) -> None:
        Reducing.__init__(self, reduce_class, outside, recipes)
        callback = None if outside is None else outside.buffer
        dill.Pickler.__init__(self, file, PROTOCOL, recurse=True, buffer_callback=callback)

    def dump(self, value: Any) -> None:
        """Write ``value``; a warning of dill is an error."""
        with warnings.catch_warnings():
            # It warns where it writes a reference that cannot be found again.
            warnings.simplefilter("error", dill.PicklingWarning)
            super().dump(value)
