"""The notebook's own cluster: scatter calls over workers on every host, gather the results.

``spawnScatterGather`` starts a controller and returns the client; everything else hangs off it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scattergather.client.client import ScatterGather
    from scattergather.client.spawn import spawnScatterGather

__version__ = "0.1.0"

__all__ = ["ScatterGather", "__version__", "spawnScatterGather"]

_HOMES = {
    "ScatterGather": "scattergather.client.client",
    "spawnScatterGather": "scattergather.client.spawn",
}


def __getattr__(name: str) -> Any:
    """Load the client on first use: workers and zygotes import this package too, and stay light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
