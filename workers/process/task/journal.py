"""Outcomes outlive workers: a worker gathers them in memory that its pool has mapped too.

Layout of the 1 MiB, in 8-byte words unless said otherwise::

    CHUNK     the chunk at work + 1, or 0
    RUNNING   index of the task that began last + 1, or 0
    STARTED   when it began (float, CLOCK_MONOTONIC: the same in every process)
    FIRST     index of the first outcome gathered, or of the next one to come
    COUNT     how many outcomes are gathered
    CANCEL    written by the pool: the chunk to be cancelled + 1
    STOP      written by the pool: no further task of this chunk + 1, or of an earlier one, begins
    OVER      written by the pool: a task of this chunk + 1 takes more memory than it may,
    OVER_AT   namely the one of this index + 1
    NOTED     how many bytes of the note are valid
    SKIP      written by the pool: this chunk + 1 does not begin
    ends      SLOTS words: where each outcome's blob ends
    kinds     SLOTS bytes
    note      NOTE bytes: the arguments of the chunk's only task, for its death certificate
    blobs     the rest

The order of the stores makes every moment a good one to die at:

- An outcome is there once COUNT is stored, after its bytes. One aligned 8-byte store is atomic.
- ``flush`` sends the gathered outcomes completely and only then stores COUNT = 0. Whoever dies in
  between leaves them in both places, and the reader drops duplicates. Whoever dies in the middle
  of the send leaves a partial frame, which is dropped, and all of them here.
- A task has no outcome yet if its index is FIRST + COUNT or more: so finishing needs no store.
- An outcome too large to be gathered goes to the socket directly. Whoever dies in the middle of
  that leaves RUNNING at its task, which so counts as the one that was running.

What is gathered is laid out as the body of an ``Outcomes`` frame and sent from where it lies.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from typing import Any

from scattergather.machine.kernel import barrier
from scattergather.wire.memory.owned import address_of, blank

SIZE = 1 << 20
SLOTS = 4096
LARGE = 1 << 18
"""Blobs of more bytes are not gathered."""

FULL = 1 << 18
"""Gathered bytes above which the worker should flush."""

NOTE = 256

CHUNK, RUNNING, STARTED, FIRST, COUNT, CANCEL, STOP, OVER, OVER_AT, NOTED, SKIP = range(11)
_ENDS = 128
_KINDS = _ENDS + 8 * SLOTS
_NOTE = _KINDS + SLOTS
_BLOBS = _NOTE + NOTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What a worker left.

    Attributes:
        chunk: the chunk it was at; -1 if there never was one.
        running: index of the task it was in, None between tasks.
        started: when the task that began last did so.
        outcomes: ``(index, kind, blob)`` of the finished ones that may not have been sent.
        note: the arguments of the chunk's task, in short, if it travelled alone.
    """

    chunk: int
    running: int | None
    started: float
    outcomes: list[tuple[int, int, bytes]]
    note: str = ""


class Journal:
    """One worker's journal: ``create`` is for the pool, ``attach`` for the worker."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, SIZE, mmap.MAP_SHARED)
        whole = memoryview(self._map)
        self.words: Any = whole[:_ENDS].cast("Q")
        self.times: Any = whole[:_ENDS].cast("d")
        self.ends: Any = whole[_ENDS:_KINDS].cast("Q")
        self.kinds = whole[_KINDS:_NOTE]
        self.blobs = whole[_BLOBS:]
        self._whole = whole

    # ---- the pool's side -------------------------------------------------------------------------

    @classmethod
    def create(cls) -> Journal:
        """An empty journal; ``fd`` goes to the worker."""
        fd = os.memfd_create("scattergather-journal", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE)
        return cls(fd)

    def running(self) -> tuple[int, int, float] | None:
        """Chunk, index and start of the task at work, or None between tasks."""
        words = self.words
        while True:
            seen = words[CHUNK], words[RUNNING], self.times[STARTED]
            finished = words[FIRST] + words[COUNT]
            if seen == (words[CHUNK], words[RUNNING], self.times[STARTED]):
                break
        chunk, running, started = seen
        return (chunk - 1, running - 1, started) if running > finished else None

    def harvest(self) -> Remains:
        """What a worker that is dead, or waits, has left."""
        words, ends = self.words, self.ends
        first, count = words[FIRST], min(words[COUNT], SLOTS)
        outcomes = []
        start = 0
        for place in range(count):
            end = ends[place]
            outcomes.append((first + place, self.kinds[place], bytes(self.blobs[start:end])))
            start = end
        running = self.running()
        return Remains(
            chunk=words[CHUNK] - 1,
            running=running[1] if running is not None else None,
            started=self.times[STARTED],
            outcomes=outcomes,
            note=bytes(self._whole[_NOTE : _NOTE + min(words[NOTED], NOTE)]).decode(
                "utf-8", "replace"
            ),
        )

    def waiting(self, since: float) -> Remains | None:
        """Outcomes that wait for the end of a task which began before ``since``, if there are any.

        The worker may go on meanwhile: what is read counts only if nothing had moved when it was
        all read.
        """
        words = self.words
        seen = words[CHUNK], words[RUNNING], words[FIRST], words[COUNT]
        if not seen[3] or self.times[STARTED] > since:
            return None
        left = self.harvest()
        if left.running is None:
            return None
        return left if seen == (words[CHUNK], words[RUNNING], words[FIRST], words[COUNT]) else None

    def request_cancel(self, chunk: int) -> None:
        """The worker stops at this chunk, if it is at it; SIGINT wakes the task."""
        self.words[CANCEL] = chunk + 1
        self.request_stop(chunk)

    def request_stop(self, chunk: int) -> None:
        """No further task begins of this chunk, or of one before it; what runs goes on."""
        self.words[STOP] = max(self.words[STOP], chunk + 1)

    def request_skip(self, chunk: int) -> bool:
        """A chunk that waits behind another does not begin; True if it surely has not.

        The worker stores which chunk it is at, and then looks at SKIP. The pool stores SKIP, and
        then looks which chunk the worker is at. The barrier between makes sure that one of them
        sees what the other did. There is one such word: before the next request the worker must
        have said that it skipped the chunk.
        """
        self.words[SKIP] = chunk + 1
        barrier()
        return bool(self.words[CHUNK] != chunk + 1)

    def exceed(self, chunk: int, index: int) -> None:
        """This task takes more memory than it may, if it still runs; SIGINT tells it so."""
        self.words[OVER_AT] = index + 1
        self.words[OVER] = chunk + 1

    def close(self) -> None:
        """The memory is unmapped, and the descriptor closed if it is ours."""
        for view in (self.words, self.times, self.ends, self.kinds, self.blobs, self._whole):
            view.release()
        self._map.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def detach(self) -> None:
        """In a copy of the worker: what is written and read here is nobody else's."""
        blank(address_of(self._whole), SIZE)

    # ---- the worker's side -----------------------------------------------------------------------

    @classmethod
    def attach(cls, fd: int) -> Journal:
        """The worker's view; ``fd`` stays the caller's to close, the mapping needs it no more."""
        journal = cls(fd)
        journal.fd = -1
        return journal

    def open(self, chunk: int, first: int) -> None:
        """A chunk is taken up; everything gathered was flushed."""
        words = self.words
        words[COUNT] = 0
        words[RUNNING] = 0
        words[NOTED] = 0
        words[FIRST] = first
        words[CHUNK] = chunk + 1

    def begin(self, index: int, now: float | None = None) -> None:
        """Task ``index`` runs from now on."""
        self.times[STARTED] = time.monotonic() if now is None else now
        self.words[RUNNING] = index + 1

    def record(self, kind: int, blob: bytes | memoryview) -> int:
        """Gather the next outcome, of at most ``LARGE`` bytes; returns how many bytes there are.

        There is always room if the caller flushes at ``full``.
        """
        words, ends = self.words, self.ends
        count = words[COUNT]
        start = ends[count - 1] if count else 0
        end: int = start + len(blob)
        self.blobs[start:end] = blob
        ends[count] = end
        self.kinds[count] = kind
        words[COUNT] = count + 1
        return SIZE if count + 1 == SLOTS else end

    def gathered(self) -> tuple[int, memoryview, memoryview, memoryview]:
        """Index of the first outcome gathered, kinds, table of ends and blobs."""
        count = self.words[COUNT]
        size = self.ends[count - 1] if count else 0
        table = self._whole[_ENDS : _ENDS + 8 * count]
        return self.words[FIRST], self.kinds[:count], table, self.blobs[:size]

    def sent(self, count: int) -> None:
        """``count`` outcomes left for the pool: those gathered, or one that went directly."""
        words = self.words
        # In this order nobody ever sees an outcome at a wrong index; a reader that comes in
        # between takes a finished task of a dead worker for one that ran, which is harmless as
        # its outcome came by the socket and duplicates are dropped.
        words[COUNT] = 0
        words[FIRST] += count

    def note(self, text: str) -> None:
        """What a death certificate should say of the chunk's task."""
        data = text.encode("utf-8", "replace")[:NOTE]
        self._whole[_NOTE : _NOTE + len(data)] = data
        self.words[NOTED] = len(data)

    def exceeded(self) -> bool:
        """True when the pool has seen that the present task takes more memory than it may."""
        words = self.words
        return bool(words[OVER] == words[CHUNK] and words[OVER_AT] == words[RUNNING])

    def cancelled(self) -> bool:
        """True when the pool wants the present chunk to end."""
        words = self.words
        return bool(words[CANCEL] == words[CHUNK])

    def stopped(self) -> bool:
        """True when no further task of the present chunk may begin."""
        words = self.words
        return bool(words[STOP] >= words[CHUNK] or words[SKIP] == words[CHUNK])
