"""Hosts that are dropped, and those that are added in their place."""

from __future__ import annotations

import pytest

from scattergather.model.outcome import Kind
from scattergather.model.placement import Placement
from scattergather.scheduler import actions, events
from tests.unit.scheduler.test_scheduler import B, Bench, chunks, finals

C = b"c" * 16


def left(out: list[actions.Action]) -> list[str]:
    return [action.host for action in out if isinstance(action, actions.LeaveHost)]


def recalled(out: list[actions.Action]) -> dict[str, int]:
    return {each.host: each.count for each in out if isinstance(each, actions.TakeBackFrom)}


def test_a_host_that_has_nothing_is_left_at_once() -> None:
    bench = Bench()
    bench.host()
    assert left(bench(events.HostDraining(host="h"))) == ["h"]


def test_a_host_that_is_dropped_gets_nothing_more_and_is_left_when_it_has_nothing() -> None:
    bench = Bench()
    bench.host("alpha", slots=2)
    sent = chunks(bench.job(tasks=10))
    bench.host("beta", slots=1)
    out = bench(events.HostDraining(host="alpha"))
    assert recalled(out) == {"alpha": 2}
    assert not left(out)
    first = bench.done(sent[0])
    assert not chunks(first)
    assert not left(first)
    last = bench.done(sent[1])
    assert left(last) == ["alpha"]
    assert not chunks(last)
    assert not finals(bench(events.HostLeft(host="alpha", reason="it was dropped")))
    assert bench.scheduler.statistics().jobs[0].done == 2


def test_what_a_dropped_host_gives_back_runs_elsewhere_and_is_not_charged() -> None:
    bench = Bench()
    bench.host("alpha", slots=1)
    (sent,) = chunks(bench.job(tasks=1, retries=0))
    bench(events.HostDraining(host="alpha"))
    out = bench(events.ChunkGivenBack(host="alpha", chunk=sent.chunk, first=0))
    assert left(out) == ["alpha"]
    (again,) = chunks(bench.host("beta", slots=1))
    assert (again.host, again.attempt) == ("beta", 1)


def test_what_changes_on_a_host_that_is_leaving_brings_it_nothing() -> None:
    bench = Bench()
    bench.host("alpha", slots=1)
    (sent,) = chunks(bench.job(tasks=5))
    bench(events.HostDraining(host="alpha"))
    assert not chunks(bench(events.SlotsChanged(host="alpha", slots=4)))
    assert not chunks(bench(events.RoundTripMeasured(host="alpha", seconds=1.0)))
    assert not chunks(bench.job(B, tasks=5))
    assert bench.scheduler.statistics().jobs[0].running == 1
    assert not chunks(bench.done(sent, [Kind.RETRYABLE]))


def test_a_host_that_is_lost_while_it_leaves_is_charged_for_and_not_left_again() -> None:
    bench = Bench()
    bench.host("alpha", slots=1)
    bench.job(tasks=1, retries=0)
    bench(events.HostDraining(host="alpha"))
    out = bench(events.HostLeft(host="alpha", reason="the connection broke"))
    assert [type(each) for each in finals(out)] == [actions.DeliverLoss]
    assert not left(out)


def test_calls_of_tasks_run_on_a_host_that_leaves_only_where_no_other_can_run_them() -> None:
    for other in (True, False):
        bench = Bench()
        bench.host("alpha", slots=1)
        (outer,) = chunks(bench.job(tasks=1))
        if other:
            bench.host("beta", slots=1)
        bench(events.HostDraining(host="alpha"))
        bench(events.SlotsChanged(host="alpha", slots=2))  # its worker waits, and lends its slot
        (call,) = chunks(bench.job(B, tasks=1, depth=1))
        assert call.host == ("beta" if other else "alpha")
        assert not left(bench.done(call))
        assert left(bench.done(outer)) == ["alpha"]


BOUND = {"its python": {"python": "3.11"}, "its name": {"placement": Placement(on=("alpha",))}}


@pytest.mark.parametrize("bound", BOUND)
def test_calls_that_only_a_host_that_leaves_can_run_run_there_also_when_nobody_waits(bound) -> None:
    bench = Bench()
    bench.host("alpha", slots=1, python="3.11")
    (outer,) = chunks(bench.job(tasks=1))
    bench.host("beta", slots=1, python="3.12")
    bench(events.HostsSettled())
    bench(events.HostDraining(host="alpha"))
    assert not chunks(bench.job(B, tasks=2, depth=1, **BOUND[bound]))
    out = bench.done(outer)
    for _ in range(2):
        (call,) = chunks(out)
        assert call.host == "alpha"
        assert not left(out)
        out = bench.done(call)
    assert left(out) == ["alpha"]
    late = bench.job(C, tasks=1, depth=1, **BOUND[bound])
    assert [type(each) for each in finals(late)] == [actions.DeliverLoss], "it is left by now"


def test_a_host_whose_workers_are_ended_gets_no_calls_either() -> None:
    bench = Bench()
    bench.host("alpha", slots=1)
    bench.job(tasks=1)
    bench(events.HostDraining(host="alpha"))
    bench(events.HostDraining(host="alpha", closed=True))
    bench(events.SlotsChanged(host="alpha", slots=2))
    assert not chunks(bench.job(B, tasks=1, depth=1))


def test_what_fits_no_host_waits_while_others_are_awaited() -> None:
    bench = Bench()
    bench(events.HostsSettled())
    bench(events.HostsAwaited())
    bench.host("other", python="3.12")
    assert not finals(bench.job(tasks=1, python="3.11"))
    (sent,) = chunks(bench.host("fitting", python="3.11"))
    bench.done(sent)
    assert not finals(bench.job(B, tasks=1, python="3.13"))
    assert len(finals(bench(events.HostsSettled()))) == 1
