"""What follows, in a controller, when a part of a result never comes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.task import Clock

from scattergather.controller.desks.front_desk import FrontDesk
from scattergather.controller.driver import Driver
from scattergather.controller.roster import Roster
from scattergather.controller.values.arrivals import Arrivals
from scattergather.controller.values.objects import ObjectLedger
from scattergather.link.seams import PoolFacts
from scattergather.model.outcome import Kind, LossKind
from scattergather.store.store import Store
from scattergather.wire import blobs
from scattergather.wire.memory import stub
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from scattergather.wire.messages.shared import Extent, Loss

A = b"a" * 16
JOB = b"j" * 16
BOUND = 1 << 20


class Host:
    """A daemon that has been sent chunks."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self) -> None:
        pass

    def send(self, message: messages.ToPool, body: bytes = b"") -> None:
        self.told.append(message)

    def ship(self, objects: tuple[bytes, ...]) -> None:
        pass

    def withdraw(self, objects: tuple[bytes, ...]) -> None:
        pass

    def stop(self) -> None:
        pass

    def runs(self) -> list[messages.Run]:
        return [each for each in self.told if isinstance(each, messages.Run)]

    def take(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]


class There:
    """A controller with one host of one worker, which has a chunk of several tasks."""

    def __init__(self, retries: int = 3) -> None:
        clock, self.host = Clock(), Host()
        roster = Roster((RemoteSpec(name="far", furl="pb://"),))
        self.entry = roster.entries["far"]
        self.entry.host = self.host
        store = Store(BOUND)
        objects = ObjectLedger(store, roster, self._send, lambda *_: None)
        driver = Driver(roster, objects, self._send, self._send, clock.callLater)
        desk = FrontDesk(clock, roster, driver, objects, lambda: -1, self._send, lambda: None)
        self.arrivals = Arrivals(store, objects.fetched, desk.host_said)
        self.to_client: list[Any] = []
        self.bodies: list[bytes] = []
        facts = PoolFacts(host="far", workers=1, python="", version="", protocol=0)
        desk.host_joined(self.entry, facts)
        desk.receive(messages.AddJob(job=JOB, name="job", function="sum", retries=retries), b"")
        desk.receive(messages.AddTasks(job=JOB, first=0, count=500), blobs.pack([b"."] * 500))
        desk.receive(messages.EndTasks(job=JOB, total=500), b"")
        while (run := self.host.runs()[-1]).count < 3:
            self.say(self.returned(run.chunk, run.first, run.count, elapsed=1e-5 * run.count))
        self.run = next(each for each in self.host.runs() if each.count >= 3)

    def call(self) -> messages.Run:
        """A later task of the chunk calls something, and waits; what the host has of that."""
        submit = messages.NestedSubmit(ticket=1, function="sum", worker=4, chunk=self.run.chunk)
        self.say(submit)
        self.say(messages.WorkersChanged(workers=2, alive=2))  # its slot is lent
        (run,) = (each for each in self.host.runs() if each.job != JOB)
        return run

    def _send(self, message: messages.ToClient, body: bytes) -> None:
        self.to_client.append(message)
        self.bodies.append(body)

    def say(self, message: messages.FromPool, body: bytes = b"") -> None:
        if isinstance(message, messages.Outcomes) and not body:
            body = blobs.pack([b"."] * len(message.kinds))
        self.arrivals.said(self.entry, message, body)

    @staticmethod
    def returned(chunk: int, first: int, count: int = 1, **more: Any) -> messages.Outcomes:
        kinds = bytes([Kind.RETURNED]) * count
        return messages.Outcomes(chunk=chunk, first=first, kinds=kinds, worker=9, **more)


@pytest.mark.parametrize("how", ["lost", "too large"])
def test_a_call_of_a_later_task_is_answered_though_a_part_of_an_earlier_result_is_lost(
    how: str,
) -> None:
    there = There()
    run, host = there.run, there.host
    length = 1000 if how == "lost" else BOUND + 1
    message = there.returned(run.chunk, run.first, objects=(Extent(object=A, length=length),))
    if how == "lost":
        there.say(message)
        nested = there.call()
        there.arrivals.lost(there.entry, [A], "it is gone")
    else:
        nested = there.call()
        there.say(message, blobs.pack([b"." + stub.trailer([A])]))
    assert not host.take(messages.Cancel)
    there.say(there.returned(nested.chunk, 0))
    (answer,) = host.take(messages.NestedOutcome)
    assert (answer.worker, answer.ticket, answer.kind) == (4, 1, Kind.RETURNED)


def test_the_calls_of_a_worker_that_died_are_cancelled() -> None:
    there = There()
    run, host = there.run, there.host
    nested = there.call()
    loss = messages.encode(Loss(kind=LossKind.LOST, reason="it died"))
    dead = msgspec.structs.replace(there.returned(run.chunk, run.first), kinds=bytes([Kind.LOST]))
    there.say(dead, blobs.pack([loss]))
    assert [each.chunks for each in host.take(messages.Cancel)] == [(nested.chunk,)]


@pytest.mark.parametrize("kind", [Kind.EXCEEDED, 99])
def test_a_loss_of_an_unknown_kind_ends_its_task_and_no_other(kind: int) -> None:
    there = There(retries=0)
    run = there.run
    kinds = bytes([kind, Kind.RETURNED])
    message = msgspec.structs.replace(there.returned(run.chunk, run.first), kinds=kinds)
    unknown = msgspec.msgpack.encode(["Unheard", "a meteorite"])
    there.say(message, blobs.pack([unknown, b"."]))
    outcomes, body = there.to_client[-1], there.bodies[-1]
    assert (outcomes.first, outcomes.kinds) == (run.first, bytes([Kind.LOST, Kind.RETURNED]))
    loss = messages.read_loss(blobs.each(body, 2)[0])
    assert (loss.kind, loss.host) == (LossKind.LOST, "far")
    assert "'Unheard'" in loss.reason
