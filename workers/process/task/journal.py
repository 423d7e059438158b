"""Outcomes outlive workers: a worker gathers them in memory that its pool has mapped too.

Layout of the 1 MiB, in 8-byte words unless said otherwise::

    CHUNK     the chunk at work + 1, or NOWHERE before the first and on the way to the next
    RUNNING   index of the task that began last + BEGUN; of the one before the first at the start
    STARTED   when it began (float, CLOCK_MONOTONIC: the same in every process)
    FIRST     index of the first outcome gathered, or of the next one to come
    COUNT     how many outcomes are gathered
    CANCEL    written by the pool: the chunk to be cancelled + 1
    STOP      written by the pool: no further task of this chunk + 1, or of an earlier one, begins
    OVER      written by the pool: a task of this chunk + 1 takes more memory than it may,
    OVER_AT   namely the one of this index + 1
    NOTED     how many bytes of the note are valid
    SKIP      written by the pool: this chunk + 1 does not begin
    HELD      the task of this index + BEGUN has displayed something, or cleared what it printed:
    HELD_AT   what it prints behind so many bytes is told at its end
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

Native code of a task may write anything here. So the pool takes it for what a stranger says:
numbers have bounds, nothing is looked at for longer than a few times, and what cannot be is a
contradiction. Where a worker is stands here twice, by RUNNING and by FIRST and COUNT; and zeros,
which are written by accident most often, are always a contradiction.

What is gathered is laid out as the body of an ``Outcomes`` frame and sent from where it lies.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scattergather.machine.kernel import barrier
from scattergather.model.outcome import OWN_KINDS
from scattergather.wire.memory.owned import address_of, blank
from scattergather.wire.messages.shared import MOST

SIZE = 1 << 20
SLOTS = 4096
LARGE = 1 << 18
"""Blobs of more bytes are not gathered."""

FULL = 1 << 18
"""Gathered bytes above which the worker should flush."""

NOTE = 256

BEGUN = 2
NOWHERE = (1 << 64) - (1 << 32) - 11
"""In the place of a chunk. Nobody writes it by accident, as he may write zeros."""

LOOKS = 100
"""So often is looked at where a worker is, if it is somewhere else each time."""

CHUNK, RUNNING, STARTED, FIRST, COUNT, CANCEL, STOP, OVER, OVER_AT, NOTED, SKIP, HELD, HELD_AT = (
    range(13)
)
_WORD, _DOUBLE = struct.Struct("=Q"), struct.Struct("=d")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_ENDS = 128
_KINDS = _ENDS + 8 * SLOTS
_NOTE = _KINDS + SLOTS
_BLOBS = _NOTE + NOTE


SCRIBBLED = "a task has written over its worker's journal"


class Contradiction(Exception):
    """What stands in a journal cannot be: something wrote there that must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a worker is: in which chunk, how many tasks of its job are behind it, in which one."""

    chunk: int
    finished: int
    running: int | None
    started: float


def _place(words: Sequence[int]) -> _Place:
    """Where a worker is, by the words of its journal. A task may have written anything there.

    Raises:
        Contradiction: they do not fit each other.
    """
    first, count, index = words[FIRST], words[COUNT], words[RUNNING] - BEGUN
    started: float = _DOUBLE.unpack(_WORD.pack(words[STARTED]))[0]
    if words[CHUNK] == NOWHERE:
        return _Place(chunk=-1, finished=0, running=None, started=0.0)
    if not (0 < words[CHUNK] <= MOST + 1 and first <= MOST and count <= SLOTS):
        raise Contradiction("its journal counts beyond all bounds")
    finished = first + count
    # What was sent is not counted any more for a moment before FIRST says so.
    if not finished - 1 <= index <= finished + (0 if count else SLOTS):
        raise Contradiction("its journal tells of a task that it cannot be in")
    if not math.isfinite(started):
        raise Contradiction("a task began at no time, by its journal")
    running = index if index >= finished else None
    return _Place(chunk=words[CHUNK] - 1, finished=finished, running=running, started=started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What a worker left.

    Attributes:
        chunk: the chunk it was at; -1 if there never was one.
        running: index of the task it was in, None between tasks.
        started: when the task that began last did so.
        outcomes: ``(index, kind, blob)`` of the finished ones that may not have been sent.
        finished: index of the first task without an outcome.
        note: the arguments of the chunk's task, in short, if it travelled alone.
    """

    chunk: int
    running: int | None
    started: float
    outcomes: list[tuple[int, int, bytes]]
    finished: int
    note: str = ""


NOTHING = Remains(chunk=-1, running=None, started=0.0, outcomes=[], finished=0)
"""What is left where nothing was, or can be read."""


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
        # The worker's own, which no task writes over: what it gathers it finds by these, and the
        # words only tell others.
        self._first = self._count = self._end = 0

    # ---- the pool's side -------------------------------------------------------------------------

    @classmethod
    def create(cls) -> Journal:
        """An empty journal; ``fd`` goes to the worker, which cannot make it shorter."""
        fd = os.memfd_create("scattergather-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        journal = cls(fd)
        journal.words[CHUNK] = NOWHERE
        return journal

    def running(self) -> tuple[int, int, float] | None:
        """Chunk, index and start of the task at work; None between tasks, or where they fly by.

        Raises:
            Contradiction: what stands there cannot be.
        """
        words = self._head()
        for _ in range(LOOKS):
            before, words = words, self._head()
            if words == before:
                at = _place(words)
                return None if at.running is None else (at.chunk, at.running, at.started)
        return None

    def harvest(self) -> Remains:
        """What a worker that is dead, or waits, has left.

        Raises:
            Contradiction: what stands there cannot be.
        """
        words = self._head()
        at, count = _place(words), words[COUNT]
        ends = self.ends[:count].tolist()
        starts = [0, *ends][:count]
        kinds = bytes(self.kinds[:count])
        if ends != sorted(ends) or (ends and ends[-1] > len(self.blobs)):
            raise Contradiction("outcomes in its journal end before they begin")
        if kinds.strip(OWN_KINDS):
            raise Contradiction("an outcome in its journal is of no kind that there is")
        blobs = [bytes(self.blobs[start:end]) for start, end in zip(starts, ends, strict=True)]
        note = bytes(self._whole[_NOTE : _NOTE + min(words[NOTED], NOTE)])
        return Remains(
            chunk=at.chunk,
            running=at.running,
            started=at.started,
            outcomes=list(zip(range(words[FIRST], at.finished), kinds, blobs, strict=True)),
            finished=at.finished,
            note=note.decode("utf-8", "replace"),
        )

    def waiting(self, since: float) -> Remains | None:
        """Outcomes that wait for the end of a task which began before ``since``, if there are any.

        The worker may go on meanwhile: what is read counts only if nothing had moved when it was
        all read.

        Raises:
            Contradiction: what stands there cannot be.
        """
        words = self._head()
        if not words[COUNT] or self.times[STARTED] > since:
            return None
        wrong: Contradiction | None = None
        left: Remains | None = None
        try:
            left = self.harvest()
        except Contradiction as error:
            wrong = error
        if words != self._head():
            return None
        if wrong is not None:
            raise wrong
        return None if left is None or left.running is None else left

    def _head(self) -> tuple[int, ...]:
        """The words as they are now. As whole numbers: one that is none is not equal to itself."""
        return tuple(self.words[: NOTED + 1].tolist())

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
        self.words[OVER_AT] = index + BEGUN
        self.words[OVER] = chunk + 1

    def held(self, index: int) -> int | None:
        """How much of what this task prints is told while it runs; None: as much as there is."""
        words = self.words
        return int(words[HELD_AT]) if words[HELD] == index + BEGUN else None

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
        words[CHUNK] = NOWHERE
        words[COUNT] = 0
        words[RUNNING] = first - 1 + BEGUN
        words[NOTED] = words[HELD] = 0
        words[FIRST] = first
        self._first, self._count, self._end = first, 0, 0
        words[CHUNK] = chunk + 1

    def begin(self, index: int, now: float | None = None) -> None:
        """Task ``index`` runs from now on."""
        self.times[STARTED] = time.monotonic() if now is None else now
        self.words[RUNNING] = index + BEGUN

    @property
    def index(self) -> int:
        """The task that began last."""
        index: int = self.words[RUNNING] - BEGUN
        return index

    def record(self, kind: int, blob: bytes | memoryview) -> int:
        """Gather the next outcome, of at most ``LARGE`` bytes; returns how many bytes there are.

        There is always room if the caller flushes at ``full``.
        """
        count, start = self._count, self._end
        self._end = end = start + len(blob)
        self.blobs[start:end] = blob
        self.ends[count] = end
        self.kinds[count] = kind
        self._count = count = count + 1
        self.words[COUNT] = count
        return SIZE if count == SLOTS else end

    @property
    def finished(self) -> int:
        """The first task without an outcome."""
        return self._first + self._count

    def gathered(self) -> tuple[int, memoryview, memoryview, memoryview]:
        """Index of the first outcome gathered, kinds, table of ends and blobs.

        Raises:
            Contradiction: a task has written here. What it left must not be sent as outcomes.
        """
        words, first, count = self.words, self._first, self._count
        told = words[FIRST] == first and words[COUNT] == count
        if not (told and 0 <= self.index + 1 - first - count <= 1):
            raise Contradiction(SCRIBBLED)
        table = self._whole[_ENDS : _ENDS + 8 * count]
        return first, self.kinds[:count], table, self.blobs[: self._end]

    def sent(self, count: int) -> None:
        """``count`` outcomes left for the pool: those gathered, or one that went directly."""
        words = self.words
        # In this order nobody ever sees an outcome at a wrong index; a reader that comes in
        # between takes a finished task of a dead worker for one that ran, which is harmless as
        # its outcome came by the socket and duplicates are dropped.
        words[COUNT] = self._count = self._end = 0
        words[FIRST] = self._first = self._first + count

    def note(self, text: str) -> None:
        """What a death certificate should say of the chunk's task."""
        data = text.encode("utf-8", "replace")[:NOTE]
        self._whole[_NOTE : _NOTE + len(data)] = data
        self.words[NOTED] = len(data)

    def hold(self, size: int) -> None:
        """What the task at work prints behind so many bytes is told at its end."""
        words = self.words
        if words[HELD] != words[RUNNING]:
            words[HELD_AT] = size
            words[HELD] = words[RUNNING]

    def hold_all(self) -> None:
        """Nothing of what is printed from now on is told before the task at work has ended."""
        self.words[HELD_AT] = 0
        self.words[HELD] = self.words[RUNNING]

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
