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
"""

from __future__ import annotations

import re

import msgspec

from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import MOST
from scattergather.workers.process.surroundings.capture import KEPT, OutputFile
from scattergather.workers.process.task.journal import Journal, Remains

_MOVES = re.compile(rb"\r(?!\n)|\x08|\x1b\[[0-9;]*[ -/]*[@-ln-~]")
"""What moves the cursor, or erases; a colour does not."""

TOLD = 1 << 14
"""Bytes that are told at a look: what a task floods must not hold up what comes of others."""

At = tuple[int, int, float]
"""Chunk, index and start of a task at work."""


class Overheard:
    """What was told of the output of one worker's task. Reactor thread only."""

    def __init__(self, output: OutputFile, journal: Journal, pid: int = 0) -> None:
        self._output = output
        self._journal = journal
        self.pid = pid
        self._task: At | None = None
        self._told = 0
        """Bytes of it that were told, or are dropped."""

    def look(self, running: At) -> tuple[messages.Output, bytes] | None:
        """What the task at work has printed since the last look, in whole lines; None: nothing."""
        told = self._told if running == self._task else 0
        text, start = self._output.behind(told, KEPT)
        chunk, index, _ = running
        held = self._journal.held(index)
        text = text[: TOLD if held is None else min(TOLD, max(0, held - start))]
        text = text[: _whole(text)]
        if not text or self._journal.running() != running:
            return None
        self._task, self._told = running, start + len(text)
        dropped = min(MOST, start - told)  # who has printed that much has bent his file
        message = messages.Output(chunk=chunk, index=index, worker=self.pid, dropped=dropped)
        return message, text

    def rest(self, message: messages.Output, body: bytes) -> tuple[messages.Output, bytes] | None:
        """What a worker says of its task's output, without what was told; None: that was all."""
        if self._task is None or self._task[:2] != (message.chunk, message.index):
            return message, body
        if message.display or not self._told:
            return message, body
        dropped = min(message.dropped, max(0, message.start - self._told))
        body = body[max(0, self._told - message.start) :]
        if not body and not dropped:
            return None
        return msgspec.structs.replace(message, dropped=dropped), body

    def left(self, remains: Remains) -> tuple[bytes, int]:
        """What a dead worker's task had printed behind what was told, and how much is missing.

        It is empty where nothing was told: then all stands in what is said of the task's end.
        """
        task = self._task
        if task is None or not self._told or task[:2] != (remains.chunk, remains.running):
            return b"", 0
        text, start = self._output.behind(self._told, KEPT)
        return text, min(MOST, start - self._told)


def _whole(text: bytes) -> int:
    """Where the last line ends that is whole and moves no cursor."""
    end = text.rfind(b"\n") + 1
    while end:
        begin = text.rfind(b"\n", 0, end - 1) + 1
        if _MOVES.search(text, begin, end) is None:
            break
        end = begin
    return end
