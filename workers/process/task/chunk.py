"""A chunk on a worker: prepared, run by the loop, its outcomes sent.

Outcomes leave when 20 ms have passed since the last ones left, when a quarter of a megabyte is
gathered, and at the end of the chunk; nothing waits for a timer or a thread.

Every task of a chunk has one outcome, or is given back. An interrupt that escapes from the loop
(``loop`` says where that can be) is the outcome of the task that stands in the journal as the last
that began, and the next one begins behind it.
"""

from __future__ import annotations

import time
from typing import Any

from scattergather.inside import Where
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.shipping import Noting
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.memory.whole import Whole
from scattergather.wire.messages import page as messages
from scattergather.wire.values.bundle import Bundle, pack_bundle
from scattergather.workers.process.line import LineLost, WorkerLine
from scattergather.workers.process.surroundings.capture import Capture
from scattergather.workers.process.surroundings.displays import Displays
from scattergather.workers.process.surroundings.libraries import Libraries
from scattergather.workers.process.surroundings.mending import Mending
from scattergather.workers.process.task.call import Call, Calls
from scattergather.workers.process.task.copies import leave
from scattergather.workers.process.task.interrupts import LIMITS, Interrupts
from scattergather.workers.process.task.journal import FULL, LARGE, STARTED, Journal
from scattergather.workers.process.task.loop import loop_of
from scattergather.workers.process.task.outcomes import Circumstances, ResultPickler
from scattergather.workers.process.values.large import TaskValues


class Chunks:
    """Runs chunks, one at a time. Main thread of a worker."""

    def __init__(
        self,
        *,
        line: WorkerLine,
        journal: Journal,
        capture: Capture,
        interrupts: Interrupts,
        calls: Calls,
        circumstances: Circumstances,
        large: TaskValues,
        displays: Displays,
        libraries: Libraries,
    ) -> None:
        self._line = line
        self._displays = displays
        self._libraries = libraries
        self._large = large
        self._journal = journal
        self._capture = capture
        self._output = capture.output
        self._interrupts = interrupts
        self._calls = calls
        calls.residents.note = journal.note
        self._circumstances = circumstances
        self._mending = Mending(capture, line, interrupts)
        goes, stays = Outside(large.returns), Whole(large.returns)
        pairs = (goes, ResultPickler(goes)), (stays, ResultPickler(stays, Noting(BOOK)))
        self._ways = [
            (
                outside,
                results,
                loop_of(
                    self,
                    journal=journal,
                    interrupts=interrupts,
                    results=results,
                    outside=outside,
                    arguments=large.arguments,
                    output=capture.output,
                ),
            )
            for outside, results in pairs
        ]
        """For results that are sent, and for such as stay here."""
        self._outside, self._results, self._loop = self._ways[0]
        self._run: messages.Run | None = None
        self._keep = False
        self._since = 0.0
        self._cold = False

    # ---- what nested calls see -------------------------------------------------------------------

    @property
    def run(self) -> messages.Run | None:
        """The chunk at work; None between chunks."""
        return self._run

    def accept_surroundings(self) -> None:
        """Pushed code, or a call on every worker, may have moved this process: so be it."""
        self._mending = Mending(self._capture, self._line, self._interrupts)
        self._mending.find_pools()

    def where(self) -> Where | None:
        """Where the task now running runs; None between chunks."""
        run = self._run
        if run is None:
            return None
        return Where(
            host=self._circumstances.host,
            worker=self._circumstances.pid,
            job=run.label,
            index=self._journal.index,
            attempt=run.attempt,
        )

    def flush(self, now: float | None = None) -> None:
        """Send what is gathered. ``now`` is None within a task: its own time does not count yet."""
        journal = self._journal
        first, kinds, table, data = journal.gathered()
        count = len(kinds)
        if not count or self._run is None:
            return
        until = journal.times[STARTED] if now is None else now
        message = messages.Outcomes(
            chunk=self._run.chunk,
            first=first,
            kinds=bytes(kinds),
            elapsed=self._elapsed(until),
            worker=self._circumstances.pid,
        )
        self._line.send(message, table, data)
        journal.sent(count)
        self._since = until if now is None else time.monotonic()
        self._results.carrier.take_needs()  # keeps it small

    def _elapsed(self, until: float) -> float:
        """Seconds that what is sent now took, or 0 when that would mislead."""
        cold, self._cold = self._cold, False
        return 0.0 if cold else until - self._since

    # ---- a chunk ---------------------------------------------------------------------------------

    def perform(self, run: messages.Run, body: bytes) -> None:
        """Run the chunk; its outcomes are sent when this returns, and :meth:`mend` is to follow.

        Raises:
            LineLost: the pool is gone.
            Spent: this process is not fit for another task.
        """
        journal = self._journal
        ends = blobs.ends_of(body, run.count)
        journal.open(run.chunk, run.first)
        self._run, self._keep = run, run.keep_children
        self._outside, self._results, self._loop = self._ways[run.keep]
        self._interrupts.memory_limit = run.limits.memory or 0
        self._large.arguments.open(run.objects, run.away)
        self._since = time.monotonic()
        # The first task here pays for imports: its time would mislead about the others.
        self._cold = not self._calls.knows(run.function, run.code_version, run.needs)
        stop = run.first + run.count
        index = run.first
        call: Call | None = None
        while index < stop and not journal.stopped():
            try:
                if call is None:
                    call = self._prepare(run, index)
                    if call is None:  # and every task has its outcome
                        index = stop
                        break
                index = self._loop(run, call, body, ends, index, self._since)
            except KeyboardInterrupt:
                index = journal.finished
                self._record(index, Kind.CANCELLED, b"")
                index += 1
                break
            except LIMITS as error:
                index = journal.finished
                self._record(index, *self._raised(run, call, index, error))
                index += 1
            except OSError as error:  # not a task's own: those are outcomes
                raise LineLost(f"a task closed the output file: {error}") from error
        self.flush(time.monotonic())
        self._run = None
        self._large.arguments.open(())
        if index < stop:
            self._line.send(messages.GaveBack(chunk=run.chunk, first=index))

    def mend(self) -> None:
        """Undo what tasks bent in this process. Raises Spent if that cannot be undone."""
        keep = self._keep
        if keep and self._journal.cancelled():
            self._mending.keep_nothing()
            keep = False
        self._libraries.tidy()
        self._mending.mend(keep=keep)

    def _prepare(self, run: messages.Run, index: int) -> Call | None:
        """What to call. None, and an outcome for every task, when that cannot be had.

        It counts to the first task: its time limit holds, and a cancel ends it.
        """
        interrupts = self._interrupts
        self._journal.begin(index)
        try:
            if run.limits.time is not None:
                interrupts.start_timer(run.limits.time, index)
            interrupts.armed = True
            versions = len(self._calls.residents)
            call = self._calls.prepare(run.function, run.code_version, run.retry_on, run.needs)
            leave()
            interrupts.armed = False
            if versions != len(self._calls.residents):
                self.accept_surroundings()
            return call
        except BaseException as error:
            interrupts.armed = False
            leave(error)
            if isinstance(error, KeyboardInterrupt) and self._journal.cancelled():
                raise
            if isinstance(error, LIMITS):
                raise
            kind, blob = self._raised(run, None, index, error, skip=3)
            for each in range(index, run.first + run.count):
                self._journal.begin(each, self._since)
                self._record(each, kind, blob)
            return None
        finally:
            if run.limits.time is not None:
                interrupts.stop_timer()

    # ---- outcomes out of the ordinary ------------------------------------------------------------

    def failed(
        self, call: Call, index: int, error: BaseException, args: Any, kwargs: Any
    ) -> tuple[int, bytes]:
        """The outcome of a task that raised in the loop; what it has written outside is free."""
        leave(error)
        assert self._run is not None
        self._outside.discard()
        arguments = None if args is None else (args, kwargs)
        return self._raised(self._run, call, index, error, arguments)

    def _raised(
        self,
        run: messages.Run,
        call: Call | None,
        index: int,
        error: BaseException,
        arguments: tuple[Any, Any] | None = None,
        skip: int = 1,
    ) -> tuple[int, bytes]:
        if isinstance(error, KeyboardInterrupt) and self._journal.cancelled():
            return Kind.CANCELLED, b""
        return self._circumstances.raised(
            error,
            call=call,
            label=run.label,
            index=index,
            attempt=run.attempt,
            arguments=arguments,
            skip=skip,
        )

    def _record(self, index: int, kind: int, blob: bytes) -> None:
        """Record an outcome outside the loop."""
        leave()  # what an exception does when it is packed may fork, too
        self._interrupts.stop_timer()
        self._results.clear()
        self._large.arguments.settle()
        if len(blob) > LARGE:
            self.send_large(index, kind, blob)
            return
        gathered = self._journal.record(kind, blob)
        if self._output.size():
            self.send_output(index)
        if gathered > FULL:
            self.flush(time.monotonic())

    def take_printed(self) -> str:
        """What was printed, of no task; what was displayed is in it as its text."""
        parts = self._displays.parts(*self._output.take())
        return "".join(
            part.text + "\n"
            if isinstance(part, Bundle)
            else part.decode("utf-8", "backslashreplace")
            for part, _, _ in parts
        )

    def send_output(self, index: int) -> None:
        """What was printed and displayed leaves before the outcome of the task that has ended."""
        for part, dropped, start in self._displays.parts(*self._output.take()):
            if self._run is not None:
                message = messages.Output(
                    chunk=self._run.chunk,
                    index=index,
                    worker=self._circumstances.pid,
                    dropped=dropped,
                    start=start,
                    display=isinstance(part, Bundle),
                )
                if isinstance(part, Bundle):
                    self._line.send(message, pack_bundle(part))
                else:
                    self._line.send(message, part)

    def send_large(
        self, index: int, kind: int, blob: bytes, parts: tuple[Placed, ...] = ()
    ) -> None:
        """An outcome that would crowd the journal goes straight into the socket.

        So does one with parts outside, which must be accounted for.
        """
        assert self._run is not None
        needs = self._results.carrier.take_needs()  # before those of what is gathered are forgotten
        self.flush()
        new, borrowed = self._large.returns.announce(parts)
        # By the journal the task is not over yet; but what a thread prints from now on is the next
        # one's.
        self._journal.hold_all()
        if self._output.size():
            self.send_output(index)
        now = time.monotonic()
        stays = self._run.lend or self._run.keep
        message = messages.Outcomes(
            chunk=self._run.chunk,
            first=index,
            kinds=bytes([kind]),
            elapsed=self._elapsed(now),
            worker=self._circumstances.pid,
            objects=() if stays else new,
            borrowed=borrowed,
            lent=new if stays else (),
            needs=needs,
        )
        self._line.send(message, len(blob).to_bytes(blobs.WIDTH, "little"), blob)
        self._journal.sent(1)
        self._since = time.monotonic()
