"""Versions of ``__main__``, made of pushed source.

Version *n* is a module of its own in which the sources up to *n* ran in order, from the last empty
one on: that withdraws what was pushed before. A job pins the version it was added with, so several
may be in use; each is made when it is first needed.

Where a source raises, so does whatever needs a version with it: passing it over would leave tasks
with half of what they were meant to find. To withdraw it is the cure.
"""

from __future__ import annotations

import builtins
import linecache
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from scattergather.wire.pushed import PUSHED, is_empty, told
from scattergather.workers.process.task.interrupts import LIMITS

MAIN = "__main__"


class Residents:
    """The pushed sources, and the ``__main__`` of each version. Main thread of a worker."""

    def __init__(self) -> None:
        self._sources: dict[int, str] = {}
        self._modules: dict[int, ModuleType] = {}
        self._failures: dict[int, tuple[BaseException, tuple[str, ...], Any]] = {}
        self.note: Callable[[str], None] = lambda _text: None
        """Is told which source runs, in case that ends the worker; empty when it is through."""

    def __len__(self) -> int:
        """How many versions were made."""
        return len(self._modules)

    def push(self, version: int, source: str) -> None:
        """``source`` is what version ``version`` adds; tracebacks will show its lines."""
        self._sources[version] = source
        lines = source.splitlines(keepends=True)
        linecache.cache[_file_name(version)] = (len(source), None, lines, _file_name(version))

    def enter(self, version: int) -> dict[str, Any]:
        """``sys.modules['__main__']`` is that version; returns its namespace.

        Raises:
            BaseException: what the source of one of its versions raised, each time.
        """
        module = self._modules.get(version)
        if module is None:
            module = self._modules[version] = _fresh()
            sys.modules[MAIN] = module
            try:
                self._fill(version, module)
            except (KeyboardInterrupt, *LIMITS):
                del self._modules[version]  # interrupted from outside: not the source's fault
                raise
            except BaseException as error:
                notes = tuple(getattr(error, "__notes__", ()))
                self._failures[version] = error, notes, _within_source(error)
        sys.modules[MAIN] = module
        if version in self._failures:
            failure, notes, trace = self._failures[version]
            if hasattr(failure, "__notes__"):
                failure.__notes__ = list(notes)  # without those of the last task
            raise failure.with_traceback(trace)
        return vars(module)

    def _fill(self, version: int, module: ModuleType) -> None:
        numbers = [number for number in sorted(self._sources) if number <= version]
        withdrawn = max((each for each in numbers if is_empty(self._sources[each])), default=0)
        for number in numbers:
            if number <= withdrawn:
                continue
            source, name = self._sources[number], _file_name(number)
            self.note(PUSHED + told(number))
            try:
                exec(compile(source, name, "exec", dont_inherit=True), vars(module))
            except BaseException as error:
                _add_note(error, number)
                raise
            finally:
                self.note("")


def _add_note(error: BaseException, number: int) -> None:
    try:
        error.add_note(f"[scattergather] this came of {told(number)}")
    except Exception:  # __notes__ is the user's to spoil
        pass


def _file_name(version: int) -> str:
    return f"<pushed code {version}>"


def _fresh() -> ModuleType:
    module = ModuleType(MAIN)
    vars(module)["__builtins__"] = builtins
    return module


def _within_source(error: BaseException) -> Any:
    """The traceback from the pushed source on (a syntax error has none of it)."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<pushed code"):
        trace = trace.tb_next
    return trace
