"""What a chunk calls: a function, and the circumstances of its job on this worker."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from scattergather.model.ids import Digest, FunctionName, digest_of, shipped
from scattergather.wire.code import rebuild
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.names import complete
from scattergather.wire.code.world import World
from scattergather.wire.messages import page as messages
from scattergather.workers.process.surroundings.registry import Services
from scattergather.workers.process.surroundings.resident import Residents
from scattergather.workers.process.surroundings.standing import (
    Loan,
    Standing,
    loans_for,
    things_of,
)

Function = Callable[..., Any]
_Key = tuple[FunctionName, int, tuple[Digest, ...]]

MOST_CLASSES = 2048
"""How many classes of the notebook are in all worlds together, some 20 kB each.

A lambda in a loop has a world each time, and in it all classes that it shares something with.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function that is ready to be called.

    Attributes:
        function: it.
        name: what it is called in messages.
        retry_on: types of exceptions.
        enter: is to be told the bytes of each task's arguments, before they are loaded, and whether
            parts of them lie outside.
    """

    function: Function
    name: str
    retry_on: tuple[type[BaseException], ...] = ()
    enter: Callable[[Any, bool], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A function that was prepared, and the world of its tasks; ``size`` is how many classes."""

    call: Call
    world: World
    size: int


class Calls:
    """Finds what chunks call. Main thread of a worker; runs code of the user."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.residents = Residents()
        self._ready: dict[tuple[FunctionName, int, tuple[Digest, ...]], _Ready] = {}
        self._extra: dict[_Key, tuple[Digest, ...]] = {}
        self._standing = Standing()
        self._things: dict[_Key, tuple[dict[str, Any], list[Loan]]] = {}
        self._key: _Key | None = None
        self._call: Call | None = None
        """What was prepared for the key."""
        rebuild.MADE.append(self._standing.add)

    def learn(self, message: messages.Code, body: bytes) -> None:
        """Code that chunks may name has arrived."""
        BOOK.add(
            CodeBlob(
                digest=message.digest, blob=body, needs=tuple(message.needs), python=message.python
            )
        )

    def forget(self, digests: tuple[Digest, ...]) -> None:
        """Code is not needed any more. Any thread; nothing that runs uses it."""
        names = {shipped(digest) for digest in digests}
        known: dict[Any, Any]
        for known in (self._ready, self._things, self._extra):
            for key in [*known]:
                if key[0] in names or not set(digests).isdisjoint(key[2]):
                    known.pop(key, None)
        for digest in digests:
            BOOK.discard(digest)

    def knows(self, name: FunctionName, version: int, needs: tuple[Digest, ...]) -> bool:
        """Whether this function was prepared here before, for arguments that need the same."""
        return (name, version, needs) in self._extra

    def prepare(
        self,
        name: FunctionName,
        version: int,
        retry_on: bytes = b"",
        needs: tuple[Digest, ...] = (),
    ) -> Call:
        """The function called ``name``, with ``__main__`` at ``version``.

        What of the notebook came with it, and with arguments that need ``needs``, stands there.

        Raises:
            RequestError: it is not known here, or cannot be loaded.
            BaseException: whatever the user's code raised while it was loaded.
        """
        key = name, version, needs
        if key != self._key or key not in self._things:
            # Before missing names are filled in: they must not be those of another job.
            self._key = None
            self._standing.withdraw()
        namespace = self.residents.enter(version)
        call = self._call if self._key is not None else None
        if call is None:
            call = self._call = self._entered(key, namespace)
        if self._key is None or self._standing.grown:
            BOOK.tell = None
            self._standing.install(namespace, *self._things_of(key, call.function))
            if _ambiguous([*BOOK.loaded(needs), *_within(name)]):
                BOOK.tell = self._standing.add_all
            self._key = key
        if retry_on:
            types = BOOK.function(retry_on)
            return replace(call, retry_on=tuple(types))  # type: ignore[arg-type]
        return call

    def _entered(self, key: _Key, namespace: dict[str, Any]) -> Call:
        """The function; what is loaded now belongs to the world of its tasks."""
        name, version, needs = key
        extra = self._extra.get(key)
        if extra is None:
            if len(self._extra) > 256:
                self._extra.clear()
            extra = self._extra[key] = self._beside(name, needs)
        call = self._in_world(name, version, extra, namespace)
        return self._one_by_one(call, name, version, extra, namespace) if extra[1:] else call

    def _in_world(
        self, name: str, version: int, extra: tuple[Digest, ...], namespace: dict[str, Any]
    ) -> Call:
        # By version too: a function's missing names are filled in from one version for good.
        key = name, version, extra
        ready = self._ready.pop(key, None)
        if ready is not None:
            BOOK.enter(ready.world)
            self._ready[key] = ready  # the last is what was used last
            return ready.call
        world = World()
        BOOK.enter(world)
        call = self._found(name, version, namespace)
        size = len(_within(name)) + len(BOOK.loaded(extra))
        self._ready[key] = _Ready(call=call, world=world, size=size)
        if size:
            self._make_room()
        return call

    def _make_room(self) -> None:
        """Worlds that were not used for longest are gone, if there are too many classes."""
        size = sum(ready.size for ready in [*self._ready.values()])
        for key in [*self._ready][:-1]:
            if size <= MOST_CLASSES:
                return
            ready = self._ready.get(key)
            if ready is not None and ready.size:
                size -= ready.size
                self._ready.pop(key, None)
                for known in [*self._things]:
                    if known[:2] == key[:2]:
                        self._things.pop(known, None)

    def _one_by_one(
        self,
        call: Call,
        name: str,
        version: int,
        extra: tuple[Digest, ...],
        namespace: dict[str, Any],
    ) -> Call:
        """The call, made in another world for each task that needs other code.

        Calls from before and after a cell was run again may be in one chunk. In one world they
        would have globals in common that are of different times.
        """
        several = _ambiguous(BOOK.loaded(extra))
        turn = call.function

        def enter(blob: Any, beside: bool) -> None:
            nonlocal turn
            if not beside:
                written = bytes(blob)
                needed = tuple(digest for digest in extra if digest in written)
                turn = self._in_world(name, version, needed, namespace).function
            elif several:  # what lies outside may need any of it
                needed = ()
                BOOK.enter(World())
                turn = self._found(name, version, namespace).function
            else:
                return
            inner = getattr(turn, "__wrapped__", turn)
            things = things_of([inner, *BOOK.loaded(needed), *_within(name)])
            self._standing.add_all(things.values())

        def in_turn(*args: Any, **kwargs: Any) -> Any:
            return turn(*args, **kwargs)

        functools.update_wrapper(in_turn, call.function)
        return replace(call, function=in_turn, enter=enter)

    def _found(self, name: str, version: int, namespace: dict[str, Any]) -> Call:
        digest = digest_of(name)
        if digest is None:
            function = self._services.find(name, namespace)
        else:
            function = BOOK.function(digest)
            if version:
                complete(function, namespace)
        shown = getattr(function, "__qualname__", None) or type(function).__qualname__
        if inspect.iscoroutinefunction(function):
            function = _awaited(function)
        return Call(function=function, name=shown)

    def _things_of(self, key: _Key, function: Function) -> tuple[dict[str, Any], list[Loan]]:
        found = self._things.get(key)
        if found is None:
            if len(self._things) > 256:
                self._things.clear()
            inner = getattr(function, "__wrapped__", function)
            things = things_of([inner, *BOOK.loaded(key[2]), *_within(key[0])])
            found = self._things[key] = things, loans_for(things)
        return found

    def _beside(self, name: FunctionName, needs: tuple[Digest, ...]) -> tuple[Digest, ...]:
        """The code of a world that comes with arguments only: its globals are none of others'."""
        digest = digest_of(name)
        own = () if digest is None else (digest, *BOOK.needs(digest))
        beside = (each for each in needs if BOOK.is_of_a_world(each) and each not in own)
        return tuple(sorted(beside))  # whichever argument comes first


def _within(name: FunctionName) -> tuple[type, ...]:
    digest = digest_of(name)
    return () if digest is None else BOOK.within(digest)


def _ambiguous(classes: list[type]) -> bool:
    """Some have one name: calls before and after their cell was run again came in one chunk."""
    return len({kind.__qualname__ for kind in classes}) < len(set(classes))


def _awaited(function: Function) -> Function:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return awaited(function(*args, **kwargs))

    return call


def awaited(awaitable: Awaitable[Any]) -> Any:
    """What an awaitable comes to, in an event loop of its own."""
    import asyncio  # noqa: PLC0415  (60 ms that few workers need)

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())
