"""A file that a task has created, as its result: it stays on this host."""

from __future__ import annotations

from typing import Any

from scattergather.wire.code.recipe import RECIPES, MustNotTravel
from scattergather.wire.memory.files import CreatedFile
from scattergather.wire.memory.whole import Whole, the_file

STAYS = "A file of inside.create_file() stays on its host: return it from a job with keep=True"


def create_file() -> CreatedFile:
    """An empty file without a name on this host.

    Raises:
        OSError: there can be none; it names the folder.
    """
    return CreatedFile()


def _reduce(writing: Any, file: CreatedFile) -> Any:
    outside = getattr(writing, "outside", None)
    if not isinstance(outside, Whole):
        raise MustNotTravel(STAYS, file)
    outside.take_file(file)
    return the_file, ()


RECIPES[CreatedFile] = _reduce
