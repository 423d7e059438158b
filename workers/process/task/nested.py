"""What a running task may call (``scattergather.inside``), joined to the worker's line.

A task that waits for a nested result gives back the chunks that this worker holds and has not
begun, sends what it has finished, and says that it waits: its slot is lent to others meanwhile.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

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
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.values.answers import Holds
from scattergather.workers.process.values.large import TaskValues


class Nested:
    """Implements ``inside.Hook``. Any thread of a task."""

    def __init__(
        self,
        line: WorkerLine,
        chunks: Chunks,
        calls: Calls,
        interrupts: Interrupts,
        large: TaskValues,
    ) -> None:
        self._line = line
        self._large = large
        self._chunks = chunks
        self._calls = calls
        self._interrupts = interrupts
        self._tickets = itertools.count(1)
        self._open: set[int] = set()
        self._settled: dict[int, tuple[messages.NestedOutcome, bytes, Holds]] = {}
        self._submitting = threading.Lock()
        self._waiting = False

    def running(self) -> bool:
        """True while a task runs."""
        return self._chunks.run is not None

    def where(self) -> Where:
        """Where the task now running runs; RequestError if there is none."""
        found = self._chunks.where()
        if found is None:
            raise RequestError("No task is running in this worker.")
        return found

    def submit(self, function: Callable[..., Any] | str, args: Any, kwargs: Any) -> int:
        """Send a call; returns its ticket."""
        run = self._chunks.run
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

    def settled(self, ticket: int, timeout: float | None) -> bool:
        """True once the outcome is here; waits so many seconds for it, for ever with None."""

        def arrived() -> bool:
            return ticket in self._settled or ticket not in self._open

        if arrived():
            return True
        if threading.current_thread() is not threading.main_thread():
            self._large.answers.settle()
            return self._line.read_until(arrived, timeout, poll)
        with self._interrupts.shielded():
            self._large.answers.settle()
            if timeout == 0.0:
                return self._line.read_until(arrived, 0.0, poll)
            self._lend_slot()
            try:
                return self._line.read_until(arrived, timeout, self._interrupts.exposed(poll))
            finally:
                self._waiting = False
                self._line.send(messages.Resumed())

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
        self._large.answers.settle()

    def sort(self, message: messages.ToWorker, body: bytes) -> bool:
        """Take what the line has read, if it is not for the main loop. Under no lock."""
        match message:
            case messages.NestedOutcome():
                holds = self._large.answers.hold(message.objects)
                if message.ticket in self._open:
                    self._settled[message.ticket] = message, body, holds
                    self._open.discard(message.ticket)
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

    def _lend_slot(self) -> None:
        self._chunks.flush()
        inbox = self._line.inbox
        kept = [entry for entry in inbox if not isinstance(entry[0], messages.Run)]
        unstarted = [entry[0] for entry in inbox if isinstance(entry[0], messages.Run)]
        inbox.clear()
        inbox.extend(kept)
        for run in unstarted:
            self._line.send(messages.GaveBack(chunk=run.chunk, first=run.first))
        self._waiting = True
        self._line.send(messages.Waiting())
