"""Jobs that are bound to hosts: they run there and nowhere else, and stand in nobody's way."""

from __future__ import annotations

from scattergather.model.outcome import Kind
from scattergather.model.placement import Placement
from scattergather.scheduler import actions, events
from tests.unit.scheduler.test_scheduler import Bench, chunks, finals

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


class Cluster(Bench):
    def bound(self, *on: str, job: bytes = A, tasks: int = 10, **options) -> list[actions.Action]:
        return self.job(job, tasks, placement=Placement(on=on), **options)


def test_tasks_run_on_the_host_that_they_are_bound_to_and_not_on_others() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    cluster.host("beta", slots=8)
    waiting, ran = chunks(cluster.bound("alpha")), []
    while waiting:
        ran.append(waiting.pop(0))
        waiting += chunks(cluster.done(ran[-1]))
    assert {each.host for each in ran} == {"alpha"}
    assert sum(each.count for each in ran) == 10


def test_tasks_that_are_bound_to_several_hosts_go_to_the_least_busy_of_them() -> None:
    cluster = Cluster()
    for name in ("alpha", "beta", "gamma"):
        cluster.host(name, slots=2)
    sent = chunks(cluster.bound("alpha", "beta", tasks=10))
    assert sorted(each.host for each in sent) == ["alpha", "alpha", "beta", "beta"]


def test_a_host_that_is_down_is_waited_for_while_others_run_what_may_run_there() -> None:
    cluster = Cluster()
    cluster.host("beta", slots=1)
    cluster(events.HostsSettled())
    assert cluster.bound("alpha", tasks=1) == []
    (sent,) = chunks(cluster.job(B, tasks=1))
    assert sent.host == "beta"
    (sent,) = chunks(cluster.host("alpha"))
    assert (sent.host, sent.job) == ("alpha", A)


def test_jobs_that_wait_for_a_busy_host_stand_before_nobody_who_may_run_elsewhere() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    cluster.host("beta", slots=2)
    cluster.bound("alpha", tasks=50, priority=5)
    sent = chunks(cluster.job(B, tasks=3))
    assert [(each.host, each.job) for each in sent] == [("beta", B), ("beta", B)]
    (sent,) = chunks(cluster.done(sent[0], each=0.5))
    assert (sent.host, sent.job) == ("beta", B)


def test_who_is_bound_takes_turns_on_its_host_with_those_who_are_not() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    waiting, ran = chunks(cluster.job(B, tasks=100)), []
    cluster.bound("alpha", tasks=100, function="g")
    for _ in range(20):
        ran.append(waiting.pop(0))
        waiting += chunks(cluster.done(ran[-1], each=2.0))
    jobs = [each.job for each in ran]
    assert 8 <= jobs.count(A) <= 12


def test_a_higher_priority_goes_first_on_its_host_bound_or_not() -> None:
    cluster = Cluster()
    cluster.bound("alpha", tasks=2)
    cluster.job(B, tasks=2, priority=1)
    cluster.bound("alpha", "beta", job=C, tasks=1, priority=2)
    assert [each.job for each in chunks(cluster.host("alpha", slots=5))] == [C, B, B, A, A]


def test_a_loss_is_run_again_on_the_same_host() -> None:
    cluster = Cluster()
    cluster.host("beta", slots=4)
    cluster.host("alpha", slots=1)
    (sent,) = chunks(cluster.bound("alpha", tasks=1))
    (again,) = chunks(cluster.done(sent, [Kind.LOST]))
    assert (again.host, again.attempt) == ("alpha", 2)
    (again,) = chunks(cluster.done(again, [Kind.INTERRUPTED]))
    assert (again.host, again.attempt) == ("alpha", 2)


def test_what_a_lost_host_had_waits_for_it_to_come_back() -> None:
    cluster = Cluster()
    cluster.host("beta", slots=4)
    cluster.host("alpha", slots=1)
    cluster.bound("alpha", tasks=1)
    assert not chunks(cluster(events.HostLeft(host="alpha", reason="gone")))
    (again,) = chunks(cluster.host("alpha", slots=1))
    assert (again.host, again.attempt) == ("alpha", 2)


def test_what_a_lost_host_had_goes_at_once_to_another_that_it_may_run_on() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    cluster.bound("alpha", "beta", tasks=1)
    cluster.host("beta", slots=4)
    cluster.host("gamma", slots=4)
    (again,) = chunks(cluster(events.HostLeft(host="alpha", reason="gone")))
    assert again.host == "beta"


def test_only_the_chunks_that_may_run_elsewhere_are_recalled() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=4)
    first = chunks(cluster.job(B, tasks=1))[0]
    cluster.done(first, each=0.5)
    held = [*chunks(cluster.job(B, tasks=6)), *chunks(cluster.bound("alpha", tasks=2))]
    assert [each.job for each in held] == [B] * 6 + [A] * 2
    (back,) = cluster.host("beta", slots=4)
    assert back == actions.TakeBackFrom(
        host="alpha", count=1, chunks=tuple(each.chunk for each in held[4:6])
    )


def test_a_full_host_with_nothing_to_give_is_passed_over_for_the_next_fullest() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=4)
    first = chunks(cluster.job(B, tasks=1))[0]
    cluster.done(first, each=0.5)
    assert len(chunks(cluster.bound("alpha", tasks=9))) == 9
    cluster.host("beta", slots=4)
    free = chunks(cluster.job(B, tasks=6))
    assert {each.host for each in free} == {"beta"}
    (back,) = cluster.host("gamma")
    assert back == actions.TakeBackFrom(host="beta", count=1)


def test_code_that_the_host_it_is_bound_to_cannot_load_is_refused_though_others_could() -> None:
    cluster = Cluster()
    cluster.host("alpha", python="3.12")
    cluster.host("beta", python="3.11")
    cluster(events.HostsSettled())
    (loss,) = finals(cluster.bound("alpha", tasks=1, python="3.11"))
    assert loss.cause == actions.NoHostFits(python="3.11", hosts=(("alpha", "3.12"),))


def test_code_waits_for_the_host_it_is_bound_to_whichever_python_others_run() -> None:
    cluster = Cluster()
    cluster.host("beta", python="3.12")
    cluster(events.HostsSettled())
    assert cluster.bound("alpha", tasks=1, python="3.11") == []
    assert chunks(cluster.host("alpha", python="3.11"))


def test_a_service_that_only_others_list_is_asked_for_where_its_tasks_are_bound_to() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    cluster.host("beta", slots=1, services=frozenset({"all_series"}))
    (sent,) = chunks(cluster.bound("alpha", tasks=1, service="all_series"))
    assert sent.host == "alpha", "it says that it has no such service"


def test_what_is_queued_is_lost_when_the_last_host_that_may_run_it_is_dropped() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    (sent,) = chunks(cluster.bound("alpha", "beta", tasks=3))
    assert cluster(events.HostDropped(host="beta")) == []
    (loss,) = finals(cluster(events.HostDraining(host="alpha")))
    assert (loss.first, loss.count) == (1, 2)
    assert loss.cause == actions.HostsDropped(hosts=("alpha", "beta"))
    out = cluster.done(sent)
    assert isinstance(out[0], actions.Deliver), "what runs there yet comes home"
    assert actions.EndJob(job=A) in out


def test_what_a_dropped_host_gives_back_goes_where_else_it_may_run_or_is_lost() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=2)
    cluster.bound("alpha", tasks=1)
    cluster.bound("alpha", "beta", job=B, tasks=1)
    cluster.host("beta", slots=1)
    cluster(events.HostDraining(host="alpha"))
    (loss,) = finals(cluster(events.ChunkGivenBack(host="alpha", chunk=1, first=0)))
    assert loss.cause == actions.HostsDropped(hosts=("alpha",))
    (sent,) = chunks(cluster(events.ChunkGivenBack(host="alpha", chunk=2, first=0)))
    assert sent.host == "beta"


def test_a_task_that_is_to_run_again_is_lost_if_its_host_was_dropped() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    (sent,) = chunks(cluster.bound("alpha", tasks=1))
    cluster(events.HostDraining(host="alpha"))
    (loss,) = finals(cluster.done(sent, [Kind.RETRYABLE]))
    assert loss.cause == actions.HostsDropped(hosts=("alpha",))


def test_calls_of_what_a_dropped_host_has_begun_run_there_until_it_is_left() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    cluster.host("beta", slots=1)
    (outer,) = chunks(cluster.bound("alpha", tasks=1))
    cluster(events.HostDraining(host="alpha"))
    cluster(events.SlotsChanged(host="alpha", slots=2))  # its worker waits, and lends its slot
    (call,) = chunks(cluster.bound("alpha", job=B, tasks=1, depth=1))
    assert call.host == "alpha"
    cluster.done(call)
    assert cluster.done(outer)[-1] == actions.LeaveHost(host="alpha")
    (loss,) = finals(cluster.bound("alpha", job=C, tasks=1, depth=1))
    assert loss.cause == actions.HostsDropped(hosts=("alpha",))


def test_calls_are_lost_when_the_workers_of_the_host_they_are_bound_to_are_ended() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    cluster.bound("alpha", tasks=1)
    cluster(events.HostDraining(host="alpha"))
    assert cluster.bound("alpha", job=B, tasks=1, depth=1) == [], "its worker does not wait for it"
    (loss,) = finals(cluster(events.HostDraining(host="alpha", closed=True)))
    assert (loss.job, loss.cause) == (B, actions.HostsDropped(hosts=("alpha",)))


def test_a_host_that_is_added_again_is_waited_for_again() -> None:
    cluster = Cluster()
    cluster(events.HostDropped(host="alpha"))
    cluster(events.HostExpected(host="alpha"))
    assert cluster.bound("alpha", tasks=1) == []
    assert chunks(cluster.host("alpha"))


def test_outcomes_are_urgent_where_a_worker_waits_for_what_is_bound_to_its_host() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=2)
    cluster.host("beta", slots=2)
    waiting = chunks(cluster.bound("alpha", tasks=50))
    for each in waiting[:2]:
        waiting += chunks(cluster.done(each, each=0.5))
    assert cluster.scheduler.can_wait, "beta is idle, and none of it is for beta"
    for each in waiting[2:]:
        cluster.done(each, each=5.0)
    assert not cluster.scheduler.can_wait, "nothing is read ahead of tasks as long as these"


def test_a_place_that_a_task_leaves_which_runs_again_goes_to_who_is_bound_to_its_host() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=2)
    first, _ = chunks(cluster.job(B, tasks=2, retries=3))
    cluster.host("beta", slots=2)
    assert chunks(cluster.bound("alpha", tasks=1)) == []
    again = chunks(cluster.done(first, kinds=bytes([Kind.RETRYABLE])))
    assert {(each.host, each.job) for each in again} == {("beta", B), ("alpha", A)}


def test_what_is_taken_back_goes_to_the_idle_host_and_not_where_it_came_from() -> None:
    cluster = Cluster()
    cluster.host("alpha", slots=1)
    (first,) = chunks(cluster.job(B, tasks=1))
    cluster.done(first, each=0.5)
    held = chunks(cluster.job(B, tasks=2))
    assert len(held) == 2
    cluster.bound("alpha", tasks=20, priority=-1)
    (back,) = cluster.host("beta", slots=1)
    assert isinstance(back, actions.TakeBackFrom)
    given = cluster(events.ChunkGivenBack(host="alpha", chunk=held[1].chunk, first=held[1].first))
    assert ("beta", B) in {(each.host, each.job) for each in chunks(given)}
