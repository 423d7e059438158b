"""A whole controller in memory: its hosts and its client are written down, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from scattergather.controller.wiring import Wiring
from scattergather.link.seams import HostListener, ObjectStore, PoolFacts, Traffic
from scattergather.model.outcome import Kind
from scattergather.store.store import Store
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import HostSpec, RemoteSpec

BOUND = 1 << 20


class FarHost:
    """A daemon, as its controller drives it."""

    def __init__(self, listener: HostListener) -> None:
        self.listener = listener
        self.told: list[Any] = []
        self.bodies: list[bytes] = []
        self.stopped = False

    def start(self) -> None:
        pass

    def send(self, message: messages.ToPool, body: bytes = b"") -> None:
        self.told.append(message)
        self.bodies.append(body)

    def ship(self, objects: tuple[bytes, ...]) -> None:
        pass

    def withdraw(self, objects: tuple[bytes, ...]) -> None:
        pass

    def traffic(self) -> Traffic:
        return Traffic()

    def resize(self, workers: int) -> None:
        self.send(messages.Resize(workers=workers))

    def stop(self) -> None:
        self.stopped = True

    def take(self, kind: type[Any]) -> list[Any]:
        """What it was told of a kind."""
        return [each for each in self.told if isinstance(each, kind)]

    def say(self, message: messages.FromPool, body: bytes | None = None) -> None:
        if body is None:
            of_many = isinstance(message, messages.Outcomes)
            body = blobs.pack([b"."] * len(message.kinds)) if of_many else b""
        self.listener.received(message, body)


class Near:
    """A controller with hosts ``host0`` ...; also its ``seams.ClientEnd`` and builder."""

    def __init__(self, hosts: int = 1, workers: int = 1) -> None:
        self.clock = Clock()
        self.store = Store(BOUND)
        self.hosts: list[FarHost] = []
        self.discarded: list[Any] = []
        self.told: list[Any] = []
        self.bodies: list[bytes] = []
        self.can_wait: Callable[[], bool] = lambda: False
        self.heard: Callable[[], None] = lambda: None
        self.parts = Wiring(
            reactor=self.clock,
            specs=tuple(RemoteSpec(name=f"host{n}", furl="pb://") for n in range(hosts)),
            store=self.store,
            client=self,
            builder=self,
            die=lambda: None,
        )
        self.driver = self.parts.driver
        self.ask = self.parts.client_desk.receive
        self.parts.start()
        for host in self.hosts:
            facts = PoolFacts(host="", workers=workers, python="", version="", protocol=0)
            host.listener.joined(facts)
        self.told.clear()
        self.bodies.clear()

    # ---- seams.HostBuilder and seams.ClientEnd ----

    def build(self, spec: HostSpec, listener: HostListener, objects: ObjectStore) -> FarHost:
        self.hosts.append(FarHost(listener))
        return self.hosts[-1]

    def discard(self, host: Any) -> None:
        self.discarded.append(host)

    def settle(self, place: messages.TaskPlace) -> None:
        """There are no workers here."""

    def room(self) -> None:
        pass

    def send(self, message: messages.ToClient, body: bytes) -> None:
        self.told.append(message)
        self.bodies.append(body)

    send_soon = send

    def send_gathered(self) -> None:
        pass

    def bring(self, slab: bytes, fd: int, size: int) -> None:
        pass

    def descriptor(self) -> int:
        return -1

    # ---- what tests do ----

    def take(self, kind: type[Any]) -> list[Any]:
        """What the client was told of a kind."""
        return [each for each in self.told if isinstance(each, kind)]

    def outcomes(self) -> list[tuple[messages.TaskOutcomes, bytes]]:
        """The outcomes that the client was told, and their bodies."""
        both = zip(self.told, self.bodies, strict=True)
        return [each for each in both if isinstance(each[0], messages.TaskOutcomes)]

    def add(self, job: bytes, tasks: int, **more: Any) -> None:
        """A job of so many tasks."""
        self.ask(messages.AddJob(job=job, name="job", function="sum", **more), b"")
        body = blobs.pack([b"."] * tasks)
        self.ask(messages.AddTasks(job=job, first=0, count=tasks), body)
        self.ask(messages.EndTasks(job=job, total=tasks), b"")


def returned(run: messages.Run, count: int | None = None, **more: Any) -> messages.Outcomes:
    """So many tasks of a chunk, from its first on, have returned."""
    kinds = bytes([Kind.RETURNED]) * (run.count if count is None else count)
    return messages.Outcomes(chunk=run.chunk, first=run.first, kinds=kinds, worker=9, **more)
