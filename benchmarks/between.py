"""Between hosts. ``--only between`` takes all of these cases."""

from __future__ import annotations

from benchmarks.scale import Scale
from benchmarks.system import System

GROUP = "between"
"""The names of the cases begin with this and a hyphen."""


def added(system: System, scale: Scale) -> float:
    """Seconds from the call that adds a host to the first line of a task there, the longest."""
    return max(system.added(laps=scale.added))
