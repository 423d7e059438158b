"""Outcomes wait for their large parts, others do not; what never comes leaves nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scattergather.controller.arrivals import Arrivals
from scattergather.controller.roster import Entry
from scattergather.model.outcome import Kind
from scattergather.wire import messages
from scattergather.wire.messages import Extent, ObjectId


class Stock:
    """A store that knows only names."""

    def __init__(self) -> None:
        self.here: set[ObjectId] = set()

    def missing(self, extents: Any) -> frozenset[ObjectId]:
        return frozenset(each.object for each in extents if each.object not in self.here)

    def drop(self, names: Any) -> None:
        self.here.difference_update(names)


class There:
    def __init__(self) -> None:
        self.stock = Stock()
        self.heard: list[tuple[Entry, Any]] = []
        store: Any = self.stock
        self.arrivals = Arrivals(store, lambda entry, said, _: self.heard.append((entry, said)))
        self.entry = host("one")

    def say(self, message: Any) -> None:
        self.arrivals.said(self.entry, message, b"")

    def arrive(self, *names: ObjectId) -> None:
        self.stock.here.update(names)
        self.arrivals.arrived(self.entry, names)

    def lose(self, *names: ObjectId) -> None:
        self.arrivals.lost(self.entry, names, "no room")

    def take(self) -> list[Any]:
        """What was heard since the last time."""
        heard, self.heard = [said for _, said in self.heard], []
        return heard


def host(name: str) -> Entry:
    return Entry(messages.HostSpec(name=name, furl="pb://"))


def outcome(chunk: int, first: int, *names: ObjectId) -> messages.Outcomes:
    objects = tuple(Extent(object=name, length=1) for name in names)
    return messages.Outcomes(
        chunk=chunk, first=first, kinds=bytes([Kind.RETURNED]), objects=objects
    )


A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def test_what_is_complete_passes_and_what_is_not_waits_with_all_of_its_chunk() -> None:
    there = There()
    said = [
        outcome(1, 0),
        outcome(1, 1, A),
        messages.Output(chunk=1, index=2),
        outcome(1, 2),
        outcome(2, 0),
        messages.GaveBack(chunk=1, first=3),
        messages.WorkersChanged(workers=1),
    ]
    for each in said:
        there.say(each)
    assert there.take() == [said[0], said[4], said[6]]
    there.arrive(A)
    assert there.take() == [said[1], said[2], said[3], said[5]]
    there.say(messages.CancelDone(chunk=1, first=3))
    assert len(there.take()) == 1


def test_an_object_may_come_before_its_outcome() -> None:
    there = There()
    there.arrive(A)
    there.say(outcome(1, 0, A))
    assert len(there.take()) == 1
    there.arrivals.left(there.entry)
    assert there.stock.here == {A}, "it was passed on and belongs to others"


def test_a_task_whose_part_is_lost_is_lost_and_its_other_parts_are_dropped_whenever_they_come() -> (
    None
):
    there = There()
    there.arrive(A)
    there.say(outcome(1, 0, A, B, C))
    there.say(outcome(1, 1))
    assert there.take() == []
    there.lose(B)
    lost, plain = there.take()
    assert lost.kinds == bytes([Kind.LOST])
    assert not lost.objects
    assert plain == outcome(1, 1)
    assert there.stock.here == set()
    there.arrive(C)
    assert there.stock.here == set()
    assert there.take() == []


def test_a_part_may_be_lost_before_anybody_has_heard_of_it() -> None:
    there = There()
    there.say(outcome(7, 0, C))
    there.lose(B)
    assert there.take() == []
    there.say(outcome(1, 0, A, B))
    assert [each.kinds for each in there.take()] == [bytes([Kind.LOST])]
    there.arrive(A)
    assert there.stock.here == set()


def test_of_a_host_that_left_nothing_stays_and_nothing_is_heard() -> None:
    there = There()
    there.say(outcome(1, 0, A, B))
    there.arrive(A, C)
    there.arrivals.left(there.entry)
    assert there.stock.here == set()
    there.say(outcome(1, 0))
    assert there.take() == [outcome(1, 0)]


def test_hosts_do_not_wait_for_each_other() -> None:
    there = There()
    there.say(outcome(1, 0, A))
    there.entry = host("other")
    there.say(outcome(1, 0))
    assert there.take() == [outcome(1, 0)]


@settings(max_examples=200)
@given(st.data())
def test_whatever_the_order_each_chunk_is_heard_in_order_and_nothing_is_left(data: Any) -> None:
    there, said, parts = There(), [], []
    for chunk in range(data.draw(st.integers(1, 3))):
        for first in range(data.draw(st.integers(0, 4))):
            names = [
                b"%04d%04d%08d" % (chunk, first, part)
                for part in range(data.draw(st.integers(0, 3)))
            ]
            said.append(outcome(chunk, first, *names))
            parts += names
    doomed = set(data.draw(st.lists(st.sampled_from(parts), max_size=3)) if parts else ())
    # Any interleaving of what was said, in order, with what comes, in any order.
    coming = data.draw(st.permutations(parts))
    steps: list[Any] = list(coming)
    at = 0
    for message in said:
        at = data.draw(st.integers(at, len(steps)))
        steps.insert(at, message)
        at += 1
    heard: dict[int, list[Any]] = defaultdict(list)
    given_: set[ObjectId] = set()
    for step in steps:
        if isinstance(step, messages.Outcomes):
            there.say(step)
        elif step in doomed:
            there.lose(step)
        else:
            there.arrive(step)
        for each in there.take():
            heard[each.chunk].append(each)
            names = {extent.object for extent in each.objects}
            assert names <= there.stock.here
            given_ |= names
    for chunk, got in heard.items():
        assert [each.first for each in got] == list(range(len(got)))
        wanted = [each for each in said if each.chunk == chunk]
        assert len(got) == len(wanted)
        for each, sent in zip(got, wanted, strict=True):
            broken = doomed & {extent.object for extent in sent.objects}
            assert (each.kinds == bytes([Kind.LOST])) == bool(broken)
    assert there.stock.here == given_
    there.arrivals.left(there.entry)
    assert there.stock.here == given_
