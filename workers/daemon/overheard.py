"""What a task prints is told while it runs, once it has run for a while: its file is read here.

What was told has its place in the task's output, counted in bytes from its beginning. So has what
the worker sends when the task has ended, and what was told already is taken from that: nothing
comes twice, and nothing has to be agreed on with a process that may be killed at any moment.

- The journal names the task before and after the file was read, and a task is over there before its
  file is emptied. So what was read is that task's.
- Lines are told when they are whole. One that moves the cursor waits, with what is behind it, for a
  whole line that does not: bars draw over what stands there.
- Once a task has displayed something, or cleared what it has printed, the rest comes at its end, in
  order with that; from where on, the journal says.
- A task may empty the file, as every shell does at ``> /dev/stderr``. Then what was told does not
  stand there any more, and all that stands there is new.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import MOST
from scattergather.workers.process.surroundings.capture import KEPT, OutputFile
from scattergather.workers.process.task.journal import Journal, Remains

_MOVES = re.compile(rb"\r(?!\n)|\x08|\x1b\[[0-9;]*[ -/]*[@-ln-~]")
"""What moves the cursor, or erases; a colour does not."""

TOLD = 1 << 14
"""Bytes that are told at a look, if lines are no longer: what a task floods must not hold up what
comes of others."""

LAST = 64
"""Bytes by which what was told is found again."""

At = tuple[int, int, float]
"""Chunk, index and start of a task at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Of the output of one task so many bytes were told, or are dropped; ``last`` ends them."""

    task: At
    size: int
    last: bytes

    def end_in(self, text: bytes, start: int) -> int | None:
        """Where it ends in a text behind ``start`` bytes; None: that is not what was told from."""
        place = max(0, self.size - start)
        known = self.last[-place:] if place else b""
        return place if text[place - len(known) : place] == known else None


class Overheard:
    """What was told of the output of one worker's task. Reactor thread only."""

    def __init__(self, output: OutputFile, journal: Journal) -> None:
        self._output = output
        self._journal = journal
        self._told: _Told | None = None

    def look(self, running: At, pid: int = 0) -> tuple[messages.Output, bytes] | None:
        """What the task at work has printed since the last look, in whole lines; None: nothing.

        What the worker has said until now must have gone through :meth:`rest`.
        """
        told = self._told if self._told is not None and self._told.task == running else None
        text, start, dropped = self._behind(told)
        chunk, index, _ = running
        held = self._journal.held(index)
        if held is not None:
            text = text[: max(0, held - start)]
        text = text[: _whole(text)]
        if not text or self._journal.running() != running:
            return None
        self._told = _Told(task=running, size=start + len(text), last=text[-LAST:])
        return messages.Output(chunk=chunk, index=index, worker=pid, dropped=dropped), text

    def _behind(self, told: _Told | None) -> tuple[bytes, int, int]:
        """What stands in the file and was not told, where it begins, how much is missing before."""
        if told is not None:
            text, start = self._output.behind(told.size - len(told.last), KEPT)
            place = told.end_in(text, start)
            if place is not None:
                start += place
                return text[place:], start, min(MOST, start - told.size)
        text, start = self._output.behind(0, KEPT)
        return text, start, min(MOST, start)  # who has printed more has bent the file

    def rest(self, message: messages.Output, body: bytes) -> tuple[messages.Output, bytes] | None:
        """What a worker says of its task's output, without what was told; None: that was all."""
        told = self._told
        if told is None or told.task[:2] != (message.chunk, message.index) or message.display:
            return message, body
        place = told.end_in(body, message.start)
        if place is None:
            return message, body
        dropped, body = min(message.dropped, max(0, message.start - told.size)), body[place:]
        if not body and not dropped:
            return None
        return msgspec.structs.replace(message, dropped=dropped), body

    def left(self, remains: Remains) -> tuple[bytes, int]:
        """What a dead worker's task had printed behind what was told, and how much is missing.

        It is empty where nothing was told: then all stands in what is said of the task's end.
        """
        told = self._told
        if told is None or told.task[:2] != (remains.chunk, remains.running):
            return b"", 0
        text, _, dropped = self._behind(told)
        return text, dropped


def _whole(text: bytes) -> int:
    """Where that ends which is told at a look: with a whole line that moves no cursor.

    It is the last one of those that are told at a look, or else the first one there is.
    """
    end = text.rfind(b"\n", 0, TOLD) + 1
    while end:
        begin = text.rfind(b"\n", 0, end - 1) + 1
        if _MOVES.search(text, begin, end) is None:
            return end
        end = begin
    while end := text.find(b"\n", begin := end) + 1:
        if _MOVES.search(text, begin, end) is None:
            return end
    return 0
