"""A worker process: what ``workers.process`` does, in virtual time and without running anything.

It begins tasks one after the other, marks each in its journal, gathers outcomes there, sends them
every ``FLUSH_SECONDS`` and at the end of a chunk, and may die at any moment, also in the middle of
a flush. What a task does is in its ``Nature``.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.daemon.machine import OnBroken
from scattergather.workers.pool.events import Harvest
from tests.simulation.clock import Call, Scope
from tests.simulation.large import Slab
from tests.simulation.ledger import Ledger
from tests.simulation.workload import Load, Nature

if TYPE_CHECKING:
    from tests.simulation.daemon import Zygote

FLUSH_SECONDS = 1e-2
FOREVER = 30.0
PIPE_SECONDS = 5e-5


class Process:
    """One worker; twin of ``workers.daemon.process``, and of what that holds the ends of."""

    def __init__(
        self,
        machine: Scope,
        ledger: Ledger,
        chance: random.Random,
        host: str,
        number: int,
        on_message: Callable[[int, messages.FromWorker, bytes], None],
        on_broken: OnBroken,
    ) -> None:
        self.ledger, self.chance, self.host, self.number = ledger, chance, host, number
        self.scope = Scope(machine.clock, machine)
        self.zygote: Zygote | None = None
        self.pid = ledger.new_pid()
        self.slabs: set[bytes] = set()
        self._slab: Slab | None = None
        self._introduced: dict[bytes, None] = {}
        self._coming: deque[int] = deque()
        self._known: dict[bytes, int] = {}
        self._kept: Counter[bytes] = Counter()
        self._machine, self._on_message, self._on_broken = machine, on_message, on_broken
        self._freed = False
        self.written: deque[tuple[messages.FromWorker, bytes]] = deque()
        self.unread: deque[tuple[messages.ToWorker, bytes]] = deque()
        self.inbox: deque[tuple[messages.ToWorker, bytes]] = deque()
        self.held: dict[int, tuple[messages.Run, bytes]] = {}
        self.run: messages.Run | None = None
        self.tasks: list[bytes] = []
        self.chunk = -1
        self._cancelled = self._last = self._skipped = -1
        self._exceeded = (-1, -1)
        self.index = 0
        self.in_task = False
        self.began = 0.0
        self.gathered: list[tuple[int, int, bytes]] = []
        self.refreshed = False
        self.waits_for: dict[int, bytes] = {}
        self.asleep = False
        self._tickets = 0
        self._since = 0.0
        self._next: Call | None = None
        self.born = False
        self.dead = False

    # ---- its pipe and its signals ----

    def live(self) -> None:
        """The zygote has forked it."""
        if self.chance.random() < self.ledger.world.stillborn:
            self.scope.callLater(1e-3, self.die, 0, 1)
        else:
            self.scope.callLater(self.chance.uniform(1e-3, 5e-3), self._born)

    def descriptors(self) -> list[int]:
        """It has none: its zygote is in this process."""
        return []

    def handed_over(self) -> None:
        """Nothing was."""

    def _born(self) -> None:
        self.born = True
        self.send(messages.Born(pid=self.pid))
        self._read_on()

    def send(self, message: messages.FromWorker, body: bytes = b"") -> None:
        self.written.append((message, body))
        self._machine.callLater(PIPE_SECONDS, self._deliver)

    def _deliver(self) -> None:
        if self.written and not self._freed:
            message, body = self.written.popleft()
            self._on_message(self.number, message, body)

    def tell(self, message: messages.ToWorker, body: bytes = b"") -> None:
        """The pool writes into the pipe."""
        self.unread.append((message, body))
        if isinstance(message, messages.Run):
            self.held[message.chunk] = message, blobs.each(body, message.count)[0]
        self.scope.callLater(PIPE_SECONDS, self._read)

    def _read(self) -> None:
        if not self.born or self._freed:
            return
        message, body = self.unread.popleft()
        if isinstance(message, messages.NestedOutcome):
            self._settled(message, body)
        elif isinstance(message, messages.Slab):
            self._known[message.slab] = self._coming.popleft()
        elif isinstance(message, messages.SlabGone):
            os.close(self._known.pop(message.slab))
        elif isinstance(message, messages.Recycle):
            for name in message.objects:
                if self._slab is not None:
                    self._slab.spoil(name)
        elif isinstance(message, messages.Allowance):
            pass
        elif isinstance(message, messages.Run) and self.asleep:
            self._give_back(message, message.first)
        else:
            self.inbox.append((message, body))
            if self.run is None:
                self._next_message()

    def _read_on(self) -> None:
        for _ in range(len(self.unread)):
            self._read()

    def signal(self, number: int) -> None:
        """What the zygote passes on."""
        if number == signal.SIGINT:
            cancelled = self._cancelled == self.chunk
            wanted = cancelled or self._exceeded == (self.chunk, self.index)
            if wanted and self.in_task and not self._nature.stubborn:
                self._stop_waiting()
                self._end(Kind.CANCELLED if cancelled else Kind.RAISED)
        elif number == signal.SIGTERM:
            if not (self.in_task and self._nature.immune):
                self.die(number)
        else:
            self.die(number)

    def die(self, number: int, status: int = 0) -> None:
        """It is gone; its zygote notices."""
        if self.dead:
            return
        self.dead = self.scope.dead = True
        self.ledger.died(self)
        if self.zygote is not None:
            self.zygote.died(self, number, status)

    # ---- what the service does with it ----

    def introduce(self, slab: bytes, fd: int, size: int) -> None:
        """It gets this slab, before what is told next."""
        if slab not in self._introduced:
            self._introduced[slab] = None
            self._coming.append(os.dup(fd))
            self.tell(messages.Slab(slab=slab, size=size), b"")

    def part_with(self, slab: bytes) -> None:
        if slab in self._introduced:
            del self._introduced[slab]
            self.tell(messages.SlabGone(slab=slab), b"")

    def recycle(self, objects: tuple[bytes, ...]) -> None:
        self.tell(messages.Recycle(objects=objects), b"")

    def take_descriptor(self) -> int:
        assert self._slab is not None
        return os.dup(self._slab.fd)

    def cancel(self, chunk: int) -> None:
        """In its journal, as ``warn`` and ``stop``; a signal follows."""
        self._cancelled = chunk
        self.stop(chunk)

    def warn(self, chunk: int, index: int) -> None:
        self._exceeded = chunk, index

    def stop(self, chunk: int) -> None:
        self._last = max(self._last, chunk)

    def recall(self, chunk: int) -> bool:
        self._skipped = chunk
        return self.chunk != chunk

    def hang_up(self) -> None:
        """It is idle, and ends."""
        self.written.clear()
        self.scope.callLater(1e-3, self.die, 0)

    def trim(self) -> None:
        """It prints nothing."""

    def printed(self, running: tuple[int, int, float]) -> None:
        """It prints nothing."""

    def stopped(self) -> bool:
        return self.scope.frozen and not self.dead

    def used_asleep(self) -> float | None:
        """It is about to do something whenever it is in no task."""
        return None

    def memory(self) -> int:
        return self.ledger.workload.memory(self.task)

    def running(self) -> tuple[int, int, float] | None:
        return (self.chunk, self.index, self.began) if self.in_task else None

    def waiting(self, since: float) -> tuple[messages.Outcomes, bytes] | None:
        """Outcomes that wait for the end of a task which began before ``since``."""
        if not self.gathered or not self.in_task or self.began > since:
            return None
        return self._outcomes(0.0), blobs.pack([blob for _, _, blob in self.gathered])

    def bury(self) -> Harvest:
        """What it had written is read, then what stands in its journal."""
        self.die(signal.SIGKILL)  # one that a dead zygote was to fork was never alive
        while self.written:
            self._deliver()
        if self.unread:
            # What the dead have not read is answered by a reset, when the rest has been read.
            self._on_broken(self.number, "connection reset by peer", False)
        assert not self._freed
        self.free()
        self.ledger.buried(self)
        return Harvest(
            chunk=self.chunk,
            running=self.index if self.in_task else None,
            outcomes=tuple(self.gathered),
        )

    def free(self) -> None:
        """Nobody listens any more."""
        self._freed = True
        for fd in (*self._coming, *self._known.values()):
            os.close(fd)
        self._coming.clear()
        self._known.clear()
        if self._slab is not None:
            self._slab.close()

    __del__ = free

    def _outcomes(self, elapsed: float) -> messages.Outcomes:
        return messages.Outcomes(
            chunk=self.chunk,
            first=self.gathered[0][0],
            kinds=bytes(kind for _, kind, _ in self.gathered),
            elapsed=elapsed,
            worker=self.pid,
        )

    # ---- chunks ----

    def _next_message(self) -> None:
        while self.inbox and self.run is None:
            message, body = self.inbox.popleft()
            if isinstance(message, messages.Run):
                self.run, self.tasks = message, blobs.each(body, message.count)
                self.chunk, self.index = message.chunk, message.first
                self.gathered.clear()
                self._since = self.scope.seconds()
                self._next = self.scope.callLater(1e-5, self._begin)
            elif isinstance(message, messages.Everywhere):
                self._look([extent.object for extent in message.objects], message.objects)
                done = messages.EverywhereDone(call=message.call, worker=self.pid, kind=0)
                self.send(done, body)

    @property
    def task(self) -> bytes:
        """The input of the task at hand, which names it."""
        assert self.run is not None
        return self.tasks[self.index - self.run.first]

    @property
    def _nature(self) -> Nature:
        return self.ledger.workload.nature(self.task)

    def _begin(self) -> None:
        if self._last >= self.chunk or self._skipped == self.chunk:
            self._chunk_over()
            return
        run = self.run
        assert run is not None
        self.in_task, self.began = True, self.scope.seconds()
        self.ledger.started(self, run)
        self._look(self.ledger.workload.load(self.task).takes, run.objects)
        nature = self._nature
        seconds = nature.slow + self.ledger.workload.seconds(run.job)
        if nature.kills:
            self._next = self.scope.callLater(seconds, self.die, nature.kills, 0)
        elif nature.runs_away:
            self._next = self.scope.callLater(FOREVER, self._end, Kind.RAISED)
        elif nature.children:
            self._next = self.scope.callLater(seconds, self._submit)
        elif run.attempt <= nature.flaky:
            self._next = self.scope.callLater(seconds, self._end, Kind.RETRYABLE)
        else:
            kind = Kind.RAISED if nature.raises else Kind.RETURNED
            self._next = self.scope.callLater(seconds, self._end, kind)

    def _end(self, kind: Kind) -> None:
        """The task is over: record it, and begin the next one."""
        run = self.run
        assert run is not None
        if self._next is not None:
            self._next.cancel()
        self.ledger.stopped(self, kind)
        load = self.ledger.workload.load(self.task)
        self._look(load.takes, run.objects)
        if load.keeps:
            self._keep(load.takes, run.objects)
        blob = self.ledger.workload.result(self.task, kind)
        if load.returns and kind == Kind.RETURNED and not self._freed:
            self._send_large(run, load, blob)
            if self.dead:
                return
        else:
            self.gathered.append((self.index, kind, blob))
        self.in_task = False
        self.index += 1
        if self.index == run.first + run.count or self._last >= self.chunk:
            self._chunk_over()
            return
        if self.scope.seconds() - self._since >= FLUSH_SECONDS:
            self._flush()
        if not self.dead:
            self._begin()

    # ---- large objects ----

    def _look(self, names: Iterable[bytes], extents: Iterable[Extent]) -> None:
        """It reads what it takes; when its session is over nobody cares what."""
        places = {extent.object: extent for extent in extents}
        for name in names:
            extent = places.get(name)
            self.ledger.check(extent is not None, f"nobody told of {name!r}")
            if extent is not None and not self._freed:
                fd = self._known.get(extent.slab)
                self.ledger.large.check(fd, extent, f"worker {self.pid}")

    def _keep(self, names: tuple[bytes, ...], extents: tuple[Extent, ...]) -> None:
        new = tuple(name for name in names if not self._kept[name])
        self._kept.update(names)
        if new:
            self.send(messages.Kept(objects=new))
        seconds = self.chance.choice((0.0, 0.1, 4.0))
        self.scope.callLater(seconds, self._let_go, names, extents)

    def _let_go(self, names: tuple[bytes, ...], extents: tuple[Extent, ...]) -> None:
        self._look(names, extents)
        self._kept.subtract(names)
        gone = tuple(name for name in names if not self._kept[name])
        if gone:
            self.send(messages.LetGo(objects=gone))

    def _send_large(self, run: messages.Run, load: Load, blob: bytes) -> None:
        """A large result goes at once; it may die before, in the middle, or after."""
        self._flush()
        last, torn = self.chance.random(), self.ledger.world.torn
        if self.dead or last < torn / 3:
            self.die(signal.SIGKILL)
            return
        objects: tuple[Extent, ...] = ()
        borrowed: tuple[Extent, ...] = ()
        stays = run.lend or run.keep
        if load.returns == "same" and not run.keep and load.takes[0] not in run.away:
            borrowed = tuple(each for each in run.objects if each.object == load.takes[0])
        else:
            objects = (self._make(),)
            self.ledger.large.made(objects[0].object, self.task)
        if last < torn * 2 / 3:
            self.die(signal.SIGKILL)
            return
        message = messages.Outcomes(
            chunk=self.chunk,
            first=self.index,
            kinds=bytes([Kind.RETURNED]),
            elapsed=self.scope.seconds() - self._since,
            worker=self.pid,
            objects=() if stays else objects,
            borrowed=borrowed,
            lent=objects if stays else (),
        )
        self.send(message, blobs.pack([blob]))
        if self.index + 1 == run.first + run.count:
            del self.held[run.chunk]
        self._since = self.scope.seconds()
        if last < torn:
            self.die(signal.SIGKILL)

    def _make(self) -> Extent:
        """A new object of its own, in memory that its pool has."""
        if self._slab is None:
            self._slab = self.ledger.large.slab()
            self.send(messages.Slab(slab=self._slab.id, size=self._slab.size))
        return self._slab.put(self.ledger.large.name())

    def _give_objects_back(self, extents: tuple[Extent, ...]) -> None:
        names = tuple(extent.object for extent in extents)
        self._look(names, extents)
        self.send(messages.Release(objects=names))

    def _chunk_over(self) -> None:
        run = self.run
        assert run is not None
        self._flush()
        if self.dead:
            return
        self.run = None
        self.waits_for.clear()
        if self.index < run.first + run.count:
            self._give_back(run, self.index)
        self._next_message()

    def _give_back(self, run: messages.Run, first: int) -> None:
        del self.held[run.chunk]
        self.send(messages.GaveBack(chunk=run.chunk, first=first))

    def _flush(self) -> None:
        """Send what is gathered; a death within leaves it in the journal, sent or not."""
        if not self.gathered:
            return
        chance = self.chance.random()
        if chance >= self.ledger.world.torn / 2:
            message = self._outcomes(self.scope.seconds() - self._since)
            self.send(message, blobs.pack([blob for _, _, blob in self.gathered]))
            if self.run is not None and self.index == self.run.first + self.run.count:
                del self.held[self.run.chunk]
        if chance < self.ledger.world.torn:
            self.die(signal.SIGKILL)
        else:
            self.gathered.clear()
            self._since = self.scope.seconds()

    # ---- nested calls ----

    def _submit(self) -> None:
        assert self.run is not None
        for child in self.ledger.workload.children(self.task, self.run.attempt, self.pid):
            self._tickets += 1
            self.waits_for[self._tickets] = child
            lent = tuple(self._make() for _ in range(self.chance.choice((0, 0, 1, 2))))
            borrowed = self.run.objects[: self.chance.choice((0, 1, 2))]
            self.ledger.workload.furnish_nested(child, (*lent, *borrowed))
            submit = messages.NestedSubmit(
                ticket=self._tickets,
                function="child",
                chunk=self.chunk,
                lent=lent,
                borrowed=borrowed,
            )
            self.send(submit, child)
        self._flush()
        if self.dead:
            return
        kept = [entry for entry in self.inbox if not isinstance(entry[0], messages.Run)]
        unstarted = [entry[0] for entry in self.inbox if isinstance(entry[0], messages.Run)]
        self.inbox = deque(kept)
        for run in unstarted:
            self._give_back(run, run.first)
        self.asleep = True
        self.send(messages.Waiting())

    def _settled(self, message: messages.NestedOutcome, body: bytes) -> None:
        child = self.waits_for.pop(message.ticket, None)
        if message.objects:
            seconds = 0.0 if child is None else self.chance.choice((0.0, 0.1, 4.0))
            self._look([extent.object for extent in message.objects], message.objects)
            self.scope.callLater(seconds, self._give_objects_back, message.objects)
        if child is None:
            return
        self.ledger.nested_outcome(child, message.kind, body)
        if self.asleep and not self.waits_for:
            self._stop_waiting()
            self._next = self.scope.callLater(1e-4, self._end, Kind.RETURNED)

    def _stop_waiting(self) -> None:
        if self.asleep:
            self.asleep = False
            self.send(messages.Resumed())
