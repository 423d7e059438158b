"""Large objects in a pool: chunks wait for theirs, room is made of others, each is dropped once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scattergather.model.ids import ObjectId
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.objects import KEEPING_SECONDS
from scattergather.workers.pool.pool import Pool

A, B, C, D = (letter * 16 for letter in (b"a", b"b", b"c", b"d"))


class There:
    """A pool of two workers with one tenant; ``here`` is what the service's store has."""

    def __init__(self, slots: int = 2) -> None:
        self.pool = Pool(slots)
        self.here: set[ObjectId] = set()
        self.told: list[tuple[int, Any]] = []
        self.said: list[Any] = []
        self.dropped: list[ObjectId] = []
        self.wanted: list[ObjectId] = []
        self.recycled: list[ObjectId] = []
        self.released: list[ObjectId] = []
        self.retired: list[int] = []
        self.overdrawn = 0
        self(events.TenantJoined(tenant=1))
        self.tenant = self.pool.crew.tenants[1]
        self.bear()

    def bear(self) -> None:
        """Workers that were forked are ready."""
        for number, worker in list(self.pool.crew.workers.items()):
            if not worker.born:
                self.from_worker(number, messages.Born(pid=100 + number))

    def __call__(self, event: events.Event, now: float = 0.0) -> None:
        for action in self.pool.handle(event, now):
            match action:
                case actions.Report(message=messages.Dropped(objects=names)):
                    self.dropped += names
                    self.here.difference_update(names)
                case actions.Report(message=messages.Want(objects=names)):
                    self.wanted += names
                case actions.Report(message=messages.Release(objects=names)):
                    self.released += names
                case actions.Overdraw():
                    self.overdrawn += 1
                case actions.Report():
                    self.said.append(action.message)
                case actions.Tell():
                    self.told.append((action.worker, action.message))
                case actions.DropResults():
                    self.recycled += action.objects
                case actions.RetireWorker():
                    self.retired.append(action.worker)
                case _:
                    pass

    def receive(self, message: Any, refused: str = "") -> None:
        missing = frozenset[ObjectId]()
        if isinstance(message, messages.Run | messages.Everywhere | messages.NestedOutcome):
            missing = frozenset(each.object for each in message.objects) - self.here
        self(events.MessageReceived(tenant=1, message=message, missing=missing, refused=refused))

    def run(self, chunk: int, *names: ObjectId, count: int = 1, refused: str = "") -> None:
        objects = tuple(Extent(object=name, length=1) for name in names)
        run = messages.Run(
            chunk=chunk, job=b"j", function="f", first=0, count=count, objects=objects
        )
        self.receive(run, refused)

    def answer(self, number: int, *names: ObjectId, refused: str = "") -> None:
        """What a nested call of a worker has returned."""
        objects = tuple(Extent(object=name, length=1) for name in names)
        self.from_worker(number, messages.NestedSubmit(ticket=1, function="f"))
        outcome = messages.NestedOutcome(worker=number, ticket=1, kind=0, objects=objects)
        self.receive(outcome, refused)

    def answered(self) -> list[tuple[int, int]]:
        """To whom results of nested calls went, and their kinds."""
        return [(n, said.kind) for n, said in self.told if isinstance(said, messages.NestedOutcome)]

    def arrive(self, *names: ObjectId) -> None:
        self.here.update(names)
        self(events.ObjectsArrived(tenant=1, objects=names))

    def lose(self, *names: ObjectId) -> None:
        self(events.ObjectsLost(tenant=1, objects=names, reason="no room"))

    def press(self) -> None:
        self(events.RoomWanted(tenant=1))

    def drop(self, *names: ObjectId) -> None:
        self.receive(messages.Drop(objects=names))

    def from_worker(self, number: int, message: Any) -> None:
        many = isinstance(message, messages.Outcomes)
        body = blobs.pack([b"."] * len(message.kinds)) if many else b""
        self(events.WorkerSaid(worker=number, message=message, body=body))

    def finish(self, number: int) -> None:
        """The worker is done with its chunk."""
        lease = self.pool.crew.workers[number].leases[0]
        kinds = bytes([Kind.RETURNED]) * (lease.stop - lease.next)
        outcomes = messages.Outcomes(chunk=lease.run.chunk, first=lease.next, kinds=kinds)
        self.from_worker(number, outcomes)

    def working(self) -> dict[int, int]:
        """Which worker has which chunk."""
        return {
            lease.run.chunk: number
            for number, worker in self.pool.crew.workers.items()
            for lease in worker.leases
        }


def test_a_chunk_waits_until_everything_is_here_and_each_object_is_wanted_once() -> None:
    there = There()
    there.run(1, A, B)
    there.run(2, B, C)
    there.run(3)
    assert set(there.working()) == {3}
    assert sorted(there.wanted) == [A, B, C]
    there.arrive(A)
    there.arrive(C)
    assert set(there.working()) == {3}
    there.arrive(B)
    assert len(there.working()) == 2
    there.run(4, A)
    assert len(there.wanted) == 3


def test_a_waiting_chunk_is_cancelled_and_taken_back_like_any_other() -> None:
    there = There()
    there.run(1, A)
    there.run(2, A)
    there.receive(messages.Cancel(chunks=(1,)))
    there.receive(messages.TakeBack(count=1))
    assert there.said[-2:] == [
        messages.CancelDone(chunk=1, first=0),
        messages.GaveBack(chunk=2, first=0),
    ]
    there.arrive(A)
    assert there.working() == {}


def test_the_result_of_a_nested_call_waits_for_its_parts_and_is_given_back_once() -> None:
    there = There()
    there.run(1)
    (number,) = there.working().values()
    there.answer(number, A, B)
    there.arrive(A)
    assert there.answered() == []
    there.arrive(B)
    assert there.answered() == [(number, Kind.RETURNED)]
    there.answer(number, A)
    assert there.released == []
    there.from_worker(number, messages.Release(objects=(A, B)))
    assert there.released == [A, B]
    # It was given one of them once more.
    there.released.clear()
    there(events.WorkerExited(worker=number))
    assert there.released == [A]
    there.answer(number, A, B)
    assert there.released == [A, A, B]


def test_a_nested_call_whose_result_cannot_come_is_lost_and_nothing_of_it_is_held() -> None:
    there = There()
    there.run(1)
    (number,) = there.working().values()
    there.answer(number, A, B)
    there.lose(B)
    there.answer(number, C, refused="it is too large")
    assert there.answered() == [(number, Kind.LOST)] * 2
    assert there.released == [A, B, C]
    assert not there.pool.crew.workers[number].held
    assert not there.tenant.postponed


def test_what_a_worker_was_given_is_not_dropped_to_make_room() -> None:
    there = There()
    there.run(1)
    (number,) = there.working().values()
    there.answer(number, A)
    there.arrive(A)
    there.finish(number)  # and has kept it
    there.run(2, B)
    there.press()
    assert there.dropped == []
    there.from_worker(number, messages.Release(objects=(A,)))
    assert there.dropped == [A]


def test_when_only_waiting_tasks_run_what_they_wait_for_has_room_beyond_the_bound() -> None:
    there = There()
    there.here.update((A, B))
    there.run(1, A)
    there.run(2, B)
    first, second = there.working().values()
    there.from_worker(first, messages.Waiting())
    there.run(3, C)
    there.press()
    assert (there.overdrawn, there.dropped) == (0, []), "the other task will end"
    there.from_worker(second, messages.Waiting())
    there.bear()
    assert (there.overdrawn, there.dropped) == (1, []), "both have mapped what they take"
    there.arrive(C)
    assert 3 in there.working()
    there.answer(first, D)
    there.press()
    assert there.overdrawn == 1, "a task runs"
    there.finish(there.working()[3])
    assert there.dropped == [C]
    there.press()
    assert there.overdrawn == 2


def test_a_call_everywhere_that_only_waiting_workers_owe_is_nothing_that_makes_room() -> None:
    there = There(slots=1)
    there.run(1)
    (number,) = there.working().values()
    there.here.add(A)
    extent = Extent(object=A, length=1)
    there.receive(messages.Everywhere(call=1, function="f", objects=(extent,)))
    there.from_worker(number, messages.Waiting())
    there.run(2, B)
    there.press()
    assert there.overdrawn == 1
    assert there.dropped == [], "the worker has been told to read it"


def test_what_waits_is_taken_back_before_what_is_ready() -> None:
    there = There(slots=1)
    there.run(1)
    there.run(2)
    there.run(3, A)
    there.run(4)
    there.receive(messages.TakeBack(count=1))
    assert there.said[-1] == messages.GaveBack(chunk=3, first=0)


def test_a_chunk_whose_object_does_not_come_is_lost_and_others_wait_on() -> None:
    there = There()
    there.run(1, A, B, count=3)
    there.run(2, B)
    there.lose(A)
    (lost,) = (each for each in there.said if isinstance(each, messages.Outcomes))
    assert (lost.chunk, lost.first, lost.kinds) == (1, 0, bytes([Kind.LOST]) * 3)
    there.arrive(B)
    assert set(there.working()) == {2}
    there.run(3, A)
    assert there.wanted.count(A) == 2


def test_what_can_never_be_here_together_is_not_asked_for() -> None:
    there = There()
    there.run(1, A, B, refused="too much")
    assert there.wanted == []
    assert there.said[-1].kinds == bytes([Kind.LOST])
    everywhere = messages.Everywhere(call=7, function="f", objects=(Extent(object=A, length=1),))
    there.receive(everywhere, refused="too much")
    assert there.wanted == []
    assert there.said[-1].last


# ---- the end of an object -----------------------------------------------------------------------


def test_what_is_kept_is_dropped_when_the_last_worker_lets_go() -> None:
    there = There()
    there.run(1, A)
    there.run(2, A)
    there.arrive(A)
    for number in (1, 2):
        there.from_worker(number, messages.Kept(objects=(A,)))
        there.finish(number)
    there.drop(A)
    there.from_worker(1, messages.LetGo(objects=(A,)))
    assert there.dropped == []
    there(events.WorkerExited(worker=2, signal=9))
    assert there.dropped == [A]
    there.from_worker(1, messages.LetGo(objects=(A,)))
    assert there.dropped == [A]


def test_what_is_let_go_before_it_is_dropped_is_dropped_once() -> None:
    there = There(slots=1)
    there.run(1, A)
    there.arrive(A)
    there.from_worker(1, messages.Kept(objects=(A,)))
    there.finish(1)
    there.from_worker(1, messages.LetGo(objects=(A,)))
    assert there.dropped == []
    there.drop(A)
    assert there.dropped == [A]


def test_what_arrives_after_it_was_dropped_is_dropped_again() -> None:
    there = There()
    there.run(1, A)
    there.receive(messages.Cancel(chunks=(1,)))
    there.drop(A)
    assert there.dropped == [A]
    there.arrive(A)
    assert there.dropped == [A, A]
    assert there.here == set()
    assert not there.tenant.here


def test_a_result_that_is_not_believed_is_free() -> None:
    there = There()
    late = messages.Outcomes(chunk=9, first=0, kinds=b"\0", objects=(Extent(object=A, length=1),))
    there.from_worker(1, late)
    assert there.recycled == [A]
    assert not [each for each in there.said if isinstance(each, messages.Outcomes)]


# ---- room ---------------------------------------------------------------------------------------


def test_room_is_made_of_what_no_chunk_takes_the_longest_unused_first() -> None:
    there = There()
    for chunk, name in enumerate((A, B, C), 1):
        there.run(chunk, name)
        there.arrive(name)
        if chunk != 2:
            there.finish(there.working()[chunk])
    there.press()
    assert there.dropped == [A]
    there.press()
    assert there.dropped == [A, C]


def test_room_that_cannot_be_made_now_is_made_when_a_chunk_is_over() -> None:
    there = There(slots=1)
    there.run(1, A)
    there.arrive(A)
    there.run(2, B)
    there.press()
    assert there.dropped == []
    there.finish(1)
    assert there.dropped == [A]


def test_what_is_kept_is_no_room() -> None:
    there = There(slots=1)
    there.run(1, A)
    there.arrive(A)
    there.from_worker(1, messages.Kept(objects=(A,)))
    there.finish(1)
    there.press()
    assert there.dropped == []
    assert there.tenant.dropping == set()
    there.from_worker(1, messages.LetGo(objects=(A,)))
    assert there.dropped == [A]


def test_idle_workers_that_keep_all_the_room_are_replaced_one_by_one_after_a_moment() -> None:
    there = There()
    for chunk, name in ((1, A), (2, B)):
        there.run(chunk, name)
        there.arrive(name)
    for number in (1, 2):
        (kept,) = (each.object for each in there.pool.crew.workers[number].leases[0].run.objects)
        there.from_worker(number, messages.Kept(objects=(kept,)))
        there.finish(number)
    there.press()
    there(events.Ticked(), KEEPING_SECONDS)
    assert there.retired == [], "nothing waits for room"
    there.run(3, A, C)
    assert there.pool.wake_at == KEEPING_SECONDS
    assert there.retired == [], "they look soon what they keep no more"
    keeper = next(iter(there.tenant.kept[B]))
    there(events.Ticked(), KEEPING_SECONDS)
    there(events.Ticked(), KEEPING_SECONDS + 1)
    assert there.retired == [keeper], "the other keeps what the chunk takes"
    assert there.dropped == []
    there(events.WorkerExited(worker=keeper))
    assert there.dropped == [B]
    there.bear()
    there.arrive(C)
    assert set(there.working()) == {3}
    assert there.tenant.alive == 2


def test_chunks_that_wait_for_each_others_room_go_one_after_the_other() -> None:
    there = There()
    there.run(1, A, B)
    there.run(2, C, B)
    there.arrive(C)
    there.press()  # for A, say
    assert there.dropped == [C]
    assert there.wanted.count(C) == 2
    there.arrive(A, B)
    assert set(there.working()) == {1}
    there.arrive(C)
    assert set(there.working()) == {1, 2}


# ---- other parts that see chunks come in another order -------------------------------------------


def test_a_chunk_that_waited_does_not_hide_the_one_before_it_from_a_stop() -> None:
    """A stop names the highest chunk of a worker: one that had to wait has a lower number."""
    there = There(slots=1)
    for chunk, names in ((1, (A,)), (2, ())):
        objects = tuple(Extent(object=name, length=1) for name in names)
        run = messages.Run(
            chunk=chunk, job=b"j", function="f", first=0, count=3, ahead=True, objects=objects
        )
        there.receive(run)
    there.arrive(A)
    assert [lease.run.chunk for lease in there.pool.crew.workers[1].leases] == [2, 1]
    long = events.Sampled(worker=1, chunk=2, index=0, started=0.0, memory=0)
    out = there.pool.handle(long, 1.0)
    assert [each.chunk for each in out if isinstance(each, actions.StopWorker)] == [2]


class History(RuleBasedStateMachine):
    """Any history of one tenant."""

    names = tuple(b"%016d" % number for number in range(6))

    def __init__(self) -> None:
        super().__init__()
        self.there = There()
        self.chunks = 0
        self.open: dict[int, set[ObjectId]] = {}
        self.kept: dict[int, Counter[ObjectId]] = {1: Counter(), 2: Counter()}
        self.released: set[ObjectId] = set()
        self.needed: Counter[ObjectId] = Counter()
        self.seen = 0

    def _settle(self) -> None:
        """Hear what came back."""
        for said in self.there.said[self.seen :]:
            if isinstance(said, messages.Outcomes | messages.GaveBack | messages.CancelDone):
                for name in self.open.pop(said.chunk):
                    self.needed[name] -= 1
        self.seen = len(self.there.said)

    def _on_its_way(self) -> set[ObjectId]:
        """What was wanted last and has neither come nor been dropped, as the link knows it."""
        return self.there.tenant.wanted - self.there.here

    @rule(names=st.sets(st.sampled_from(names), max_size=3))
    def run(self, names: set[ObjectId]) -> None:
        names = names - self.released
        self.chunks += 1
        self.open[self.chunks] = names
        self.needed.update(names)
        self.there.run(self.chunks, *sorted(names))
        self._settle()

    @precondition(lambda self: self._on_its_way())
    @rule(data=st.data())
    def arrive(self, data: Any) -> None:
        self.there.arrive(data.draw(st.sampled_from(sorted(self._on_its_way()))))

    @precondition(lambda self: self._on_its_way())
    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        self.there.lose(data.draw(st.sampled_from(sorted(self._on_its_way()))))
        self._settle()

    @rule()
    def press(self) -> None:
        self.there.press()

    @rule(number=st.sampled_from((1, 2)), keep=st.booleans())
    def finish(self, number: int, keep: bool) -> None:
        worker = self.there.pool.crew.workers[number]
        if worker.leases:
            names = {extent.object for extent in worker.leases[0].run.objects}
            new = tuple(name for name in sorted(names) if not self.kept[number][name])
            if keep and new:
                self.kept[number].update(new)
                self.there.from_worker(number, messages.Kept(objects=new))
            self.there.finish(number)
            self._settle()

    @precondition(lambda self: any(+kept for kept in self.kept.values()))
    @rule(data=st.data())
    def let_go(self, data: Any) -> None:
        number = data.draw(st.sampled_from([n for n, kept in self.kept.items() if +kept]))
        name = data.draw(st.sampled_from(sorted(+self.kept[number])))
        del self.kept[number][name]
        self.there.from_worker(number, messages.LetGo(objects=(name,)))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel_or_take_back(self, data: Any) -> None:
        waiting = sorted({*self.there.tenant.waiting, *self.there.tenant.queue})
        if waiting and data.draw(st.booleans()):
            chunk = data.draw(st.sampled_from(waiting))
            self.there.receive(messages.Cancel(chunks=(chunk,)))
        else:
            self.there.receive(messages.TakeBack(count=1))
        self._settle()

    @rule(name=st.sampled_from(names))
    def release(self, name: ObjectId) -> None:
        if not self.needed[name] and name not in self.released:
            self.released.add(name)
            self.there.drop(name)

    @invariant()
    def chunks_run_with_all_they_take_and_wait_for_what_comes(self) -> None:
        tenant, here = self.there.tenant, self.there.here
        for chunk in (*self.there.working(), *tenant.queue):
            assert self.open[chunk] <= here
        for queued in tenant.waiting.values():
            assert queued.missing
            assert queued.missing <= tenant.wanted
        for kept in self.kept.values():
            assert (+kept).keys() <= here
        assert set(tenant.here) == here
        assert set(self.open) == {*self.there.working(), *tenant.queue, *tenant.waiting}

    def teardown(self) -> None:
        there = self.there
        while self.open:
            before = dict(self.open)
            for name in sorted(self._on_its_way()):
                there.arrive(name)
            for number in (1, 2):
                self.finish(number=number, keep=False)
            assert self.open != before
        for number, kept in self.kept.items():
            for name in sorted(+kept):
                there.from_worker(number, messages.LetGo(objects=(name,)))
        for name in self.names:
            if name not in self.released:
                there.drop(name)
        for name in sorted(self._on_its_way()):
            there.arrive(name)
        tenant = there.tenant
        assert not there.here
        for left in (tenant.here, tenant.wanted, tenant.kept, tenant.dropping):
            assert not left
        assert set(there.dropped) == set(self.names)


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=100, stateful_step_count=40)
