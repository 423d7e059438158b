"""Makes what leads to a host: the pool in this process, or a link to a daemon."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from scattergather.controller.embedded import EmbeddedHost
from scattergather.link.seams import Host, HostListener, ObjectStore
from scattergather.reactor.seam import Reactor
from scattergather.settings import paths
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec, HostSpec
from scattergather.wire.messages.shared import MOST
from scattergather.workers.daemon.files import HostFiles
from scattergather.workers.daemon.launch import Root
from scattergather.workers.daemon.service import PoolService
from scattergather.workers.daemon.this_machine import ThisMachine
from scattergather.workers.pool.pool import Pool

if TYPE_CHECKING:
    from scattergather.link.links import Links


class Ways:
    """Implements ``seams.HostBuilder``. Reactor thread only.

    Args:
        reactor: Twisted's.
        spawn: the client's first message.
        store: where everything large lies, for the pool in this process, too.
        root: a root zygote that was launched ahead, if there is to be such a pool.
    """

    def __init__(
        self, reactor: Reactor, spawn: messages.Spawn, store: Store, root: Root | None
    ) -> None:
        self._reactor = reactor
        self._spawn = spawn
        self._store = store
        self._root = root
        self._place = spawn.place
        self._pools: dict[EmbeddedHost, PoolService] = {}
        self._stopping: dict[PoolService, Deferred[None]] = {}
        self._links: Links | None = None
        self.can_wait: Callable[[], bool] = lambda: False
        self.heard: Callable[[], None] = lambda: None

    def build(self, spec: HostSpec, listener: HostListener, objects: ObjectStore) -> Host:
        """A host, not started."""
        if isinstance(spec, EmbeddedSpec):
            return self._embed(spec, listener)
        if self._links is None:
            # Foolscap is imported only when a remote host is used: it takes as long as Twisted.
            from scattergather.link.links import Links  # noqa: PLC0415

            name = f"pid {self._spawn.client_pid}"
            self._links = Links(
                self._reactor,
                controller=name,
                objects=objects,
                hash_seed=self._spawn.hash_seed,
                can_wait=self.can_wait,
                heard=self.heard,
            )
        return self._links.host(spec, listener)

    def _embed(self, spec: EmbeddedSpec, listener: HostListener) -> Host:
        pool = PoolService(
            self._reactor,
            # Whoever uses it has this process to himself.
            Pool(spec.workers or len(os.sched_getaffinity(0)), MOST, own=True),
            ThisMachine(self._reactor, self._root),
            name=spec.name,
            store=self._store,
            shared=True,
            memory=self._spawn.memory // 2,
            files=HostFiles(self._reactor, paths.state() / "data"),
        )
        self._root = None  # a pool that is made later launches its own
        host = EmbeddedHost(pool, listener, self._place)
        self._pools[host] = pool
        return host

    def discard(self, host: Host) -> None:
        """A host that was stopped is not used any more: a pool in this process ends."""
        if isinstance(host, EmbeddedHost):
            pool = self._pools.pop(host)
            self._stopping[pool] = pool.stop().addBoth(lambda _: self._stopping.pop(pool, None))
        elif self._links is not None:
            self._links.discard(host)

    def settle(self, place: messages.TaskPlace) -> None:
        """Workers of the pool in this process that are forked from now on see another place."""
        self._place = place
        for host in self._pools:
            host.settle(place)

    def room(self) -> None:
        """There may be room again for objects that hosts have offered."""
        if self._links is not None:
            self._links.room()

    def stop(self) -> list[Deferred[None]]:
        """End the pool in this process, and all links; each fires when it is over."""
        waiting = [pool.stop() for pool in self._pools.values()]
        waiting += self._stopping.values()
        if self._links is not None:
            waiting.append(self._links.stop())
        return waiting
