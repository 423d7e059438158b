"""Outcomes wait for their large parts, others do not; what never comes leaves nothing."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scattergather.controller.roster import Entry
from scattergather.controller.values.arrivals import Arrivals
from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.memory import stub
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import RemoteSpec
from scattergather.wire.messages.shared import Extent


class Stock:
    """A store that knows only names."""

    bound = 100

    def __init__(self) -> None:
        self.here: set[ObjectId] = set()

    def refusal(self, length: int) -> str:
        return "too large" if length > self.bound else ""

    def missing(self, extents: Any) -> frozenset[ObjectId]:
        return frozenset(each.object for each in extents if each.object not in self.here)

    def drop(self, names: Any) -> None:
        self.here.difference_update(names)


def fetches_nothing(_entry: Entry, names: Iterable[ObjectId], _why: str) -> Iterable[ObjectId]:
    """All that comes is of results."""
    return tuple(names)


class There:
    def __init__(self) -> None:
        self.stock = Stock()
        self.heard: list[tuple[Entry, Any]] = []
        store: Any = self.stock
        self.arrivals = Arrivals(
            store,
            fetches_nothing,
            lambda entry, said, _body, _ours: self.heard.append((entry, said)),
        )
        self.entry = host("one")

    def say(self, message: Any, body: bytes = b"") -> None:
        self.arrivals.said(self.entry, message, body)

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
    return Entry(RemoteSpec(name=name, furl="pb://"))


def outcome(chunk: int, first: int, *names: ObjectId) -> messages.Outcomes:
    objects = tuple(Extent(object=name, length=1) for name in names)
    return messages.Outcomes(
        chunk=chunk, first=first, kinds=bytes([Kind.RETURNED]), objects=objects
    )


A, B, C, D = b"a" * 16, b"b" * 16, b"c" * 16, b"d" * 16


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


def test_what_every_worker_returned_waits_too_and_the_last_of_a_call_stays_the_last() -> None:
    there = There()
    extent = Extent(object=A, length=1)
    large = messages.EverywhereDone(call=1, worker=5, kind=Kind.RETURNED, objects=(extent,))
    last = messages.EverywhereDone(call=1, worker=6, kind=Kind.RETURNED, last=True)
    other = messages.EverywhereDone(call=2, worker=6, kind=Kind.RETURNED, last=True)
    for each in (large, last, other, outcome(1, 0)):
        there.say(each)
    assert there.take() == [other, outcome(1, 0)]
    there.arrive(A)
    assert there.take() == [large, last]
    with pytest.raises(ValueError, match="not its own"):
        there.say(large)
    there.stock.here.discard(A)
    there.say(messages.EverywhereDone(call=3, worker=5, kind=Kind.RETURNED, objects=(extent,)))
    there.lose(A)
    lost = there.take()[-1]
    assert (lost.call, lost.kind, lost.objects) == (3, Kind.LOST, ())


def test_hosts_do_not_wait_for_each_other() -> None:
    there = There()
    there.say(outcome(1, 0, A))
    there.entry = host("other")
    there.say(outcome(1, 0))
    assert there.take() == [outcome(1, 0)]


def result(*names: ObjectId) -> bytes:
    """A value with parts outside."""
    return pickle.dumps("") + stub.trailer(names) if names else pickle.dumps("")


@pytest.mark.parametrize("refused_first", [False, True])
def test_a_result_too_large_for_all_the_room_ends_its_task_and_no_other(
    refused_first: bool,
) -> None:
    there = There()
    bodies: list[bytes] = []
    there.arrivals = Arrivals(
        there.stock,  # type: ignore[arg-type]
        fetches_nothing,
        lambda entry, said, body, _: (there.heard.append((entry, said)), bodies.append(body))[0],
    )
    there.say(outcome(7, 0, b"z" * 16))  # it knows the host already
    if refused_first:
        there.lose(B)
    message = msgspec.structs.replace(
        outcome(1, 0, A, C),
        kinds=bytes([Kind.RETURNED] * 4),
        objects=_lengths({A: 1, B: 101, C: 1}),
    )
    sent = [result(A), result(A, B, C, D), result(), result(A)]  # D is an argument of it
    there.say(message, blobs.pack(sent))
    if not refused_first:
        there.lose(B)
    there.arrive(C)
    assert there.stock.here == set(), "nobody needs it"
    there.arrive(A)
    (heard,) = there.take()
    assert list(heard.kinds) == [Kind.RETURNED, Kind.EXCEEDED, Kind.RETURNED, Kind.RETURNED]
    assert [extent.object for extent in heard.objects] == [A]
    assert there.stock.here == {A}
    (host_,) = there.arrivals._hosts.values()
    assert not host_.unwanted | host_.early | host_.lost.keys()
    first, refused, *rest = blobs.each(bodies[0], 4)
    assert [first, *rest] == [sent[0], *sent[2:]]
    loss = messages.read_loss(refused)
    assert (loss.kind, loss.size, loss.limit) == ("TooLarge", 101, 100)
    assert "memory=" in loss.reason


def test_a_call_everywhere_whose_result_is_too_large_is_told_so() -> None:
    there = There()
    said = messages.EverywhereDone(
        call=1, worker=9, kind=Kind.RETURNED, last=True, objects=_lengths({B: 101})
    )
    there.say(said, result(B))
    (heard,) = there.take()
    assert (heard.kind, heard.last, heard.objects) == (Kind.LOST, True, ())


@pytest.mark.parametrize(
    "body", [b"", blobs.pack([b"no value", pickle.dumps("")])], ids=["no body", "no stub"]
)
def test_results_that_are_too_large_and_make_no_sense_are_lost_with_their_part(
    body: bytes,
) -> None:
    there = There()
    message = msgspec.structs.replace(
        outcome(1, 0), kinds=bytes([Kind.RETURNED] * 2), objects=_lengths({B: 101})
    )
    there.say(message, body)
    assert there.take() == []
    there.lose(B)
    (heard,) = there.take()
    assert list(heard.kinds) == [Kind.LOST] * 2


def _lengths(lengths: dict[ObjectId, int]) -> tuple[Extent, ...]:
    return tuple(Extent(object=name, length=length) for name, length in lengths.items())


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
