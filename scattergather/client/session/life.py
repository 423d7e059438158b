"""The life of a session: whether requests are served, and how its controller ends.

::

    open --shutdown--> draining --nothing outstanding--> dying --the controller is gone--> ended
     | |                | |                                ^                                 ^
     | +----------------|-+---die, exit, Refused-----------+                                 |
     +------------------+-----the controller died, the pipe broke----------------------------+

    any of them --fork--> copied, in the copy; the end of a script drains as shutdown does

========  ==========================================================================================
open      requests are served
draining  a new request is refused; what is outstanding goes on. At the end of a script its
          callbacks may still add to it
dying     the same, and the controller was told to end, or sees the end of the pipe
ended     the controller is gone: whoever waited was told, and what had arrived stays readable
copied    everything is refused; the controller and the pipe are the original's
========  ==========================================================================================

A state is a value that holds what is true in it: why requests are refused, and if the user wanted
that. Any thread may take the life on, the reader too, and it never goes back. So a transition is
one assignment, made under a lock if the state is still the one that it was decided from; if not, it
is decided anew. Nothing is called under the lock: an interrupt comes before or behind it, and no
finaliser can want it there.

What a transition brings about is done behind it. An interrupt can come in between, and leave a
controller that was not told to end: whoever asks again tells it again, and the end of the pipe,
which comes with the end of this client, needs no telling.

In a copy made by fork another thread may have held the lock, and nobody would release it. Nobody
takes it there: ``copied`` is assigned without, and has no way out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.pipe import Pipe
from scattergather.client.pipe.waiting import Bell, readers
from scattergather.client.session.receiver import Receivers, Refusal
from scattergather.errors import Closed
from scattergather.wire.messages import page as messages

DIE_SECONDS = 5.0
EXIT_SECONDS = 1.0
NO_MORE = "cannot schedule new futures after shutdown"
NO_MORE_AT_EXIT = "cannot schedule new futures after interpreter shutdown"
EXITING = "the interpreter is exiting"
CURE = "start another with spawnScatterGather()"


# ---- why requests are refused -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """The user, or the end of his interpreter, wanted it.

    ``said`` is what a request is told, ``executor`` what ``submit`` and ``map`` say.
    """

    said: str
    executor: str


@dataclass(frozen=True, slots=True)
class _Befell:
    """Nobody wanted it, and the user is shown why."""

    refusal: Refusal


_Why = _Asked | _Befell


# ---- states -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Open:
    pass


@dataclass(frozen=True, slots=True)
class _Draining:
    why: _Asked
    callbacks: bool = False
    """Callbacks of what is outstanding may add to it."""
    more: Callable[[], bool] = lambda: False
    """Something is outstanding elsewhere whose callbacks may add to this, too."""

    @property
    def serves(self) -> bool:
        """True for a request of this thread."""
        return self.callbacks and threading.get_ident() in readers


@dataclass(frozen=True, slots=True)
class _Dying:
    why: _Why


@dataclass(frozen=True, slots=True)
class _Ended:
    why: _Why


@dataclass(frozen=True, slots=True)
class _Copied:
    why: _Befell


State = _Open | _Draining | _Dying | _Ended | _Copied

OPEN = _Open()
"""The only one of its type, so that who is in a hurry can compare."""


class Life:
    """The life of one session. Any thread, but where it is said.

    ``bell`` is rung when the controller is told to end, and by others when it has ended.
    """

    def __init__(self, outbox: Outbox, pipe: Pipe, receivers: Receivers, bell: Bell) -> None:
        self.state: State = OPEN
        self._outbox = outbox
        self._pipe = pipe
        self._receivers = receivers
        self._bell = bell
        self._turn = threading.Lock()
        self._process = os.getpid()

    def _go_on(self, decide: Callable[[State], State]) -> bool:
        """The state is what ``decide`` makes of it; returns whether that is another one."""
        while True:
            before = self.state
            after = decide(before)
            if after is before:
                return False
            with self._turn:
                if self.state is before:
                    self.state = after
                    return True

    # ---- what is refused ------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """True when nothing will come any more."""
        return isinstance(self.state, (_Ended, _Copied))

    @property
    def closed(self) -> bool:
        """True when the controller is gone, or going."""
        return isinstance(self.state, (_Dying, _Ended, _Copied))

    @property
    def draining(self) -> bool:
        """True while the controller is to end as soon as nothing is outstanding."""
        return isinstance(self.state, _Draining)

    @property
    def fate(self) -> str:
        """Why it is closed, if the user did not want it so; else empty."""
        match self.state:
            case _Dying(_Befell(why)) | _Ended(_Befell(why)) | _Copied(_Befell(why)):
                return why().gist
            case _:
                return ""

    def check(self) -> None:
        """Raises what a new request gets, unless it is served.

        Raises:
            Closed: shut down, told to die, or a copy made by fork.
            ControllerLost: the controller died.
        """
        if (why := _why_refused(self.state)) is not None:
            raise _refusal(why)()

    def check_executor(self) -> None:
        """Like :meth:`check`, in the words of ``concurrent.futures`` after ``shutdown``."""
        if (why := _why_refused(self.state)) is not None:
            raise Closed(why.executor) if isinstance(why, _Asked) else why.refusal()

    def check_alive(self) -> None:
        """Raises the same as :meth:`check`, but only when nothing will come any more."""
        if self.ended:
            self.check()

    def refuse_copy(self) -> None:
        """Nobody waits in a copy made by fork.

        Raises:
            Closed: this is one.
        """
        if isinstance(self.state, _Copied):
            self.check()

    # ---- how it goes on -------------------------------------------------------------------------

    def drain(self, why: str) -> None:
        """New requests are refused; the controller ends when nothing is outstanding."""
        if isinstance(self.state, _Dying):
            self._tell_to_die()  # an interrupt may have kept it from being told
        after = _Draining(_Asked(why, NO_MORE))
        self._go_on(lambda state: after if isinstance(state, _Open) else state)
        self.end_if_idle()

    def finish(self, more: Callable[[], bool]) -> None:
        """The script has ended: what is outstanding goes on, and only its callbacks add to it.

        So do those of other sessions: while ``more()`` says that there may be some, this one ends
        only when it is asked for again, by :meth:`end_if_idle`.
        """
        after = _Draining(_Asked(EXITING, NO_MORE_AT_EXIT), callbacks=True, more=more)
        self._go_on(lambda state: after if isinstance(state, _Open) else state)
        if self._receivers.quiet():
            self.end_if_idle()

    def wait_closed(self, timeout: float | None) -> bool:
        """Block until a draining controller is told to end, or for ``timeout`` seconds."""
        return self._bell.wait(lambda: self.closed, timeout)

    def end_if_idle(self) -> None:
        """If it is draining and nothing is outstanding, the controller is told to end."""
        state = self.state
        if not isinstance(state, _Draining) or self._receivers.busy or state.more():
            return
        if self._go_on(lambda state: _Dying(state.why) if isinstance(state, _Draining) else state):
            self._tell_to_die()

    def die(self, why: str) -> None:
        """The controller is gone when this returns; what was outstanding gets ``Closed``."""
        self._go_on(lambda state: _told(state, _Asked(why, why)))
        self._tell_to_die()
        self._wait_ended()

    def _tell_to_die(self) -> None:
        self._outbox.send(messages.Command(call=0, word="die"))
        self._bell.ring()

    def wait_through(self) -> None:
        """Block until a draining controller has ended."""
        self._bell.wait(lambda: self.closed)
        self._wait_ended()

    def _wait_ended(self) -> None:
        """Block until a dying controller is gone; if it takes too long it is killed."""
        if not self._bell.wait(lambda: self.ended, DIE_SECONDS):
            self._pipe.hang_up()
            self._bell.wait(lambda: self.ended, DIE_SECONDS)

    def exit(self) -> None:
        """The interpreter ends: so does the controller."""
        if self.ended:
            return  # and in a copy the pipe is the original's
        self._go_on(lambda state: _told(state, _Asked(EXITING, EXITING)))
        self._pipe.hang_up()
        self._pipe.join(EXIT_SECONDS)

    def refuse(self, refusal: Refusal) -> None:
        """The controller serves nothing and ends. Reader thread."""
        after = _Dying(_Befell(refusal))
        self._go_on(lambda state: state if isinstance(state, (_Ended, _Copied)) else after)

    def end(self, loss: Callable[[], Refusal]) -> Refusal:
        """The controller is gone; returns what those get who still wait for something.

        ``loss`` says how it went, if it was not told to end. Reader thread.
        """

        def ended(state: State) -> State:
            match state:
                case _Open() | _Draining():
                    return _Ended(_Befell(loss()))
                case _Dying(why):
                    return _Ended(why)
                case _:
                    return state

        self._go_on(ended)
        assert not isinstance(self.state, _Open)
        return _refusal(self.state.why)

    def copied(self) -> Refusal:
        """This process is a copy made by fork: everything is refused, nothing is ended.

        Returns what those get who wait for something here.
        """
        said = (
            "this client was copied by fork and works only in the process that made it "
            f"(pid {self._process}); start another here with spawnScatterGather()"
        )
        refusal: Refusal = lambda: Closed(said)  # noqa: E731
        self.state = _Copied(_Befell(refusal))
        return refusal


def _told(state: State, why: _Asked) -> State:
    match state:
        case _Open():
            return _Dying(why)
        case _Draining(why=earlier):
            return _Dying(earlier)
        case _:
            return state


def _why_refused(state: State) -> _Why | None:
    """Why a request of this thread is refused; None if it is not."""
    if isinstance(state, _Open) or (isinstance(state, _Draining) and state.serves):
        return None
    return state.why


def _refusal(why: _Why) -> Refusal:
    match why:
        case _Asked(said):
            return lambda: Closed(said)
        case _Befell(refusal):
            return refusal
    assert_never(why)
