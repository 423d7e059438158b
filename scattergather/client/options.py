"""What may be asked of a job, checked when it is asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from scattergather.client.values.ref import Ref
from scattergather.errors import BadRequest, UnknownName
from scattergather.model.nearest import there_are
from scattergather.model.numeric import is_real, is_whole
from scattergather.model.placement import Placement
from scattergather.model.quoting import quoted
from scattergather.settings.memory import read_size
from scattergather.wire.messages.shared import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of a job, or of the calls of an executor.

    Attributes:
        name: what it is called in reprs and messages; None numbers it.
        priority: higher first.
        retries: how often a task may run again after a loss or an exception in ``retry_on``.
        retry_on: exception types that are retried.
        time_limit: seconds for each attempt of a task.
        memory_limit: bytes for each attempt of a task: a number, or text like ``"300M"``.
        echo: what tasks print is shown here.
        keep_children: processes that tasks leave stay for the next task in that worker.
        on: the names of the hosts that may run the tasks, one as text or several; None lets any.
            A Ref stands for the host that made it.
        keep: results are ``Ref``s; what is large of them stays where it was made.

    Raises:
        BadRequest: a value that cannot be meant.
    """

    name: str | None = None
    priority: int = 0
    retries: int = 3
    retry_on: tuple[type[BaseException], ...] = ()
    time_limit: float | None = None
    memory_limit: int | str | None = None
    echo: bool = True
    keep_children: bool = False
    on: str | Sequence[str] | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        # What is annotated is what is meant; what comes may be anything.
        kinds: Any = self.retry_on
        if self.name is not None and not isinstance(self.name, str):
            raise BadRequest(f"name must be text, not {quoted(self.name)}")
        if self.name is not None:
            object.__setattr__(self, "name", _in_a_line(self.name))
        for option, what, least in (
            ("priority", "a whole number", -sys.maxsize),
            ("retries", "a whole number from 0 up", 0),
        ):
            number = getattr(self, option)
            if not is_whole(number) or not least <= number <= sys.maxsize:
                raise BadRequest(f"{option} must be {what}, not {quoted(number)}")
            object.__setattr__(self, option, int(number))
        if isinstance(kinds, type):
            kinds = (kinds,)
        if not isinstance(kinds, (tuple, list, set, frozenset)) or not all(
            isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds
        ):
            raise BadRequest(f"retry_on must be a tuple of exception types, not {quoted(kinds)}")
        object.__setattr__(self, "retry_on", tuple(kinds))
        check_flag("echo", self.echo)
        check_flag("keep_children", self.keep_children)
        object.__setattr__(self, "on", read_hosts(self.on))
        check_flag("keep", self.keep)
        _check_limit("time_limit", self.time_limit, "seconds")
        _check_limit("memory_limit", self._size_in_bytes(), "bytes")

    def _size_in_bytes(self) -> Any:
        limit = self.memory_limit
        if isinstance(limit, str):
            limit = read_size(limit, "memory_limit", least=1)
            object.__setattr__(self, "memory_limit", limit)
        return limit

    def limits(self) -> Limits:
        """The limits as they are sent."""
        return Limits(
            time=None if self.time_limit is None else float(self.time_limit),
            memory=None if self.memory_limit is None else int(self.memory_limit),
        )

    @property
    def placement(self) -> Placement:
        """Where tasks may run, as it is sent."""
        return Placement(on=tuple(self.on or ()))

    def changed(self, **wanted: Any) -> JobOptions:
        """A copy with other values.

        Raises:
            UnknownName: there is no such option; the known ones are listed.
        """
        known = [field.name for field in fields(self)]
        for name in wanted:
            if name not in known:
                raise UnknownName(f"unknown option {name!r}; {there_are(known, name)}")
        return JobOptions(**{name: getattr(self, name) for name in known} | wanted)


def read_hosts(on: Any) -> tuple[str, ...] | None:
    """The names of hosts that somebody gave, each once; None where he gave none.

    A Ref stands for the host that made its value.

    Raises:
        BadRequest: these are no names, or no host has made a value.
    """
    if on is None:
        return None
    names: Any = (on,) if isinstance(on, str | Ref) else on
    if isinstance(names, (tuple, list, set, frozenset)):
        names = tuple(_place_of(each) if isinstance(each, Ref) else each for each in names)
    if not isinstance(names, (tuple, list, set, frozenset)) or not all(
        isinstance(name, str) for name in names
    ):
        raise BadRequest(f"on must be the name of a host, or a list of names, not {quoted(on)}")
    if not names:
        raise BadRequest("on names no host, so nothing could run; None lets any host")
    return tuple(sorted(set(names)))


def _place_of(ref: Ref[Any]) -> str:
    if not ref.host:
        raise BadRequest(
            "no host has made the value of this Ref: it was put here. Leave on out, since any host "
            "that runs a task gets it"
        )
    return ref.host


LONGEST_NAME = 100


def _in_a_line(name: str) -> str | None:
    """A name as bars and messages can show it; None for one of which nothing would be seen."""
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in name
    ).strip()
    return (shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…") or None


MOST = 1 << 53
"""What a limit must be below: any clock can hold it, and any message."""


def _check_limit(name: str, limit: Any, unit: str) -> None:
    if limit is None:
        return
    if not is_real(limit) or not 0 < limit < MOST:
        raise BadRequest(
            f"{name} must be a number of {unit} above 0, or None for no limit, not {quoted(limit)}"
        )


def check_flag(name: str, flag: Any) -> bool:
    """A switch; text such as ``"no"`` would be true.

    Raises:
        BadRequest: neither True nor False.
    """
    if not isinstance(flag, bool):
        raise BadRequest(f"{name} must be True or False, not {quoted(flag)}")
    return flag


def check_progress(progress: Any) -> bool | None:
    """A switch that may be None.

    Raises:
        BadRequest: neither True nor False nor None.
    """
    return None if progress is None else check_flag("progress", progress)


def check_timeout(timeout: Any) -> float | None:
    """A timeout in seconds; negative ones are over at once.

    Raises:
        BadRequest: not a number.
    """
    if timeout is None:
        return None
    if not is_real(timeout) or timeout != timeout:
        raise BadRequest(f"timeout must be a number of seconds or None, not {quoted(timeout)}")
    # Locks refuse more than this; nobody waits for three years.
    return float(min(timeout, 10**8))


def check_errors(errors: Any) -> bool:
    """True for ``"raise"``, False for ``"return"``.

    Raises:
        BadRequest: neither.
    """
    if not isinstance(errors, str) or errors not in ("raise", "return"):
        raise BadRequest(f"errors must be 'raise' or 'return', not {quoted(errors)}")
    return bool(errors == "raise")
