"""The pool's service over a machine that has nothing left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from scattergather.controller.embedded import EmbeddedHost
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.service import PoolService
from scattergather.workers.pool.losses import restarts
from scattergather.workers.pool.pool import Pool


class NoDescriptors:
    """A machine with zygotes, on which no worker can be made."""

    memory_kills = SimpleNamespace(look=lambda now: None, lately=lambda now: False)

    def __init__(self) -> None:
        self.tried = 0

    def root(self, *_: Any) -> Any:
        zygote = SimpleNamespace(pid=7, open=True, stopped=lambda: False)
        return SimpleNamespace(**vars(zygote), open_session=lambda *_: zygote)

    def worker(self, *_: Any) -> Any:
        self.tried += 1
        raise OSError(24, "Too many open files")


class Sockets:
    """A machine with zygotes, whose workers are told things; what ``fails`` cannot be."""

    memory_kills = NoDescriptors.memory_kills

    def __init__(self) -> None:
        self.fails: set[int] = set()
        self.said: dict[int, Any] = {}
        self.freed: list[int] = []

    def root(self, *_: Any) -> Any:
        quiet = {name: lambda *_, **__: None for name in ("fork", "signal", "close")}
        zygote = SimpleNamespace(pid=7, open=True, stopped=lambda: False, **quiet)
        return SimpleNamespace(**vars(zygote), open_session=lambda *_: zygote)

    def worker(self, number: int, on_message: Any, _on_broken: Any) -> Any:
        def tell(*_: Any) -> None:
            if number in self.fails:
                raise RuntimeError("that socket is cursed")

        self.said[number] = lambda message, body=b"": on_message(number, message, body)
        quiet = {"running": lambda: None, "waiting": lambda _: None, "stopped": lambda: False}
        return SimpleNamespace(
            number=number,
            slabs=set(),
            tell=tell,
            trim=lambda: None,
            free=lambda: self.freed.append(number),
            **quiet,
        )


class Controller:
    """What a session says to its controller."""

    def __init__(self) -> None:
        self.heard: list[messages.FromPool] = []
        self.dismissed: list[str] = []

    def send(self, message: messages.FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        self.heard.append(message)

    def dismiss(self, reason: str) -> None:
        self.dismissed.append(reason)


def test_a_session_opens_where_no_worker_can_be_made_and_tries_again_after_a_pause() -> None:
    clock, machine, controller = Clock(), NoDescriptors(), Controller()
    service = PoolService(clock, Pool(2), machine)  # type: ignore[arg-type]
    service.start()
    service.open(controller, controller="test", workers=0)
    (why,) = [said.why for said in controller.heard if isinstance(said, messages.WorkersChanged)]
    assert "Too many open files" in why
    assert not [worker for worker in service.statistics().workers if not worker.ending]
    tried = machine.tried
    clock.pump([0.5] * int(2 * restarts.PERIOD + 1))
    assert machine.tried > tried


class Two:
    """A service of one slot with two sessions, each with a worker."""

    def __init__(self) -> None:
        self.clock, self.machine = Clock(), Sockets()
        self.service = PoolService(self.clock, Pool(1), self.machine)  # type: ignore[arg-type]
        self.service.start()
        self.peers = [Controller(), Controller()]
        self.sessions = [
            self.service.open(peer, controller="test", workers=0) for peer in self.peers
        ]
        for number, say in self.machine.said.items():
            say(messages.Born(pid=number))

    def run(self, session: int, chunk: int) -> None:
        run = messages.Run(chunk=chunk, job=b"j" * 16, function="f", first=0, count=1)
        self.sessions[session].receive(run, b"")

    def outcomes(self, session: int) -> list[messages.FromPool]:
        return [each for each in self.peers[session].heard if isinstance(each, messages.Outcomes)]


def test_what_cannot_be_done_for_one_session_ends_that_one_and_the_others_hear_nothing() -> None:
    two = Two()
    two.run(0, 1)
    two.run(1, 1)  # waits for the slot
    two.machine.fails.add(2)
    two.machine.said[1](messages.Outcomes(chunk=1, first=0, kinds=b"\0"), blobs.pack([b"."]))
    assert len(two.outcomes(0)) == 1
    assert two.peers[0].dismissed == []
    assert two.peers[1].dismissed == ["the pool failed on it; its log says how"]
    assert two.machine.freed == [2]
    assert [each.number for each in two.service.statistics().tenants] == [1]
    two.run(0, 2)
    two.machine.said[1](messages.Outcomes(chunk=2, first=0, kinds=b"\0"), blobs.pack([b"."]))
    assert len(two.outcomes(0)) == 2


def test_a_session_that_breaks_a_rule_is_told_which() -> None:
    two = Two()
    two.run(1, 1)
    two.run(1, 1)
    assert two.peers[1].dismissed == ["chunk 1 came twice, or behind a later one"]
    two.run(1, 2)  # nobody is there to take it
    two.run(0, 1)
    two.machine.said[1](messages.Outcomes(chunk=1, first=0, kinds=b"\0"), blobs.pack([b"."]))
    assert len(two.outcomes(0)) == 1


def test_a_pool_in_the_controllers_process_that_ends_its_session_opens_another() -> None:
    service = PoolService(Clock(), Pool(1), machine := Sockets())  # type: ignore[arg-type]
    heard: list[Any] = []
    listener = SimpleNamespace(
        joined=lambda _: heard.append("joined"),
        left=heard.append,
        refused=heard.append,
        received=lambda *_: None,
    )
    host = EmbeddedHost(service, listener, messages.TaskPlace())  # type: ignore[arg-type]
    host.start()
    machine.said[1](messages.Born(pid=1))
    for _ in range(2):
        host.send(messages.Run(chunk=1, job=b"j" * 16, function="f", first=0, count=1))
    assert heard == ["joined", "chunk 1 came twice, or behind a later one"]
    machine.said[2](messages.Born(pid=2))
    assert heard[2:] == ["joined"]
