"""A tenant that wants more workers, fewer, or none any more."""

from __future__ import annotations

from scattergather.model.outcome import Kind
from scattergather.wire.messages import page as messages
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.pool import Pool
from scattergather.workers.pool.staffing import SPARE_SECONDS
from tests.unit.pool.test_pool import Bench, losses, reports, told


def forked(out: list[actions.Action]) -> list[int]:
    return [each.worker for each in out if isinstance(each, actions.ForkWorker)]


def ended(out: list[actions.Action]) -> list[int]:
    return [each.worker for each in out if isinstance(each, actions.RetireWorker)]


def slots(out: list[actions.Action]) -> list[int]:
    found = [each for each in reports(out) if isinstance(each, messages.WorkersChanged)]
    return [each.workers for each in found]


def test_idle_workers_that_are_too_many_end_at_once() -> None:
    bench = Bench(slots=4)
    out = bench.receive(messages.Resize(workers=1))
    assert len(ended(out)) == 3
    assert slots(out) == [1]


def test_busy_workers_that_are_too_many_get_nothing_more_and_end_when_they_were_idle() -> None:
    bench = Bench(slots=3)
    for chunk in range(5):
        bench.run(chunk)
    bench.receive(messages.Resize(workers=1))
    by_chunk = {lease.run.chunk: number for number, worker in bench.pool.crew.workers.items()
                for lease in worker.leases}  # fmt: skip
    assert not told(bench.done(by_chunk[0], 0))
    assert not told(bench.done(by_chunk[1], 1))
    ((worker, run),) = told(bench.done(by_chunk[2], 2))
    assert run.chunk == 3
    bench.now += SPARE_SECONDS
    assert len(ended(bench(events.Ticked()))) == 2
    assert told(bench.done(worker, 3))


def test_a_tenant_may_have_as_many_workers_as_the_pool_has_and_no_more() -> None:
    bench = Bench(slots=3)
    for number in ended(bench.receive(messages.Resize(workers=1))):
        bench.exited(number)
    assert len(forked(bench.receive(messages.Resize(workers=100)))) == 2
    bench.receive(messages.Resize(workers=1))
    assert slots(bench.receive(messages.Resize(workers=0))) == [3]


def test_the_pool_of_one_tenant_grows_with_what_it_wants() -> None:
    bench = Bench(slots=1)
    bench.pool = Pool(1, own=True)
    bench(events.TenantJoined(tenant=1))
    assert len(forked(bench.receive(messages.Resize(workers=5)))) == 4
    assert bench.pool.slots == 5


def test_a_session_that_ends_gives_back_what_has_not_begun_and_interrupts_the_rest() -> None:
    bench = Bench(slots=1)
    (worker,) = bench.workers
    for chunk in range(3):
        bench.run(chunk)
    out = bench.receive(messages.Leave())
    given = [each.chunk for each in reports(out) if isinstance(each, messages.GaveBack)]
    assert sorted(given) == [1, 2]
    assert [each.worker for each in out if isinstance(each, actions.KillWorker)] == [worker]
    harvest = events.Harvest(chunk=0, running=0, finished=0)
    out = bench.exited(worker, signal=9, harvest=harvest)
    (outcome,) = (each for each in reports(out) if isinstance(each, messages.Outcomes))
    assert outcome.kinds == bytes([Kind.INTERRUPTED])
    assert "host was dropped" in losses(out)[0].reason
    assert not forked(out)


def test_whoever_waits_for_workers_of_a_session_that_ends_is_answered() -> None:
    bench = Bench(slots=1)
    (worker,) = bench.workers
    bench.run(0)
    bench.receive(messages.Refresh(call=1))
    bench.receive(messages.Everywhere(call=2, function="f"), b"body")
    bench.receive(messages.Leave())
    said = []
    for number in list(bench.pool.crew.workers):
        said += reports(bench.exited(number, signal=9))
    assert any(isinstance(each, messages.RefreshDone) for each in said)
    (done,) = (each for each in said if isinstance(each, messages.EverywhereDone))
    assert done.last
    assert worker not in bench.pool.crew.workers
