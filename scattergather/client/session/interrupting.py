"""A wait of the user's, and what he is told of it: in one place, for all waits.

Interrupted, it says in one sentence what was stopped and what goes on. If it takes long because a
signal has stopped the controller, he hears that, once in each wait.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from scattergather.errors import without_our_frames

if TYPE_CHECKING:
    from scattergather.client.session.session import Session

LOOKS = 2
"""A wait that began while the controller stood still is told of it at this look of the reader."""


class Wait:
    """Around whatever a thread of the user's waits for.

    Args:
        what: says what is stopped by an interrupt: ``waiting for job 1 (0/5)``.
        then: what goes on, and the ways on.
    """

    __slots__ = ("__weakref__", "_before", "_looks", "_session", "_then", "_what", "told")

    def __init__(self, session: Session, what: Callable[[], str], then: str) -> None:
        self._session = session
        self._what = what
        self._then = then
        self._looks = 0
        self._before: weakref.ref[Wait] | None = None
        self.told = False
        """True once he heard that the controller stands still."""

    def __enter__(self) -> None:
        # By thread: what an interrupt leaves behind here is replaced by the thread's next wait,
        # and gone; one that this wait is within is held by its block.
        waits, me = self._session.waits, threading.get_ident()
        before = waits.get(me)
        self._before = None if before is None else weakref.ref(before)
        waits[me] = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        waits, me = self._session.waits, threading.get_ident()
        before = None if self._before is None else self._before()
        if before is None:
            waits.pop(me, None)
        else:
            waits[me] = before
        if kind is KeyboardInterrupt and not hasattr(error, "_render_traceback_"):
            raise without_our_frames(KeyboardInterrupt(self._said())) from None

    def due(self) -> bool:
        """One more look: has it taken long enough to tell him? Reader thread."""
        self._looks += 1
        return not self.told and self._looks >= LOOKS

    def _said(self) -> str:
        session = self._session
        why = session.standstill()
        then = "" if session.is_stopped() else self._then
        return f"stopped {self._what()}." + (f" {then}" if then else "") + (why and f"\n{why}")
