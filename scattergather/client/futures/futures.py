"""``submit``: futures, and the open jobs behind them.

All calls of one function with the same options are tasks of one *stream*, a job that stays open.
A stream with nothing outstanding costs the controller little and the next call nothing, so a few
are kept; older ones are ended, so that a million lambdas leave nothing behind.

Futures are resolved on the reader thread, their callbacks run there too. An outstanding future
holds the client, as its session holds the future.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from concurrent.futures._base import FINISHED, LOGGER, PENDING, RUNNING
from typing import Any

from scattergather.client.jobs import adding
from scattergather.client.jobs.plain import is_plain, pack_plain
from scattergather.client.jobs.reading import loader, not_rebuilt, read_error
from scattergather.client.options import JobOptions
from scattergather.client.pipe.outbox import Growing
from scattergather.client.pipe.waiting import Bell, readers, refuse_reader
from scattergather.client.seen.cell import current_cell, current_name
from scattergather.client.seen.echo import JobEcho
from scattergather.client.session.interrupting import Wait
from scattergather.client.session.life import OPEN
from scattergather.client.session.receiver import Refusal, new_job
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen, freeze_types
from scattergather.client.values.large import Part
from scattergather.errors import ScatterGatherError, without_our_frames
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import JobView
from scattergather.wire import blobs
from scattergather.wire.code.origin import importable
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.memory.outside import Placed
from scattergather.wire.memory.slabs import LARGE
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import JobState, TasksDropped

IDLE_STREAMS = 16
_UNDONE = (PENDING, RUNNING)

_FIELDS = frozenset(
    {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}
)
_AS_WE_KNOW_IT = frozenset(vars(Future())) == _FIELDS

_looking = threading.Lock()
"""Held for an instant by whoever gives a future a lock of its own, or ends one that has none."""

# A copy of this process made meanwhile has nobody who would release it.
os.register_at_fork(after_in_child=_looking._at_fork_reinit)  # type: ignore[attr-defined]


class TaskFuture(Future[Any]):
    """A ``concurrent.futures.Future`` of one submitted call."""

    def __init__(self, stream: CallStream, holder: object) -> None:
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
        self._index = -1
        self._holder: object = holder

    def __scattergather_refuse__(self) -> str:
        return "A future stays with its client; pass its result"

    def cancel(self) -> bool:
        """Cancel the call if no pool has it yet; returns whether it is cancelled."""
        if not self.done() and not self.running():
            self._stream.cancel(self._index, 1)
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """See ``concurrent.futures.Future``; refused where it would be waited for in vain."""
        self._wait(timeout)
        # `_result` was there before the state was.
        if self._state == FINISHED and self._exception is None:
            return self._result
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See :meth:`result`."""
        self._wait(timeout)
        return super().exception(0)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio  # noqa: PLC0415  (slow)

        # As with a job: what is cancelled is the waiting, and not the call.
        return asyncio.shield(asyncio.wrap_future(self)).__await__()

    def done(self) -> bool:
        """See ``concurrent.futures.Future``; one look, and no lock that an interrupt could keep."""
        return self._state not in _UNDONE

    def running(self) -> bool:
        """See :meth:`done`."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """See :meth:`done`."""
        return self._state not in _UNDONE and self._state != FINISHED

    @property
    def _condition(self) -> threading.Condition:
        """The lock of the base, made when somebody asks for it.

        With one for each, a submit took a third longer and a future six times the memory; most are
        never locked, since waits of ours let Python look for signals and need none. Futures cannot
        share one: ``wait`` takes those of all its futures, in an order that would differ then.
        """
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
        """Go over to this state, if nobody has asked for the lock: then nobody is entered here."""
        with _looking:
            if self._own is not None or self._state not in _UNDONE:
                return False
            self._result = result
            self._state = state
        return True

    def _wait(self, timeout: float | None) -> None:
        """Until it is over, or the time is. In our way, not the base's, which a signal can miss."""
        if self.done() or (timeout is not None and timeout <= 0):
            return
        self._refuse()
        stream = self._stream
        then = "It goes on; result() waits again, cancel() drops it if it has not begun."
        with Wait(stream.session, lambda: f"waiting for a call of {stream.title}", then):
            stream.bell.wait(self.done, timeout)

    def _refuse(self) -> None:
        """Nobody waits for what is not there yet on a reader thread, or in a copy made by fork."""
        refuse_reader()
        self._stream.session.life.refuse_copy()

    @property
    def _waiters(self) -> list[Any]:
        """Who waits by ``concurrent.futures.wait`` or ``as_completed`` is entered here first."""
        if self._state in _UNDONE:
            self._refuse()
        return self._entered

    @_waiters.setter
    def _waiters(self, entered: list[Any]) -> None:
        self._entered = entered

    def resolve(self, kind: int, value: Any) -> None:
        """The outcome came. Reader thread."""
        self.free()
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
        """See ``concurrent.futures.Future``."""
        if self._without_lock(FINISHED, result):
            self._invoke_callbacks()
        else:
            super().set_result(result)

    def _invoke_callbacks(self) -> None:
        """As the base does; and one that exits does not end the reader, and with it the session.

        Whatever ends a future comes here last.
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
        self.free()
        try:
            if self.running():
                # It was told to be running and cannot become cancelled any more, by the rules of
                # concurrent.futures; so it ends with the error that says so.
                self.set_exception(read_error(Kind.CANCELLED, b"", self._index, "", "the executor"))
            elif super().cancel():
                self.set_running_or_notify_cancel()
        except (InvalidStateError, RuntimeError):
            # Something outside ended it behind our back; the reader must go on.
            return

    def free(self) -> None:
        """The client is not held any more."""
        self._holder = None


class CallStream:
    """The open job of one function and one set of options. Any thread, but where it is said."""

    def __init__(
        self,
        session: Session,
        function: Frozen,
        options: JobOptions,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._idle = idle
        self.job = new_job()
        self.title = options.name or function.title
        self.ended = False
        self.session = session
        self.bell = Bell()
        """Rung when one of its futures is over."""
        self._lock = threading.Lock()
        self._growing: Growing | None = None
        self._futures: dict[int, TaskFuture] = {}
        self._channel = JobEcho(self.title, current_cell()) if options.echo else None

    # ---- the submitting side --------------------------------------------------------------------

    def add(
        self,
        future: TaskFuture,
        blob: bytes,
        needs: tuple[bytes, ...],
        objects: tuple[Placed, ...],
    ) -> bool:
        """Queue a call; False when the stream was ended meanwhile."""
        with self._lock:
            if self.ended:
                return False
            alone = not self._futures
            growing = self._growing
            if growing is None or growing.taken or growing.needs != needs:
                growing = self._next_frame(growing, needs)
            future._index = index = growing.next
            self._futures[index] = future
            growing.add(blob, objects)
        self.session.outbox.count(len(blob))
        if not growing.queued:
            self._queue(growing, alone=alone)
        return True

    def _next_frame(self, last: Growing | None, needs: tuple[bytes, ...]) -> Growing:
        if last is not None:
            self._queue(last)
        first = 0 if last is None else last.next
        self._growing = growing = Growing(self._lock, self.job, first, needs)
        return growing

    def _queue(self, growing: Growing, *, alone: bool = False) -> None:
        if not growing.queued:
            outbox = self.session.outbox
            (outbox.put_alone if alone else outbox.put)(growing)
            growing.queued = True

    def mend(self) -> None:
        """Nothing is left of a call whose adding was interrupted, but the call or nothing."""
        with self._lock:
            growing = self._growing
            if growing is None:
                return
            self._queue(growing)
            for index in [index for index in self._futures if index >= growing.next]:
                del self._futures[index]

    def end(self) -> bool:
        """If nothing is outstanding, the controller forgets the job; returns whether."""
        with self._lock:
            if self._futures or self.ended:
                return self.ended
            self.ended = True
            total = 0 if self._growing is None else self._growing.next
        self.session.outbox.send(messages.EndTasks(job=self.job, total=total))
        self.session.inbox.forget(self.job)
        return True

    def cancel(self, first: int, count: int) -> None:
        """Those of these calls that no pool has yet are cancelled when this returns."""
        if threading.get_ident() in readers:
            return  # the answer would come to this very thread

        def message(call: int) -> messages.CancelTasks:
            return messages.CancelTasks(call=call, job=self.job, first=first, count=count)

        try:
            answer = self.session.questions.ask(message).answer
        except ScatterGatherError:
            return  # it ended, and its futures were told
        if answer is not None and isinstance(answer.value, TasksDropped):
            for begin, length in answer.value.ranges:
                self.dropped(begin, length)

    def cancel_all(self) -> None:
        """The calls that no pool has yet are cancelled when this returns."""
        with self._lock:
            outstanding = list(self._futures)
        if outstanding:
            self.cancel(min(outstanding), max(outstanding) - min(outstanding) + 1)

    # ---- session.Receiver: reader thread --------------------------------------------------------

    @property
    def busy(self) -> bool:
        """See ``session.Receiver``."""
        return bool(self._futures)

    @property
    def done(self) -> bool:
        """See ``session.Receiver``; a stream ends only when it is told to."""
        return False

    @property
    def left(self) -> str:
        """See ``session.Receiver``; who has a future knows of it."""
        return ""

    def outcomes(
        self, message: messages.TaskOutcomes, body: bytes, large: tuple[Part, ...]
    ) -> None:
        """See ``session.Receiver``."""
        count = len(message.kinds)
        start = count * blobs.WIDTH
        base = start
        load = loader(body, large)
        ends = blobs.ends_of(body, count)
        for place, (kind, end) in enumerate(zip(message.kinds, ends, strict=True)):
            index = message.first + place
            future = self._futures.pop(index, None)
            if future is not None:
                value: Any
                if kind == Kind.RETURNED:
                    try:
                        value = load(start, base + end)
                    except Exception as error:
                        kind, value = Kind.RAISED, error
                        error.add_note(f"[scattergather] raised here by the result of {self.title}")
                    except BaseException as error:  # its own: nobody interrupts this thread
                        kind, value = Kind.RAISED, not_rebuilt(error, self.title)
                else:
                    blob = body[start : base + end]
                    value = self._error(kind, blob, index, message)
                future.resolve(kind, value)
                del value
            start = base + end
        if not self._futures:
            self._idle()

    def _error(
        self, kind: int, blob: bytes, index: int, message: messages.TaskOutcomes
    ) -> BaseException:
        description = f"call {index} of {self.title} on {message.host}, worker {message.worker}"
        return read_error(kind, blob, index, description, self.title)

    def placed(self, first: int, count: int) -> None:
        """See ``session.Receiver``."""
        for index in range(first, first + count):
            future = self._futures.get(index)
            if future is not None:
                future.begin()

    def dropped(self, first: int, count: int) -> None:
        """See ``session.Receiver``; any thread."""
        for index in range(first, first + count):
            future = self._futures.pop(index, None)
            if future is not None:
                future.drop()

    def printed(self, message: messages.TaskOutput, body: bytes) -> None:
        """See ``session.Receiver``."""
        if self._channel is not None:
            text = body.decode("utf-8", "replace")
            self.session.echo.put(self._channel, message.index, text, message.dropped)

    def stop(self) -> None:
        """See ``session.Receiver``; nothing here reads ahead."""

    def abandon(self, error: Refusal) -> None:
        """See ``session.Receiver``; whoever asks a future hears it."""
        self.ended = True

    def view(self, state: JobState | None) -> JobView | None:
        """See ``session.Receiver``; with nothing outstanding it is nobody's business."""
        outstanding = len(self._futures)
        if not outstanding or self._growing is None:
            return None
        running = failed = cancelled = 0
        rate = 0.0
        if state is not None:
            running = min(state.running, outstanding)
            failed, cancelled = state.failed, state.cancelled
            rate = state.rate if running else 0.0
        total = self._growing.next
        return JobView(
            name=self.title,
            total=total,
            queued=outstanding - running,
            running=running,
            done=max(0, total - outstanding - failed - cancelled),
            failed=failed,
            cancelled=cancelled,
            rate=rate,
        )

    def lose(self, error: Refusal) -> None:
        """See ``session.Receiver``."""
        with self._lock:
            self.ended = True
            futures = list(self._futures.values())
            self._futures.clear()
        for future in futures:
            future.resolve(Kind.LOST, error())


class CallStreams:
    """All streams of a client."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: OrderedDict[tuple[Any, ...], CallStream] = OrderedDict()
        self._lock = threading.Lock()
        self._last: tuple[Frozen, JobOptions, int, str, bytes, CallStream] | None = None

    def submit(
        self,
        function: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: JobOptions,
        holder: object,
        named: Callable[[str], Frozen],
    ) -> TaskFuture:
        """Queue one call.

        Raises:
            CannotPickle: the function or an argument cannot travel; the message says which.
        """
        session, shipper = self._session, self._session.shipper
        shipment: Shipment | None = None
        if isinstance(function, str):
            frozen = named(function)
        elif (unchanged := shipper.unchanged(function)) is not None:
            frozen = unchanged
        else:
            shipment = shipper.shipment()
            frozen = shipper.freeze(function, shipment)
        # As with the arguments: what is to be retried is what the call raises, also after an edit.
        retry_on = b""
        if options.retry_on and not all(map(importable, options.retry_on)):
            shipment = shipment or shipper.shipment()
            retry_on = freeze_types(options.retry_on, shipment)

        if session.outbox.full:
            with self._waiting(options.name or frozen.title):
                session.outbox.make_room()
        plain = is_plain(args, kwargs)
        if plain and len(blob := pack_plain((args, kwargs))) < LARGE:
            future = self._add(frozen, options, shipment, retry_on, holder, blob)
        else:
            with shipper.holding():
                # For room, or for what the arguments do when they are packed.
                with self._waiting(options.name or frozen.title):
                    packed = shipper.pack_call(args, kwargs, shipment)
                future = self._add(frozen, options, shipment, retry_on, holder, *packed)
        if session.life.state is not OPEN:
            # It may have ended after the look: nobody else would tell this future.
            session.life.check_alive()
        return future

    def _waiting(self, title: str) -> Wait:
        then = "It was not added; submit it again."
        return Wait(self._session, lambda: f"submitting a call of {title}", then)

    def _add(
        self,
        function: Frozen,
        options: JobOptions,
        shipment: Shipment | None,
        retry_on: bytes,
        holder: object,
        blob: bytes,
        needs: tuple[bytes, ...] = (),
        objects: tuple[Placed, ...] = (),
    ) -> TaskFuture:
        while True:
            stream = self._stream(function, options, shipment, retry_on)
            future = TaskFuture(stream, holder)
            if stream.add(future, blob, needs, objects):
                return future
            self._session.life.check()

    def _stream(
        self, function: Frozen, options: JobOptions, shipment: Shipment | None, retry_on: bytes
    ) -> CallStream:
        version = self._session.pushed.version
        # Output belongs to the cell that submitted, so each cell has streams of its own.
        cell = current_name()
        last = self._last
        if (
            last is not None
            and last[0] is function
            and last[1] is options
            and last[2] == version
            and last[3] == cell
            and last[4] == retry_on
            and not last[5].ended
        ):
            return last[5]
        stream = self._find(function, options, shipment, retry_on, version, cell)
        self._last = (function, options, version, cell, retry_on, stream)
        return stream

    def _find(
        self,
        function: Frozen,
        options: JobOptions,
        shipment: Shipment | None,
        retry_on: bytes,
        version: int,
        cell: str,
    ) -> CallStream:
        key = (function.name, version, options, cell, retry_on)
        stream = self._open.get(key)
        if stream is not None and not stream.ended:
            return stream
        with self._lock:
            stream = self._open.get(key)
            if stream is not None and not stream.ended:
                self._open.move_to_end(key)
                return stream
            session = self._session
            stream = CallStream(session, function, options, self.trim)
            shipment = shipment or session.shipper.shipment()
            retry_on = retry_on or freeze_types(options.retry_on, shipment)
            adding.begin(
                session, stream, stream.title, function, options, shipment, retry_on, stream=True
            )
            self._open[key] = stream
        self.trim()
        return stream

    def trim(self) -> None:
        """Of too many streams the oldest that are idle are ended. Any thread."""
        if len(self._open) <= IDLE_STREAMS:
            return
        with self._lock:
            # A few each time: a thousand busy ones must not be asked for each new one.
            for _ in range(min(4, len(self._open) - IDLE_STREAMS)):
                key, stream = self._open.popitem(last=False)
                if not stream.end():
                    self._open[key] = stream

    def all(self) -> list[CallStream]:
        """The streams that are open."""
        with self._lock:
            return list(self._open.values())
