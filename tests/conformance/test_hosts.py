"""A pool is driven alike, wherever it is: in this process, over a real link, in the simulation."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from pathlib import Path as Folder
from typing import Any

import pytest

from scattergather.controller.embedded import EmbeddedHost
from scattergather.link import remote
from scattergather.link.links import Links
from scattergather.link.server import LinkServer
from scattergather.link.tubs.tub import new_certificate
from scattergather.settings import identity
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from tests.conformance import hosts
from tests.conformance.hosts import TwinPool, Witness
from tests.simulation.clock import Clock, Scope
from tests.simulation.daemon import _identity
from tests.simulation.network import Host, Path, SimulatedLinks
from tests.stock import Stock
from tests.system import linked

rules = pytest.mark.parametrize("rule", hosts.RULES, ids=lambda rule: rule.__name__)


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Of a case that never waits for anything outside."""
    with pytest.raises(StopIteration):
        work.send(None)


class Embedded:
    """A host in this process. Memory is shared, and nothing takes any time."""

    def __init__(self) -> None:
        self.objects = Stock()
        self.pool, self.witness = TwinPool(self.objects), Witness()
        self.put = self.objects.put
        service: Any = self.pool
        self.host = EmbeddedHost(service, self.witness, messages.TaskPlace())

    async def until(self, condition: Callable[[], Any]) -> None:
        assert condition()

    async def pause(self) -> None:
        pass


@rules
def test_an_embedded_host_keeps_to_the_rules(rule: hosts.Rule) -> None:
    case = Embedded()
    finish(rule(case))
    case.objects.close()


class Linked:
    """A host at the far end of a real link, over TLS and sockets."""

    def __init__(self, folder: Folder) -> None:
        self.ours, self.theirs = Stock(), Stock()
        self.pool, self.witness = TwinPool(self.theirs), Witness()
        self.put = self.ours.put
        self.identity = identity.claim(folder / "pool", new_certificate)
        self.server = LinkServer(linked.reactor, self.pool, self.identity)
        furl = self.server.start()
        self.links = Links(linked.reactor, controller="test", objects=self.ours)
        self.host = self.links.host(RemoteSpec(name="far", furl=furl.text), self.witness)

    async def until(self, condition: Callable[[], Any]) -> None:
        await linked.until(condition)

    async def pause(self) -> None:
        await linked.pause(0.3)

    async def close(self) -> None:
        await self.links.stop()
        await self.server.stop()
        self.identity.release()
        self.ours.close()
        self.theirs.close()


@pytest.mark.system
@rules
def test_a_host_over_a_link_keeps_to_the_rules(rule: hosts.Rule, tmp_path: Folder) -> None:
    @linked.live
    async def run() -> None:
        case = Linked(tmp_path)
        try:
            await rule(case)
        finally:
            await case.close()

    run()


class TwinDaemon:
    """A simulated machine with a ``LinkServer`` on it, and the twin of a pool."""

    def __init__(self, clock: Clock, pool: TwinPool) -> None:
        self.scope = Scope(clock)
        scope: Any = self.scope
        self.server = LinkServer(scope, pool, _identity())

    def hello(self, greeting: bytes, back: Any) -> bytes:
        return remote.encode(self.server.reception.hello("owner", greeting, back))

    def remote_goodbye(self, session: bytes, reason: bytes) -> None:
        self.server.reception.goodbye("owner", session, reason.decode())


class Simulated:
    """A host across the network of the simulation, in its time."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.clock = Clock()
        self.ours, self.theirs = Stock(), Stock()
        self.pool, self.witness = TwinPool(self.theirs), Witness()
        self.put = self.ours.put
        self.failed: list[Exception] = []
        links = SimulatedLinks(self.clock, chance, self.ours)
        path = links.board.paths["s" * 16] = Path(self.clock, chance, self.failed.append)
        path.daemon = TwinDaemon(self.clock, self.pool)
        spec = RemoteSpec(name="far", furl=f"pb://{'a' * 32}@tcp:127.0.0.1:1/{'s' * 16}")
        self.host = Host(links.board, spec, self.witness, self.ours)
        self.host.path = path
        links.hosts.append(self.host)

    async def until(self, condition: Callable[[], Any]) -> None:
        end = self.clock.now + 100
        while not condition():
            assert self.clock.now < end
            self.clock.step()
        assert not self.failed

    async def pause(self) -> None:
        mark = self.clock.callLater(10, lambda: None)
        await self.until(lambda: not mark.active())


@rules
@pytest.mark.parametrize("seed", range(3))
def test_a_simulated_host_keeps_to_the_rules(rule: hosts.Rule, seed: int) -> None:
    case = Simulated(seed)
    finish(rule(case))
    case.ours.close()
    case.theirs.close()
