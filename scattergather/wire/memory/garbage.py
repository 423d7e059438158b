"""Things whose end must be told, however their user was interrupted.

A finaliser written in Python can be interrupted before its first line, and then nobody hears. The
callback of a weak reference that is a function of C cannot.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")

Gone = weakref.KeyedRef
"""Says by its ``key`` which thing is garbage."""


class Watch(Generic[Key]):
    """Things that are told of, by their keys, when they are garbage. Any thread.

    Args:
        tell: a function of C that takes the :class:`Gone` of a thing, on whichever thread the
            thing becomes garbage; somebody gives it to :meth:`over` then.
    """

    def __init__(self, tell: Callable[[Gone[Any, Any]], object]) -> None:
        self._tell = tell
        self._living: dict[int, Gone[Key, Any]] = {}

    def __len__(self) -> int:
        return len(self._living)

    def begin(self, thing: object, key: Key) -> None:
        """Watch a thing, which is not kept."""
        gone = Gone(thing, self._tell, key)
        self._living[id(gone)] = gone

    def over(self, gone: Gone[Key, Any]) -> Key:
        """It was told; returns its key."""
        self._living.pop(id(gone), None)
        return gone.key

    def keys(self) -> Collection[Key]:
        """Of all that :meth:`over` was not called for."""
        return [each.key for each in tuple(self._living.values())]

    def things(self) -> list[Any]:
        """All that are not garbage yet."""
        found = [each() for each in tuple(self._living.values())]
        return [thing for thing in found if thing is not None]

    def clear(self) -> None:
        """Nothing is told any more."""
        self._living.clear()
