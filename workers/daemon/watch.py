"""Looks at workers and zygotes, from outside, while they cannot speak for themselves.

- Workers that have a chunk are looked at five times a second, as long as there are any: the time
  and the memory that their tasks take, whether a signal stopped them, outcomes that wait behind a
  long task, what a task has printed that runs for more than a second, output that floods.
- Zygotes are looked at every two seconds, always.
- When nothing has worked for a few of those looks, free memory goes back to the system, and so
  does what becomes free later: somebody may have kept a value until then.
- Every six seconds is told how the machine is, also at rest: others may use it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.logger import Logger

from scattergather.reactor.seam import Clock, Timer, call_off
from scattergather.workers.daemon.machine import KillsSeam, WorkerSeam
from scattergather.workers.daemon.nursery import LOOK_SECONDS, Nursery
from scattergather.workers.pool import events
from scattergather.workers.pool.losses.watching import AtWork
from scattergather.workers.process.task.journal import Contradiction

WATCH_SECONDS = 0.2
"""How often working processes are looked at."""

PRINTS_AFTER = 1.0
"""Seconds that a task has run before what it prints is told; most have ended by then."""

PRINT_LOOKS = 5
"""Each so many looks it is."""

VITAL_LOOKS = 3
"""Each so many looks at zygotes it is told how the machine is."""

REST_LOOKS = 3
"""After so many looks at zygotes without work free memory goes back to the system."""


class WorkerWatch:
    """The looks of one pool. Reactor thread only.

    Attributes:
        looking: workers are being looked at.

    Args:
        nursery: where the workers and zygotes are.
        memory_kills: what the kernel did for want of memory.
        working: which workers have a chunk.
        handle: takes what was seen.
        rest: called when nothing has worked for a while.
        tell: called when it is time to tell how the machine is.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Clock,
        nursery: Nursery,
        memory_kills: KillsSeam,
        *,
        working: Callable[[], list[AtWork]],
        handle: Callable[[events.Event], None],
        rest: Callable[[], None],
        tell: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._nursery = nursery
        self._memory_kills = memory_kills
        self._working = working
        self._handle = handle
        self._rest = rest
        self._tell = tell
        self.looking = False
        self._next: Timer | None = None
        self._next_zygotes: Timer | None = None
        self._quiet = 0
        self._until_told = VITAL_LOOKS
        self._count = 0
        self._stopped = False

    def start(self) -> None:
        """Look at the zygotes, from now on until ``stop``."""
        self._look_at_zygotes()

    def stop(self) -> None:
        """Look at nothing any more."""
        self._stopped = True
        call_off(self._next)
        call_off(self._next_zygotes)

    def begin(self) -> None:
        """A worker was given something to do: look at those that work, until none does."""
        if not self._stopped:
            self.looking = True
            self._next = self._reactor.callLater(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        self._memory_kills.look(self._reactor.seconds())
        self._count += 1
        hears = not self._count % PRINT_LOOKS
        working = self._working()
        try:
            for each in working:
                # What was seen of one may be the end of another.
                worker = self._nursery.worker(each.worker)
                if worker is not None:
                    self._look_at(worker, memory=each.limited, hears=hears and each.heard)
        finally:
            # Only now: what was seen may have brought a worker a chunk, and one series is enough.
            self.looking = False
            if working:
                self.begin()

    def _look_at(self, worker: WorkerSeam, *, memory: bool, hears: bool) -> None:
        """Look at one worker. Whatever is wrong with it, the others are looked at all the same."""
        try:
            worker.trim()
            for event in self._seen(worker, memory=memory, hears=hears):
                self._handle(event)
        except Exception as error:
            if not isinstance(error, Contradiction):
                self.log.failure("worker {n} cannot be looked at", n=worker.number)
            self._handle(events.Contradicted(worker=worker.number, why=str(error)))

    def _seen(self, worker: WorkerSeam, *, memory: bool, hears: bool) -> Iterator[events.Event]:
        """What there is to say of a worker that works.

        Outcomes that wait, the task it is in, and what that has printed.
        """
        waiting = worker.waiting(self._reactor.seconds() - WATCH_SECONDS)
        if waiting is not None:
            message, body = waiting
            yield events.WorkerSaid(worker=worker.number, message=message, body=body)
        running = worker.running()
        if hears and running and self._reactor.seconds() - running[2] >= PRINTS_AFTER:
            printed = worker.printed(running)
            if printed is not None:
                yield events.WorkerSaid(worker=worker.number, message=printed[0], body=printed[1])
        if worker.stopped():
            yield events.FoundStopped(worker=worker.number)
        elif running is not None:
            chunk, index, started = running
            yield events.Sampled(
                worker=worker.number,
                chunk=chunk,
                index=index,
                started=started,
                memory=worker.memory() if memory else 0,
            )
        elif (used := worker.used_asleep()) is not None:
            yield events.FoundAsleep(worker=worker.number, used=used)

    def _look_at_zygotes(self) -> None:
        self._quiet = 0 if self._working() else self._quiet + 1
        if self._quiet >= REST_LOOKS:
            self._rest()
        self._until_told -= 1
        if not self._until_told:
            self._until_told = VITAL_LOOKS
            self._tell()
        self._nursery.end_stopped()
        self._next_zygotes = self._reactor.callLater(LOOK_SECONDS, self._look_at_zygotes)
