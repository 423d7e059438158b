"""Builds a controller and wires its parts: the one page that shows the whole process."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from scattergather.controller.desks.front_desk import FrontDesk
from scattergather.controller.driver import Driver
from scattergather.controller.embedded import EmbeddedHost
from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.arrivals import Arrivals
from scattergather.controller.values.landing import Landing
from scattergather.controller.values.objects import ObjectLedger
from scattergather.controller.watch import ParentWatch
from scattergather.link.seams import Host, PoolFacts
from scattergather.model.ids import ObjectId, SlabId
from scattergather.reactor.frame_pipe import FramePipe
from scattergather.reactor.seam import Reactor
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec
from scattergather.workers.daemon.launch import Root
from scattergather.workers.daemon.service import PoolService
from scattergather.workers.daemon.this_machine import ThisMachine
from scattergather.workers.pool.pool import Pool


class _Listener:
    """Hears one host and tells the front desk which one it was."""

    def __init__(self, desk: FrontDesk, arrivals: Arrivals, entry: Entry) -> None:
        self._desk = desk
        self._arrivals = arrivals
        self._entry = entry

    def joined(self, facts: PoolFacts) -> None:
        self._desk.host_joined(self._entry, facts)

    def received(self, message: messages.FromPool, body: bytes) -> None:
        self._arrivals.said(self._entry, message, body)

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        self._arrivals.arrived(self._entry, objects)

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        self._arrivals.lost(self._entry, objects, reason)

    def measured(self, round_trip: float) -> None:
        self._desk.host_measured(self._entry, round_trip)

    def troubled(self, sentence: str) -> None:
        self._desk.notice(sentence)

    def left(self, reason: str) -> None:
        self._arrivals.left(self._entry)
        self._desk.host_left(self._entry, reason)

    def refused(self, reason: str) -> None:
        self._desk.host_refused(self._entry, reason)


class Controller:
    """One client's controller, from its first message to its end. Reactor thread only.

    Args:
        reactor: Twisted's.
        connection: the socket to the client, from which ``spawn`` was read already.
        spawn: the client's first message.
        root: a root zygote that was launched ahead, if an embedded pool is wanted.
    """

    log = Logger()

    def __init__(
        self, reactor: Reactor, connection: socket.socket, spawn: messages.Spawn, root: Root | None
    ) -> None:
        self._reactor = reactor
        self._spawn = spawn
        self._stopped = False
        self._links: Any = None
        self._pools: list[PoolService] = []
        self._pipe = FramePipe(reactor, connection, self._client_said, self._client_left)
        self._roster = Roster(spawn.hosts)
        self._store = Store(spawn.memory // 2 or None)
        self._landing = Landing(reactor, self._store)
        objects = ObjectLedger(self._store, self._roster, self._to_client, self._bring)
        objects.give_up = self._landing.give_up
        self._driver = Driver(
            self._roster, objects, self._to_client, self._to_client_soon, reactor.callLater
        )
        self._desk = FrontDesk(
            reactor,
            self._roster,
            self._driver,
            objects,
            self._pipe.received.take,
            self._to_client,
            self.stop,
        )
        self._arrivals = Arrivals(self._store, objects.fetched, self._desk.host_said)
        ParentWatch(reactor, spawn.client_pid, lambda: self._client_left("the client died"))
        for entry in self._roster.entries.values():
            entry.host = self._build(entry, root)
        for entry in self._roster.entries.values():
            if entry.host is not None:
                entry.host.start()

    def _build(self, entry: Entry, root: Root | None) -> Host:
        listener = _Listener(self._desk, self._arrivals, entry)
        if isinstance(entry.spec, EmbeddedSpec):
            place = messages.OpenSession(
                directory=self._spawn.directory,
                path=self._spawn.path,
                environment=self._spawn.environment,
            )
            pool = PoolService(
                self._reactor,
                Pool(entry.spec.workers),
                ThisMachine(self._reactor, root),
                name=entry.spec.name,
                store=self._store,
                shared=True,
                memory=self._spawn.memory // 2,
            )
            self._pools.append(pool)
            return EmbeddedHost(pool, listener, place)
        if self._links is None:
            # Foolscap is imported only when a remote host is used: it takes as long as Twisted.
            from scattergather.link.host import Links  # noqa: PLC0415

            self._links = Links(
                self._reactor,
                controller=f"pid {self._spawn.client_pid}",
                objects=self._landing,
            )
            self._landing.room.append(self._links.room)
        host: Host = self._links.host(entry.spec, listener)
        return host

    def _bring(self, slab: SlabId, fd: int, size: int) -> None:
        self._pipe.send_with(fd, messages.encode(messages.Slab(slab=slab, size=size)))

    def _to_client(self, message: messages.ToClient, body: bytes) -> None:
        self._pipe.send(messages.encode(message), body)

    def _to_client_soon(self, message: messages.ToClient, body: bytes) -> None:
        self._pipe.send_soon(messages.encode(message), body)

    def _client_said(self, head: bytes, body: bytes) -> None:
        self._desk.receive(messages.read_to_controller(head), body)

    def _client_left(self, reason: str) -> None:
        self.log.info("the client is gone: {reason}", reason=reason)
        self.stop()

    def stop(self) -> None:
        """End everything that is ours, then the process."""
        if self._stopped:
            return
        self._stopped = True
        self._pipe.flush(time.monotonic() + 0.2)
        for entry in self._roster.entries.values():
            if entry.host is not None:
                entry.host.stop()
        waiting: list[Deferred[None]] = [pool.stop() for pool in self._pools]
        if self._links is not None:
            waiting.append(self._links.stop())
        left = len(waiting)

        def one_less(_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._end()

        for each in waiting:
            each.addBoth(one_less)
        if not waiting:
            self._end()

    def _end(self) -> None:
        self._pipe.close()
        self._reactor.stop()
        sys.stderr.flush()
