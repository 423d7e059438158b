"""Which folder files without a name go to, if somebody says so."""

from __future__ import annotations

from scattergather.errors import BadRequest
from scattergather.model.quoting import quoted
from scattergather.wire.memory.scratch import unfit


def scratch_folder(folder: str, name: str) -> str:
    """The same folder.

    Raises:
        BadRequest: no files can be written there; it is told by its ``name``.
    """
    if why := unfit(folder):
        raise BadRequest(f"{name}: temporary files cannot go to {quoted(folder)}: {why}")
    return folder
