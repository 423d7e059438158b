"""Whoever stands in for a reactor takes every call that the seam promises."""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import task
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone

from scattergather.reactor import monotonic
from scattergather.reactor.monotonic import monotonic_reactor
from scattergather.reactor.seam import Clock, Reactor, Timer
from tests.simulation.clock import Clock as SimulatedClock
from tests.simulation.clock import Scope


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[EPollReactor]:
    """A reactor that nobody else turns: a thread may run this process's own for other tests."""
    reactor = EPollReactor()
    monkeypatch.setattr(monotonic, "installed", reactor)
    yield reactor
    reactor.removeAll()
    for end in (reactor.waker.i, reactor.waker.o):
        os.close(end)
    reactor._poller.close()


def promised(seam: type) -> Iterator[tuple[str, inspect.Signature]]:
    for name, call in inspect.getmembers(seam, inspect.isfunction):
        if not name.startswith("_"):
            yield name, inspect.signature(call)


def takes(thing: Any, seam: type) -> None:
    """Fails where ``thing`` cannot be called as the seam says."""
    for name, signature in promised(seam):
        there = getattr(thing, name)
        try:
            accepted = inspect.signature(there)
        except ValueError:  # a function of C, such as time.monotonic, shows none
            continue
        fixed = [
            object()
            for each in list(signature.parameters.values())[1:]
            if each.kind is not each.VAR_POSITIONAL
        ]
        accepted.bind(*fixed)


CLOCKS: dict[str, Callable[[EPollReactor], Any]] = {
    "Twisted's": lambda installed: installed,
    "of Twisted's tests": lambda _: task.Clock(),
    "of a simulation": lambda _: SimulatedClock(),
    "of a part of one": lambda _: Scope(SimulatedClock()),
}


@pytest.mark.parametrize("clock_of", CLOCKS.values(), ids=CLOCKS.keys())
def test_every_clock_plans_calls_and_gives_timers(clock_of: Any, installed: EPollReactor) -> None:
    clock = clock_of(installed)
    takes(clock, Clock)
    timer = clock.callLater(1000.0, lambda *_: None, 1)
    takes(timer, Timer)
    assert timer.active()
    assert timer.getTime() == pytest.approx(clock.seconds() + 1000.0, abs=60)
    timer.reset(2000.0)
    assert timer.getTime() == pytest.approx(clock.seconds() + 2000.0, abs=60)
    timer.cancel()
    assert not timer.active()


def test_twisteds_reactor_takes_all_that_we_ask_of_one(installed: EPollReactor) -> None:
    takes(installed, Reactor)


def test_our_reactor_has_a_clock_that_no_step_of_the_wall_clock_moves() -> None:
    reactor = monotonic_reactor()
    before = time.monotonic()
    assert before <= reactor.seconds() <= time.monotonic()


class Descriptor:
    """Something with a descriptor that the reactor looks after."""

    def __init__(self, number: int, call: Any) -> None:
        self.number, self.doRead = number, call

    def fileno(self) -> int:
        return self.number

    def logPrefix(self) -> str:
        return "test"

    def connectionLost(self, reason: Any) -> None:
        monotonic_reactor().removeReader(self)
        raise ValueError("while it was closed")


def test_one_descriptor_that_fails_holds_up_no_other() -> None:
    reactor, heard = monotonic_reactor(), []
    ends = [os.pipe() for _ in range(3)]
    readers = []

    def hear(place: int) -> Any:
        heard.append(place)
        os.read(ends[place][0], 1)
        return ConnectionDone() if place == 1 else None

    try:
        for place, (end, other) in enumerate(ends):
            readers.append(Descriptor(end, functools.partial(hear, place)))
            reactor.addReader(readers[-1])
            os.write(other, b".")
        for _ in range(3):
            reactor.doIteration(0.0)  # type: ignore[attr-defined]
        assert sorted(heard) == [0, 1, 2]
        os.write(ends[0][1], b".")
        os.write(ends[1][1], b".")
        reactor.doIteration(0.0)  # type: ignore[attr-defined]
        assert sorted(heard) == [0, 0, 1, 2], "the one that ended is looked after no more"
    finally:
        for reader, pair in zip(readers, ends, strict=True):
            reactor.removeReader(reader)
            for end in pair:
                os.close(end)
