"""One worker process as its daemon holds it: pipe, journal and output file."""

from __future__ import annotations

import socket
from collections.abc import Callable

from scattergather.machine import proc
from scattergather.model.ids import ObjectId, SlabId
from scattergather.reactor.frame_pipe import FramePipe
from scattergather.reactor.seam import Reactor
from scattergather.wire import blobs
from scattergather.wire.frame import MAX_BODY, Bytes
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.machine import OnBroken
from scattergather.workers.daemon.overheard import At, Overheard
from scattergather.workers.pool.events import Harvest
from scattergather.workers.process.surroundings.capture import HELD, KEPT, OutputFile
from scattergather.workers.process.task.journal import NOTHING, Contradiction, Journal

OUTPUT_CERTIFIED = 4000
"""Characters of output that go into a loss."""


FATAL = "Fatal Python error: "
"""How the faulthandler begins, which writes behind a worker's output when a signal ends it."""

OURS = ("scattergather/workers/", "<frozen runpy>", "Extension modules:")


def last_words(text: str) -> tuple[str, str]:
    """What a dead worker printed, and where its threads were if the faulthandler could tell."""
    output, fatal, trace = text.rpartition(FATAL)
    if not fatal:
        return text, ""
    frames = [line for line in trace.splitlines() if not any(part in line for part in OURS)]
    return output, "\n".join(line for line in frames if line.strip())


class WorkerProcess:
    """Our ends of everything that a worker was given. Reactor thread only."""

    def __init__(
        self,
        reactor: Reactor,
        number: int,
        on_message: Callable[[int, messages.FromWorker, bytes], None],
        on_broken: OnBroken,
        most: int = MAX_BODY,
    ) -> None:
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.number = number
        self.pid = 0
        self._on_message = on_message
        self.journal = journal = Journal.create()
        # What is asked of a worker, or seen of it, by words that stand there.
        self.cancel, self.warn = journal.request_cancel, journal.exceed
        self.stop, self.recall = journal.request_stop, journal.request_skip
        try:
            self.output = OutputFile.create()
        except OSError:  # the descriptors may be used up
            journal.close()
            ours.close()
            self._theirs.close()
            raise
        self._overheard = Overheard(self.output, journal)
        self.slabs: set[SlabId] = set()
        """Slabs that it writes its results into."""
        self._introduced: set[SlabId] = set()
        self._pipe = FramePipe(
            reactor,
            ours,
            self._said,
            lambda reason: on_broken(number, reason, self._pipe.nonsense),
            most,
        )

    def _said(self, head: bytes, body: bytes) -> None:
        message = messages.read_from_worker(head)
        if isinstance(message, messages.Output):
            rest = self._overheard.rest(message, body)
            if rest is None:
                return
            message, body = rest
        self._on_message(self.number, message, body)

    def descriptors(self) -> list[int]:
        """What the worker is forked with, in the order that ``messages.Fork`` names."""
        return [self._theirs.fileno(), self.journal.fd, self.output.fd]

    def handed_over(self) -> None:
        """The zygote has its copies of the descriptors: close what only the worker needs."""
        self._theirs.close()

    def tell(self, message: messages.ToWorker, body: Bytes = b"") -> None:
        """Send the worker a message; silent when its pipe is closed."""
        self._pipe.send(messages.encode(message), body)

    def introduce(self, slab: SlabId, fd: int, size: int) -> None:
        """The worker has this slab before it hears of objects in it."""
        if slab not in self._introduced:
            self._pipe.send_with(fd, messages.encode(messages.Slab(slab=slab, size=size)))
            self._introduced.add(slab)

    def part_with(self, slab: SlabId) -> None:
        """The worker is told that a slab is gone, if it had been introduced."""
        if slab in self._introduced:
            self._introduced.discard(slab)
            self.tell(messages.SlabGone(slab=slab))

    def recycle(self, objects: tuple[ObjectId, ...]) -> None:
        """The worker is told that nobody reads these results of its any more."""
        self.tell(messages.Recycle(objects=objects))

    def take_descriptor(self) -> int:
        """The descriptor that came with the frame at hand; raises LookupError if none did."""
        return self._pipe.received.take()

    def hang_up(self) -> None:
        """Close the pipe: an idle worker ends by itself."""
        self._pipe.close()

    def running(self) -> tuple[int, int, float] | None:
        """Chunk, index and start of the task at work, or None between tasks.

        What the worker said before is heard first: it counts, whatever stands in the journal.

        Raises:
            Contradiction: what stands there cannot be.
        """
        self._pipe.drain()
        return self.journal.running() if self.journal.fd >= 0 else None

    def waiting(self, since: float) -> tuple[messages.Outcomes, bytes] | None:
        """Outcomes behind which a task runs that began before ``since``, as they would be sent."""
        self._pipe.drain()  # what it said before them comes first: that a task has kept something
        left = self.journal.waiting(since) if self.journal.fd >= 0 else None
        if left is None:
            return None
        self._pipe.drain()
        message = messages.Outcomes(
            chunk=left.chunk,
            first=left.outcomes[0][0],
            kinds=bytes(kind for _, kind, _ in left.outcomes),
            worker=self.pid,
        )
        return message, blobs.pack([blob for _, _, blob in left.outcomes])

    def printed(self, running: At) -> tuple[messages.Output, bytes] | None:
        """What the task at work has printed since the last look, in whole lines; None: nothing."""
        # Of the task before this one the worker has said everything: it is heard before this one.
        self._pipe.drain()
        return self._overheard.look(running, self.pid) if self.journal.fd >= 0 else None

    # ---- its process ----

    def stopped(self) -> bool:
        """A signal stopped it (state T)."""
        return self.pid > 0 and proc.is_stopped(self.pid)

    def used_asleep(self) -> float | None:
        """The processor time that it has taken, in seconds, if it sleeps (state S)."""
        return proc.time_of_sleeper(self.pid) if self.pid > 0 else None

    def memory(self) -> int:
        """Bytes of anonymous memory that it holds."""
        return proc.anonymous_memory(self.pid)

    def trim(self) -> None:
        """Drop what it printed long ago."""
        self.output.trim(HELD)

    def bury(self) -> Harvest:
        """Read what the dead worker left, and free everything."""
        self._pipe.drain()
        left, bent = NOTHING, ""
        try:
            left = self.journal.harvest()
        except Contradiction as why:
            bent = str(why)
        tail, _ = self.output.tail(KEPT)
        untold, dropped = self._overheard.left(left)
        self.free()
        output, where = last_words(tail.decode("utf-8", "backslashreplace"))
        return Harvest(
            chunk=left.chunk,
            running=left.running,
            finished=left.finished,
            outcomes=tuple(left.outcomes),
            bent=bent,
            output=output[-OUTPUT_CERTIFIED:],
            where=where[-OUTPUT_CERTIFIED:],
            arguments=left.note,
            untold=untold.partition(FATAL.encode())[0],
            dropped=dropped,
        )

    def free(self) -> None:
        """Free every descriptor and mapping."""
        self._theirs.close()
        self._pipe.close()
        self.journal.close()
        self.output.close()
