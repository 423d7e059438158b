"""A controller's process: how its life begins, what ends it, and in which order."""

from __future__ import annotations

import os
import socket
import sys
import time

from twisted.internet.defer import DeferredList
from twisted.logger import Logger

from scattergather.controller.watch import ParentWatch
from scattergather.controller.ways import Ways
from scattergather.controller.wiring import Wiring
from scattergather.model.ids import SlabId
from scattergather.reactor.frame_pipe import FramePipe
from scattergather.reactor.seam import Reactor
from scattergather.store.store import Store
from scattergather.wire.memory import scratch
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.launch import Root


class ClientPipe:
    """The client at the other end of a pipe; implements ``seams.ClientEnd``."""

    def __init__(self, pipe: FramePipe) -> None:
        self._pipe = pipe
        self.descriptor = pipe.received.take
        self.send_gathered = pipe.send_gathered

    def send(self, message: messages.ToClient, body: bytes) -> None:
        """Pass a message to the client."""
        self._pipe.send(messages.encode(message), body)

    def send_soon(self, message: messages.ToClient, body: bytes) -> None:
        """Pass a message to the client, with the next or in a moment."""
        self._pipe.send_soon(messages.encode(message), body)

    def bring(self, slab: SlabId, fd: int, size: int) -> None:
        """Pass a slab to the client, with a copy of its descriptor."""
        self._pipe.send_with(fd, messages.encode(messages.Slab(slab=slab, size=size)))


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
        self._stopped = False
        scratch.use(os.fsdecode(spawn.scratch))
        store = Store(spawn.memory // 2 or None)
        self._pipe = FramePipe(reactor, connection, self._client_said, self._client_left)
        self._ways = Ways(reactor, spawn, store, root)
        self._wiring = Wiring(
            reactor=reactor,
            specs=spawn.hosts,
            store=store,
            client=ClientPipe(self._pipe),
            builder=self._ways,
            die=self.stop,
        )
        self._receive = self._wiring.client_desk.receive
        ParentWatch(reactor, spawn.client_pid, lambda: self._client_left("the client died"))
        self._wiring.start()

    def _client_said(self, head: bytes, body: bytes) -> None:
        self._receive(messages.read_to_controller(head), body)

    def _client_left(self, reason: str) -> None:
        self.log.info("the client is gone: {reason}", reason=reason)
        self.stop()

    def stop(self) -> None:
        """End everything that is ours, then the process."""
        if self._stopped:
            return
        self._stopped = True
        self._pipe.flush(time.monotonic() + 0.2)
        self._wiring.stop()
        DeferredList(self._ways.stop(), consumeErrors=True).addBoth(self._end)

    def _end(self, _: object) -> None:
        self._pipe.close()
        self._reactor.stop()
        sys.stderr.flush()
