"""The machine that this process is on: real zygotes, real workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scattergather.reactor.seam import Reactor
from scattergather.wire.frame import MAX_BODY
from scattergather.workers.daemon.launch import Root, launch
from scattergather.workers.daemon.machine import OnBroken, OnWorker, OnZygote
from scattergather.workers.daemon.memory_kills import MemoryKills
from scattergather.workers.daemon.process import WorkerProcess
from scattergather.workers.daemon.zygotes import ZygoteLink


class ThisMachine:
    """Implements ``daemon.machine.Machine``. Reactor thread only.

    Args:
        root: a root zygote that was launched before; the first that is asked for.
        most: bytes at most that a worker sends at a time. Whatever runs in it can claim more.
    """

    def __init__(self, reactor: Reactor, root: Root | None = None, *, most: int = MAX_BODY) -> None:
        self._most = most
        self._reactor = reactor
        self._launched = root
        self.memory_kills = MemoryKills()

    def root(
        self,
        services: Sequence[str],
        on_message: OnZygote,
        on_end: Callable[[], None],
        hash_seed: int | None = None,
    ) -> ZygoteLink:
        """Start a root zygote that preloads ``services``."""
        root = self._launched if hash_seed is None else None
        if root is None:
            root = launch(services, hash_seed)
        else:
            self._launched = None
        return ZygoteLink(self._reactor, root.channel, on_message, on_end, root.process)

    def worker(self, number: int, on_message: OnWorker, on_broken: OnBroken) -> WorkerProcess:
        """Our ends of a worker that a zygote is yet to fork."""
        return WorkerProcess(self._reactor, number, on_message, on_broken, self._most)
