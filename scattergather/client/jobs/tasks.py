"""The shape of a task: a pair of args and kwargs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from scattergather.errors import BadRequest
from scattergather.model.quoting import quoted

Task = tuple[tuple[Any, ...], dict[str, Any]]


def iterated(tasks: Any) -> Iterator[Any]:
    """The tasks one by one.

    Raises:
        BadRequest: what cannot hold tasks, such as a dict or a text, even an empty one.
    """
    try:
        if not isinstance(tasks, (Mapping, str, bytes, bytearray)):
            return iter(tasks)
    except TypeError:
        pass
    kind = "" if tasks is None else f"the {type(tasks).__name__} "
    raise BadRequest(
        "tasks must be a list or another iterable of pairs (args, kwargs), like "
        f"[((1, 2), {{'k': 3}})], not {kind}{_short(tasks)}"
    )


def checked(task: Any, index: int) -> Task:
    """The task as a tuple and a dict.

    Raises:
        BadRequest: another shape; the index is named.
    """
    if type(task) is tuple and len(task) == 2:
        args, kwargs = task
        if type(args) is tuple and type(kwargs) is dict and not kwargs:
            return task
    elif isinstance(task, (tuple, list)) and len(task) == 2:
        args, kwargs = task
    else:
        raise BadRequest(f"{_wrong(index)} not {_short(task)}")
    if not isinstance(args, (tuple, list)):
        raise BadRequest(f"{_wrong(index)} but its args are {_short(args)}{_hint(args)}")
    if not isinstance(kwargs, Mapping):
        raise BadRequest(f"{_wrong(index)} but its kwargs are {_short(kwargs)}, not a dict")
    for name in kwargs:
        if not isinstance(name, str):
            raise BadRequest(f"task {index}: the keyword {name!r} is no string")
    return tuple(args), kwargs if type(kwargs) is dict else dict(kwargs)


def check_all(tasks: Collection[Any]) -> None:
    """All tasks have the right shape.

    Raises:
        BadRequest: one has not; its index is named.
    """
    for index, task in enumerate(tasks):
        checked(task, index)


def _wrong(index: int) -> str:
    return f"task {index} must be a pair (args, kwargs), like ((1, 2), {{'k': 3}}),"


def _hint(args: Any) -> str:
    return f"; one argument alone is written ([{_short(args)}], {{}})"


def _short(value: Any) -> str:
    return quoted(value, 60)
