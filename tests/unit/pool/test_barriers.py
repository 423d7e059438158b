"""Between the sessions of one pool: what one does, or has done to it, another never hears of."""

from __future__ import annotations

import pytest

from scattergather.model.ids import shipped
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent
from scattergather.wire.needs import needs_first
from scattergather.workers.pool import actions, events
from scattergather.workers.pool.pool import MOST_CHUNKS, Pool
from scattergather.workers.pool.tenant import APIECE, Queued

HOST, GUEST = 1, 2
JOB = b"j" * 16


def digest(number: int) -> bytes:
    return number.to_bytes(16, "little")


class House:
    """A pool of one slot with two tenants; the host's worker is in a task, a chunk waits behind."""

    def __init__(self, most: int = 1 << 20) -> None:
        self.pool = Pool(1, most)
        self.worker: dict[int, int] = {}
        for tenant in (HOST, GUEST):
            for action in self.pool.handle(events.TenantJoined(tenant=tenant), 0.0):
                if isinstance(action, actions.ForkWorker):
                    self.worker[tenant] = action.worker
                    self.said(tenant, messages.Born(pid=100 + tenant))
        self.run(HOST, 1)

    def said(self, tenant: int, message: messages.FromWorker, body: bytes = b"", now: float = 0.0):
        worker = self.worker[tenant]
        return self.pool.handle(events.WorkerSaid(worker=worker, message=message, body=body), now)

    def receive(self, tenant: int, message: messages.ToPool, body: bytes = b"", **fields):
        event = events.MessageReceived(tenant=tenant, message=message, body=body, **fields)
        return self.pool.handle(event, 0.0)

    def run(self, tenant: int, chunk: int, function: str = "f", body: bytes = b"", **fields):
        run = messages.Run(chunk=chunk, job=JOB, function=function, first=0, count=1, **fields)
        return self.receive(tenant, run, body)

    def host_ends(self) -> list[actions.Action]:
        """The host's task ends: so the slot is the guest's."""
        outcome = messages.Outcomes(chunk=1, first=0, kinds=bytes([Kind.RETURNED]))
        return self.said(HOST, outcome, blobs.pack([b"."]))

    def host_is_well(self, out: list[actions.Action]) -> bool:
        heard = [each for each in out if isinstance(each, actions.Report) and each.tenant == HOST]
        return any(isinstance(each.message, messages.Outcomes) for each in heard) and (
            HOST in self.pool.crew.tenants
        )


def ended(out: list[actions.Action]) -> dict[int, str]:
    return {each.tenant: str(each.error) for each in out if isinstance(each, actions.EndSession)}


def circle(house: House) -> int:
    for number in range(3):
        house.receive(
            GUEST, messages.Code(digest=digest(number), needs=(digest((number + 1) % 3),))
        )
    return 0


def ladder(house: House) -> int:
    """Each rung needs both of the next: 2 ** 40 ways down."""
    for rung in range(40):
        needs = (digest(2 * rung + 2), digest(2 * rung + 3))
        for each in (2 * rung, 2 * rung + 1):
            house.receive(GUEST, messages.Code(digest=digest(each), needs=needs))
    return 0


def chain(house: House) -> int:
    """Deeper than Python's stack."""
    for number in range(5000):
        house.receive(GUEST, messages.Code(digest=digest(number), needs=(digest(number + 1),)))
    return 0


@pytest.mark.parametrize("shape", [circle, ladder, chain])
def test_code_that_needs_itself_or_ever_more_is_sent_once_each(shape) -> None:
    house = House(most=1 << 30)
    top = shape(house)
    house.run(GUEST, 1, shipped(digest(top)), needs=(digest(1),))
    out = house.host_ends()
    assert house.host_is_well(out)
    told = [
        each.message.digest
        for each in out
        if isinstance(each, actions.Tell) and isinstance(each.message, messages.Code)
    ]
    assert len(told) == len(set(told)) == len(house.pool.crew.tenants[GUEST].code)
    assert not ended(out)


def test_needs_go_first_and_what_is_known_or_nowhere_is_left_out() -> None:
    needs = {1: (2, 3), 2: (4, 9), 3: (4,), 4: ()}

    def of(each: bytes) -> list[bytes] | None:
        found = needs.get(each[0])
        return None if found is None else [bytes([need]) for need in found]

    order = [each[0] for each in needs_first([b"\1"], of)]
    assert sorted(order) == [1, 2, 3, 4]
    for each, its in needs.items():
        assert all(order.index(need) < order.index(each) for need in its if need in needs)
    assert needs_first([b"\1", b"\7"], of, known={b"\2", b"\4"}) == [b"\3", b"\1"]
    assert needs_first([], of) == []


def test_a_chunk_that_cannot_be_handed_out_ends_its_session_and_no_other() -> None:
    house = House()
    house.run(GUEST, 1, "#no digest")
    house.run(GUEST, 2)
    out = house.host_ends()
    assert house.host_is_well(out)
    assert list(ended(out)) == [GUEST]
    assert list(house.pool.crew.tenants) == [HOST]
    assert house.worker[GUEST] not in house.pool.crew.workers
    assert house.pool.wake_at is None or house.pool.handle(events.Ticked(), 9.0) == []


def test_an_error_in_a_message_ends_its_session_and_no_other() -> None:
    house = House()
    house.pool.crew.tenants[GUEST].residents = None  # type: ignore[assignment]  # it stands for any
    out = house.receive(GUEST, messages.Resident(version=1, source=""))
    assert list(ended(out)) == [GUEST]
    assert house.host_is_well(house.host_ends())


def test_a_death_that_cannot_be_settled_ends_its_session_and_no_other() -> None:
    house = House()
    house.run(GUEST, 1)
    house.host_ends()
    broken = events.Harvest(chunk=1, running=0, outcomes=((0,),))  # type: ignore[arg-type]
    gone = events.WorkerExited(worker=house.worker[GUEST], harvest=broken)
    assert list(ended(house.pool.handle(gone, 0.0))) == [GUEST]
    house.run(HOST, 2)
    assert house.pool.crew.workers[house.worker[HOST]].leases


@pytest.mark.parametrize("again", [5, 4])
def test_a_chunk_that_comes_twice_or_late_ends_its_session(again: int) -> None:
    house = House()
    house.run(GUEST, 5)
    out = house.run(GUEST, again)
    assert ended(out) == {GUEST: f"chunk {again} came twice, or behind a later one"}


def test_a_chunk_without_tasks_ends_its_session() -> None:
    house = House()
    run = messages.Run(chunk=1, job=JOB, function="f", first=0, count=0)
    assert ended(house.receive(GUEST, run)) == {GUEST: "chunk 1 has no tasks"}


def test_a_call_everywhere_that_comes_twice_ends_its_session() -> None:
    house = House()
    house.receive(GUEST, messages.Everywhere(call=1, function="f"))
    assert list(ended(house.receive(GUEST, messages.Everywhere(call=1, function="f")))) == [GUEST]


EXTENTS = tuple(Extent(object=digest(each), length=1) for each in range(100))

FLOODS = {
    "chunks": lambda n: messages.Run(chunk=n, job=JOB, function="f", first=0, count=1),
    "names": lambda n: messages.Run(
        chunk=n, job=JOB, function="f", first=0, count=1, objects=EXTENTS
    ),
    "function": lambda n: messages.Run(chunk=n, job=JOB, function="f" * 10_000, first=0, count=1),
    "code": lambda n: messages.Code(digest=digest(n)),
    "needs": lambda n: messages.Code(digest=digest(n), needs=(digest(n),) * 1000),
    "label": lambda n: messages.Run(
        chunk=n, job=JOB, function="f", first=0, count=1, label="x" * 10_000
    ),
    "source": lambda n: messages.Resident(version=n, source="x" * 1000),
    "calls": lambda n: messages.Everywhere(call=n, function="f"),
    "results": lambda n: messages.NestedOutcome(
        worker=1, ticket=n, kind=Kind.RETURNED, objects=EXTENTS
    ),
}


@pytest.mark.parametrize("missing", [frozenset[bytes](), frozenset([digest(1)])])
@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_ends_its_session_at_its_bound(what: str, missing: frozenset[bytes]) -> None:
    house, out = House(), []
    if what == "results" and not missing:
        return  # none of them is kept
    for number in range(1, (1 << 20) // APIECE + 2):
        out = house.receive(GUEST, FLOODS[what](number), b"", missing=missing)
        if ended(out):
            break
    assert "1,048,576 bytes" in ended(out)[GUEST]
    assert house.host_is_well(house.host_ends())


def test_code_that_a_task_ships_counts_for_its_session() -> None:
    house, out = House(), []
    for number in range(1, (1 << 20) // APIECE + 2):
        out = house.said(GUEST, messages.Code(digest=digest(number)))
        if ended(out):
            break
    assert list(ended(out)) == [GUEST]


def test_what_is_over_does_not_count_any_more() -> None:
    house = House(most=3 * APIECE)
    guest = house.pool.crew.tenants[GUEST]
    house.host_ends()
    for chunk in range(1, 20):
        house.run(GUEST, chunk, "f")
        outcome = messages.Outcomes(chunk=chunk, first=0, kinds=bytes([Kind.RETURNED]))
        house.said(GUEST, outcome, blobs.pack([b"."]))
        house.receive(GUEST, messages.Code(digest=digest(7)), b"the same again")
        house.receive(GUEST, messages.Everywhere(call=chunk, function="f"))
        done = messages.EverywhereDone(call=chunk, worker=1, kind=Kind.RETURNED)
        house.said(GUEST, done)
        house.run(GUEST, 100 * chunk, objects=(EXTENTS[0],))
        house.receive(GUEST, messages.TakeBack(count=1))
        guest.last = chunk
        house.receive(GUEST, messages.Forget(digests=(digest(7),)))
        outcome = messages.Outcomes(chunk=100 * chunk, first=0, kinds=bytes([Kind.RETURNED]))
        house.said(GUEST, outcome, blobs.pack([b"."]))
    assert guest.held == 0
    assert GUEST in house.pool.crew.tenants


def test_a_storm_of_refreshes_forks_a_few_workers_and_then_waits_for_deaths() -> None:
    house = House()
    for call in range(100):
        house.receive(GUEST, messages.Refresh(call=call))
    guest = house.pool.crew.tenants[GUEST]
    assert len(guest.workers) <= 4
    for number in list(guest.workers):
        house.pool.handle(events.WorkerExited(worker=number, signal=9), 0.0)
    assert guest.alive == 1


def test_a_cancel_of_a_million_chunks_is_looked_through_once() -> None:
    house = House()
    house.receive(GUEST, messages.Cancel(chunks=tuple(range(1_000_000))))
    house.receive(GUEST, messages.Forget(digests=tuple(map(digest, range(100_000)))))
    assert house.host_is_well(house.host_ends())


def told_to_run(out: list[actions.Action]) -> list[int]:
    found = [each for each in out if isinstance(each, actions.Tell)]
    return [each.message.chunk for each in found if isinstance(each.message, messages.Run)]


def test_a_tenant_whose_controller_does_not_keep_up_waits_and_the_others_go_on() -> None:
    house = House()
    house.pool.handle(events.Clogged(tenant=GUEST, clogged=True), 0.0)
    house.run(GUEST, 1)
    house.run(HOST, 2)
    out = house.host_ends()
    assert told_to_run(out) == [2]
    assert house.pool.crew.workers[house.worker[HOST]].leases
    house.pool.handle(events.TenantLeft(tenant=HOST), 0.0)
    assert told_to_run(house.pool.handle(events.Ticked(), 9.0)) == []
    assert told_to_run(house.pool.handle(events.Clogged(tenant=GUEST, clogged=False), 9.0)) == [1]


def test_room_for_one_tenant_is_looked_for_now_and_then_only_in_the_turns_of_others() -> None:
    house = House()
    guest = house.pool.crew.tenants[GUEST]
    house.run(GUEST, 1, objects=EXTENTS[:1])
    house.pool.handle(events.RoomWanted(tenant=GUEST), 1.0)
    tried = guest.next_try
    for each in range(100):
        house.said(HOST, messages.Output(chunk=1, index=0), b"x", now=1.0 + each / 10_000)
    assert guest.next_try == tried
    assert house.pool.wake_at is not None
    assert house.pool.wake_at <= tried
    house.said(HOST, messages.Output(chunk=1, index=0), b"x", now=tried)
    assert guest.next_try > tried


def test_answers_that_no_worker_waits_for_are_not_passed_to_it() -> None:
    house = House()
    answer = messages.NestedOutcome(
        worker=house.worker[GUEST], ticket=1, kind=Kind.RETURNED, objects=EXTENTS[:1]
    )
    house.said(GUEST, messages.NestedSubmit(ticket=1, function="f"))
    told = [house.receive(GUEST, answer) for _ in range(3)]
    assert [isinstance(each[0], actions.Tell) for each in told] == [True, False, False]
    assert told[1] == [
        actions.Report(tenant=GUEST, message=messages.Release(objects=(EXTENTS[0].object,)))
    ]


def test_a_chunk_that_is_cancelled_again_and_again_is_interrupted_once() -> None:
    house = House()
    out = [house.receive(HOST, messages.Cancel(chunks=(1, 1))) for _ in range(3)]
    counts = [sum(isinstance(each, actions.InterruptChunk) for each in one) for one in out]
    assert counts == [1, 0, 0]


def test_a_worker_that_takes_time_is_not_taken_for_one_that_sleeps() -> None:
    house = House()
    for look in range(200):
        now, worker = 0.2 * look, house.worker[HOST]
        assert not house.pool.handle(events.FoundAsleep(worker=worker, used=0.2 * now), now)


def test_time_in_which_nobody_looked_does_not_make_a_worker_one_that_sleeps() -> None:
    house = House()
    for look in range(20):
        asleep = events.FoundAsleep(worker=house.worker[HOST], used=1.0)
        assert not house.pool.handle(asleep, 60.0 * look)


def test_answers_that_a_task_does_not_read_end_its_worker_when_they_take_too_much() -> None:
    house = House(most=1 << 20)
    worker = house.worker[HOST]

    def ask_and_answer(size: int) -> list[actions.Action]:
        house.said(HOST, messages.NestedSubmit(ticket=1, function="f"))
        answer = messages.NestedOutcome(worker=worker, ticket=1, kind=Kind.RETURNED)
        return house.receive(HOST, answer, bytes(size))

    for _ in range(3):
        (told,) = ask_and_answer(1 << 18)
        assert isinstance(told, actions.Tell)
    house.said(HOST, messages.Waiting())  # so it reads
    for _ in range(9):
        assert isinstance(ask_and_answer(1 << 18)[-1], actions.Tell)
    house.said(HOST, messages.Resumed())
    for _ in range(3):
        assert isinstance(ask_and_answer(1 << 18)[-1], actions.Tell)
    (killed,) = ask_and_answer(1 << 18)
    assert isinstance(killed, actions.KillWorker)
    gone = events.WorkerExited(
        worker=worker, signal=9, harvest=events.Harvest(chunk=1, running=0, finished=0)
    )
    out = house.pool.handle(gone, 0.0)
    (body,) = [
        each.body
        for each in out
        if isinstance(each, actions.Report) and isinstance(each.message, messages.Outcomes)
    ]
    assert "and waited for none of them" in messages.read_loss(blobs.each(body, 1)[0]).reason


def test_what_has_only_begun_to_arrive_counts_beside_what_is_here() -> None:
    house = House(most=1 << 20)
    half = 1 << 19
    assert not house.pool.refusal(GUEST, half)
    house.run(GUEST, 1, body=bytes(half))
    assert "takes more than 1,048,576 bytes" in house.pool.refusal(GUEST, half)
    assert not house.pool.refusal(GUEST, half // 2)
    assert not house.pool.refusal(HOST, half)
    house.receive(GUEST, messages.Cancel(chunks=(1,)))
    assert not house.pool.refusal(GUEST, half)
    assert not house.pool.refusal(99, half), "a session that is over takes in nothing"


def test_chunks_without_end_that_wait_for_what_never_comes_end_their_session() -> None:
    house = House(most=1 << 40)
    tenant = house.pool.crew.tenants[GUEST]
    run = messages.Run(chunk=1, job=JOB, function="f", first=0, count=1)
    for chunk in range(1, MOST_CHUNKS + 1):
        tenant.waiting[chunk] = Queued(run, b"", 0)
    out = house.run(GUEST, MOST_CHUNKS + 1)
    assert ended(out) == {GUEST: f"more than {MOST_CHUNKS:,} chunks of it wait"}
    assert house.host_is_well(house.host_ends())


def test_however_many_answers_wait_for_an_object_all_go_when_it_comes() -> None:
    house = House(most=1 << 30)
    count = 40_000
    for ticket in range(count):
        answer = messages.NestedOutcome(
            worker=house.worker[GUEST], ticket=ticket, kind=Kind.RETURNED, objects=(EXTENTS[0],)
        )
        house.receive(GUEST, answer, missing=frozenset({EXTENTS[0].object}))
    tenant = house.pool.crew.tenants[GUEST]
    assert len(tenant.postponed) == count
    out = house.pool.handle(events.ObjectsArrived(tenant=GUEST, objects=(EXTENTS[0].object,)), 0.0)
    assert not tenant.postponed
    assert tenant.held == 0
    assert len(out) == count, "the worker had asked for none: its objects are free"
