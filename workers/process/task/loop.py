"""The hot loop: runs tasks one after the other, one outcome each.

For every task: mark its beginning in the journal, unpickle, call, pickle, see if it printed, record
the outcome. A task that does nothing takes two microseconds here, so what is out of the ordinary is
done elsewhere (``Outlet``), and everything else stands in one function: one more call in Python
would cost 3 % of that.

*Where an interrupt may fall.* The handlers of SIGINT and SIGALRM raise in the main thread between
any two instructions while ``armed``, and at most once, since they disarm before they raise. That
leaves three places:

1. In the task: in the ``try``, from arming to disarming, our own unpickling and pickling included.
   It becomes the outcome of the task, also when the function had returned: no outcome is recorded.
2. Just after a task has raised, before the ``except`` has disarmed. It escapes from the loop, and
   the journal says which task that was: RUNNING is stored before arming, and the next task's after
   disarming. ``Chunks.perform`` records the outcome and goes on behind that task.
3. While a chunk's function is prepared, or a task waits for a nested call: there it may fall
   anywhere between the arming and the disarming as well, and is the task's.

All else (the journal, the socket, the large objects) is touched while nothing can be raised.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from typing import Any, Protocol

from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.memory.slabs import LARGE as BESIDE
from scattergather.wire.messages import page as messages
from scattergather.wire.values.payload import Unpacker
from scattergather.workers.process.surroundings.capture import OutputFile
from scattergather.workers.process.surroundings.mending import WORTH_IT
from scattergather.workers.process.task.call import Call
from scattergather.workers.process.task.copies import ORIGINAL, leave
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.task.journal import (
    BEGUN,
    CHUNK,
    FULL,
    LARGE,
    RUNNING,
    STARTED,
    STOP,
    Journal,
)
from scattergather.workers.process.task.outcomes import NOTHING, ResultPickler, in_short
from scattergather.workers.process.values.arguments import Arguments

FLUSH_SECONDS = 2e-2
"""Longer than a chunk of short tasks should last: then each makes one batch."""


class Outlet(Protocol):
    """Who does for the loop what is out of the ordinary. Nothing is armed meanwhile."""

    def failed(
        self, call: Call, index: int, error: BaseException, args: Any, kwargs: Any
    ) -> tuple[int, bytes]:
        """The outcome of a task that raised; ``args`` are None if they could not be loaded."""

    def send_large(
        self, index: int, kind: int, blob: bytes, parts: tuple[Placed, ...] = ()
    ) -> None:
        """Send an outcome that would crowd the journal, or that has parts outside."""

    def send_output(self, index: int) -> None:
        """Send what was printed."""

    def flush(self, now: float) -> None:
        """Send the outcomes that are gathered."""

    def mend(self) -> None:
        """Undo what the task bent in this process."""


Loop = Callable[[messages.Run, Call, bytes, Any, int, float], int]
"""Runs the tasks of a chunk from one on; returns the index behind the last one that ran.

Takes the chunk, what to call, the chunk's body and where each task ends in it, the index of the
first task to run, and when outcomes were sent last.
"""


def loop_of(
    outlet: Outlet,
    *,
    journal: Journal,
    interrupts: Interrupts,
    results: ResultPickler,
    outside: Outside,
    arguments: Arguments,
    output: OutputFile,
) -> Loop:
    """The loop of a worker. What all chunks have in common is looked up here, once.

    It is handed on as a tuple and not as variables of this function: those are slower than the
    loop's own, 2 % of a task.
    """
    pickler, buffer = results.pickler, results.buffer
    bound = (
        (journal.words, journal.times, journal.record, interrupts, time.monotonic),
        (pickler.dump, buffer.getvalue, buffer.seek, buffer.truncate),
        (pickler.clear_memo, pickler.namespaces, NOTHING, int(Kind.RETURNED)),
        (outside, outside.placed, os.lseek, output.fd),
        (CHUNK, STOP, RUNNING, STARTED, BEGUN),
        (ORIGINAL, leave),
    )

    def run_tasks(
        run: messages.Run, call: Call, body: bytes, ends: Any, first: int, since: float
    ) -> int:
        (words, times, record, interrupts, monotonic), writing, tidying, ending, places, leaving = (
            bound
        )
        dump, value_of, rewind, cut = writing
        clear_memo, namespaces, nothing, returned = tidying
        outside, beside, seek, printed = ending
        chunk_word, stop_word, running_word, started_word, begun = places
        original, leave = leaving
        mapped = bool(run.objects)
        loads: Callable[[Any], Any] = arguments.load if mapped else pickle.loads
        carefully: Callable[[Any], Any] = arguments.load if mapped else _loaded_carefully
        if call.enter is not None:
            loads = _entering(call.enter, loads, mapped)
            carefully = _entering(call.enter, carefully, mapped)
        function, limit, alone = call.function, run.limits.time, run.count == 1
        data = memoryview(body)[len(ends) * blobs.WIDTH :]
        start = ends[first - run.first - 1] if first > run.first else 0
        stop = run.first + run.count
        index = first
        args: Any = None
        kwargs: Any = None
        started = monotonic()
        flush_at = since + FLUSH_SECONDS
        for end in ends[first - run.first :]:
            # STARTED first: who sees that this task runs must not take the last one's start for it.
            times[started_word] = started
            words[running_word] = index + begun
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
                if not original:
                    leave()
                if value is None:
                    blob = nothing
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
                kind, blob = outlet.failed(call, index, error, args, kwargs)
            if limit is not None:
                interrupts.stop_timer()
            if blob is not nothing:
                # Nobody has written but for a value: it is gone before the next one is pickled.
                rewind(0)
                cut()
                clear_memo()
                if namespaces:
                    namespaces.clear()
            # Now nobody has them but who has kept them, and only that is seen by ``settle``.
            args = kwargs = value = None
            if mapped:
                arguments.settle()
            if not original:  # what a value does when it is pickled or goes may fork, too
                leave()
            if beside or len(blob) > LARGE:
                gathered = 0
                outlet.send_large(index, kind, blob, outside.take())
            else:
                # First of all: then a task that has closed our socket keeps its outcome.
                gathered = record(kind, blob)
                if seek(printed, 0, 2):
                    outlet.send_output(index)
            start = end
            index += 1
            now = monotonic()
            if now - started > WORTH_IT and index < stop:
                outlet.mend()  # behind the chunk's last task its outcomes go first
            if now >= flush_at or gathered > FULL:
                outlet.flush(now)
                now = monotonic()
                flush_at = now + FLUSH_SECONDS
            # The pool stores STOP when it finds a task that lasts. Finds it that same task at its
            # next look too, this line is still to come for it, so what is behind it is free.
            if words[stop_word] >= words[chunk_word]:
                break
            started = now
        return index

    return run_tasks


def _entering(
    enter: Callable[[Any, bool], None], load: Callable[[Any], Any], mapped: bool
) -> Callable[[Any], Any]:
    def loads(blob: memoryview) -> Any:
        enter(blob, mapped)
        return load(blob)

    return loads


def _loaded_carefully(blob: memoryview) -> Any:
    """The arguments, by the unpickler that says in a sentence what is missing here."""
    return Unpacker(bytes(blob), BOOK).load(0)
