"""What the log of a pool says of workers that have ended."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from scattergather.wire.messages import page as messages
from scattergather.wire.messages.zygote import SPENT
from scattergather.workers.daemon.nursery import Nursery
from scattergather.workers.pool.events import Harvest

PID = 4711


class Machine:
    """Its one worker has ended, as soon as anybody looks."""

    def __init__(self, *, starved: bool = False) -> None:
        self.memory_kills = SimpleNamespace(lately=lambda now: starved)
        zygote = SimpleNamespace(
            pid=7,
            open=True,
            fork=lambda worker: None,
            signal=lambda *_, **__: None,
        )
        self.zygote = SimpleNamespace(**vars(zygote), open_session=lambda *_: zygote)

    def root(self, *_: Any) -> Any:
        return self.zygote

    def worker(self, number: int, *_: Any) -> Any:
        harvest = Harvest(output="it is bent")
        return SimpleNamespace(number=number, pid=PID, bury=lambda: harvest)


def told(machine: Machine, *, ended_by_us: bool = False, **exited: int) -> list[str]:
    """The lines about a worker that ended so."""
    nursery: Any = Nursery(
        Clock(),
        machine,
        (),
        on_ready=lambda: None,
        on_bent=lambda *_: None,
        on_exit=lambda *_: None,  # type: ignore[arg-type]
    )
    nursery.start()
    brood = nursery.open(3, messages.TaskPlace(), None)
    with capturedLogs() as events:
        nursery.fork(brood, 1, lambda *_: None)
        if ended_by_us:
            nursery.signal(1, signal.SIGKILL, group=True)
        nursery._bury(messages.Exited(worker=1, pid=PID, **exited))
    return [str(formatEvent(event)) for event in events]


@pytest.mark.parametrize(
    ("exited", "line"),
    [
        ({"signal": 9}, "worker 4711 of session 3 was ended by SIGKILL"),
        ({"signal": 11}, "worker 4711 of session 3 was ended by SIGSEGV"),
        ({"status": 3}, "worker 4711 of session 3 was ended by exit status 3"),
        ({"status": SPENT}, "worker 4711 is replaced: it is bent"),
    ],
)
def test_a_worker_that_did_not_end_by_the_pools_will_is_named_with_what_ended_it(exited, line):
    assert told(Machine(), **exited) == [line]


def test_a_victim_of_the_kernels_is_called_one():
    (line,) = told(Machine(starved=True), signal=9)
    assert line.endswith("was ended by SIGKILL: this machine had run out of memory")


@pytest.mark.parametrize(("ours", "exited"), [(True, {"signal": 9}), (False, {"status": 0})])
def test_of_those_that_the_pool_has_ended_or_let_go_the_log_says_nothing(ours, exited):
    assert told(Machine(), ended_by_us=ours, **exited) == []
