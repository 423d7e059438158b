"""One attempt after the other, until one succeeds.

::

    Resting --later--> Planned --(the pause is over)--> Trying --> Resting, if it succeeded
                          ^                               |
                          +-------------------------------+  if it failed

    Over: after ``stop``, from any
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from scattergather.link.pauses import Pauses
from scattergather.reactor.seam import Clock, Timer


@dataclass(frozen=True, slots=True)
class _Resting:
    pass


@dataclass(frozen=True, slots=True)
class _Planned:
    timer: Timer


@dataclass(slots=True)
class _Trying:
    """``outcome`` is None only while the attempt runs to where it waits for the first time."""

    outcome: Deferred[Any] | None = None


@dataclass(frozen=True, slots=True)
class _Over:
    pass


class Redial:
    """Makes attempts when it is told to, one at a time. Reactor thread only.

    Args:
        attempt: makes one; says whether nothing is left to be tried.
        pauses: how long it waits before each but the first.
    """

    _log = Logger()

    def __init__(
        self, clock: Clock, pauses: Pauses, attempt: Callable[[], Coroutine[Any, Any, bool]]
    ) -> None:
        self._clock = clock
        self._pauses = pauses
        self._attempt = attempt
        self._state: _Resting | _Planned | _Trying | _Over = _Resting()

    def begin(self) -> None:
        """Make an attempt now, unless one is under way or planned."""
        if isinstance(self._state, _Resting):
            self._try()

    def later(self) -> None:
        """Make an attempt after a pause; one that is under way or planned serves as well."""
        if isinstance(self._state, _Resting):
            self._state = _Planned(self._clock.callLater(self._pauses.pause(), self._try))

    def stop(self) -> None:
        """Make no more attempts; one that is under way is cancelled."""
        state, self._state = self._state, _Over()
        match state:
            case _Planned(timer):
                timer.cancel()
            case _Trying(outcome) if outcome is not None:
                outcome.cancel()

    def _try(self) -> None:
        trying = self._state = _Trying()
        trying.outcome = Deferred.fromCoroutine(self._attempt())
        trying.outcome.addErrback(self._broke).addCallback(self._tried)

    def _broke(self, failure: Failure) -> bool:
        self._log.failure("an attempt to reach a host broke off: a fault of ours", failure)
        return False

    def _tried(self, succeeded: bool) -> None:
        if isinstance(self._state, _Trying):
            self._state = _Resting()
            if not succeeded:
                self.later()
