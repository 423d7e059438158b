"""The open job behind ``submit``: all calls of one function with the same options.

Calls are added one by one, from any thread. Those that are added while the writer is busy travel in
one frame, which grows until it is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from scattergather.client.futures.future import TaskFuture
from scattergather.client.jobs.reading import loader, not_rebuilt, read_error
from scattergather.client.options import JobOptions
from scattergather.client.pipe.outbox import Growing
from scattergather.client.pipe.waiting import Bell, readers
from scattergather.client.seen.echo import JobEcho, read_output
from scattergather.client.seen.here import current_display
from scattergather.client.session.receiver import Refusal, new_job
from scattergather.client.session.session import Session
from scattergather.client.values.freezing import Frozen
from scattergather.client.values.large import Part, far_of
from scattergather.client.values.ref import kept_results
from scattergather.errors import ScatterGatherError
from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind
from scattergather.model.snapshot import JobView
from scattergather.wire import blobs
from scattergather.wire.memory.outside import NOTHING_FAR, Placed
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import JobState, TasksDropped


class CallStream:
    """The open job of one function and one set of options. Any thread, but where it is said.

    Args:
        session: whose controller runs the calls.
        function: what is called.
        options: of the job.
        idle: is called when nothing is outstanding any more.
    """

    def __init__(
        self,
        session: Session,
        function: Frozen,
        options: JobOptions,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._idle = idle
        self._keeps = options.keep
        self.job = new_job()
        self.title = options.name or function.title
        self.ended = False
        self.session = session
        self._outbox = session.outbox
        self._on = options.placement.on
        self.bell = Bell()
        """Rung when one of its futures is over."""
        self._lock = threading.Lock()
        self.spoke = False
        self._growing: Growing | None = None
        self._futures: dict[int, TaskFuture] = {}
        self._since = self._failed = 0
        """The first call that was outstanding together with those of now; how many failed since."""
        self._channel: JobEcho | None = None
        if options.echo:
            futures = self._futures
            self._channel = JobEcho(self.title, current_display(), lambda: bool(futures))

    # ---- the submitting side --------------------------------------------------------------------

    def add(
        self,
        future: TaskFuture,
        blob: bytes,
        needs: tuple[bytes, ...],
        objects: tuple[Placed, ...],
    ) -> bool:
        """Queue a call; False when the stream has ended meanwhile, and another one must take it."""
        far = far_of(objects) if objects else NOTHING_FAR
        with self._lock:
            if self.ended:
                return False
            alone = not self._futures
            growing = self._growing
            if growing is None or growing.taken or growing.needs != needs or growing.far != far:
                growing = self._next_frame(growing, needs, far)
            future.index = index = growing.next
            if alone:
                self._since, self._failed = index, 0
            self._futures[index] = future
            growing.add(blob, objects)
        self._outbox.count(len(blob))
        if not growing.queued:
            self._queue(growing, alone=alone)
        return True

    def _next_frame(
        self, last: Growing | None, needs: tuple[bytes, ...], far: frozenset[ObjectId]
    ) -> Growing:
        if last is not None:
            self._queue(last)
        first = 0 if last is None else last.next
        self._growing = growing = Growing(self._lock, self.job, first, needs, far)
        return growing

    def _queue(self, growing: Growing, *, alone: bool = False) -> None:
        if not growing.queued:
            (self._outbox.put_alone if alone else self._outbox.put)(growing)
            growing.queued = True

    def mend(self) -> None:
        """A call whose adding was interrupted is added wholly now, or nothing is left of it."""
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
        self._outbox.send(messages.EndTasks(job=self.job, total=total))
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

    # ---- what comes of it (Receiver): reader thread, but where it is said -----------------------

    @property
    def busy(self) -> bool:
        """True while a call is outstanding. Any thread."""
        return bool(self._futures)

    @property
    def done(self) -> bool:
        """False: a stream may get more calls until it is ended, and then it forgets itself."""
        return False

    @property
    def left(self) -> str:
        """Empty: whoever has a future knows of it."""
        return ""

    def outcomes(
        self, message: messages.TaskOutcomes, body: bytes, large: tuple[Part, ...]
    ) -> None:
        """Outcomes of neighbouring calls have come: their futures are over."""
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
                        if self._keeps:
                            blob = body[start : base + end]
                            (value,) = kept_results(self.session, message, large, [blob])
                        else:
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
        self._failed += 1
        description = f"call {index} of {self.title} on {message.host}, worker {message.worker}"
        return read_error(kind, blob, index, description, self.title)

    def placed(self, first: int, count: int) -> None:
        """A pool has these calls: their futures are running."""
        for index in range(first, first + count):
            future = self._futures.get(index)
            if future is not None:
                future.begin()

    def dropped(self, first: int, count: int) -> None:
        """These calls were cancelled, and so are their futures. Any thread."""
        for index in range(first, first + count):
            future = self._futures.pop(index, None)
            if future is not None:
                future.drop()

    def printed(self, message: messages.TaskOutput, body: bytes) -> None:
        """A call has printed something, which is shown in the cell that submitted it."""
        if self._channel is not None:
            what = read_output(message, body)
            self.session.echo.put(self._channel, message.index, what, message.dropped)
            self.spoke = True

    def stop(self) -> None:
        """Nothing to do: calls come one by one, and nobody adds them ahead."""

    def finish(self, error: Refusal) -> bool:
        """True: what was submitted goes on."""
        return True

    def abandon(self, error: Refusal) -> None:
        """In a copy made by fork no call is added; whoever waits for a future is refused there."""
        self.ended = True

    def view(self, state: JobState | None) -> JobView | None:
        """How many calls are outstanding, running and over; None while none is outstanding."""
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
            on=self._on,
        )

    def lately(self) -> JobView:
        """How far those calls are that were outstanding together, at last or now. Any thread."""
        total = (0 if self._growing is None else self._growing.next) - self._since
        failed = min(self._failed, total)
        done = max(0, total - len(self._futures) - failed)
        view = JobView(name=self.title, total=total, done=done, failed=failed, on=self._on)
        return self.session.known.placed(view) if self._on else view

    def lose(self, error: Refusal) -> None:
        """The controller is gone: every outstanding future gets ``error``."""
        with self._lock:
            self.ended = True
            futures = list(self._futures.values())
            self._futures.clear()
        for future in futures:
            future.resolve(Kind.LOST, error())
