"""Functions and classes of the notebook in a worker's ``__main__``, while it works for them.

``pickle`` writes them by name, as torch, joblib, shelve and the pools of ``multiprocessing`` do;
``typing.get_type_hints`` looks there, too. What a task writes that way is read at home, where they
stand under the same names.

They are those that came with the function and the arguments of the chunk at work, each in the form
in which they came: a worker may know several of one name, from cells that were run again. No data:
what a task finds under a name would be a copy that only looks like the notebook's.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from scattergather.wire.code.names import parts
from scattergather.wire.code.origin import NOTEBOOK

_NOTHING = object()
_NAME = re.compile(r"[^\W\d]\w*")

Loan = tuple[dict[str, Any], str, Any]
"""Globals, and what they lack under a name that an annotation in quotes has."""


class Standing:
    """What stands in a ``__main__`` for a time. Main thread of a worker."""

    def __init__(self) -> None:
        self._space: dict[str, Any] = {}
        self._before: dict[str, Any] = {}
        self._now: dict[str, Any] = {}
        self._lent: Iterable[Loan] = ()
        self.grown = False
        """Something was added since the last ``install``."""

    def install(
        self, space: dict[str, Any], things: Mapping[str, Any], loans: Iterable[Loan] = ()
    ) -> None:
        """These stand in ``space``, and what was installed before stands nowhere any more."""
        self.withdraw()
        self._lent = loans
        for own, name, thing in loans:
            own.setdefault(name, thing)
        self._space = space
        for name, thing in things.items():
            self._put(name, thing)
        self.grown = False

    def add(self, thing: Any) -> None:
        """What was made just now stands there, too, if it is the notebook's."""
        name = home_name(thing)
        if name:
            self._put(name, thing)
            self.grown = True

    def add_all(self, things: Iterable[Any]) -> None:
        """The same for each of these."""
        for thing in things:
            self.add(thing)

    def _put(self, name: str, thing: Any) -> None:
        self._before.setdefault(name, self._space.get(name, _NOTHING))
        self._space[name] = self._now[name] = thing

    def withdraw(self) -> None:
        """The names mean again what they did. What a task has put in a place stays there."""
        space, now = self._space, self._now
        for name, before in list(self._before.items()):
            if space.get(name) is not now.get(name, _NOTHING):
                continue
            if before is _NOTHING:
                del space[name]
            else:
                space[name] = before
        for own, name, thing in self._lent:
            if own.get(name) is thing:
                del own[name]
        self._space, self._before, self._now, self._lent = {}, {}, {}, ()


def home_name(thing: Any) -> str:
    """The name of a function or class at the top level of a notebook; empty for all else."""
    try:
        module, name = thing.__module__, getattr(thing, "__qualname__", None) or thing.__name__
    except Exception:  # most things have none, and some raise what they like
        return ""
    return name if module in NOTEBOOK and isinstance(name, str) and name.isidentifier() else ""


def things_of(first: Iterable[Any]) -> dict[str, Any]:
    """By name: what of a notebook can be reached from these; of two the nearer one."""
    found: dict[str, Any] = {}
    queue = deque(first)
    done: set[int] = set()
    while queue:
        thing = queue.popleft()
        if id(thing) in done:
            continue
        done.add(id(thing))
        name = home_name(thing)
        if name:
            found.setdefault(name, thing)
        if isinstance(thing, FunctionType):
            own = thing.__globals__
            if "__travelled__" in own and id(own) not in done:
                done.add(id(own))
                queue += [value for value in own.values() if home_name(value)]
            queue += [cell.cell_contents for cell in thing.__closure__ or () if _is_home(cell)]
        queue += parts(thing)
    return found


def loans_for(things: Mapping[str, Any]) -> list[Loan]:
    """What annotations in quotes name, for the globals of functions, where hints look for it."""
    found: list[Loan] = []
    for thing in things.values():
        for function in (thing, *(vars(thing).values() if isinstance(thing, type) else ())):
            if type(function) is not FunctionType or "__travelled__" not in function.__globals__:
                continue
            own = function.__globals__
            spelled = [each for each in function.__annotations__.values() if type(each) is str]
            names = set(_NAME.findall(" ".join(spelled)))
            found += [(own, name, things[name]) for name in names & things.keys() - own.keys()]
    return found


def _is_home(cell: Any) -> bool:
    try:
        contents = cell.cell_contents
    except ValueError:  # it is empty
        return False
    return isinstance(contents, FunctionType) or bool(home_name(contents))
