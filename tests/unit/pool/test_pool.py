from __future__ import annotations

import signal

from scattergather.model.ids import shipped
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Limits, Loss
from scattergather.wire.messages.zygote import SPENT
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.losses.watching import AtWork
from scattergather.workers.pool.pool import Pool

JOB = b"j" * 16


class Bench:
    """A pool of one tenant, with short words for its events."""

    def __init__(self, slots: int = 2) -> None:
        self.pool, self.now = Pool(slots), 0.0
        out = self(events.TenantJoined(tenant=1))
        self.workers = [each.worker for each in out if isinstance(each, actions.ForkWorker)]
        for worker in self.workers:
            self.born(worker)

    def __call__(self, event: events.Event) -> list[actions.Action]:
        return self.pool.handle(event, self.now)

    def born(self, worker: int) -> list[actions.Action]:
        return self.said(worker, messages.Born(pid=1000 + worker))

    def run(self, chunk: int, count: int = 1, **fields) -> list[actions.Action]:
        message = messages.Run(
            chunk=chunk, job=JOB, function="f", first=chunk * 100, count=count, **fields
        )
        return self.receive(message, b"body")

    def receive(self, message: messages.ToPool, body: bytes = b"") -> list[actions.Action]:
        return self(events.MessageReceived(tenant=1, message=message, body=body))

    def said(self, worker: int, message: messages.FromWorker) -> list[actions.Action]:
        many = isinstance(message, messages.Outcomes)
        body = blobs.pack([b"."] * len(message.kinds)) if many else b""
        return self(events.WorkerSaid(worker=worker, message=message, body=body))

    def done(self, worker: int, chunk: int, count: int = 1, first: int = 0):
        kinds = bytes([Kind.RETURNED]) * count
        outcomes = messages.Outcomes(chunk=chunk, first=chunk * 100 + first, kinds=kinds)
        return self.said(worker, outcomes)

    def exited(self, worker: int, **fields) -> list[actions.Action]:
        return self(events.WorkerExited(worker=worker, **fields))


def told(out: list[actions.Action]) -> list[tuple[int, object]]:
    return [(each.worker, each.message) for each in out if isinstance(each, actions.Tell)]


def reports(out: list[actions.Action]) -> list[messages.FromPool]:
    return [each.message for each in out if isinstance(each, actions.Report)]


def losses(out: list[actions.Action]) -> list[Loss]:
    found = []
    for each in out:
        if isinstance(each, actions.Report) and isinstance(each.message, messages.Outcomes):
            for kind, blob in zip(each.message.kinds, blobs.each(each.body, 1), strict=True):
                if kind in (Kind.LOST, Kind.INTERRUPTED, Kind.EXCEEDED):
                    found.append(messages.read_loss(blob))
    return found


def test_chunks_go_to_idle_workers_and_the_rest_waits() -> None:
    bench = Bench(slots=2)
    assert [worker for worker, _ in told(bench.run(1) + bench.run(2) + bench.run(3))] == [1, 2]
    assert [(worker, run.chunk) for worker, run in told(bench.done(2, 2))] == [(2, 3)]


def test_of_idle_workers_the_one_that_was_busy_last_goes_first() -> None:
    bench = Bench(slots=3)
    workers = []
    for chunk in range(1, 4):
        bench.run(chunk)
    for worker in (2, 3, 1):
        bench.done(worker, worker)
    for chunk in range(4, 8):
        ((worker, _),) = told(bench.run(chunk))
        workers.append(worker)
        bench.done(worker, chunk)
    assert workers == [1, 1, 1, 1]


def test_a_second_chunk_is_handed_out_early_only_when_both_may_be() -> None:
    bench = Bench(slots=1)
    assert told(bench.run(1, ahead=True))
    assert not told(bench.run(2))
    bench = Bench(slots=1)
    bench.run(1, ahead=True)
    assert told(bench.run(2, ahead=True))
    assert not told(bench.run(3, ahead=True)), "two are enough"


def recalled(out: list[actions.Action]) -> list[tuple[int, int]]:
    return [(each.worker, each.chunk) for each in out if isinstance(each, actions.RecallChunk)]


def test_an_idle_worker_gets_what_another_one_holds_behind_its_task() -> None:
    bench = Bench(slots=2)
    for chunk in (1, 2, 3):
        bench.run(chunk, ahead=True)
    assert recalled(bench.done(2, 2)) == [(1, 3)]
    out = bench(events.ChunkRecalled(worker=1, chunk=3))
    assert [(worker, run.chunk) for worker, run in told(out)] == [(2, 3)]
    assert not reports(out)
    bench.done(2, 3)
    assert not recalled(bench.said(1, messages.GaveBack(chunk=3, first=300))), "it was asked once"


def test_a_chunk_that_has_begun_after_all_stays_where_it_is() -> None:
    bench = Bench(slots=2)
    for chunk in (1, 2, 3):
        bench.run(chunk, ahead=True)
    assert recalled(bench.done(2, 2)) == [(1, 3)]
    bench.done(1, 1)
    out = bench.done(1, 3)
    assert [r.chunk for r in reports(out) if isinstance(r, messages.Outcomes)] == [3]


def test_a_worker_that_had_begun_what_it_was_to_skip_gets_chunks_ahead_again() -> None:
    bench = Bench(slots=2)
    for chunk in (1, 2, 3):
        bench.run(chunk, ahead=True)
    assert recalled(bench.done(2, 2)) == [(1, 3)]
    bench.done(1, 1)
    bench.done(1, 3)
    placed = [told(bench.run(chunk, ahead=True))[0][0] for chunk in (4, 5, 6, 7)]
    assert sorted(placed) == [1, 1, 2, 2]


def test_a_chunk_that_was_skipped_unseen_is_given_back() -> None:
    bench = Bench(slots=2)
    for chunk in (1, 2, 3):
        bench.run(chunk, ahead=True)
    bench.done(2, 2)
    bench.done(1, 1)
    out = bench.said(1, messages.GaveBack(chunk=3, first=300))
    assert reports(out) == [messages.GaveBack(chunk=3, first=300)]


def test_nothing_is_put_behind_a_task_before_the_worker_has_said_that_it_skipped() -> None:
    bench = Bench(slots=2)
    for chunk in (1, 2, 3):
        bench.run(chunk, ahead=True)
    bench.done(2, 2)
    bench(events.ChunkRecalled(worker=1, chunk=3))
    assert [worker for worker, _ in told(bench.run(4, ahead=True))] == [2]
    assert not told(bench.run(5, ahead=True))
    bench.done(1, 1)
    out = bench.said(1, messages.GaveBack(chunk=3, first=300))
    assert not reports(out)
    assert [worker for worker, _ in told(bench.run(6, ahead=True))] == [1]


def test_what_workers_hold_behind_their_tasks_is_given_to_another_host_too() -> None:
    bench = Bench(slots=1)
    bench.run(1, ahead=True)
    bench.run(2, ahead=True)
    out = bench.receive(messages.TakeBack(count=1))
    assert recalled(out) == [(1, 2)]
    out = bench(events.ChunkRecalled(worker=1, chunk=2))
    assert reports(out) == [messages.GaveBack(chunk=2, first=200)]


def test_of_what_is_queued_or_held_behind_only_what_may_run_elsewhere_goes_back() -> None:
    bench = Bench(slots=2)
    for chunk in range(1, 9):
        bench.run(chunk, ahead=True)
    out = bench.receive(messages.TakeBack(count=3, chunks=(2, 3, 5, 7, 99)))
    assert reports(out) == [
        messages.GaveBack(chunk=7, first=700),
        messages.GaveBack(chunk=5, first=500),
    ]
    assert recalled(out) == [(1, 3)], "the first that a worker holds behind its task"
    assert not reports(bench.receive(messages.TakeBack(count=3, chunks=(99,))))


def test_no_more_is_taken_from_behind_tasks_than_was_asked_for_in_tasks() -> None:
    bench = Bench(slots=3)
    for chunk in range(1, 7):
        bench.run(chunk, count=10, ahead=True)
    assert len(recalled(bench.receive(messages.TakeBack(count=15)))) == 2


def test_a_recalled_chunk_that_was_cancelled_is_gone() -> None:
    bench = Bench(slots=2)
    for chunk in (1, 2, 3):
        bench.run(chunk, ahead=True)
    bench.done(2, 2)
    bench.receive(messages.Cancel(chunks=(3,)))
    out = bench(events.ChunkRecalled(worker=1, chunk=3))
    assert reports(out) == [messages.CancelDone(chunk=3, first=300)]


def test_an_outcome_may_wait_for_others_when_its_worker_has_the_next_task() -> None:
    bench = Bench(slots=1)

    def patient(chunk: int, elapsed: float) -> list[bool]:
        outcomes = messages.Outcomes(
            chunk=chunk, first=chunk * 100, kinds=bytes([Kind.RETURNED]), elapsed=elapsed
        )
        out = bench.said(1, outcomes)
        return [each.patient for each in out if isinstance(each, actions.Report)]

    for chunk in (1, 2, 3):
        bench.run(chunk)
    assert patient(1, 0.3) == [True]
    assert patient(2, 0.01) == [False], "it was short, and somebody may wait for it"
    assert patient(3, 0.3) == [False], "nothing is left here: the controller must hear of it"


def test_a_death_costs_only_the_task_that_ran() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=10)
    harvest = events.Harvest(
        chunk=1, running=102, outcomes=((100, 0, b"a"), (101, 0, b"b")), output="last words"
    )
    out = bench.exited(1, signal=signal.SIGSEGV, harvest=harvest)
    kinds = [(r.first, r.kinds) for r in reports(out) if isinstance(r, messages.Outcomes)]
    assert kinds == [(100, b"\0"), (101, b"\0"), (102, bytes([Kind.LOST]))]
    assert messages.GaveBack(chunk=1, first=103) in reports(out)
    (loss,) = losses(out)
    assert loss.kind == "TaskKilledWorker"
    assert "SIGSEGV" in loss.reason
    assert loss.output == "last words"
    assert any(isinstance(each, actions.ForkWorker) for each in out)


def test_what_a_dead_workers_task_had_printed_behind_what_was_told_is_told_before_its_loss() -> (
    None
):
    bench = Bench(slots=1)
    bench.run(1, count=3)
    harvest = events.Harvest(chunk=1, running=100, untold=b"last words", dropped=7)
    out = bench.exited(1, signal=9, harvest=harvest)
    said, loss, _ = [each for each in out if isinstance(each, actions.Report)][:3]
    assert isinstance(said.message, messages.Output)
    assert (said.message.index, said.message.dropped, said.body) == (100, 7, b"last words")
    assert isinstance(loss.message, messages.Outcomes)


def test_outcomes_that_were_sent_and_still_stand_in_the_journal_count_once() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=3)
    bench.done(1, 1, count=2)
    harvest = events.Harvest(chunk=1, running=102, outcomes=((100, 0, b""), (101, 0, b"")))
    out = bench.exited(1, signal=9, harvest=harvest)
    assert [r.first for r in reports(out) if isinstance(r, messages.Outcomes)] == [102]


def test_what_a_dead_worker_held_ready_is_given_back_whole() -> None:
    bench = Bench(slots=1)
    bench.run(1, ahead=True)
    bench.run(2, ahead=True)
    out = bench.exited(1, signal=9, harvest=events.Harvest(chunk=1, running=100))
    assert messages.GaveBack(chunk=2, first=200) in reports(out)


def test_a_chunk_that_kills_its_worker_before_the_first_task_is_charged() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=2)
    out = bench.exited(1, status=3)
    (loss,) = losses(out)
    assert (loss.kind, loss.status) == ("ExitCalled", 3)


def test_a_kill_before_the_first_task_charges_nobody_unless_memory_was_short() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=2)
    out = bench.exited(1, signal=9)
    assert messages.GaveBack(chunk=1, first=100) in reports(out)
    assert not losses(out)
    bench = Bench(slots=1)
    bench.run(1, count=2)
    (loss,) = losses(bench.exited(1, signal=9, out_of_memory=True))
    assert loss.kind == "OutOfMemory"


def test_refresh_forks_replacements_at_once_and_interrupts_what_runs() -> None:
    bench = Bench(slots=2)
    bench.run(1)
    out = bench.receive(messages.Refresh(call=7))
    killed = [each.worker for each in out if isinstance(each, actions.KillWorker)]
    forked = [each.worker for each in out if isinstance(each, actions.ForkWorker)]
    assert (killed, forked) == ([1, 2], [3, 4])
    bench.born(3)
    (done,) = [r for r in reports(bench.born(4)) if isinstance(r, messages.RefreshDone)]
    assert (done.call, done.workers, done.interrupted) == (7, 2, 1)
    out = bench.exited(1, signal=9, harvest=events.Harvest(chunk=1, running=100))
    kinds = [r.kinds for r in reports(out) if isinstance(r, messages.Outcomes)]
    assert kinds == [bytes([Kind.INTERRUPTED])]
    assert not any(isinstance(each, actions.ForkWorker) for each in out)


def test_a_cancelled_task_is_interrupted_then_terminated_then_killed() -> None:
    bench = Bench(slots=1)
    bench.run(1)
    out = bench.receive(messages.Cancel(chunks=(1,)))
    assert out == [actions.InterruptChunk(worker=1, chunk=1)]
    signals = []
    for bench.now in (1.0, 2.0):
        assert bench.pool.wake_at == bench.now
        signals += [each.signal for each in bench(events.Ticked())]
    assert signals == [signal.SIGTERM, signal.SIGKILL]
    out = bench.exited(1, signal=9, harvest=events.Harvest(chunk=1, running=100))
    (outcome,) = [r for r in reports(out) if isinstance(r, messages.Outcomes)]
    assert outcome.kinds == bytes([Kind.CANCELLED])


def test_a_cancelled_queued_chunk_never_reaches_a_worker() -> None:
    bench = Bench(slots=1)
    bench.run(1)
    bench.run(2)
    out = bench.receive(messages.Cancel(chunks=(2,)))
    assert reports(out) == [messages.CancelDone(chunk=2, first=200)]
    assert not told(bench.done(1, 1))


def test_queued_chunks_are_given_back_newest_first() -> None:
    bench = Bench(slots=1)
    for chunk in (1, 2, 3, 4):
        bench.run(chunk, count=5)
    out = bench.receive(messages.TakeBack(count=6))
    assert reports(out) == [
        messages.GaveBack(chunk=4, first=400),
        messages.GaveBack(chunk=3, first=300),
    ]


def test_code_travels_to_a_worker_once_and_before_what_needs_it() -> None:
    bench = Bench(slots=1)
    inner, outer = messages.Code(digest=b"i"), messages.Code(digest=b"o", needs=(b"i",))
    bench.receive(inner, b"1")
    bench.receive(outer, b"2")
    function = shipped(b"o")
    run = messages.Run(chunk=1, job=JOB, function=function, first=100, count=1)
    assert [message for _, message in told(bench.receive(run))] == [inner, outer, run]
    bench.done(1, 1)
    again = messages.Run(chunk=2, job=JOB, function=function, first=200, count=1)
    assert [message for _, message in told(bench.receive(again))] == [again]


def test_a_worker_that_waits_lends_its_slot() -> None:
    bench = Bench(slots=1)
    bench.run(1)
    bench.run(2)
    out = bench.said(1, messages.Waiting())
    (fork,) = [each for each in out if isinstance(each, actions.ForkWorker)]
    assert [run.chunk for _, run in told(bench.born(fork.worker))] == [2]
    bench.said(1, messages.Resumed())
    bench.done(fork.worker, 2)
    assert not told(bench.run(3)), "the slot is taken again"
    assert told(bench.done(1, 1))


def test_workers_that_die_at_birth_are_not_forked_for_ever() -> None:
    bench = Bench(slots=1)
    forks, worker = 0, 1
    out = bench.exited(worker, status=1)
    for _ in range(50):
        fork = [each for each in out if isinstance(each, actions.ForkWorker)]
        if not fork:
            break
        forks += 1
        out = bench.exited(fork[0].worker, status=1, harvest=events.Harvest(output="no module"))
    assert forks <= 6
    (changed,) = [r for r in reports(out) if isinstance(r, messages.WorkersChanged)]
    assert "exit status 1" in changed.why
    assert "no module" in changed.why
    pauses = []
    for _ in range(4):
        pauses.append(bench.pool.wake_at - bench.now)
        bench.now = bench.pool.wake_at
        (fork,) = [each for each in bench(events.Ticked()) if isinstance(each, actions.ForkWorker)]
        (changed,) = reports(bench.exited(fork.worker, status=1))
    assert pauses == [10.0, 20.0, 40.0, 80.0]
    assert "9 workers in a row" in changed.why


def test_while_workers_die_at_birth_one_is_tried_and_when_it_lives_the_others_follow() -> None:
    bench = Bench(slots=3)
    for worker in bench.workers:
        out = bench.exited(worker, status=1)
    unborn = set(bench.pool.crew.workers)
    while unborn:
        out = bench.exited(unborn.pop(), status=1)
        unborn |= {each.worker for each in out if isinstance(each, actions.ForkWorker)}
    bench.now = bench.pool.wake_at
    (fork,) = [each for each in bench(events.Ticked()) if isinstance(each, actions.ForkWorker)]
    assert not bench(events.Ticked())
    out = bench.born(fork.worker)
    assert len([each for each in out if isinstance(each, actions.ForkWorker)]) == 2


def test_a_worker_that_is_killed_before_it_is_ready_now_and_then_degrades_nothing() -> None:
    bench = Bench(slots=1)
    (fork,) = [e for e in bench.exited(1, signal=9) if isinstance(e, actions.ForkWorker)]
    for _ in range(20):
        out = bench.exited(fork.worker, signal=9)
        (fork,) = [each for each in out if isinstance(each, actions.ForkWorker)]
        bench.born(fork.worker)
        out = bench.exited(fork.worker, signal=9)
        (fork,) = [each for each in out if isinstance(each, actions.ForkWorker)]


def weighed(bench: Bench, memory: int) -> list[actions.Action]:
    return bench(events.Sampled(worker=1, chunk=1, index=100, started=bench.now, memory=memory))


def killed(out: list[actions.Action]) -> list[int]:
    return [each.signal for each in out if isinstance(each, actions.KillWorker)]


def test_a_task_over_its_memory_limit_is_told_and_then_loses_its_worker() -> None:
    for seconds, memory in ((2.5, 1200), (0.2, 5000)):
        bench = Bench(slots=1)
        bench.run(1, count=2, limits=Limits(memory=1000))
        assert bench.pool.working() == [AtWork(worker=1, limited=True)]
        stop, warn = weighed(bench, 1100)
        assert stop == actions.StopWorker(worker=1, chunk=1)
        assert warn == actions.WarnWorker(worker=1, chunk=1, index=100)
        assert not weighed(bench, 1200), "it has a grace"
        bench.now = seconds
        assert killed(weighed(bench, memory)) == [signal.SIGKILL]
        out = bench.exited(1, signal=9, harvest=events.Harvest(chunk=1, running=100))
        (outcome,) = [r for r in reports(out) if isinstance(r, messages.Outcomes)]
        assert outcome.kinds == bytes([Kind.EXCEEDED]), "it is not tried again"
        (loss,) = losses(out)
        assert (loss.kind, loss.limit, loss.peak) == ("MemoryLimitExceeded", 1000, memory)


def test_a_worker_is_replaced_when_its_task_that_took_too_much_memory_is_over() -> None:
    bench = Bench(slots=1)
    bench.run(1, limits=Limits(memory=1000))
    weighed(bench, 1100)
    bench.run(2)
    out = bench.done(1, 1)
    assert actions.RetireWorker(worker=1) in out
    (fork,) = [each for each in out if isinstance(each, actions.ForkWorker)]
    assert not told(out)
    assert [run.chunk for _, run in told(bench.born(fork.worker))] == [2]


def test_a_stopped_worker_is_replaced_after_ten_seconds_and_its_task_is_charged() -> None:
    bench = Bench(slots=1)
    bench.run(1)
    assert not bench(events.FoundStopped(worker=1))
    bench.now = 5.0
    weighed(bench, 0)  # it goes on
    bench.now = 9.0
    assert not bench(events.FoundStopped(worker=1))
    bench.now = 18.0
    assert not bench(events.FoundStopped(worker=1))
    bench.now = 19.0
    assert killed(bench(events.FoundStopped(worker=1))) == [signal.SIGKILL]
    out = bench.exited(1, signal=9, harvest=events.Harvest(chunk=1, running=100))
    (loss,) = losses(out)
    assert "stopped by a signal" in loss.reason


def test_a_worker_that_ends_itself_for_the_next_task_charges_nobody() -> None:
    bench = Bench(slots=1)
    bench.run(1)
    out = bench.exited(1, status=SPENT)
    assert messages.GaveBack(chunk=1, first=100) in reports(out)
    assert not losses(out)


def test_two_tenants_share_the_slots() -> None:
    bench = Bench(slots=2)
    out = bench(events.TenantJoined(tenant=2))
    for fork in [each for each in out if isinstance(each, actions.ForkWorker)]:
        bench.born(fork.worker)
    for chunk in range(1, 5):
        bench.run(chunk)
    run = messages.Run(chunk=9, job=JOB, function="f", first=900, count=1)
    assert not told(bench(events.MessageReceived(tenant=2, message=run)))
    assert [message.chunk for _, message in told(bench.done(1, 1))] == [9], "the poorer goes first"


def test_a_tenant_that_gets_nothing_for_a_second_is_given_one_worker_more() -> None:
    bench = Bench(slots=1)
    out = bench(events.TenantJoined(tenant=2))
    (fork,) = [each for each in out if isinstance(each, actions.ForkWorker)]
    bench.born(fork.worker)
    bench.run(1)
    run = messages.Run(chunk=9, job=JOB, function="f", first=900, count=1)
    assert not told(bench(events.MessageReceived(tenant=2, message=run)))
    bench.now = bench.pool.wake_at or 0.0
    assert bench.now == 1.0
    assert [message.chunk for _, message in told(bench(events.Ticked()))] == [9]


def test_a_call_everywhere_is_answered_by_every_worker_even_a_dying_one() -> None:
    bench = Bench(slots=2)
    out = bench.receive(messages.Everywhere(call=5, function="f"), b"args")
    assert [worker for worker, _ in told(out)] == [1, 2]
    out = bench.said(1, messages.EverywhereDone(call=5, worker=0, kind=Kind.RETURNED))
    assert [(r.worker, r.last) for r in reports(out)] == [(1001, False)]
    out = bench.exited(2, signal=9)
    (done,) = [r for r in reports(out) if isinstance(r, messages.EverywhereDone)]
    assert (done.worker, done.kind, done.last) == (1002, Kind.LOST, True)


def sampled(bench: Bench, index: int, started: float = 0.0) -> list[actions.Action]:
    return bench(events.Sampled(worker=1, chunk=1, index=index, started=started, memory=0))


def test_what_waits_behind_a_long_task_is_given_back() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=10, ahead=True)
    bench.run(2, count=5, ahead=True)
    bench.done(1, 1, count=3)
    bench.now = 1.0
    assert sampled(bench, 103) == [actions.StopWorker(worker=1, chunk=2)]
    out = sampled(bench, 103)
    assert reports(out) == [
        messages.GaveBack(chunk=1, first=104),
        messages.GaveBack(chunk=2, first=200),
    ]
    assert not sampled(bench, 103), "once"
    assert not told(bench.run(3, ahead=True)), "nothing more is put behind it"
    assert [run.chunk for _, run in told(bench.done(1, 1, first=3))] == [3]


def test_a_worker_that_has_moved_on_before_the_second_look_gives_back_by_itself() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=10, ahead=True)
    bench.now = 1.0
    sampled(bench, 100)
    bench.done(1, 1, count=2)
    assert not sampled(bench, 102, started=1.0)
    bench.done(1, 1, first=2)
    out = bench.said(1, messages.GaveBack(chunk=1, first=103))
    assert messages.GaveBack(chunk=1, first=103) in reports(out)


def test_a_long_task_alone_is_left_alone() -> None:
    bench = Bench(slots=1)
    bench.run(1)
    bench.now = 100.0
    assert not sampled(bench, 100)
    assert not sampled(bench, 100)


def test_outcomes_that_were_read_from_the_journal_already_count_once() -> None:
    bench = Bench(slots=1)
    bench.run(1, count=3)
    bench.done(1, 1, count=2)
    body = blobs.pack([b"a", b"b", b"c"])
    message = messages.Outcomes(chunk=1, first=100, kinds=bytes(3))
    (report,) = bench(events.WorkerSaid(worker=1, message=message, body=body))
    assert report.message.first == 102
    assert blobs.each(report.body, 1) == [b"c"]
    assert not bench(events.WorkerSaid(worker=1, message=message, body=body))


def test_forgotten_code_is_forgotten_by_the_workers_that_have_it() -> None:
    bench = Bench(slots=2)
    digest = b"d" * 16
    bench.receive(messages.Code(digest=digest), b"blob")
    bench(
        events.MessageReceived(
            tenant=1,
            message=messages.Run(chunk=1, job=JOB, function=shipped(digest), first=100, count=1),
            body=b"body",
        )
    )
    bench.done(1, 1)
    assert told(bench.receive(messages.Forget(digests=(digest,)))) == [
        (1, messages.Forget(digests=(digest,)))
    ]
    assert not bench.pool.crew.tenants[1].code
    assert not told(bench.receive(messages.Forget(digests=(digest,))))


def test_outcomes_of_tasks_that_were_given_back_meanwhile_are_not_told() -> None:
    """It took long to find that their function cannot be loaded: then each of a chunk has one."""
    bench = Bench(slots=1)
    bench.run(1, count=4, ahead=True)
    bench.now = 1.0
    sampled(bench, 100)
    bench.now = 1.3
    assert messages.GaveBack(chunk=1, first=101) in reports(sampled(bench, 100))
    out = bench.done(1, 1, count=4)
    (told_of,) = [each for each in reports(out) if isinstance(each, messages.Outcomes)]
    assert (told_of.first, len(told_of.kinds)) == (100, 1)
    assert not [each for each in out if isinstance(each, actions.KillWorker)]
    assert [worker for worker, _ in told(bench.run(2))] == [1]
