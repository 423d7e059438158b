"""The hot loop: runs the tasks of a chunk, one outcome each.

For every task: mark its beginning in the journal, unpickle, call, pickle, see if it printed, record
the outcome. Outcomes leave when 20 ms have passed since the last ones left, when a quarter of a
megabyte is gathered, and at the end of the chunk; nothing waits for a timer or a thread.

Signals may raise while ``armed`` (see ``interrupts``), at most once a task. The loop disarms first
thing after a task, also when that raised. An interrupt that hits exactly there escapes from the
loop; ``run`` then finds in the journal which task that was.
"""

from __future__ import annotations

import os
import pickle
import time
from typing import Any

from scattergather.inside import Where
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.memory.slabs import LARGE as BESIDE
from scattergather.wire.messages import page as messages
from scattergather.wire.values.payload import Unpacker
from scattergather.workers.process.line import LineLost, WorkerLine
from scattergather.workers.process.surroundings.capture import Capture
from scattergather.workers.process.surroundings.mending import WORTH_IT, Mending
from scattergather.workers.process.task.call import Call, Calls
from scattergather.workers.process.task.interrupts import LIMITS, Interrupts
from scattergather.workers.process.task.journal import (
    CHUNK,
    FULL,
    LARGE,
    RUNNING,
    STARTED,
    STOP,
    Journal,
)
from scattergather.workers.process.task.outcomes import (
    NOTHING,
    Circumstances,
    ResultPickler,
    in_short,
)
from scattergather.workers.process.values.large import TaskValues

FLUSH_SECONDS = 2e-2
"""Longer than a chunk of short tasks should last: then each makes one batch."""


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
    ) -> None:
        self._line = line
        self._large = large
        self._outside = Outside(large.returns)
        self._journal = journal
        self._capture = capture
        self._output = capture.output
        self._interrupts = interrupts
        self._calls = calls
        calls.residents.note = journal.note
        self._circumstances = circumstances
        self._mending = Mending(capture, interrupts)
        self._results = ResultPickler(self._outside)
        self._run: messages.Run | None = None
        self._since = 0.0
        self._cold = False

    # ---- what nested calls see -------------------------------------------------------------------

    @property
    def run(self) -> messages.Run | None:
        """The chunk at work."""
        return self._run

    def accept_surroundings(self) -> None:
        """Pushed code, or a call on every worker, may have moved this process: so be it."""
        self._mending = Mending(self._capture, self._interrupts)

    def where(self) -> Where | None:
        """Where the task now running runs; None between chunks."""
        run = self._run
        if run is None:
            return None
        return Where(
            host=self._circumstances.host,
            worker=self._circumstances.pid,
            job=run.label,
            index=self._journal.words[RUNNING] - 1,
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
        """Run the chunk; its outcomes are sent when this returns.

        Raises:
            LineLost: the pool is gone.
            Spent: this process is not fit for another task.
        """
        journal = self._journal
        ends = blobs.ends_of(body, run.count)
        journal.open(run.chunk, run.first)
        self._run = run
        self._interrupts.memory_limit = run.limits.memory or 0
        self._large.arguments.open(run.objects)
        self._since = time.monotonic()
        # The first task here pays for imports: its time would mislead about the others.
        self._cold = not self._calls.knows(run.function, run.code_version)
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
                index = self._tasks(run, call, body, ends, index)
            except KeyboardInterrupt:
                index = journal.words[RUNNING] - 1
                self._record(index, Kind.CANCELLED, b"")
                index += 1
                break
            except LIMITS as error:
                index = journal.words[RUNNING] - 1
                self._record(index, *self._raised(run, call, index, error))
                index += 1
            except OSError as error:  # not a task's own: those are outcomes
                raise LineLost(f"a task closed the output file: {error}") from error
        self.flush(time.monotonic())
        self._run = None
        self._large.arguments.open(())
        if index < stop:
            self._line.send(messages.GaveBack(chunk=run.chunk, first=index))
        self._mending.mend()

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
            call = self._calls.prepare(run.function, run.code_version, run.retry_on)
            interrupts.armed = False
            if versions != len(self._calls.residents):
                self.accept_surroundings()
            return call
        except BaseException as error:
            interrupts.armed = False
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

    def _tasks(self, run: messages.Run, call: Call, body: bytes, ends: Any, first: int) -> int:
        """Run the tasks from ``first`` on; returns the index behind the last one that ran."""
        arguments = self._large.arguments
        mapped = bool(run.objects)
        loads = arguments.load if mapped else pickle.loads
        carefully = arguments.load if mapped else _loaded_carefully
        outside, beside = self._outside, self._outside.placed
        monotonic = time.monotonic
        seek = os.lseek
        journal, interrupts, results = self._journal, self._interrupts, self._results
        words, times, record = journal.words, journal.times, journal.record
        chunk_word, stop_word, running_word, started_word = CHUNK, STOP, RUNNING, STARTED
        dump, clear_memo = results.pickler.dump, results.pickler.clear_memo
        namespaces, buffer = results.pickler.namespaces, results.buffer
        value_of, rewind, cut = buffer.getvalue, buffer.seek, buffer.truncate
        output = self._output.fd
        function, limit, alone = call.function, run.limits.time, run.count == 1
        returned = int(Kind.RETURNED)
        data = memoryview(body)[len(ends) * blobs.WIDTH :]
        start = ends[first - run.first - 1] if first > run.first else 0
        index = first
        args: Any = None
        kwargs: Any = None
        started = monotonic()
        flush_at = self._since + FLUSH_SECONDS
        for end in ends[first - run.first :]:
            times[started_word] = started
            words[running_word] = index + 1
            try:
                if limit is not None:
                    interrupts.start_timer(limit, index)
                interrupts.armed = True
                try:
                    args, kwargs = loads(data[start:end])
                except (ImportError, AttributeError):
                    args, kwargs = carefully(data[start:end])
                if alone:
                    journal.note(in_short(args, kwargs))
                value = function(*args, **kwargs)
                if value is None:
                    blob = NOTHING
                else:
                    try:
                        dump(value)
                        blob = value_of()
                        if len(blob) >= BESIDE or outside.used:
                            blob = results.sealed()
                    except Exception:
                        blob = results.carefully(value, call.name)
                interrupts.armed = False
                kind = returned
            except BaseException as error:
                interrupts.armed = False
                outside.discard()
                given = None if args is None else (args, kwargs)
                kind, blob = self._raised(run, call, index, error, given)
                given = None
            if limit is not None:
                interrupts.stop_timer()
            rewind(0)
            cut()
            clear_memo()
            if namespaces:
                namespaces.clear()
            args = kwargs = value = None
            if mapped:
                arguments.settle()
            if beside:
                gathered = 0
                self._send_large(index, kind, blob, outside.take())
            elif len(blob) <= LARGE:
                # First of all: then a task that has closed our socket keeps its outcome.
                gathered = record(kind, blob)
                if seek(output, 0, 2):
                    self._send_output(index)
            else:
                gathered = 0
                self._send_large(index, kind, blob)
            start = end
            index += 1
            now = monotonic()
            if now - started > WORTH_IT and index < run.first + run.count:
                # After the chunk's last task its outcomes go first.
                self._mending.mend()
            if now >= flush_at or gathered > FULL:
                self.flush(now)
                now = monotonic()
                flush_at = now + FLUSH_SECONDS
            if words[stop_word] >= words[chunk_word]:
                break
            started = now
        return index

    # ---- outcomes out of the ordinary ------------------------------------------------------------

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
        self._interrupts.stop_timer()
        self._results.clear()
        self._large.arguments.settle()
        if len(blob) > LARGE:
            self._send_large(index, kind, blob)
            return
        gathered = self._journal.record(kind, blob)
        if self._output.size():
            self._send_output(index)
        if gathered > FULL:
            self.flush(time.monotonic())

    def _send_output(self, index: int) -> None:
        """What was printed leaves before the outcome of the task that is just over does."""
        text, dropped = self._output.take()
        if self._run is not None:
            message = messages.Output(
                chunk=self._run.chunk,
                index=index,
                worker=self._circumstances.pid,
                dropped=dropped,
            )
            self._line.send(message, text.decode("utf-8", "backslashreplace").encode())

    def _send_large(
        self, index: int, kind: int, blob: bytes, parts: tuple[Placed, ...] = ()
    ) -> None:
        """An outcome that would crowd the journal goes straight into the socket.

        So does one with parts outside, which must be accounted for.
        """
        assert self._run is not None
        self.flush()
        new, borrowed = self._large.returns.announce(parts)
        if self._output.size():
            self._send_output(index)
        now = time.monotonic()
        message = messages.Outcomes(
            chunk=self._run.chunk,
            first=index,
            kinds=bytes([kind]),
            elapsed=self._elapsed(now),
            worker=self._circumstances.pid,
            objects=() if self._run.lend else new,
            borrowed=borrowed,
            lent=new if self._run.lend else (),
        )
        self._line.send(message, len(blob).to_bytes(blobs.WIDTH, "little"), blob)
        self._journal.sent(1)
        self._since = time.monotonic()


def _loaded_carefully(blob: memoryview) -> Any:
    """The arguments, by the unpickler that says in a sentence what is missing here."""
    return Unpacker(bytes(blob), BOOK).load(0)
