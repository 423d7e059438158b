"""What threads of the user's wait for, and what they are told of it: in one place, for all waits.

A wait that is interrupted says in one sentence what was stopped and what goes on. If it takes long
because a signal has stopped the controller, the user hears that, once in each wait.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from scattergather.client.session.known import Known
from scattergather.errors import without_our_frames

LOOKS = 2
"""A wait that began while the controller stood still is told of it at this look of the reader."""


E = TypeVar("E", bound=BaseException)


class Waits:
    """The waits of all threads; ``known`` says why one may be in vain."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.by_thread: dict[int, Wait] = {}

    def due(self, *, first: bool) -> bool:
        """The controller stands still: is the user to be told? Then all waits count as told.

        He is told at the first look that finds it so, and of each wait that has begun since. Reader
        thread.
        """
        waits = list(self.by_thread.values())
        due = [wait for wait in waits if wait.has_lasted()]
        if not first and not due:
            return False
        for wait in waits:
            wait.told = True
        return True

    def cancelled(self, error: E, what: str, then: str) -> E:
        """The error of an await that was cancelled, by the stop button perhaps: as of other waits.

        ``error`` says that it was; whoever cancelled with a message of his own gets that.
        """
        return error if error.args else without_our_frames(type(error)(self.said(what, then)))

    def said(self, what: str, then: str) -> str:
        """The sentence that a wait was stopped, what goes on, and why it does not if so."""
        why = self.known.standstill()
        goes_on = "" if self.known.is_stopped() else then
        return f"stopped {what}." + (f" {goes_on}" if goes_on else "") + (why and f"\n{why}")


class HasWaits(Protocol):
    """A session, as far as a wait needs it."""

    @property
    def waits(self) -> Waits:
        """What its threads wait for."""


class Wait:
    """Around whatever a thread of the user's waits for.

    Args:
        session: whose controller is to do it.
        what: says what is stopped by an interrupt: ``waiting for job 1 (0/5)``.
        then: what goes on, and the ways on.
    """

    __slots__ = ("__weakref__", "_before", "_looks", "_then", "_waits", "_what", "told")

    def __init__(self, session: HasWaits, what: Callable[[], str], then: str) -> None:
        self._waits = session.waits
        self._what = what
        self._then = then
        self._looks = 0
        self._before: weakref.ref[Wait] | None = None
        self.told = False
        """True once the user has heard that the controller stands still."""

    def __enter__(self) -> None:
        # By thread: what an interrupt leaves behind here is replaced by the thread's next wait,
        # and gone; one that this wait is within is held by its block.
        waits, me = self._waits.by_thread, threading.get_ident()
        before = waits.get(me)
        self._before = None if before is None else weakref.ref(before)
        waits[me] = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        waits, me = self._waits.by_thread, threading.get_ident()
        before = None if self._before is None else self._before()
        if before is None:
            waits.pop(me, None)
        else:
            waits[me] = before
        if kind is KeyboardInterrupt and not hasattr(error, "_render_traceback_"):
            said = self._waits.said(self._what(), self._then)
            raise without_our_frames(KeyboardInterrupt(said)) from None

    def has_lasted(self) -> bool:
        """One more look of the reader: has it lasted so long that the user is to be told?"""
        self._looks += 1
        return not self.told and self._looks >= LOOKS
