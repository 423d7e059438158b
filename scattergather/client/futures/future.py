"""The future of one submitted call: ``concurrent.futures.Future`` without a lock of its own.

It is resolved on the reader thread, and its callbacks run there too. While it is outstanding it
holds the client, as the client's session holds the future.

What it costs to know the base from inside, and what that saves:

- The base makes a ``threading.Condition`` for each future: 4 of the 5.4 us that making one takes, a
  tenth of a submit, and 1,350 of its 1,620 bytes (CPython 3.11). Hardly any is ever locked: the
  client's waits let Python look for signals and need none. So the lock is made when somebody
  outside asks for it: ``concurrent.futures.wait``, ``as_completed``, a callback that is added.
- One lock for many futures is not enough: ``wait`` takes those of all its futures in the order of
  their ids, and an interrupted look at one future would keep the lock of all.
- Used of CPython's own names: the six fields in ``_FIELDS``, ``_invoke_callbacks``, and of
  ``concurrent.futures._base`` the names of the states and its logger. They have been the same since
  Python 3.2; ``tests/conformance/test_executor.py`` holds us to CPython's own tests.
- If a Python has other fields, the base makes them (``_AS_WE_KNOW_IT``), a lock for each future
  among them, and only the saving is gone. If it has no such state or field at all, importing this
  or the first future fails: loudly, and on the first run of any test.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures._base import FINISHED, LOGGER, PENDING, RUNNING
from functools import partial
from typing import Any, NoReturn, Protocol

from scattergather.client.futures.bar import BAR
from scattergather.client.homebound import Homebound, lacking
from scattergather.client.jobs.reading import read_error
from scattergather.client.options import check_timeout
from scattergather.client.pipe.waiting import Bell, readers, refuse_reader, slice_of
from scattergather.client.seen.progress import on_main_thread
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.session import Session
from scattergather.errors import ENDS, in_protocol, without_our_frames
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import JobView

_UNDONE = (PENDING, RUNNING)

_FIELDS = frozenset(
    {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}
)
_AS_WE_KNOW_IT = frozenset(vars(Future())) == _FIELDS
"""False where the base has other fields: then it makes them, a lock for each future among them."""

_THEN = "It goes on; {} waits again, cancel() drops it if it has not begun."

_looking = threading.Lock()
"""Held for an instant by whoever gives a future a lock of its own, or ends one that has none."""

# A copy of this process made meanwhile has nobody who would release it.
os.register_at_fork(after_in_child=_looking._at_fork_reinit)  # type: ignore[attr-defined]


class CallSource(Protocol):
    """What a future needs of the stream in which its call is."""

    title: str
    """What the call is called in messages."""

    session: Session
    bell: Bell
    """Rung when a future of the stream is over."""

    spoke: bool
    """True once a call has printed something that is shown."""

    @property
    def busy(self) -> bool:
        """True while a call is outstanding."""

    def lately(self) -> JobView:
        """How far those calls are that were outstanding together."""

    def cancel(self, first: int, count: int) -> None:
        """Those of these calls that no pool has yet are cancelled when this returns."""


class TaskFuture(Homebound, Future[Any]):
    """A ``concurrent.futures.Future`` of one submitted call. Any thread, but where it is said.

    Args:
        stream: in which the call is.
        holder: is kept until the call is over.
    """

    def __init__(self, stream: CallSource, holder: object) -> None:
        if _AS_WE_KNOW_IT:
            # As the base does, but for a lock of its own: see `_condition`.
            self._own: threading.Condition | None = None
            self._state = PENDING
            self._result = self._exception = None
            self._entered: list[Any] = []
            self._done_callbacks: list[Callable[[Future[Any]], object]] = []
        else:
            super().__init__()
        self._stream = stream
        self.index = -1
        """Of its call in the stream, as soon as it is there."""
        self._holder: object = holder

    def __scattergather_refuse__(self) -> str:
        return "A future stays with its client; pass its result"

    def cancel(self) -> bool:
        """Cancel the call if no pool has it yet; returns whether it is cancelled."""
        if not self.done() and not self.running():
            self._stream.cancel(self.index, 1)
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """What the call returned, as soon as it is over; its error is raised.

        Raises:
            TimeoutError: it is not over after ``timeout`` seconds.
            CancelledError: it was cancelled.
            RuntimeError: on the reader thread, which would wait for itself.
            Closed: it is waited for in a copy of this process made by fork.
        """
        self._wait(timeout)
        if self._stream.spoke:
            self._stream.session.echo.flush_before_results()
        # `_result` was there before the state was.
        if self._state == FINISHED and self._exception is None:
            return self._result
        if not self.done():
            raise self._too_late(timeout)
        return super().result(0)

    @property
    def results(self) -> NoReturn:
        """That is a job's. By name, as every attribute costs more where there is a __getattr__."""
        raise without_our_frames(lacking(type(self), "results"))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None; waits and raises as :meth:`result`."""
        self._wait(timeout)
        if self._stream.spoke:
            self._stream.session.echo.flush_before_results()
        if not self.done():
            raise self._too_late(timeout)
        return super().exception(0)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Any:
        import asyncio  # noqa: PLC0415  (slow)

        from scattergather.client.jobs.asynchronous import outcome  # noqa: PLC0415  (slow)

        try:
            return await outcome(self)
        except asyncio.CancelledError as error:
            if self.cancelled():
                raise
            waits, then = self._stream.session.waits, _THEN.format("await")
            raise waits.cancelled(error, self._waiting(), then) from None
        finally:
            if self._stream.spoke:
                self._stream.session.echo.flush_before_results()

    def _waiting(self) -> str:
        return f"waiting for a call of {self._stream.title}"

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """``fn`` is called with this future as soon as the call is over: now, if it is already."""
        # So asyncio reads what becomes of a future of its own: wrap_future, run_in_executor.
        if getattr(fn, "__module__", "") == "asyncio.futures":
            fn = partial(_read_by_a_loop, fn)
        super().add_done_callback(fn)

    def done(self) -> bool:
        """Is the call over? One look, and no lock that an interrupt could keep."""
        return self._state not in _UNDONE

    def running(self) -> bool:
        """Has a pool got the call? One look, without a lock."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """Was the call cancelled? One look, without a lock."""
        return self._state not in _UNDONE and self._state != FINISHED

    @property
    def _condition(self) -> threading.Condition:
        """The lock of the base, made when somebody asks for it."""
        return self._own or self._make_lock()

    @_condition.setter
    def _condition(self, own: threading.Condition) -> None:
        self._own = own

    def _make_lock(self) -> threading.Condition:
        fresh = threading.Condition()
        with _looking:
            self._own = own = self._own or fresh
        return own

    def _without_lock(self, state: str, result: Any = None) -> bool:
        """Take this state if nobody has asked for the lock; then nobody waits who must be told."""
        with _looking:
            if self._own is not None or self._state not in _UNDONE:
                return False
            self._result = result
            self._state = state
        return True

    def _wait(self, timeout: float | None) -> None:
        """Block until the call is over, or the time is; any signal ends it, unlike the base's."""
        if self.done():
            return
        if timeout is not None:
            timeout = check_timeout(timeout)
            if timeout is not None and timeout <= 0:
                return
        self._refuse()
        stream = self._stream
        with Wait(stream.session, self._waiting, _THEN.format("result()")):
            BAR.wait(stream, stream.bell, self.done, timeout)

    def _too_late(self, timeout: float | None) -> TimeoutError:
        why = self._stream.session.known.standstill()
        text = f"the call of {self._stream.title} is not over after {timeout} s. "
        text += _THEN.format("result()") + (why and f"\n{why}")
        return without_our_frames(TimeoutError(text))

    def _refuse(self) -> None:
        """Nobody waits for an outcome on a reader thread, or in a copy made by fork."""
        refuse_reader()
        self._stream.session.life.refuse_copy()

    @property
    def _waiters(self) -> list[Any]:
        """Who waits by ``concurrent.futures.wait`` or ``as_completed`` is entered here first."""
        if self._state in _UNDONE:
            self._refuse()
            if type(self._entered) is list:
                self._entered = _Entered(self)
        return self._entered

    @_waiters.setter
    def _waiters(self, entered: list[Any]) -> None:
        self._entered = entered

    def resolve(self, kind: int, value: Any) -> None:
        """The outcome has come. Reader thread."""
        self._holder = None
        try:
            if kind == Kind.RETURNED:
                self.set_result(value)
            elif kind == Kind.CANCELLED:
                self.drop()
            else:
                self.set_exception(without_our_frames(value))
        except InvalidStateError:
            # Something outside cancelled it behind our back; the reader must go on.
            return

    def set_result(self, result: Any) -> None:
        """The call has returned this: whoever waits and all callbacks are told."""
        if self._without_lock(FINISHED, result):
            self._invoke_callbacks()
        else:
            super().set_result(result)

    def _invoke_callbacks(self) -> None:
        """Whoever waits is woken, and all callbacks are called. Whatever ends a future ends here.

        Of the base's it differs in this: a callback that exits does not end the reader thread, and
        with it the session.
        """
        self._stream.bell.ring()
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException as error:
                if not isinstance(error, Exception) and threading.get_ident() not in readers:
                    raise
                LOGGER.exception("exception calling callback for %r", self)

    def begin(self) -> None:
        """A pool has the call. Reader thread."""
        try:
            if not self.running() and not self._without_lock(RUNNING):
                self.set_running_or_notify_cancel()
        except (InvalidStateError, RuntimeError):
            # Something outside cancelled it behind our back; the reader must go on.
            return

    def drop(self) -> None:
        """The call will not run; whoever waits is told. Any thread."""
        self._holder = None
        try:
            if self.running():
                # It was told to be running and cannot become cancelled any more, by the rules of
                # concurrent.futures; so it ends with the error that says so.
                self.set_exception(read_error(Kind.CANCELLED, b"", self.index, "", "the executor"))
            elif super().cancel():
                self.set_running_or_notify_cancel()
        except (InvalidStateError, RuntimeError):
            # Something outside ended it behind our back; the reader must go on.
            return


class _Entered(list[Any]):
    """Who waits for a future by ``concurrent.futures.wait`` or ``as_completed``.

    They wait by an event of the standard library, whose interrupt would say nothing.
    """

    def __init__(self, future: TaskFuture) -> None:
        super().__init__(future._entered)
        self._stream = future._stream
        self._session = future._stream.session
        self._what = future._waiting()

    def append(self, waiter: Any) -> None:
        """One waits more, who has not begun to."""
        if type(waiter.event) is threading.Event:
            waiter.event = _Event(self._session, self._what)
        if type(waiter.event) is _Event:
            waiter.event.streams[self._stream] = None
        super().append(waiter)


class _Event(threading.Event):
    """As its base; an interrupt of the waiting says how to go on."""

    def __init__(self, session: Session, what: str) -> None:
        super().__init__()
        self._session = session
        self._what = what
        self.streams: dict[CallSource, None] = {}
        """In which the futures are that are waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set; returns whether it is, or ``timeout`` seconds are over."""
        then = "All calls go on; wait for their futures again, cancel() drops those not begun."
        until = None if timeout is None else time.monotonic() + timeout
        seen = on_main_thread()
        with Wait(self._session, lambda: f"{self._what} and others", then):
            if seen:
                BAR.begin(*self.streams)
            try:
                # Slices, since a signal may wake nobody, and Python looks for it only in between.
                while not super().wait(slice_of(until)):
                    if until is not None and time.monotonic() >= until:
                        return self.is_set()
                    if seen:
                        BAR.step()
                return True
            finally:
                if seen:
                    BAR.rest()
                for stream in self.streams:
                    if stream.spoke:
                        stream.session.echo.flush_before_results()


def _read_by_a_loop(read: Callable[[Future[Any]], object], future: Future[Any]) -> None:
    """``read`` copies what became of ``future`` into one of asyncio, as an await may raise it."""
    error = None if future.cancelled() else future.exception()
    # Without a traceback of a worker it is no task's, but says that the call was cancelled.
    if error is not None and (error.__cause__ is not None or not isinstance(error, CancelledError)):
        told = in_protocol(error, (*ENDS, CancelledError))
        if told is not error:
            future = Future()
            future.set_exception(told)
    read(future)
