"""Numbered calls: whoever sends one waits until the controller has answered it."""

from __future__ import annotations

from collections.abc import Callable

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.waiting import Bell
from scattergather.client.session.life import Life
from scattergather.client.values.large import Part
from scattergather.errors import RequestError
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined

Numbered = (
    messages.CancelTasks
    | messages.Command
    | messages.RunEverywhere
    | messages.Bring
    | messages.AddHost
    | messages.DropHost
    | messages.ResizeHost
)


class Question:
    """A numbered call, and what came of it so far."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.bell = Bell()
        self.answer: messages.Answer | None = None
        self.parts: tuple[Part, ...] = ()
        """What has come with the answer."""
        self.outcomes: list[tuple[messages.EverywhereOutcome, bytes, tuple[Part, ...]]] = []


class Questions:
    """The numbered calls that are not answered yet. Any thread, but where it is said."""

    def __init__(self, outbox: Outbox, life: Life) -> None:
        self._outbox = outbox
        self._life = life
        self._open: dict[int, Question] = {}
        self._numbers = iter(range(1, 1 << 62))

    def __len__(self) -> int:
        return len(self._open)

    def ask(
        self, make: Callable[[int], Numbered], *body: bytes, timeout: float | None = None
    ) -> Question:
        """Send the call that ``make`` makes of its number, and wait for the answer.

        Raises:
            RequestError: the controller refused; the sentence is its own.
            ControllerLost, Closed: it ended meanwhile.
            TimeoutError: no answer in ``timeout`` seconds.
        """
        life = self._life
        life.check_alive()
        question = Question(next(self._numbers))
        self._open[question.number] = question
        try:
            self._outbox.send(make(question.number), *body)
            ready = lambda: question.answer is not None or life.ended  # noqa: E731
            if not question.bell.wait(ready, timeout):
                raise TimeoutError(f"the controller did not answer in {timeout} s")
        finally:
            self._open.pop(question.number, None)
        if question.answer is None:
            life.check_alive()
        elif isinstance(question.answer.value, Declined):
            raise RequestError(question.answer.value.why)
        return question

    def outcome(
        self, message: messages.EverywhereOutcome, body: bytes, parts: tuple[Part, ...]
    ) -> None:
        """One worker's outcome of a call on every worker has come. Reader thread."""
        if (question := self._open.get(message.call)) is not None:
            question.outcomes.append((message, body, parts))

    def answered(self, message: messages.Answer, parts: tuple[Part, ...] = ()) -> None:
        """A call is over. Reader thread."""
        if (question := self._open.get(message.call)) is not None:
            question.parts = parts
            question.answer = message
            question.bell.ring()

    def lose(self) -> None:
        """The controller is gone, and life has ended: whoever waits looks again. Reader thread."""
        for question in list(self._open.values()):
            question.bell.ring()
