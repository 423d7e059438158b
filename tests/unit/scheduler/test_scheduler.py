from __future__ import annotations

from scattergather.model.outcome import Kind
from scattergather.scheduler import actions, events
from scattergather.scheduler.scheduler import Scheduler

A, B = b"a" * 16, b"b" * 16


class Bench:
    """A scheduler with short words for its events."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()

    def __call__(self, event: events.Event) -> list[actions.Action]:
        return self.scheduler.handle(event)

    def job(self, job: bytes = A, tasks: int = 10, **options) -> list[actions.Action]:
        self(events.JobAdded(job=job, function=options.pop("function", "f"), **options))
        out = self(events.TasksAdded(job=job, first=0, count=tasks, size=tasks * 20))
        return out + self(events.TasksEnded(job=job, total=tasks))

    def host(self, name: str = "h", slots: int = 2, **facts) -> list[actions.Action]:
        return self(events.HostJoined(host=name, slots=slots, **facts))

    def done(
        self, sent: actions.SendChunk, kinds: list[int] | None = None, each: float = 0.1
    ) -> list[actions.Action]:
        judged = bytes(kinds or [Kind.RETURNED] * sent.count)
        return self(
            events.OutcomesArrived(
                host=sent.host,
                chunk=sent.chunk,
                first=sent.first,
                kinds=judged,
                elapsed=each * len(judged),
            )
        )

    def chunk_of_many(self) -> actions.SendChunk:
        """A chunk of several tasks, at the only worker: the function is known to be brief."""
        self.host(slots=1)
        first = chunks(self.job(tasks=100))[0]
        return chunks(self.done(first, each=1e-4))[0]


def chunks(out: list[actions.Action]) -> list[actions.SendChunk]:
    return [action for action in out if isinstance(action, actions.SendChunk)]


def finals(out: list[actions.Action]) -> list[actions.Action]:
    wanted = (actions.Deliver, actions.DeliverLoss, actions.ReportCancelled)
    return [action for action in out if isinstance(action, wanted)]


def test_unknown_functions_are_sent_one_task_a_worker() -> None:
    bench = Bench()
    bench.host(slots=3)
    sent = chunks(bench.job(tasks=10))
    assert [(each.first, each.count) for each in sent] == [(0, 1), (1, 1), (2, 1)]


def test_chunks_of_short_tasks_grow_to_a_few_milliseconds() -> None:
    bench = Bench()
    bench.host(slots=1)
    waiting, sizes = chunks(bench.job(tasks=100_000)), []
    while waiting:
        sent = waiting.pop(0)
        sizes.append(sent.count)
        waiting += chunks(bench.done(sent, each=1e-5))
    assert sizes[0] == 1
    assert max(sizes) == 1600
    assert sum(sizes) == 100_000
    assert sizes[-1] < 10, "the tail is balanced"


def test_long_tasks_travel_alone() -> None:
    bench = Bench()
    bench.host(slots=2)
    first = chunks(bench.job(tasks=50))
    later = chunks(bench.done(first[0], each=0.5))
    assert {each.count for each in later} == {1}


def test_higher_priority_goes_first_and_equals_take_turns() -> None:
    bench = Bench()
    bench.job(A, tasks=4)
    bench.job(B, tasks=4, function="g")
    bench.job(b"c" * 16, tasks=1, priority=5, function="h")
    order = [each.job for each in chunks(bench.host(slots=5))]
    assert order == [b"c" * 16, A, B, A, B]


def test_a_loss_is_run_again_alone_until_the_retries_are_used_up() -> None:
    bench = Bench()
    bench.host(slots=1)
    (sent,) = chunks(bench.job(tasks=1, retries=2))
    for attempt in (2, 3):
        (sent,) = chunks(bench.done(sent, [Kind.LOST]))
        assert (sent.attempt, sent.count, sent.ahead) == (attempt, 1, False)
    (final,) = finals(bench.done(sent, [Kind.LOST]))
    assert isinstance(final, actions.Deliver)
    assert (final.attempt, final.attempts) == (3, 3)


def test_an_interruption_by_refresh_costs_no_retry() -> None:
    bench = Bench()
    bench.host(slots=1)
    (sent,) = chunks(bench.job(tasks=1, retries=1))
    for _ in range(10):
        (sent,) = chunks(bench.done(sent, [Kind.INTERRUPTED]))
        assert sent.attempt == 1


def test_an_interrupted_task_that_may_not_run_twice_is_lost() -> None:
    bench = Bench()
    bench.host(slots=1)
    (sent,) = chunks(bench.job(tasks=1, retries=0))
    out = bench.done(sent, [Kind.INTERRUPTED])
    assert not chunks(out)
    assert len(finals(out)) == 1


def test_an_exception_that_the_function_raised_is_an_outcome() -> None:
    bench = Bench()
    bench.host(slots=1)
    (sent,) = chunks(bench.job(tasks=1))
    out = bench.done(sent, [Kind.RAISED])
    assert not chunks(out)
    assert isinstance(out[-1], actions.EndJob)


def test_a_mixed_batch_delivers_what_is_final_and_repeats_the_rest() -> None:
    bench = Bench()
    sent = bench.chunk_of_many()
    assert sent.count > 4
    out = bench.done(sent, [Kind.RETURNED, Kind.RETRYABLE, Kind.RAISED, Kind.LOST], each=1e-4)
    delivered = [(each.first - sent.first, each.offset, each.count) for each in finals(out)]
    assert delivered == [(0, 0, 1), (2, 2, 1)]


def test_outcomes_of_a_host_that_was_given_up_are_ignored() -> None:
    bench = Bench()
    bench.host("h", slots=1)
    (sent,) = chunks(bench.job(tasks=1))
    bench(events.HostLeft(host="h", reason="gone"))
    assert bench.done(sent) == []
    (again,) = chunks(bench.host("h", slots=1))
    assert (again.first, again.attempt) == (0, 2)
    assert bench.done(sent) == [], "the old lease is dead even when the host is back"


def test_the_same_outcomes_twice_are_delivered_once() -> None:
    bench = Bench()
    bench.host(slots=1)
    (sent,) = chunks(bench.job(tasks=1))
    assert finals(bench.done(sent))
    assert bench.done(sent) == []


def test_a_lost_host_makes_tasks_without_retries_losses() -> None:
    bench = Bench()
    bench.host("h", slots=2)
    bench.job(tasks=2, retries=0)
    out = bench(events.HostLeft(host="h", reason="the cable is cut"))
    losses = finals(out)
    gone = actions.HostGone(host="h", reason="the cable is cut")
    assert [each.cause for each in losses] == [gone] * 2
    assert isinstance(out[-1], actions.EndJob)


def test_cancelling_a_job_drops_the_queued_and_ends_the_running() -> None:
    bench = Bench()
    bench.host(slots=1)
    (sent,) = chunks(bench.job(tasks=10))
    out = bench(events.JobCancelled(job=A))
    assert finals(out) == [actions.ReportCancelled(job=A, first=1, count=9)]
    assert actions.CancelChunks(host="h", chunks=(sent.chunk,)) in out
    out = bench(events.CancelCompleted(host="h", chunk=sent.chunk, first=0))
    assert finals(out) == [actions.ReportCancelled(job=A, first=0, count=1)]
    assert isinstance(out[-1], actions.EndJob)


def test_single_queued_tasks_can_be_cancelled_and_running_ones_cannot() -> None:
    bench = Bench()
    bench.host(slots=1)
    bench.job(tasks=5)
    assert bench(events.TasksWithdrawn(job=A, first=0, count=1)) == []
    out = bench(events.TasksWithdrawn(job=A, first=3, count=1))
    assert finals(out) == [actions.ReportCancelled(job=A, first=3, count=1)]


def test_an_idle_host_makes_us_recall_what_another_holds_unstarted() -> None:
    bench = Bench()
    bench.host("full", slots=1)
    sent = chunks(bench.job(tasks=3))
    sent += chunks(bench.done(sent[0], each=0.5))
    assert len(sent) == 3
    out = bench.host("idle", slots=1)
    assert out == [actions.TakeBackFrom(host="full", count=1)]
    out = bench(events.ChunkGivenBack(host="full", chunk=sent[-1].chunk, first=sent[-1].first))
    assert [each.host for each in chunks(out)] == ["idle"]


def test_code_of_another_python_waits_for_its_own_or_fails_when_there_is_none() -> None:
    bench = Bench()
    bench.host("old", python="3.12")
    assert not chunks(bench.job(tasks=2, python="3.11"))
    (loss,) = finals(bench(events.HostsSettled()))
    assert loss.cause == actions.NoHostFits(python="3.11", hosts=(("old", "3.12"),))


def test_a_service_goes_to_the_hosts_that_have_it() -> None:
    bench = Bench()
    bench.host("plain", slots=1)
    bench.host("series", slots=1, services=frozenset({"all_series"}))
    sent = chunks(bench.job(tasks=5, service="all_series"))
    assert {each.host for each in sent} == {"series"}


def test_nested_calls_go_before_what_was_added_from_outside() -> None:
    bench = Bench()
    bench.job(A, tasks=2)
    bench.job(B, tasks=1, depth=1)
    (sent,) = chunks(bench.host(slots=1))
    assert sent.job == B


def test_no_retry_is_charged_to_what_waited_behind_a_loss() -> None:
    bench = Bench()
    sent = bench.chunk_of_many()
    bench.done(sent, [Kind.LOST], each=1e-4)
    out = bench(events.ChunkGivenBack(host="h", chunk=sent.chunk, first=sent.first + 1))
    attempts = {each.first: each.attempt for each in chunks(out)}
    assert attempts.get(sent.first + 1, 1) == 1


def test_what_was_given_back_and_comes_again_from_further_behind_changes_nothing() -> None:
    bench = Bench()
    sent = bench.chunk_of_many()
    assert sent.count > 2
    back = [events.ChunkGivenBack(host="h", chunk=sent.chunk, first=sent.first + n) for n in (2, 1)]
    for each in back:
        bench(each)
    lease = bench.scheduler._jobs[A].leases[sent.chunk]
    assert not bench(back[0])
    assert (lease.next, lease.stop) == (sent.first, sent.first + 1)


def test_as_much_is_kept_ahead_as_the_measured_round_trip_takes() -> None:
    bench = Bench()
    bench.host(slots=8)
    held = len(sent := chunks(bench.job(tasks=10**6)))
    for first in sent:  # the function is known to be brief now
        held += len(chunks(bench.done(first, each=1e-4))) - 1
    assert held == 8 + 16  # as many as hide the way to a pool nearby
    far = chunks(bench(events.RoundTripMeasured(host="h", seconds=0.05)))
    assert held + len(far) == 8 + 64
    held += len(far)
    near = bench(events.RoundTripMeasured(host="h", seconds=0.0005))
    assert not chunks(near), "what is there stays there"
    assert not chunks(bench.done(far[0], each=1e-4)), "and nothing follows it for now"
    assert not bench(events.RoundTripMeasured(host="gone", seconds=1.0))


def test_tasks_that_are_to_run_again_go_to_whoever_is_idle() -> None:
    bench = Bench()
    bench.host("a", slots=1)
    (sent,) = chunks(bench.job(tasks=40, retries=3))
    while sent.count < 8:
        sent, *_ = chunks(bench.done(sent, each=1e-5))
    queued = chunks(bench(events.HostJoined(host="b", slots=4)))
    while queued:
        queued += chunks(bench.done(queued.pop(), each=1e-5))
    again = chunks(bench.done(sent, [Kind.RETRYABLE] * sent.count))
    assert "b" in {each.host for each in again}


def test_a_forgotten_job_ends_though_tasks_of_it_still_came_while_one_ran() -> None:
    bench = Bench()
    bench.host(slots=1)
    bench(events.JobAdded(job=A, function="f"))
    (sent,) = chunks(bench(events.TasksAdded(job=A, first=0, count=2)))
    bench(events.JobForgotten(job=A))
    assert bench(events.TasksAdded(job=A, first=2, count=3)) == [
        actions.ReportCancelled(job=A, first=2, count=3)
    ]
    out = bench(events.CancelCompleted(host="h", chunk=sent.chunk, first=0))
    assert out[-1] == actions.EndJob(job=A)


# ---- may outcomes be heard a moment later? ------------------------------------------------------


def full(each: float, **options) -> tuple[Bench, list[actions.SendChunk]]:
    """A host of two workers with all the chunks that it gets of a function, and those."""
    bench = Bench()
    bench.host(slots=2)
    sent = chunks(bench.job(tasks=100, **options))
    for _ in range(20):
        sent += chunks(bench.done(sent.pop(0), each=each))
    return bench, sent


def test_outcomes_of_slow_tasks_may_be_heard_later_while_every_worker_has_a_next_one() -> None:
    assert full(0.3)[0].scheduler.can_wait
    assert not full(0.01)[0].scheduler.can_wait, "there the moment would be long"
    assert not full(2.0)[0].scheduler.can_wait, "those are not read ahead, so a worker waits for us"


def test_tasks_of_which_some_are_short_are_heard_at_once() -> None:
    bench, sent = full(0.3)
    for seconds in (0.001, 0.6) * 8:
        sent += chunks(bench.done(sent.pop(0), each=seconds))
    assert not bench.scheduler.can_wait


def test_another_function_that_runs_is_heard_at_once_until_it_is_known_to_be_slow() -> None:
    bench, sent = full(0.3)
    bench.job(B, tasks=1, function="g", priority=1)
    more = [chunk for lease in sent for chunk in chunks(bench.done(lease, each=0.3))]
    (other,) = [chunk for chunk in more if chunk.job == B]
    assert not bench.scheduler.can_wait
    bench.done(other, each=0.3)
    assert bench.scheduler.can_wait


def test_nothing_waits_for_the_last_ones_but_the_client() -> None:
    bench = Bench()
    bench.host(slots=2)
    sent = chunks(bench.job(tasks=2))
    bench.done(sent[0], each=0.3)
    assert bench.scheduler.can_wait, "no worker could get another one"
    bench.done(sent[1], each=0.3)
    assert not bench.scheduler.can_wait, "nothing runs"


def test_a_host_of_slow_tasks_is_filled_up_again_when_it_lacks_half_a_chunk_a_worker() -> None:
    bench = Bench()
    bench.host(slots=8)
    sent, came, held = chunks(bench.job(tasks=100)), [], []
    for _ in range(40):
        more = chunks(bench.done(sent.pop(0), each=0.3))
        sent += more
        came.append(len(more))
        held.append(len(sent))
    assert sorted(came[-16:]) == [0] * 12 + [4] * 4
    assert min(held) >= 8 + 8 // 2, "one that runs for each worker, and one more for each second"
    assert max(held) >= 8 + 8


def test_a_host_of_short_tasks_gets_the_next_chunk_for_each_that_ends() -> None:
    bench = Bench()
    bench.host(slots=8)
    sent = chunks(bench.job(tasks=200))
    for _ in range(40):
        sent += chunks(bench.done(sent.pop(0), each=0.02))
    held = len(sent)
    for _ in range(10):
        sent += chunks(bench.done(sent.pop(0), each=0.02))
        assert len(sent) == held
