"""What is too large for messages: the worker's end of it, both ways.

What comes is in ``arguments``, what goes in ``returns``, and what nested calls return in
``answers``. What nested calls take lies beside the results.
"""

from __future__ import annotations

from scattergather.wire.messages import page as messages
from scattergather.workers.process.line import WorkerLine
from scattergather.workers.process.task.interrupts import Interrupts
from scattergather.workers.process.values.answers import Answers
from scattergather.workers.process.values.arguments import Arguments
from scattergather.workers.process.values.returns import Result, Returns

IDLE_SECONDS = 5.0
"""After so long without work free memory goes back to the system, and nothing is parked."""

KEPT_SECONDS = 0.5
"""How often an idle worker looks if what a task had kept is gone."""


class Passed:
    """Puts what nested calls take beside the results; implements ``wire.memory.outside.Place``.

    What the task was given itself is there already. Any thread of a task.
    """

    def __init__(self, arguments: Arguments, answers: Answers, returns: Returns) -> None:
        self._arguments = arguments
        self._answers = answers
        self._returns = returns
        self.has_room = returns.has_room
        self.free = returns.free

    def borrow(self, data: memoryview) -> Result | None:
        """What the task was given itself: its object, which is known already."""
        extent = self._arguments.unchanged(data) or self._answers.unchanged(data)
        return None if extent is None else Result(extent, borrowed=True)

    def put(self, data: bytes | memoryview, beside: int = 0) -> Result | None:
        """A copy of ``data`` beside the results, on the same terms."""
        return self._returns.put(data, beside, "the argument of a nested call")


class TaskValues:
    """Both ends, and what the pool says of them."""

    def __init__(self, line: WorkerLine, interrupts: Interrupts) -> None:
        self._line = line
        self.arguments = Arguments(line)
        self.answers = Answers(line, self.arguments.descriptor)
        self.returns = Returns(line, interrupts, self.arguments)
        self.passed = Passed(self.arguments, self.answers, self.returns)

    def copied(self) -> None:
        """This process was forked. Any thread."""
        self.arguments.copied()
        self.answers.copied()

    def sort(self, message: messages.ToWorker) -> bool:
        """Take a message that is for us. Any thread that reads the line."""
        match message:
            case messages.Slab():
                self.arguments.adopt(message.slab, self._line.received.take())
            case messages.SlabGone():
                self.arguments.drop(message.slab)
            case messages.Recycle():
                self.returns.recycle(message.objects)
            case messages.Allowance():
                self.returns.allow(message.size, message.most, message.disk)
            case _:
                return False
        return True

    @property
    def patience(self) -> float | None:
        """How long to wait for work before :meth:`rest`; None: for ever."""
        if self.arguments.kept or self.answers.held:
            return KEPT_SECONDS
        return IDLE_SECONDS if self.returns.dirty or self.arguments.parking.spots else None

    def rest(self) -> None:
        """There was no work for that long."""
        if self.arguments.kept or self.answers.held:
            self.arguments.rest()
            self.answers.settle()
        self.arguments.parking.rest(IDLE_SECONDS)
        self.returns.rest(IDLE_SECONDS)
