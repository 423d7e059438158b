"""The client's large objects: who needs them, who has them, and that each is freed once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.task import Clock

from scattergather.controller.roster import Entry, Roster
from scattergather.controller.values.objects import MOST_OF_ONE_HOST, ObjectLedger
from scattergather.controller.values.shown import ShownSlabs
from scattergather.model.ids import ObjectId
from scattergather.store.store import Store
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import EmbeddedSpec, RemoteSpec
from scattergather.wire.messages.shared import Extent

LENGTH = 10


class Host:
    """A host as its controller drives it; the embedded one answers at once."""

    def __init__(self, there: There, entry: Entry) -> None:
        self.there, self.entry = there, entry
        self.shipped: list[ObjectId] = []
        self.withdrawn: list[ObjectId] = []
        self.asked: list[ObjectId] = []
        self.fetched: list[ObjectId] = []

    def send(self, message: Any, body: bytes = b"") -> None:
        if isinstance(message, messages.Want):
            self.fetched += message.objects
            return
        assert isinstance(message, messages.Drop)
        self.asked += message.objects
        if isinstance(self.entry.spec, EmbeddedSpec):
            self.answer()

    def answer(self) -> None:
        names, self.asked = tuple(self.asked), []
        self.there.objects.dropped(self.entry, names)

    def ship(self, objects: tuple[ObjectId, ...]) -> None:
        self.shipped += objects

    def withdraw(self, objects: tuple[ObjectId, ...]) -> None:
        self.withdrawn += objects


class There:
    def __init__(self, *names: str) -> None:
        specs = tuple(
            EmbeddedSpec(name=name) if name == "here" else RemoteSpec(name=name, furl="pb://")
            for name in names
        )
        self.store = Store()
        self.roster = Roster(specs)
        self.freed: Counter[ObjectId] = Counter()
        self.objects = ObjectLedger(
            Clock(),
            self.store,
            self.roster,
            ShownSlabs(self.store, lambda *_: None, self._said),
            self._said,
            self.store.drop,
        )
        self.hosts = {}
        for name, entry in self.roster.entries.items():
            host = self.hosts[name] = Host(self, entry)
            entry.host = host  # type: ignore[assignment]
            entry.up = True

    def _said(self, message: Any, body: bytes) -> None:
        if isinstance(message, messages.Freed):
            self.freed.update(message.objects)

    def want(self, host: str, *extents: Extent) -> None:
        self.objects.want(self.roster.entries[host], tuple(each.object for each in extents))

    def leave(self, host: str) -> None:
        entry = self.roster.entries[host]
        self.roster.left(entry, "gone")
        self.objects.left(entry)


def extent(number: int) -> Extent:
    return Extent(object=b"%016d" % number, length=LENGTH)


ONE, TWO = extent(1), extent(2)


def test_an_object_is_freed_when_it_is_released_and_no_task_takes_it_in_any_order() -> None:
    for released_first in (True, False):
        there = There("far")
        assert there.objects.hold_for_tasks([ONE, TWO]) == 2 * LENGTH
        assert there.objects.hold_for_tasks([ONE]) == 0
        there.objects.release_from_tasks([ONE])
        if released_first:
            there.objects.release_from_client([ONE.object])
            assert not there.freed
        there.objects.release_from_tasks([ONE])
        if not released_first:
            assert not there.freed
            there.objects.release_from_client([ONE.object])
        assert there.freed == {ONE.object: 1}
        assert there.store.held == LENGTH


def test_what_no_task_ever_took_is_free_at_once() -> None:
    there = There("far")
    there.objects.release_from_client([ONE.object])
    assert there.freed == {ONE.object: 1}


def test_hosts_that_have_it_are_asked_and_it_is_free_when_all_have_answered() -> None:
    there = There("here", "far", "farther", "idle")
    there.objects.hold_for_tasks([ONE])
    there.want("far", ONE)
    there.want("farther", ONE)
    assert there.hosts["far"].shipped == [ONE.object]
    there.objects.release_from_client([ONE.object])
    there.objects.release_from_tasks([ONE])
    assert there.hosts["idle"].asked == []
    assert there.hosts["far"].withdrawn == [ONE.object]
    there.hosts["far"].answer()
    assert not there.freed
    there.hosts["farther"].answer()
    assert there.freed == {ONE.object: 1}
    assert all(not entry.objects and not entry.held for entry in there.roster.entries.values())


def test_a_host_counts_an_object_once_however_often_it_wants_it() -> None:
    there = There("far")
    there.objects.hold_for_tasks([ONE])
    entry = there.roster.entries["far"]
    for _ in range(3):
        there.want("far", ONE)
    assert entry.held == LENGTH
    assert there.hosts["far"].shipped == [ONE.object] * 3
    there.objects.dropped(entry, [ONE.object])
    assert entry.held == 0
    assert not there.freed


def test_nobody_is_sent_what_the_client_never_lent_and_who_asks_hears_that_it_is_gone() -> None:
    there = There("far")
    there.store.reserve(TWO.object, LENGTH)
    there.store.stored(TWO.object)  # another host's result, say
    there.want("far", ONE, TWO)
    assert there.hosts["far"].shipped == [ONE.object], "which is not here, and said to be gone"
    assert there.roster.entries["far"].held == 0


def test_who_asks_for_what_nobody_needs_any_more_is_told_to_drop_it() -> None:
    there = There("far", "farther")
    far, farther = there.roster.entries.values()
    there.objects.hold_for_tasks([ONE])
    there.want("far", ONE)
    there.objects.release_from_tasks([ONE])
    there.objects.release_from_client([ONE.object])
    there.want("farther", ONE)
    assert there.hosts["farther"].shipped == []
    assert there.hosts["farther"].asked == [ONE.object]
    for host in there.hosts.values():
        host.answer()
    assert there.freed == {ONE.object: 1}
    assert far.held == farther.held == 0


def test_who_waits_for_what_lay_on_a_lost_host_hears_that_it_is_gone() -> None:
    there = There("far", "farther")
    far, farther = there.roster.entries.values()
    for each in (ONE, TWO):
        there.objects.hold_for_worker(
            farther, far, messages.Outcomes(chunk=1, first=0, kinds=b"\0", lent=(each,))
        )
    there.want("farther", ONE)
    assert there.hosts["farther"].shipped == []
    there.leave("far")
    assert there.hosts["farther"].shipped == [ONE.object]
    there.want("farther", TWO)
    assert there.hosts["farther"].shipped == [ONE.object, TWO.object]


def test_a_host_that_leaves_before_it_answers_keeps_nothing() -> None:
    there = There("far", "farther")
    there.objects.hold_for_tasks([ONE])
    there.want("far", ONE)
    there.want("farther", ONE)
    there.objects.release_from_tasks([ONE])
    there.objects.release_from_client([ONE.object])
    there.leave("far")
    assert not there.freed
    there.hosts["farther"].answer()
    assert there.freed == {ONE.object: 1}
    there.hosts["farther"].answer()
    assert there.freed == {ONE.object: 1}


def test_what_was_returned_as_it_came_is_held_once_more() -> None:
    there = There("far")
    there.objects.hold_for_tasks([ONE])
    there.objects.release_from_client([ONE.object])
    assert there.objects.hold_for_client((), (ONE,)) == (ONE,)
    there.objects.release_from_tasks([ONE])
    assert not there.freed
    there.objects.release_from_client([ONE.object])
    assert there.freed == {ONE.object: 1}


def test_what_a_worker_lends_is_fetched_when_another_host_wants_it_and_dropped_everywhere() -> None:
    there = There("far", "farther")
    far, farther = there.roster.entries.values()
    there.objects.register(far, [ONE])
    there.objects.hold_for_tasks([ONE])
    there.want("farther", ONE)
    there.want("farther", ONE)
    assert there.hosts["far"].fetched == [ONE.object]
    assert there.hosts["farther"].shipped == []
    there.store.reserve(ONE.object, LENGTH)
    there.store.stored(ONE.object)
    assert there.objects.fetched(far, [ONE.object, TWO.object]) == (TWO.object,)
    assert there.hosts["farther"].shipped == [ONE.object]
    there.objects.release_from_tasks([ONE])
    for host in there.hosts.values():
        assert host.asked == [ONE.object]
        host.answer()
    assert not there.freed, "it was never the client's"
    assert not there.objects._objects
    assert there.store.held == far.held == farther.held == 0


@pytest.mark.parametrize("way", ["a host wants it", "the client reads it", "its host is left"])
def test_a_file_that_is_brought_here_lies_on_the_disk_whatever_brings_it(way: str) -> None:
    there = There("far", "farther")
    far, _ = there.roster.entries.values()
    file = Extent(object=ONE.object, length=LENGTH, file=True)
    there.objects.register(far, [file])
    there.objects.hold_for_tasks([file])
    match way:
        case "a host wants it":
            there.want("farther", file)
        case "the client reads it":
            there.objects.bring(messages.Bring(call=1, object=file.object))
        case _:
            there.objects.bring_home(far)
    assert there.hosts["far"].fetched == [file.object]
    assert there.store.reserve(file.object, LENGTH)
    assert (there.store.statistics().memory, there.store.statistics().disk > 0) == (0, True)
    there.store.close()


def test_what_a_host_says_of_an_object_that_another_one_brings_counts_for_nothing() -> None:
    there = There("far", "farther", "stranger")
    far, _, stranger = there.roster.entries.values()
    there.objects.register(far, [ONE])
    there.objects.hold_for_tasks([ONE])
    there.want("farther", ONE)
    assert there.objects.fetched(stranger, [ONE.object]) == (ONE.object,)
    assert there.hosts["farther"].shipped == [], "it would hear that there is none"
    there.store.reserve(ONE.object, LENGTH)
    there.store.stored(ONE.object)
    assert there.objects.fetched(far, [ONE.object]) == ()
    assert there.hosts["farther"].shipped == [ONE.object]


def test_a_host_cannot_have_more_objects_than_anybody_can_keep_track_of() -> None:
    there = There("far")
    far = there.roster.entries["far"]
    names = (number.to_bytes(16, "big") for number in range(MOST_OF_ONE_HOST + 1))
    far.objects.update(dict.fromkeys(names, 0))
    with pytest.raises(ValueError, match="large objects are there"):
        there.objects.register(far, [ONE])
    assert not there.objects._objects


def test_what_comes_when_nobody_needs_it_any_more_is_dropped() -> None:
    there = There("far", "farther")
    there.objects.register(there.roster.entries["far"], [ONE])
    there.objects.hold_for_tasks([ONE])
    there.want("farther", ONE)
    there.objects.release_from_tasks([ONE])
    for host in there.hosts.values():
        host.answer()
    there.store.reserve(ONE.object, LENGTH)
    there.store.stored(ONE.object)
    assert there.objects.fetched(there.roster.entries["far"], [ONE.object]) == ()
    assert there.store.held == 0
    assert there.hosts["farther"].shipped == []


def test_what_a_worker_was_given_is_needed_until_it_has_given_it_back_as_often() -> None:
    there = There("far", "farther")
    far, farther = there.roster.entries.values()
    outcome = messages.Outcomes(chunk=1, first=0, kinds=b"\0", lent=(ONE,))
    assert there.objects.hold_for_worker(far, far, outcome) == (ONE,)
    borrowed = messages.Outcomes(chunk=2, first=0, kinds=b"\0", borrowed=(ONE,))
    there.objects.hold_for_worker(far, farther, borrowed)
    assert there.objects.needs([ONE])
    there.objects.release_from_worker(far, [ONE.object])
    assert there.objects.needs([ONE])
    there.objects.release_from_worker(far, [ONE.object])
    assert not there.objects.needs([ONE])
    assert there.hosts["far"].asked == [ONE.object]
    there.hosts["far"].answer()
    assert not there.objects._objects


def test_what_only_workers_of_a_lost_host_had_is_dropped_by_those_that_have_a_copy() -> None:
    there = There("far", "farther")
    far = there.roster.entries["far"]
    there.objects.hold_for_tasks([ONE])
    there.want("farther", ONE)
    there.objects.hold_for_worker(
        far, far, messages.Outcomes(chunk=1, first=0, kinds=b"\0", borrowed=(ONE,))
    )
    there.objects.release_from_client([ONE.object])
    there.objects.release_from_tasks([ONE])
    there.leave("far")
    assert there.hosts["farther"].asked == [ONE.object]
    assert not there.freed
    there.hosts["farther"].answer()
    assert there.freed == {ONE.object: 1}
    assert there.roster.entries["farther"].held == 0


class Lending(RuleBasedStateMachine):
    """Any history: nothing is freed while it is held, taken or elsewhere; in the end all is."""

    def __init__(self) -> None:
        super().__init__()
        self.there = There("here", "far", "farther")
        self.held: Counter[ObjectId] = Counter()
        self.uses: list[tuple[Extent, ...]] = []
        self.lent: dict[ObjectId, Extent] = {}

    @rule(count=st.integers(1, 3), again=st.integers(0, 2))
    def add(self, count: int, again: int) -> None:
        known = [each for name, each in self.lent.items() if self.held[name]]
        new = [extent(len(self.lent) + number) for number in range(count)]
        for each in new:
            self.lent[each.object] = each
            self.held[each.object] = 1
        taken = (*new, *known[:again])
        self.there.objects.hold_for_tasks(taken)
        self.uses.append(taken)

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        at = data.draw(st.integers(0, len(self.uses) - 1))
        self.there.objects.release_from_tasks(self.uses.pop(at))

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        each = data.draw(st.sampled_from(data.draw(st.sampled_from(self.uses))))
        self.there.objects.hold_for_client((), (each,))
        self.held[each.object] += 1

    @precondition(lambda self: +self.held)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(+self.held)))
        self.held[name] -= 1
        self.there.objects.release_from_client([name])

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), host=st.sampled_from(("far", "farther")))
    def want(self, data: Any, host: str) -> None:
        if self.there.roster.entries[host].up:
            self.there.want(host, *data.draw(st.sampled_from(self.uses)))

    @rule(host=st.sampled_from(("far", "farther")))
    def answer(self, host: str) -> None:
        if self.there.roster.entries[host].up:
            self.there.hosts[host].answer()

    @rule(data=st.data(), host=st.sampled_from(("far", "farther")))
    def drop_for_want_of_room(self, data: Any, host: str) -> None:
        entry = self.there.roster.entries[host]
        if entry.objects:
            self.there.objects.dropped(entry, [data.draw(st.sampled_from(sorted(entry.objects)))])

    @rule(host=st.sampled_from(("far", "farther")))
    def come_or_go(self, host: str) -> None:
        entry = self.there.roster.entries[host]
        if entry.up:
            self.there.leave(host)
            self.there.hosts[host].asked.clear()
        else:
            entry.up = True

    @invariant()
    def nothing_is_freed_that_is_needed_or_twice(self) -> None:
        freed = self.there.freed
        assert not freed or max(freed.values()) == 1
        needed = {each.object for taken in self.uses for each in taken} | (+self.held).keys()
        assert not needed & freed.keys()
        for host in self.there.hosts.values():
            assert not freed.keys() & host.entry.objects
            assert host.entry.held == LENGTH * len(host.entry.objects)
        assert self.there.store.held == LENGTH * (len(self.lent) - len(freed))

    def teardown(self) -> None:
        for taken in self.uses:
            self.there.objects.release_from_tasks(taken)
        for name in sorted(self.held.elements()):
            self.there.objects.release_from_client([name])
        for host in self.there.hosts.values():
            host.answer()
        assert self.there.freed == dict.fromkeys(self.lent, 1)
        assert not self.there.objects._objects
        assert self.there.store.held == 0


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=80, stateful_step_count=30)


def test_a_slab_is_brought_to_the_client_once_before_it_is_named_and_told_gone_once() -> None:
    store, told = Store(), list[Any]()
    shown_slabs = ShownSlabs(
        store,
        lambda slab, _fd, size: told.append((slab, size)),
        lambda message, _: told.append(message),
    )
    store.slab_gone.append(shown_slabs.slab_gone)
    for number in range(2):
        store.reserve(b"%016d" % number, LENGTH)
        store.stored(b"%016d" % number)
    shown = shown_slabs.show((extent(0), extent(1)))
    assert [each.offset for each in shown] != [0, 0]
    assert len(told) == 1
    assert shown_slabs.show((extent(1),)) == shown[1:]
    assert len(told) == 1
    store.drop([each.object for each in shown])
    assert store.held == 0
    store.rest()
    assert told[1:] == [messages.SlabGone(slab=shown[0].slab)]
    store.close()
