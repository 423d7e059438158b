"""Modules of the user's that were edited after workers may have imported them: told once an edit.

Workers import a module when a task first needs it, and keep it, whatever is reloaded here. A task
needs those that its function or its arguments name, and what these import. What is installed is
nobody's to edit, so only files outside of Python's own folders are looked at: a ``stat`` each.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType

from scattergather.wire.code.origin import named_modules

_INSTALLED = tuple({
    os.path.join(folder, "")
    for key in ("stdlib", "platstdlib", "purelib", "platlib")
    if (folder := sysconfig.get_path(key))
})  # fmt: skip
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class EditedModules:
    """When the files of modules changed that tasks use. One thread at a time.

    Args:
        tell: shows the user a sentence.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._count = 0
        self._times: dict[str, tuple[str, int]] = {}
        """By module: its file, and when that was changed last."""

    def look(self) -> None:
        """Modules that were named since the last look are known, edits since then are told."""
        edited = []
        for name, (file, before) in list(self._times.items()):
            now = _time_of(file)
            if now and now != before:
                self._times[name] = (file, now)
                edited.append(name)
        if edited:
            self._tell(
                f"{', '.join(sorted(edited))} was edited: workers that have imported it run it as "
                "it was; c.command('refresh') replaces them"
            )
        names = named_modules()
        if len(names) != self._count:
            self._count = len(names)
            for name in names:
                self._learn(name)

    def renew(self) -> None:
        """Workers are replaced: they import everything as it is now."""
        self._times = {name: (file, _time_of(file)) for name, (file, _) in self._times.items()}

    def _learn(self, name: str) -> None:
        queue = [name]
        while queue:
            name = queue.pop()
            module = sys.modules.get(name)
            if type(module) is not ModuleType or name in self._times:
                continue
            file = vars(module).get("__file__")
            if not _is_users(name, file):
                continue
            self._times[name] = (str(file), _time_of(str(file)))
            queue += _used_by(module)


def _is_users(name: str, file: object) -> bool:
    if not isinstance(file, str) or name.partition(".")[0] in ("__main__", "scattergather"):
        return False
    return not file.startswith(_INSTALLED) and not any(each in file for each in _PACKAGES)


def _used_by(module: ModuleType) -> Iterator[str]:
    """Only what surely runs no code of anybody when it is asked."""
    for value in list(vars(module).values()):
        if type(value) is ModuleType:
            yield value.__name__
        elif type(value) is FunctionType or issubclass(type(value), type):
            yield str(value.__module__)


def _time_of(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:  # an editor replaces it just now
        return 0
