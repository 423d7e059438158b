"""Whether this process may start a cluster: while it loads code for others it may not.

A module that starts a cluster when it is imported, for want of a guard, is imported again by each
worker of that cluster, which would start another, whose workers import it, without end. So zygotes
and workers refuse while code is loaded: a module is imported, pushed source runs, a function or a
class is made of what was shipped. The body of a task may start a cluster.

A controller and a zygote are Python, too, and load what every Python of this environment loads
before its program begins: ``sitecustomize``, what ``.pth`` files import. So they know by their
command line, from the beginning on, what they are.

What begins in between belongs to it: a thread, or a copy of the process, however long it lives.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from enum import Enum
from types import CodeType, FrameType
from typing import Any

from scattergather.errors import BadRequest

_IMPORT = "<frozen importlib"
_LOADERS = ("scattergather.wire.code.", "scattergather.workers.process.surroundings.")
_MARK = "_scattergather_begun_by"


class Role(Enum):
    """What a process is for."""

    ANY = "any"
    CONTROLLER = "controller"
    ZYGOTE = "zygote"
    WORKER = "worker"


_PROGRAMS: dict[tuple[str, ...], Role] = {
    ("-m", "scattergather.controller"): Role.CONTROLLER,
    ("-m", "scattergather.workers.process.zygote"): Role.ZYGOTE,
}


def role_of(command: Sequence[str]) -> Role:
    """What a process is for that was started by this: ``python -P -m PROGRAM ARGUMENT ...``."""
    return _PROGRAMS.get(tuple(command[2:4]), Role.ANY)


_role = role_of(sys.orig_argv)


def become(role: Role) -> None:
    """This process, and whatever is forked from it, has this role."""
    global _role
    if role is Role.ZYGOTE:
        start = threading.Thread.start

        def marking(thread: threading.Thread) -> None:
            begun_by = loading()
            if begun_by:
                setattr(thread, _MARK, begun_by)
            start(thread)

        threading.Thread.start = marking  # type: ignore[method-assign, assignment]
    _role = role


def check_may_spawn() -> None:
    """A cluster may be started here and now.

    Raises:
        BadRequest: this is a controller, a zygote, or a worker that loads code.
    """
    if _role is Role.ANY:
        return
    what = loading()
    if not what and _role is Role.WORKER:
        return
    raise BadRequest(
        f"spawnScatterGather was called in a {_role.value} while it loaded {what or 'a service'}. "
        f"Every {_role.value} loads that, so each would start a cluster of its own, and those of "
        'that one more. Put the call under `if __name__ == "__main__":`, or into a function that '
        "is not called on import."
    )


def loading() -> str:
    """What this thread loads, or was begun by the loading of; empty when it runs a task's body."""
    frame: FrameType | None = sys._getframe(1)
    module: FrameType | None = None
    while frame is not None:
        code: CodeType = frame.f_code
        if code.co_name == "<module>":
            module = frame
        if code.co_filename.startswith(_IMPORT):
            return _named(module, frame)
        if str(frame.f_globals.get("__name__")).startswith(_LOADERS):
            return _named(module, None)
        frame = frame.f_back
    begun_by: str = getattr(threading.current_thread(), _MARK, "")
    return begun_by


def _named(module: FrameType | None, importing: FrameType | None) -> str:
    """For a message: what is loaded, from the frame that runs it, or from the importer's."""
    if module is None:
        name: Any = importing.f_locals.get("name") if importing is not None else None
        return f"the module {name}" if isinstance(name, str) else "its code"
    name, file = module.f_globals.get("__name__"), module.f_code.co_filename
    return f"the module {name} ({file}, line {module.f_lineno})"
