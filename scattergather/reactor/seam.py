"""What our code asks of Twisted's reactor, and not a method more.

Whatever runs on the reactor's thread takes one of these as an argument: a ``Clock`` if it only
needs the time and timers, a ``Reactor`` if it needs more. Tests and the simulation give it a clock
that stands until it is moved. The names are Twisted's. Nothing of Twisted is imported here at run
time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

if TYPE_CHECKING:
    from twisted.internet.protocol import Factory
    from twisted.python.failure import Failure


class Timer(Protocol):
    """A call that was planned."""

    def active(self) -> bool:
        """It is still to come: neither made nor cancelled."""

    def getTime(self) -> float:
        """When it will be made, by the clock that planned it."""

    def reset(self, secondsFromNow: float, /) -> None:
        """It will be made so many seconds from now instead; only while it is active."""

    def cancel(self) -> None:
        """It will not be made; only while it is active."""


def planned(timer: Timer | None) -> TypeGuard[Timer]:
    """There is a call, and it is still to come."""
    return timer is not None and timer.active()


def call_off(timer: Timer | None) -> None:
    """If there is a call that is still to come, it will not be made."""
    if planned(timer):
        timer.cancel()


class Clock(Protocol):
    """Time and timers."""

    def seconds(self) -> float:
        """Now: monotonic, in seconds."""

    def callLater(self, delay: float, call: Callable[..., Any], /, *args: Any) -> Timer:
        """Plan ``call(*args)``, to be made ``delay`` seconds from now."""


class Watched(Protocol):
    """A file descriptor that the reactor looks after."""

    def fileno(self) -> int:
        """Its number; -1 when it is closed."""

    def connectionLost(self, reason: Failure, /) -> None:
        """It is broken, or the reactor ends."""

    def logPrefix(self) -> str:
        """What stands before its lines in the log."""


class Reader(Watched, Protocol):
    """A descriptor that is read from."""

    def doRead(self) -> object:
        """Something has arrived, or its end."""


class Writer(Watched, Protocol):
    """A descriptor that is written to."""

    def doWrite(self) -> object:
        """It takes more."""


class Reactor(Clock, Protocol):
    """Time, timers, descriptors, and the loop itself. One thread, but for ``callFromThread``."""

    def addReader(self, reader: Reader, /) -> None:
        """Look after it: ``doRead`` is called whenever something is there to read."""

    def removeReader(self, reader: Reader, /) -> None:
        """Look after its reading no more; no effect if nobody does."""

    def addWriter(self, writer: Writer, /) -> None:
        """Look after it: ``doWrite`` is called whenever it takes something."""

    def removeWriter(self, writer: Writer, /) -> None:
        """Look after its writing no more; no effect if nobody does."""

    def adoptStreamConnection(
        self, fileDescriptor: int, addressFamily: int, factory: Factory[Any], /
    ) -> Any:
        """A transport over a copy of this connected socket, with a protocol of ``factory``."""

    def callWhenRunning(self, call: Callable[..., Any], /, *args: Any) -> Any:
        """Make this call in the first turn, or now if the loop runs already."""

    def callFromThread(self, call: Callable[..., Any], /, *args: Any) -> None:
        """Make this call in the next turn. Any thread, and signal handlers."""

    def run(self, installSignalHandlers: bool = True) -> None:
        """Turn until ``stop``."""

    def stop(self) -> None:
        """End ``run`` after this turn."""


def for_twisted(clock: Clock) -> Any:
    """The same clock or reactor, for calls of Twisted whose types name zope's interfaces.

    To mypy no class of ours is one of those.
    """
    return clock
