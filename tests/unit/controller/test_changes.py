"""Hosts that are added, dropped and resized in a controller at work."""

from __future__ import annotations

import pytest

from scattergather.controller.desks.changes import LEAVE_SECONDS, LOOK_SECONDS, MOVES
from scattergather.controller.roster import COMES_AGAIN
from scattergather.link.seams import PoolFacts
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import Declined, Done, RemoteSpec
from scattergather.wire.messages.shared import Extent
from tests.unit.controller.near import Near, returned

JOB = b"j" * 16
FACTS = PoolFacts(host="", workers=1, python="", version="", protocol=0)


class There(Near):
    """A controller whose client adds, drops and resizes hosts."""

    def answer(self, message: messages.ToController) -> object:
        """What the client is answered."""
        self.ask(message, b"")
        return self.take(messages.Answer)[-1].value

    def enter(self, name: str) -> object:
        return self.answer(messages.AddHost(call=1, spec=RemoteSpec(name=name, furl="pb://")))

    def drop(self, name: str, *, now: bool = False) -> object:
        return self.answer(messages.DropHost(call=1, name=name, now=now))

    def resize(self, name: str, workers: int) -> object:
        return self.answer(messages.ResizeHost(call=1, name=name, workers=workers))

    def states(self) -> dict[str, str]:
        """Each host's state, as the client was told last."""
        return {host.name: host.state for host in self.take(messages.Status)[-1].hosts}

    def runs(self, host: int) -> list[messages.Run]:
        return self.hosts[host].take(messages.Run)


def test_without_hosts_the_client_may_go_on_at_once_and_jobs_wait_for_a_host() -> None:
    there = There(hosts=0)
    there.ask(messages.RunEverywhere(call=7, function="f"), b"")
    assert [each.call for each in there.take(messages.Answer)] == [7], "nobody is waited for"
    there.add(JOB, 3)
    assert there.enter("late") == Done()
    assert there.states() == {"late": "connecting"}
    there.hosts[0].listener.joined(FACTS)
    assert len(there.runs(0)) == 1


def test_a_host_that_is_there_is_not_added_again_and_what_is_not_there_is_not_changed() -> None:
    there = There()
    for refused in (there.enter("host0"), there.drop("hots0"), there.resize("hots0", 2)):
        assert isinstance(refused, Declined)
        assert "host0" in refused.why
    too_many = there.resize("host0", 2)
    assert isinstance(too_many, Declined)
    assert "1 worker" in too_many.why


def test_a_dropped_host_is_left_when_its_tasks_are_through_and_may_come_again() -> None:
    there = There(hosts=2)
    there.add(JOB, 2)
    (run,) = there.runs(0)
    assert there.drop("host0") == Done()
    assert there.states()["host0"] == "leaving"
    assert there.drop("host0") == Done(), "saying it again changes nothing"
    there.clock.advance(60)
    assert not there.hosts[0].stopped
    there.hosts[0].say(returned(run))
    there.clock.advance(0)
    assert there.hosts[0].stopped
    assert there.discarded == [there.hosts[0]]
    there.clock.advance(1)
    assert there.states() == {"host1": "up"}
    assert not any("lost" in each.text for each in there.take(messages.Notice))
    assert there.enter("host0") == Done()
    there.hosts[2].listener.joined(FACTS)
    assert there.states()["host0"] == "connecting"


def test_a_host_that_is_added_again_while_it_leaves_comes_when_it_is_gone() -> None:
    there = There()
    there.add(JOB, 2)
    (run,) = there.runs(0)
    there.drop("host0")
    assert there.enter("host0") == Done()
    (status,) = there.take(messages.Status)[-1].hosts
    assert (status.state, status.why) == ("leaving", COMES_AGAIN)
    assert len(there.hosts) == 1
    assert there.resize("host0", 3) == Done()
    there.hosts[0].say(returned(run))
    there.clock.advance(0)
    assert there.hosts[0].stopped
    assert there.parts.roster.entries["host0"].spec.workers == 3
    there.hosts[1].listener.joined(FACTS)
    assert len(there.runs(1)) == 1
    there.drop("host0")
    there.enter("host0")
    there.drop("host0")
    there.hosts[1].say(returned(there.runs(1)[0]))
    there.clock.advance(1)
    assert len(there.hosts) == 2, "it was not meant any more"
    assert there.states() == {}


def test_a_host_that_is_down_is_left_at_once() -> None:
    there = There(hosts=2)
    there.hosts[0].listener.left("the connection broke")
    there.drop("host0")
    assert there.hosts[0].stopped
    assert list(there.states()) == ["host1"]


def test_a_host_that_is_lost_while_it_leaves_is_not_dialled_again() -> None:
    there = There(hosts=2)
    there.add(JOB, 2)
    there.drop("host0")
    there.hosts[0].listener.left("the connection broke")
    there.clock.advance(0)
    assert there.hosts[0].stopped
    assert [each.attempt for each in there.runs(1)[-1:]] == [1]
    there.hosts[1].say(returned(there.runs(1)[0]))
    assert there.runs(1)[-1].attempt == 2, "nobody can say whether it had begun there"


def test_whoever_does_not_want_to_wait_has_the_workers_ended_once() -> None:
    there = There(hosts=2)
    there.add(JOB, 2)
    there.drop("host0")
    there.drop("host0", now=True)
    there.drop("host0", now=True)
    assert len(there.hosts[0].take(messages.Leave)) == 1


def test_a_host_whose_workers_do_not_end_is_left_with_its_tasks() -> None:
    there = There(hosts=2)
    there.add(JOB, 2)
    there.drop("host0", now=True)
    there.clock.advance(LEAVE_SECONDS - 1)
    assert not there.hosts[0].stopped
    there.clock.advance(1)
    assert there.hosts[0].stopped
    there.hosts[1].say(returned(there.runs(1)[0]))
    assert there.runs(1)[-1].attempt == 2, "nobody can say what became of it"
    assert "did not end its workers" in there.take(messages.Notice)[-1].text


def test_a_call_on_every_worker_is_waited_for_and_skips_hosts_that_leave() -> None:
    there = There(hosts=2)
    there.ask(messages.RunEverywhere(call=7, function="f"), b"")
    there.drop("host0")
    there.clock.advance(1)
    assert not there.hosts[0].stopped
    there.ask(messages.RunEverywhere(call=8, function="f"), b"")
    assert [each.call for each in there.hosts[0].take(messages.Everywhere)] == [7]
    there.hosts[0].say(messages.EverywhereDone(call=7, worker=1, kind=0, last=True), b"")
    there.clock.advance(LOOK_SECONDS)
    assert there.hosts[0].stopped


def test_a_call_on_every_worker_waits_for_a_host_that_was_just_added() -> None:
    there = There()
    there.enter("new")
    there.ask(messages.RunEverywhere(call=7, function="f"), b"")
    assert not there.hosts[0].take(messages.Everywhere)
    there.hosts[1].listener.joined(FACTS)
    assert there.hosts[0].take(messages.Everywhere)
    assert there.hosts[1].take(messages.Everywhere)
    there.enter("never")
    there.ask(messages.RunEverywhere(call=8, function="f"), b"")
    there.drop("never")
    assert len(there.hosts[0].take(messages.Everywhere)) == 2


@pytest.mark.parametrize("comes", [True, False])
def test_what_others_need_of_a_dropped_host_is_fetched_before_it_is_left(comes: bool) -> None:
    there = There(hosts=2)
    entry, name = there.parts.roster.entries["host0"], b"o" * 16
    there.parts.objects.register(entry, [Extent(object=name, length=8)])
    there.parts.objects._objects[name].tasks = 1
    there.drop("host0")
    there.clock.advance(1)
    assert [each.objects for each in there.hosts[0].take(messages.Want)] == [(name,)]
    assert not there.hosts[0].stopped
    assert there.take(messages.Status)[-1].hosts[0].why == MOVES
    if comes:
        there.parts.landing.reserve(name, 8)
        there.parts.landing.write(name, 0, b"12345678")
        there.parts.landing.stored(name)
        there.hosts[0].listener.arrived((name,))
    else:
        there.hosts[0].listener.lost((name,), "it is gone")
    there.clock.advance(LOOK_SECONDS)
    assert there.hosts[0].stopped
    assert (there.store.length(name) is not None) == comes


def test_a_resize_holds_for_the_sessions_to_come() -> None:
    there = There(workers=4)
    there.resize("host0", 2)
    assert [each.workers for each in there.hosts[0].take(messages.Resize)] == [2]
    there.hosts[0].listener.left("the connection broke")
    there.hosts[0].listener.joined(PoolFacts(host="", workers=4, python="", version="", protocol=0))
    assert there.parts.roster.entries["host0"].workers == 2
