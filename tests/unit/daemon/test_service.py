"""The pool's service over a machine that has nothing left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

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


class Controller:
    """What a session says to its controller."""

    def __init__(self) -> None:
        self.heard: list[messages.FromPool] = []

    def send(self, message: messages.FromPool, body: bytes = b"", *, patient: bool = False) -> None:
        self.heard.append(message)


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
