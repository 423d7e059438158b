"""Tasks of nothing but numbers and text: most of them, and there are many when they are.

They hold no code, so the C function ``pickle.dumps`` writes them as well as a ``Packer`` does, at a
quarter of its time; and whether they are of that kind is asked by type, without touching values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from operator import itemgetter
from pickle import dumps, loads
from typing import Any

from scattergather.wire.memory.slabs import LARGE

PROTOCOL = 5
ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})
_NAMES = frozenset({str})
_PAIRS = frozenset({tuple})
_DICTS = frozenset({dict})
_ARGUMENTS = frozenset({tuple, list})
_GLOBAL = b"\x93"
"""The operation by which a pickle of protocol 5 refers to a function or a class."""


Load = Callable[[int], Any]

_first = itemgetter(0)
_second = itemgetter(1)


def is_plain(args: Any, kwargs: Any) -> bool:
    """True for a tuple or list and a dict of atoms."""
    return ATOMS.issuperset(map(type, args)) and (
        not kwargs or ATOMS.issuperset(map(type, kwargs.values()))
    )


def pack_plain(task: Any) -> bytes:
    """A plain task as a blob; one of :data:`LARGE` bytes or more had better go another way."""
    return dumps(task, PROTOCOL)


def are_plain(tasks: Sequence[Any]) -> bool:
    """True when all tasks are pairs of the right shape, and plain.

    Everything is asked in C, a few dozen nanoseconds a task; if it is not so, which task it is that
    differs is another's question.
    """
    if not _PAIRS.issuperset(map(type, tasks)) or set(map(len, tasks)) - {2}:
        return False
    if not _ARGUMENTS.issuperset(map(type, map(_first, tasks))):
        return False
    if not _DICTS.issuperset(map(type, map(_second, tasks))):
        return False
    if not ATOMS.issuperset(map(type, chain.from_iterable(map(_first, tasks)))):
        return False
    if not any(map(_second, tasks)):
        return True
    return _NAMES.issuperset(map(type, chain.from_iterable(map(_second, tasks)))) and (
        ATOMS.issuperset(map(type, chain.from_iterable(map(dict.values, map(_second, tasks)))))
    )


def load_one(body: bytes, start: int, end: int, load: Load) -> Any:
    """The value of a blob within a body; one that may refer to code is loaded by ``load``."""
    if end - start < LARGE and _GLOBAL not in (blob := body[start:end]):
        return loads(blob)
    return load(start)


def load_all(body: bytes, starts: Iterable[int], ends: Iterable[int], load: Load) -> list[Any]:
    """The values of the blobs of a body."""
    return list(map(load_one, repeat(body), starts, ends, repeat(load)))
