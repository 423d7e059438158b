"""The notebook's own cluster: scatter calls over workers on every host, gather the results.

``spawnScatterGather`` starts a controller and returns the client; everything else hangs off it.
Every public name can be had from here (docs/names.md says what each one is).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scattergather import errors, inside
    from scattergather.client.client import ScatterGather
    from scattergather.client.jobs.job import Job
    from scattergather.client.spawn import spawnScatterGather
    from scattergather.client.values.ref import Ref
    from scattergather.errors import (
        BadRequest,
        CannotConnect,
        CannotImport,
        CannotPickle,
        CannotTransfer,
        Closed,
        ControllerLost,
        ExitCalled,
        HostLost,
        InputFailed,
        JobFailed,
        MemoryLimitExceeded,
        NothingToWaitFor,
        OutOfMemory,
        RefLost,
        RequestError,
        ScatterGatherError,
        TaskError,
        TaskKilledWorker,
        TaskLost,
        TimeLimitExceeded,
        TooLarge,
        UnknownName,
        VersionMismatch,
    )
    from scattergather.inside import NestedFuture, Where
    from scattergather.model.failure import Failure
    from scattergather.model.snapshot import Go, HostView, JobView, Refreshed, Snapshot

__version__ = "0.1.0"

__all__ = [
    "BadRequest",
    "CannotConnect",
    "CannotImport",
    "CannotPickle",
    "CannotTransfer",
    "Closed",
    "ControllerLost",
    "ExitCalled",
    "Failure",
    "Go",
    "HostLost",
    "HostView",
    "InputFailed",
    "Job",
    "JobFailed",
    "JobView",
    "MemoryLimitExceeded",
    "NestedFuture",
    "NothingToWaitFor",
    "OutOfMemory",
    "Ref",
    "RefLost",
    "Refreshed",
    "RequestError",
    "ScatterGather",
    "ScatterGatherError",
    "Snapshot",
    "TaskError",
    "TaskKilledWorker",
    "TaskLost",
    "TimeLimitExceeded",
    "TooLarge",
    "UnknownName",
    "VersionMismatch",
    "Where",
    "__version__",
    "errors",
    "inside",
    "spawnScatterGather",
]

_MODULES = ("errors", "inside")

_HOMES = {
    "Failure": "model.failure",
    "Job": "client.jobs.job",
    "NestedFuture": "inside",
    "Ref": "client.values.ref",
    "ScatterGather": "client.client",
    "Where": "inside",
    "spawnScatterGather": "client.spawn",
    **dict.fromkeys(("Go", "HostView", "JobView", "Refreshed", "Snapshot"), "model.snapshot"),
}
"""The modules of those names that are not of ``errors``."""


def __getattr__(name: str) -> Any:
    """Load a name on first use: workers and zygotes import this package too, and stay light."""
    if name not in __all__:
        what = f"module {__name__!r} has no attribute {name!r}"
        if name.startswith("_"):  # Python asks for those, and wants no sentence
            raise AttributeError(what)
        hint = import_module(f"{__name__}.model.nearest").there_are(__all__, name)
        shown = import_module(f"{__name__}.errors").without_our_frames
        # No name in it: Python would add its own suggestion.
        raise shown(AttributeError(f"{what}; {hint}", name=None, obj=None))
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
