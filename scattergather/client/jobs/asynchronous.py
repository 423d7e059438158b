"""``await job``, ``async for r in job``. Imported when first used: asyncio takes a while.

An interrupted ``await`` must not cancel the job, and the reader thread must not touch a future of
a loop. So each wait has a private future of the loop, which the reader sets through
``call_soon_threadsafe``; what becomes of that future concerns nobody else.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from scattergather.client.jobs.iterating import Iteration, take
from scattergather.client.pipe.waiting import LOOK_SECONDS, Bell
from scattergather.client.seen.here import current_name
from scattergather.client.seen.progress import Progress

_beating: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
_awaiting: Counter[int] = Counter()


@contextmanager
def attentive() -> Iterator[None]:
    """Around what is awaited: a stop button ends it soon.

    A kernel's loop notices in its sleep that a cell was interrupted, and acts when something else
    wakes it. So while anything of ours is awaited there, it is woken now and then.
    """
    if not current_name():
        yield
        return
    loop = asyncio.get_running_loop()
    _awaiting[id(loop)] += 1
    if loop not in _beating:
        _beating.add(loop)
        _beat(loop)
    try:
        yield
    finally:
        _awaiting[id(loop)] -= 1


def _beat(loop: asyncio.AbstractEventLoop) -> None:
    if _awaiting[id(loop)]:
        loop.call_later(LOOK_SECONDS, _beat, loop)
    else:
        _beating.discard(loop)
        del _awaiting[id(loop)]


async def outcome(future: Future[Any]) -> Any:
    """What became of a call. Who is cancelled waits no longer, and the call goes on."""
    with attentive():
        return await asyncio.shield(asyncio.wrap_future(future))


async def until(bell: Bell, ready: Callable[[], object], bar: Progress | None = None) -> None:
    """Return when ``ready()``, looking at each ring; ``bar`` shows meanwhile how far it is."""
    loop = asyncio.get_running_loop()
    while True:
        rung: asyncio.Future[None] = loop.create_future()

        def set_it(rung: asyncio.Future[None] = rung) -> None:
            if not rung.done():
                rung.set_result(None)

        def wake(set_it: Callable[[], None] = set_it) -> None:
            try:
                loop.call_soon_threadsafe(set_it)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return

        # Registered before the look, so that a ring in between is not lost.
        bell.once(wake)
        try:
            if ready():
                return
            with attentive():
                if bar is None:
                    await rung
                else:
                    bar.step()
                    await asyncio.wait([rung], timeout=bar.seconds())
        finally:
            bell.withdraw(wake)


class AsyncResults(Iteration, AsyncIterator[Any]):
    """What ``async for r in job`` runs on."""

    def __aiter__(self) -> AsyncResults:
        return self

    async def __anext__(self) -> Any:
        walk = self._walk
        if self._over:
            raise StopAsyncIteration
        if not walk.seek():
            walk.begin()
            self._bar = bar = walk.bar(self._bar)
            try:
                await until(walk.gathering.bell, walk.ready, bar)
            except asyncio.CancelledError as error:
                said = f"waiting for the next result of {walk.gathering.title}"
                raise self._session.waits.cancelled(error, said, self._then) from None
            finally:
                bar.rest()
            if not walk.seek():
                raise self.end() or StopAsyncIteration
        if walk.gathering.spoke:
            self._session.echo.flush_before_results()
        walk.begin()
        return take(walk, self._raises, self._numbered)
