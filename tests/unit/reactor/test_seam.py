"""Whoever stands in for a reactor takes every call that the seam promises."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet import task

from scattergather.reactor.monotonic import monotonic_reactor
from scattergather.reactor.seam import Clock, Reactor, Timer
from tests.simulation.clock import Clock as SimulatedClock
from tests.simulation.clock import Scope


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


def clocks() -> list[Any]:
    return [installed, task.Clock(), SimulatedClock(), Scope(SimulatedClock())]


@pytest.mark.parametrize("clock", clocks(), ids=lambda clock: type(clock).__qualname__)
def test_every_clock_plans_calls_and_gives_timers(clock: Any) -> None:
    takes(clock, Clock)
    timer = clock.callLater(1000.0, lambda *_: None, 1)
    takes(timer, Timer)
    assert timer.active()
    assert timer.getTime() == pytest.approx(clock.seconds() + 1000.0, abs=60)
    timer.reset(2000.0)
    assert timer.getTime() == pytest.approx(clock.seconds() + 2000.0, abs=60)
    timer.cancel()
    assert not timer.active()


def test_twisteds_reactor_takes_all_that_we_ask_of_one() -> None:
    takes(installed, Reactor)


def test_our_reactor_has_a_clock_that_no_step_of_the_wall_clock_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "seconds", time.time)  # as Twisted has it, and puts it back
    reactor = monotonic_reactor()
    before = time.monotonic()
    assert before <= reactor.seconds() <= time.monotonic()
