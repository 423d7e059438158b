"""What a running task may call (``scattergather.inside``), joined to the worker's line.

A task that waits for a nested result gives back the chunks that this worker holds and has not
begun, sends what it has finished, and says that it waits: its slot is lent to others meanwhile.

Any of its threads may wait, and that the others do something meanwhile is not known: so the slot is
lent as long as one does, at most to the end of the chunk. Who looks again and again if a call is
done waits for it, too. A thread that waits is told of a cancel or a limit by looking: signals reach
the main thread only.
"""

from __future__ import annotations

import itertools
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, BinaryIO

from msgspec.structs import replace

from scattergather.errors import RequestError
from scattergather.inside import Where
from scattergather.model.ids import shipped
from scattergather.model.outcome import Kind
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.memory.outside import Outside
from scattergather.wire.messages import page as messages
from scattergather.wire.values.losses import error_of
from scattergather.wire.values.payload import Packer, loads
from scattergather.wire.values.raised import unpack_exception
from scattergather.workers.process.line import WorkerLine, poll
from scattergather.workers.process.task.call import Calls
from scattergather.workers.process.task.chunk import Chunks
from scattergather.workers.process.task.copies import is_copy
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.values.answers import Holds
from scattergather.workers.process.values.files import create_file
from scattergather.workers.process.values.large import TaskValues

SLICE = 0.05
"""Seconds after which a thread that waits looks if its task is to end."""

LOOKING = 0.1
"""Seconds after which a task that looks if a call is done, and looks again, counts as waiting."""

CONFIRMED = 1 << 28
"""Bytes of answers after which a task that looks and always finds them says that it waits, too.

Else its pool would take it for one that reads none, and end it: at four times as much, or more.
"""

AN_ANSWER = 1 << 10
"""Bytes that each answer, and each object in it, is taken to hold beside its body."""


class Nested:
    """Implements ``inside.Hook``. Any thread of a task."""

    def __init__(
        self,
        line: WorkerLine,
        chunks: Chunks,
        calls: Calls,
        interrupts: Interrupts,
        large: TaskValues,
        files: bytes = b"",
    ) -> None:
        self._files = files
        self._line = line
        self._large = large
        self._chunks = chunks
        self._calls = calls
        self._interrupts = interrupts
        self._tickets = itertools.count(1)
        self._open: set[int] = set()
        self._settled: dict[int, tuple[messages.NestedOutcome, bytes, Holds]] = {}
        self._submitting = threading.Lock()
        self._lending = threading.Lock()
        self._waiters = 0
        self._waiting = False
        self._period = 0
        """Counts the chunks at whose end somebody still waited: his slot is no longer lent then."""
        self._looks: dict[int, float] = {}
        """When a task first looked in vain if a call is done."""
        self._unconfirmed = 0
        """About how many bytes of answers have come since this chunk last lent its slot."""
        self._lent: dict[int, int] = {}
        """For which calls the slot is lent because a task looks again and again."""

    def running(self) -> bool:
        """True while a task runs."""
        return not is_copy() and self._chunks.run is not None

    def where(self) -> Where:
        """Where the task now running runs; RequestError if there is none."""
        found = self._chunks.where()
        if found is None:
            raise RequestError("No task is running in this worker.")
        return found

    def submit(self, function: Callable[..., Any] | str, args: Any, kwargs: Any) -> int:
        """Send a call; returns its ticket."""
        run, place = self._chunks.run, self._chunks.where()
        shipment = Shipment(BOOK)
        if isinstance(function, str):
            name = function
        else:
            name = shipped(shipment.freeze(function))
        outside = Outside(self._large.passed)
        packer = Packer(shipment, name="argument of a nested call", outside=outside)
        try:
            packer.pack((args, kwargs))
            _, body, needs = packer.take()
            with self._submitting, self._interrupts.shielded():
                # Each time: the controller keeps what tasks have sent for a while only.
                for code in shipment.code.values():
                    sent = messages.Code(digest=code.digest, needs=code.needs, python=code.python)
                    self._line.send(sent, code.blob)
                lent, borrowed = self._large.returns.announce(packer.take_objects())
                ticket = next(self._tickets)
                self._open.add(ticket)
                self._line.send(
                    messages.NestedSubmit(
                        ticket=ticket,
                        function=name,
                        needs=needs,
                        chunk=run.chunk if run is not None else 0,
                        index=place.index if place is not None else 0,
                        lent=lent,
                        borrowed=borrowed,
                    ),
                    body,
                )
                self._large.answers.settle()
        except BaseException:  # an interrupt, too
            outside.discard()
            raise
        return ticket

    def create_file(self) -> BinaryIO:
        """An empty file without a name on this host."""
        return create_file()

    def data(self) -> str:
        """The folder of the files that were sent to this host; RequestError if it has none."""
        if not self._files:
            raise RequestError("This host has no folder for files.")
        return os.fsdecode(self._files)

    def send_file(self, fd: int, name: bytes) -> int:
        """Send the file that is open there; returns the ticket of what comes of it."""
        status = os.fstat(fd)
        with self._submitting, self._interrupts.shielded():
            ticket = next(self._tickets)
            self._open.add(ticket)
            self._line.send_with(
                fd,
                messages.SendFile(
                    ticket=ticket,
                    transfer=os.urandom(16),
                    name=name,
                    size=status.st_size,
                    mode=stat.S_IMODE(status.st_mode),
                ),
            )
        return ticket

    def settled(self, ticket: int, timeout: float | None) -> bool:
        """True once the outcome is here; waits so many seconds for it, for ever with None.

        Raises:
            CancelledError: the task is to end, and so does who waits for it on another thread.
        """

        def arrived() -> bool:
            return ticket in self._settled or ticket not in self._open

        interrupts = self._interrupts
        if self._unconfirmed > CONFIRMED and (ticket in self._open or ticket in self._settled):
            with interrupts.shielded():
                self._return_slot(self._lend_slot())
        if arrived():
            return True
        if threading.current_thread() is threading.main_thread():
            to_end, wait = interrupts.wanted, interrupts.exposed(poll)
        else:  # no signal wakes it
            to_end, wait = interrupts.told, _in_slices
        with interrupts.shielded():
            self._large.answers.settle()
            if timeout == 0.0:
                return self._looked(ticket, self._line.read_until(arrived, 0.0, poll))
            lent = self._lend_slot()
            try:
                over = self._line.read_until(lambda: arrived() or to_end(), timeout, wait)
            finally:
                self._return_slot(lent)
        if over and not arrived():
            raise CancelledError("The task that waits for this call is to end.")
        return over

    def outcome(self, ticket: int) -> tuple[Any, BaseException | None]:
        """Result or error of a settled ticket, which is forgotten."""
        found = self._settled.pop(ticket, None)
        if found is None:
            raise RequestError("The task that submitted this call is over.")
        message, body, holds = found
        match message.kind:
            case Kind.RETURNED if holds:
                return self._large.answers.load(body, holds), None
            case Kind.RETURNED:
                return loads(body), None
            case Kind.RAISED | Kind.RETRYABLE:
                return None, unpack_exception(body)
            case Kind.CANCELLED:
                return None, CancelledError("The nested call was cancelled.")
            case _:
                loss = messages.read_loss(body)
                loss = replace(loss, host=loss.host or message.host)
                return None, error_of(loss, "A nested call")

    def forget(self) -> None:
        """A chunk is over: what its tasks submitted and did not wait for interests nobody."""
        self._open.clear()
        self._settled.clear()
        self._unconfirmed = 0  # a thread that goes on must not say that a task waits
        if self._looks:
            self._looks.clear()
            self._lent.clear()
        if self._waiters:
            with self._lending:
                self._period += 1
                self._waiters = 0
                self._waiting = False
                self._line.send(messages.Resumed())
        self._large.answers.settle()

    def sort(self, message: messages.ToWorker, body: bytes) -> bool:
        """Take what the line has read, if it is not for the main loop. Under no lock."""
        match message:
            case messages.NestedOutcome():
                holds = self._large.answers.hold(message.objects)
                self._unconfirmed += len(body) + AN_ANSWER * (2 + len(message.objects))
                if message.ticket in self._open:
                    self._settled[message.ticket] = message, body, holds
                    self._open.discard(message.ticket)
                    lent = self._lent.pop(message.ticket, None)
                    if lent is not None:
                        self._return_slot(lent)
                else:
                    holds.clear()
                    self._large.answers.settle()
                return True
            case messages.Code():
                self._calls.learn(message, body)
                return True
            case messages.Forget():
                self._calls.forget(message.digests)
                return True
            case messages.Run() if self._waiting:
                self._line.send(messages.GaveBack(chunk=message.chunk, first=message.first))
                return True
            case _:
                return False

    # ---- the slot ----

    def _lend_slot(self) -> int:
        """One more thread waits; the first one lends the slot. Returns what ``_return_slot`` takes.

        Any thread, so the main thread may be in the task, between two tasks, or reading the line.
        """
        if threading.current_thread() is threading.main_thread():
            self._chunks.flush()
        with self._lending:
            self._unconfirmed = 0
            self._waiters += 1
            if self._waiters == 1:
                self._waiting = True
                inbox = self._line.inbox
                for entry in tuple(inbox):
                    if isinstance(entry[0], messages.Run) and _removed(inbox, entry):
                        run = entry[0]
                        self._line.send(messages.GaveBack(chunk=run.chunk, first=run.first))
                self._line.send(messages.Waiting())
            return self._period

    def _return_slot(self, lent: int) -> None:
        """A thread waits no more; the last one takes the slot back, if its chunk still runs."""
        with self._lending:
            if lent == self._period:
                self._waiters -= 1
                if not self._waiters:
                    self._waiting = False
                    self._line.send(messages.Resumed())

    def _looked(self, ticket: int, found: bool) -> bool:
        """A task looked if the outcome is here; ``found`` says so. Who looks for long waits."""
        now = time.monotonic()
        if (
            not found
            and now - self._looks.setdefault(ticket, now) > LOOKING
            and ticket not in self._lent
        ):
            self._lent[ticket] = self._lend_slot()
        return found


def _removed(inbox: deque[tuple[messages.ToWorker, bytes]], entry: Any) -> bool:
    """Whether nobody else took it from the inbox meanwhile."""
    try:
        inbox.remove(entry)
    except (ValueError, IndexError):  # IndexError: it changed while it was searched
        return False
    return True


def _in_slices(fd: int, timeout: float | None) -> bool:
    """A ``Wait`` that comes back to look for more than the descriptor."""
    return poll(fd, SLICE if timeout is None else min(timeout, SLICE))
