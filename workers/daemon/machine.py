"""What a pool needs of the machine that it is on: zygotes, workers, the kernel's word.

The pool's service knows nothing else of processes. ``this_machine`` has the real ones;
``tests/simulation`` runs the service over a machine of its own, where all of these are simulated.
Both pass ``tests/conformance/test_machine.py``. All of it runs on the reactor thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from scattergather.model.ids import ObjectId, SlabId
from scattergather.wire.frame import Bytes
from scattergather.wire.messages import page as messages
from scattergather.workers.pool.events import Harvest

OnZygote = Callable[[messages.FromZygote], None]
"""Called with what a zygote says."""

OnWorker = Callable[[int, messages.FromWorker, bytes], None]
"""Called with a worker's number, and what it says."""

OnBroken = Callable[[int, str, bool], None]
"""Called with a worker's number and a reason when its pipe has ended by itself; True: because what
it sent makes no sense."""


class WorkerSeam(Protocol):
    """Our ends of one worker, from before it is forked until it is buried.

    ``pid`` is 0 until its zygote has said that it was forked; ``slabs`` are those that it writes
    its results into.
    """

    @property
    def number(self) -> int:
        """Its number; a pool gives each one only once."""

    pid: int
    slabs: set[SlabId]

    def descriptors(self) -> list[int]:
        """What the worker is forked with, in the order that ``messages.Fork`` names."""

    def handed_over(self) -> None:
        """The zygote has its copies of the descriptors."""

    def tell(self, message: messages.ToWorker, body: Bytes = b"") -> None:
        """The worker gets this message, behind those that it was told before, once it lives."""

    def introduce(self, slab: SlabId, fd: int, size: int) -> None:
        """The worker has this slab before what it is told next."""

    def part_with(self, slab: SlabId) -> None:
        """The worker is told that a slab is gone, if it had it."""

    def recycle(self, objects: tuple[ObjectId, ...]) -> None:
        """The worker is told that nobody reads these results of its any more."""

    def take_descriptor(self) -> int:
        """The descriptor that came with the message at hand, the caller's; LookupError: none."""

    def hang_up(self) -> None:
        """An idle worker ends by itself; nothing more is heard of it but its exit."""

    def cancel(self, chunk: int) -> None:
        """SIGINT that follows ends this chunk."""

    def warn(self, chunk: int, index: int) -> None:
        """SIGINT that follows tells this task that it takes more memory than it may."""

    def stop(self, chunk: int) -> None:
        """No further task of this chunk, or of one before it, begins."""

    def recall(self, chunk: int) -> bool:
        """The chunk behind the one at work does not begin; True if it surely has not."""

    def running(self) -> tuple[int, int, float] | None:
        """Chunk, index and start (monotonic) of the task at work, or None between tasks.

        Raises:
            Contradiction: what the worker has left to be read cannot be.
        """

    def waiting(self, since: float) -> tuple[messages.Outcomes, bytes] | None:
        """Outcomes behind which a task runs that began before ``since``, as they would be sent.

        The worker sends them too, when that task ends: the pool drops what it has already.

        Raises:
            Contradiction: what the worker has left to be read cannot be.
        """

    def printed(self, running: tuple[int, int, float]) -> tuple[messages.Output, bytes] | None:
        """What the task at work has printed since this was asked last, in whole lines.

        What the worker itself says of it, at the end of the task, is heard without that. None when
        there is nothing, or when the task is not at work any more that ``running`` has named.
        """

    def stopped(self) -> bool:
        """A signal stopped it (state T)."""

    def used_asleep(self) -> float | None:
        """Processor time that it has taken, in seconds, if it sleeps; None if it does not."""

    def memory(self) -> int:
        """Bytes of memory that it holds and shares with nobody."""

    def trim(self) -> None:
        """What it printed long ago is dropped."""

    def bury(self) -> Harvest:
        """The dead worker's messages are heard, what else it left is returned, all is freed."""

    def free(self) -> None:
        """Everything of ours is freed, and nothing more is heard of it."""


class ZygoteSeam(Protocol):
    """Our end of a zygote. What is asked of one that is gone has no effect."""

    @property
    def pid(self) -> int:
        """Its process id; 0 until the root has said that it forked this zygote."""

    @property
    def open(self) -> bool:
        """The zygote is not known to be gone: it may hear what we ask."""

    def open_session(
        self,
        number: int,
        place: messages.TaskPlace,
        on_message: OnZygote,
        on_end: Callable[[], None],
    ) -> ZygoteSeam:
        """A root zygote forks the zygote of session ``number``, whose workers see ``place``."""

    def settle(self, place: messages.TaskPlace) -> None:
        """The workers that a session's zygote forks from now on see another place."""

    def fork(self, worker: WorkerSeam) -> None:
        """A session's zygote forks a worker, and says so; it says when that has exited, too."""

    def signal(self, worker: int, number: int, *, group: bool = False) -> None:
        """A worker gets a signal; with ``group``, so does everything that it started."""

    def stopped(self) -> bool:
        """A signal stopped it (state T)."""

    def kill(self) -> None:
        """It ends with all that came from it, even where it is stopped; ``on_end`` follows."""

    def ended(self) -> bool:
        """A root zygote, which is a child of ours, has ended and was reaped."""

    def close(self) -> None:
        """The zygote ends its workers and itself; ``on_end`` is not called."""


class KillsSeam(Protocol):
    """What the kernel did for want of memory."""

    def look(self, now: float) -> None:
        """Look whether there was a kill; to be called now and then."""

    def lately(self, now: float) -> bool:
        """There was one, a few seconds ago at most."""


class Machine(Protocol):
    """A place where zygotes and workers live."""

    @property
    def memory_kills(self) -> KillsSeam:
        """The kernel's kills on this machine."""

    def root(
        self,
        services: Sequence[str],
        on_message: OnZygote,
        on_end: Callable[[], None],
        hash_seed: int | None = None,
    ) -> ZygoteSeam:
        """Start a root zygote that preloads ``services``; it says when it is ready.

        ``on_end`` is called once when it is gone, unless it was closed. It makes ``hash(text)`` of
        ``hash_seed``, else of what is the same for all of this pool.
        """

    def worker(self, number: int, on_message: OnWorker, on_broken: OnBroken) -> WorkerSeam:
        """Our ends of a worker that a zygote is yet to fork."""
