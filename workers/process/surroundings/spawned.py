"""Processes that a task starts by multiprocessing's ``spawn`` and ``forkserver``.

At home such a process runs the script again, so that it finds by name what comes to it. Here there
is none to run: without more, each of a pool's processes would end with an AttributeError at its
first call, a new one would be started, and the task would wait for ever. So what stands in
``__main__`` goes along, by value, and stands in ``__main__`` there before anything asks for it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.values.payload import dumps, loads
from scattergather.workers.process.surroundings.standing import home_name

_STAND = """
import sys
sys.path[:] = path
try:
    from scattergather.workers.process.surroundings.spawned import stand
except ImportError:
    pass
else:
    stand(parts)
"""
"""Runs in the new process before multiprocessing has told it where modules are."""


class _Inheritance:
    """Pickled by a process that starts another: its ``__main__`` has these there."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_STAND, {"path": list(sys.path), "parts": self._parts})


def join(spawn: Any) -> None:
    """Processes that ``multiprocessing.spawn`` prepares have what stands in ``__main__``."""
    original: Callable[[str], dict[str, Any]] = spawn.get_preparation_data

    @wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        told = original(name)
        if parts := _parts():
            told["scattergather"] = _Inheritance(parts)
        return told

    spawn.get_preparation_data = get_preparation_data


def _parts() -> list[bytes]:
    """What stands in ``__main__``, as one blob; as one each if something of it cannot travel."""
    space = vars(sys.modules["__main__"])
    things = {name: each for name, each in [*space.items()] if home_name(each) == name}
    if not things:
        return []
    try:
        return [dumps(things, CodeBook())]
    except Exception:
        found = []
        for name, thing in things.items():
            try:
                found.append(dumps({name: thing}, CodeBook()))
            except Exception:
                continue  # who asks for it is told by Python that it is not there
        return found


def stand(parts: list[bytes]) -> None:
    """``__main__`` has what is in these blobs, but for those that cannot be loaded here.

    This process may need none of them. If it died for it, another would be started, for ever.
    """
    for part in parts:
        try:
            found = loads(part)
        except Exception:
            traceback.print_exc()
        else:
            vars(sys.modules["__main__"]).update(found)
