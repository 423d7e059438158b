"""Two ends of a link in one process, over a real socket with TLS; the reactor has a thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet import task, threads
from twisted.internet.defer import Deferred

from scattergather.link.host import RemoteHost
from scattergather.link.links import Links
from scattergather.link.seams import NoObjectStore, ObjectStore, Peer, PoolFacts
from scattergather.link.server import LinkServer
from scattergather.link.tubs.tub import new_certificate
from scattergather.link.visit import Visit
from scattergather.model.ids import ObjectId
from scattergather.settings import identity
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from tests.pace import Promise
from tests.system.daemons import free_port

reactor: Any = the_reactor
SECONDS = 100
"""Longer than any promise in a test is stretched."""

LONG = 30.0
"""A grace in which every link that was cut comes back, also when this process stands still."""


def live(test: Callable[..., Any]) -> Callable[..., Any]:
    """The test, a coroutine, runs in the reactor."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not reactor.running:
            threading.Thread(target=reactor.run, args=(False,), daemon=True).start()

        def begin() -> Deferred[Any]:
            return Deferred.fromCoroutine(test(*args, **kwargs)).addTimeout(SECONDS, reactor)

        return threads.blockingCallFromThread(reactor, begin)

    return run


async def pause(seconds: float) -> None:
    await task.deferLater(reactor, seconds, lambda: None)


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    promise = Promise(seconds)
    while not condition():
        assert not promise.broken(), "it did not happen"
        await pause(0.005)


def run(chunk: int) -> messages.Run:
    """A chunk of no task: its body may be anything."""
    return messages.Run(chunk=chunk, job=b"j" * 16, function="f", first=0, count=0)


def unacknowledged(end: RemoteHost | Visit) -> int:
    """Bytes of this end of a session that the other end is not known to have."""
    seen = end.statistics()
    return 0 if seen is None else seen.waiting + seen.under_way


class EchoPool:
    """Answers every Run with its body; holds the sessions that were opened."""

    def __init__(self) -> None:
        self.sessions: list[EchoSession] = []
        self.objects: ObjectStore = NoObjectStore()

    def facts(self) -> PoolFacts:
        return PoolFacts(
            host="echo", workers=2, python="3.11", version="0.1.0", protocol=messages.PROTOCOL
        )

    def open(
        self, peer: Peer, *, controller: str, workers: int, hash_seed: int | None = None
    ) -> EchoSession:
        self.sessions.append(EchoSession(peer, controller, workers, self.objects))
        return self.sessions[-1]


class EchoSession:
    def __init__(self, peer: Peer, controller: str, workers: int, objects: ObjectStore) -> None:
        self.objects = objects
        self.peer, self.controller, self.workers = peer, controller, workers
        self.closed = ""
        self.chunks: list[int] = []
        self.inputs: list[ObjectId] = []
        self.missing: list[tuple[ObjectId, str]] = []
        self.delivered: list[ObjectId] = []
        peer.send(messages.WorkersChanged(workers=workers or 2))

    most = 1 << 30

    def refusal(self, size: int) -> str:
        return ""

    def receive(self, message: messages.ToPool, body: bytes) -> None:
        assert isinstance(message, messages.Run)
        self.chunks.append(message.chunk)
        self.peer.send(messages.Outcomes(chunk=message.chunk, first=0, kinds=b"\0"), body)

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        self.inputs += objects

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        self.missing += [(name, reason) for name in objects]

    def shipped(self, objects: tuple[ObjectId, ...]) -> None:
        self.delivered += objects

    def close(self, reason: str, *, may_return: bool = False) -> None:
        self.closed = reason


class Ear:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.reasons: list[str] = []
        self.outcomes: list[tuple[int, bytes]] = []
        self.others: list[messages.FromPool] = []
        self.results: list[ObjectId] = []
        self.missing: list[tuple[ObjectId, str]] = []
        self.round_trips: list[float] = []

    def joined(self, facts: PoolFacts) -> None:
        self.heard.append("joined")

    def received(self, message: messages.FromPool, body: bytes) -> None:
        if isinstance(message, messages.Outcomes):
            self.outcomes.append((message.chunk, body))
        else:
            self.others.append(message)

    def arrived(self, objects: tuple[ObjectId, ...]) -> None:
        self.results += objects

    def lost(self, objects: tuple[ObjectId, ...], reason: str) -> None:
        self.missing += [(name, reason) for name in objects]

    def left(self, reason: str) -> None:
        self.heard.append("left")
        self.reasons.append(reason)

    def shipped(self, objects: tuple[bytes, ...]) -> None:
        pass

    def measured(self, round_trip: float) -> None:
        self.round_trips.append(round_trip)

    def troubled(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def refused(self, reason: str) -> None:
        self.heard.append("refused")
        self.reasons.append(reason)


class Ends:
    """A server with an echo pool, and hosts that join it."""

    def __init__(
        self, folder: Path, theirs: ObjectStore | None = None, ours: ObjectStore | None = None
    ) -> None:
        self.folder = folder
        self.pool = EchoPool()
        if theirs is not None:
            self.pool.objects = theirs
        self.identity = identity.claim(folder / "pool", new_certificate)
        self.port = free_port()  # it is closed, and used again
        self.server = self.serve()
        self.links = Links(reactor, controller="test", objects=ours)

    def serve(self) -> LinkServer:
        self.server = LinkServer(reactor, self.pool, self.identity, port=self.port)
        self.port = self.server.start().addresses[0][1]
        return self.server

    def host(
        self, furl: str = "", workers: int = 0, links: Links | None = None
    ) -> tuple[RemoteHost, Ear]:
        spec = RemoteSpec(name="alpha", furl=furl or self.server.furl.text, workers=workers)
        ear = Ear()
        return (links or self.links).host(spec, ear), ear

    async def joined(
        self, furl: str = "", workers: int = 0, links: Links | None = None
    ) -> tuple[RemoteHost, Ear]:
        host, ear = self.host(furl, workers, links)
        host.start()
        await until(lambda: ear.heard == ["joined"])
        return host, ear

    def cut(self) -> int:
        """Break every connection that got in, without a word; how many."""
        callers = [each for each in self.server._keeper._connected if each._inner is not None]
        for caller in callers:
            caller.transport.abortConnection()
        return len(callers)

    async def crash(self) -> None:
        """What the end of the daemon's process looks like from outside."""
        self.server._keeper.porch.close()
        for guest in list(self.server.reception.visits.values()):
            guest.end("crash")
        self.cut()

    async def stop(self) -> None:
        await self.links.stop()
        await self.server.stop()
        self.identity.release()
