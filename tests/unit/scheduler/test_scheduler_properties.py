"""Any events in any order: each task ends once, and is in one place until then."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from scattergather.model.outcome import Kind
from scattergather.model.placement import Placement
from scattergather.scheduler import actions, events
from scattergather.scheduler.scheduler import Scheduler

HOSTS = ("a", "b", "c")
QUEUED, FINAL = "queued", "final"

hosts = st.sampled_from(HOSTS)
numbers = st.integers(0, 1 << 16)
kinds = st.lists(st.sampled_from(list(Kind)), min_size=1, max_size=6)


@dataclass
class Lease:
    """A chunk as the host sees it."""

    host: str
    job: bytes
    next: int
    stop: int
    attempt: int


class SchedulerMachine(RuleBasedStateMachine):
    """Hosts and a client that do what a scheduler may meet, with a book of where each task is."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.places: dict[bytes, dict[int, str | int]] = {}
        self.retries: dict[bytes, int] = {}
        self.charged: dict[tuple[bytes, int], int] = {}
        self.open: set[bytes] = set()
        self.cancelled: set[bytes] = set()
        self.ended: set[bytes] = set()
        self.leases: dict[int, Lease] = {}
        self.gone: list[events.Event] = []
        self.slots: dict[str, int] = {}
        self.on: dict[bytes, tuple[str, ...]] = {}
        self.dropped: set[str] = set()

    # ---- the book ----

    def tell(self, event: events.Event) -> list[actions.Action]:
        out = self.scheduler.handle(event)
        for action in out:
            match action:
                case actions.SendChunk():
                    self.sent(action)
                case actions.Deliver():
                    assert isinstance(event, events.OutcomesArrived)
                    assert action.first == event.first + action.offset
                    self.finish(action.job, action.first, action.count)
                case actions.DeliverLoss(cause=actions.HostsDropped(hosts=gone)):
                    assert gone == self.on[action.job]
                    assert self.dropped.issuperset(gone)
                    self.finish(action.job, action.first, action.count)
                case actions.DeliverLoss():
                    for index in range(action.first, action.first + action.count):
                        charged = self.charged.get((action.job, index), 0)
                        assert charged >= action.attempt == self.retries[action.job] + 1
                    self.finish(action.job, action.first, action.count)
                case actions.ReportCancelled():
                    self.finish(action.job, action.first, action.count)
                case actions.EndJob():
                    assert action.job not in self.ended
                    assert action.job not in self.open
                    assert set(self.places[action.job].values()) <= {FINAL}
                    self.ended.add(action.job)
                case actions.TakeBackFrom() | actions.CancelChunks():
                    assert action.host in self.slots
                    held = self.scheduler._fleet.hosts[action.host].leases
                    assert set(action.chunks) <= set(held)
                case actions.ReportPlaced():
                    pass
        return out

    def sent(self, action: actions.SendChunk) -> None:
        assert action.host in self.slots
        assert self.slots[action.host]
        assert action.host in (self.on[action.job] or self.slots), "it runs nowhere else"
        assert action.chunk not in self.leases
        assert action.count > 0
        places = self.places[action.job]
        for index in range(action.first, action.first + action.count):
            assert places[index] == QUEUED, f"{index} was {places[index]}"
            assert action.attempt - 1 == self.charged.get((action.job, index), 0)
            places[index] = action.chunk
        assert action.attempt <= self.retries[action.job] + 1
        stop = action.first + action.count
        lease = Lease(action.host, action.job, action.first, stop, action.attempt)
        self.leases[action.chunk] = lease

    def finish(self, job: bytes, first: int, count: int) -> None:
        for index in range(first, first + count):
            assert self.places[job][index] != FINAL, f"{index} ended twice"
            self.places[job][index] = FINAL

    def free(self, lease: Lease, *, charge: bool) -> None:
        """The rest of a lease goes back before the scheduler hears of it."""
        for index in range(lease.next, lease.stop):
            self.places[lease.job][index] = QUEUED
            if charge:
                self.charge(lease.job, index)

    def charge(self, job: bytes, index: int) -> None:
        self.charged[job, index] = self.charged.get((job, index), 0) + 1

    def pick(self, number: int) -> int:
        return sorted(self.leases)[number % len(self.leases)]

    @initialize(each=st.sampled_from((1e-5, 1e-5, 0.5)))
    def know_the_function(self, each: float) -> None:
        """Chunks of a function that is known to be brief are long at once."""
        self.join("a", 1)
        self.add_job(0, 0, False, 1, ())
        self.outcomes(0, [Kind.RETURNED], each)

    # ---- the client ----

    @rule(
        retries=st.integers(0, 2),
        priority=st.integers(0, 1),
        stream=st.booleans(),
        tasks=st.integers(0, 50),
        on=st.one_of(st.just(()), st.sets(hosts, min_size=1, max_size=2).map(sorted).map(tuple)),
    )
    def add_job(
        self, retries: int, priority: int, stream: bool, tasks: int, on: tuple[str, ...]
    ) -> None:
        job = bytes([len(self.places)]) * 16
        self.places[job], self.retries[job], self.on[job] = {}, retries, on
        self.open.add(job)
        self.tell(
            events.JobAdded(
                job=job,
                function="f",
                retries=retries,
                priority=priority,
                stream=stream,
                placement=Placement(on=on),
            )
        )
        if tasks:
            self.add_tasks(len(self.open) - 1, tasks)

    @precondition(lambda self: self.open)
    @rule(number=numbers, count=st.integers(1, 50))
    def add_tasks(self, number: int, count: int) -> None:
        self.queue(sorted(self.open)[number % len(self.open)], count)

    def queue(self, job: bytes, count: int) -> None:
        first = len(self.places[job])
        self.places[job].update((index, QUEUED) for index in range(first, first + count))
        self.tell(events.TasksAdded(job=job, first=first, count=count))

    @precondition(lambda self: self.open)
    @rule(number=numbers)
    def end_tasks(self, number: int) -> None:
        job = sorted(self.open)[number % len(self.open)]
        self.open.discard(job)
        self.tell(events.TasksEnded(job=job, total=len(self.places[job])))

    @precondition(lambda self: self.places)
    @rule(number=numbers)
    def cancel_job(self, number: int) -> None:
        job = sorted(self.places)[number % len(self.places)]
        if number % 3 == 0:  # else there would be little left to happen to
            self.cancelled.add(job)
            self.tell(events.JobCancelled(job=job))

    @precondition(lambda self: self.open)
    @rule(number=numbers, count=st.integers(1, 5))
    def forget_job(self, number: int, count: int) -> None:
        job = sorted(self.open)[number % len(self.open)]
        if number % 3 == 0:
            self.open.discard(job)
            self.cancelled.add(job)
            self.tell(events.JobForgotten(job=job))
            if job not in self.ended:  # another thread still adds to it
                self.queue(job, count)

    @precondition(lambda self: self.places)
    @rule(number=numbers, first=st.integers(0, 30), count=st.integers(1, 30))
    def cancel_tasks(self, number: int, first: int, count: int) -> None:
        job = sorted(self.places)[number % len(self.places)]
        before = dict(self.places[job])
        self.tell(events.TasksWithdrawn(job=job, first=first, count=count))
        for index, place in before.items():
            wanted = first <= index < first + count and place == QUEUED
            assert (self.places[job][index] != place) <= wanted

    # ---- hosts ----

    @rule(host=hosts, slots=st.integers(1, 3))
    def join(self, host: str, slots: int) -> None:
        if host not in self.slots:
            self.slots[host] = slots
            self.dropped.discard(host)
            self.tell(events.HostJoined(host=host, slots=slots))

    @rule(host=hosts, slots=st.integers(0, 4))
    def change_slots(self, host: str, slots: int) -> None:
        if host in self.slots:
            self.slots[host] = slots
            self.tell(events.SlotsChanged(host=host, slots=slots))

    @rule(host=hosts, seconds=st.sampled_from([0.0001, 0.02, 0.1]))
    def measure(self, host: str, seconds: float) -> None:
        self.tell(events.RoundTripMeasured(host=host, seconds=seconds))

    @rule(host=hosts)
    def lose(self, host: str) -> None:
        if len(self.slots) > 1:
            self.leave(host)

    @rule(host=hosts)
    def drop(self, host: str) -> None:
        """The user wants no more of it; it leaves later, or is added again."""
        self.dropped.add(host)
        self.tell(events.HostDropped(host=host))

    @rule(host=hosts)
    def expect(self, host: str) -> None:
        self.dropped.discard(host)
        self.tell(events.HostExpected(host=host))

    def leave(self, host: str) -> None:
        for chunk, lease in list(self.leases.items()):
            if lease.host == host:
                del self.leases[chunk]
                self.free(lease, charge=True)
                self.gone += self.last_words(host, chunk, lease)
        self.slots.pop(host, None)
        self.tell(events.HostLeft(host=host, reason="lost"))

    def last_words(self, host: str, chunk: int, lease: Lease) -> list[events.Event]:
        judged = bytes(lease.stop - lease.next)
        return [
            events.OutcomesArrived(
                host=host, chunk=chunk, first=lease.next, kinds=judged, elapsed=0.1
            ),
            events.ChunkGivenBack(host=host, chunk=chunk, first=lease.next),
            events.CancelCompleted(host=host, chunk=chunk, first=lease.next),
        ]

    @precondition(lambda self: self.gone)
    @rule(number=numbers)
    def late(self, number: int) -> None:
        """What a host said of a lease that it has no more changes nothing."""
        out = self.tell(self.gone[number % len(self.gone)])
        assert not [each for each in out if not isinstance(each, actions.TakeBackFrom)]

    @precondition(lambda self: self.leases)
    @rule(number=numbers, kinds=kinds, each=st.sampled_from((0.0, 1e-5, 1e-5, 0.5)))
    def outcomes(self, number: int, kinds: list[Kind], each: float) -> None:
        chunk = self.pick(number)
        lease = self.leases[chunk]
        kinds = kinds[: lease.stop - lease.next]
        event = events.OutcomesArrived(
            host=lease.host,
            chunk=chunk,
            first=lease.next,
            kinds=bytes(kinds),
            elapsed=each * len(kinds),
        )
        for index, kind in enumerate(kinds, lease.next):
            if kind in (Kind.RETRYABLE, Kind.LOST):
                self.charge(lease.job, index)
            self.places[lease.job][index] = QUEUED
        lease.next += len(kinds)
        if lease.next == lease.stop:
            del self.leases[chunk]
        self.tell(event)
        self.gone.append(event)
        for index, kind in enumerate(kinds, event.first):
            again = self.retries[lease.job] and (
                kind == Kind.INTERRUPTED or lease.attempt <= self.retries[lease.job]
            )
            if kind in (Kind.RETURNED, Kind.RAISED, Kind.CANCELLED) or not again:
                assert self.places[lease.job][index] == FINAL

    @precondition(lambda self: self.leases)
    @rule(number=numbers, beyond=st.integers(0, 2))
    def give_back(self, number: int, beyond: int) -> None:
        """The tail of a chunk comes back; what stands before it still has its outcomes to come."""
        chunk = self.pick(number)
        lease = self.leases[chunk]
        first = min(lease.next + beyond, lease.stop - 1)
        for index in range(first, lease.stop):
            self.places[lease.job][index] = QUEUED
        event = events.ChunkGivenBack(host=lease.host, chunk=chunk, first=first)
        lease.stop = first
        if lease.next == lease.stop:
            del self.leases[chunk]
        self.tell(event)
        self.gone.append(events.ChunkGivenBack(host=lease.host, chunk=chunk, first=first))

    @precondition(lambda self: any(each.job in self.cancelled for each in self.leases.values()))
    @rule(number=numbers)
    def cancel_completed(self, number: int) -> None:
        chunks = sorted(
            chunk for chunk, lease in self.leases.items() if lease.job in self.cancelled
        )
        chunk = chunks[number % len(chunks)]
        lease = self.leases.pop(chunk)
        self.tell(events.CancelCompleted(host=lease.host, chunk=chunk, first=lease.next))
        for index in range(lease.next, lease.stop):
            assert self.places[lease.job][index] == FINAL

    # ---- always, and in the end ----

    @invariant()
    def the_books_agree(self) -> None:
        assert set(self.scheduler._jobs) == set(self.places) - self.ended
        for identity, job in self.scheduler._jobs.items():
            places = list(self.places[identity].values())
            assert job.queued == places.count(QUEUED)
            assert job.done == places.count(FINAL)
            leased = {
                chunk: (lease.next, lease.stop)
                for chunk, lease in self.leases.items()
                if lease.job == identity
            }
            found = {chunk: (lease.next, lease.stop) for chunk, lease in job.leases.items()}
            assert found == leased
            assert job.running == sum(stop - first for first, stop in leased.values())
            assert not (job.cancelled and job.queued)
        for name, host in self.scheduler._fleet.hosts.items():
            mine = {chunk for chunk, lease in self.leases.items() if lease.host == name}
            assert set(host.leases) == mine
        assert {
            name: host.slots for name, host in self.scheduler._fleet.hosts.items()
        } == self.slots

    @invariant()
    def the_fleet_forgets_no_host(self) -> None:
        fleet = self.scheduler._fleet
        hosts = list(fleet.hosts.values())
        assert fleet.slots == sum(host.slots for host in hosts)
        assert fleet.longest_trip == max((host.round_trip for host in hosts), default=0.0)
        assert set(fleet.crowded) == {host.name for host in hosts if host.surplus > 0}
        places = [place for place in fleet._list if place[2] == place[3].stamp]
        assert sorted(place[1] for place in places) == [host.order for host in hosts]
        assert all(load == host.listed <= host.load for load, _, _, host in places)

    @invariant()
    def nobody_is_idle_while_something_waits(self) -> None:
        fleet, lines = self.scheduler._fleet, self.scheduler._lines
        for host in fleet.hosts.values():
            waits = [job for job in lines.all() if fleet.eligible(host, job)]
            assert len(host.leases) >= host.slots or not waits

    @invariant()
    def nobody_waits_for_what_was_dropped(self) -> None:
        for identity, job in self.scheduler._jobs.items():
            gone = self.on[identity] and self.dropped.issuperset(self.on[identity])
            assert not (gone and job.queued)

    @invariant()
    def who_stands_in_line_has_something_queued(self) -> None:
        lines = self.scheduler._lines
        standing = [job.spec.job for job in lines.all()]
        queued = [identity for identity, job in self.scheduler._jobs.items() if job.queued]
        assert sorted(standing) == sorted(queued)
        assert not lines.fresh
        for host, found in lines.bound.items():
            assert found
            assert all(host in on for on in found)

    def teardown(self) -> None:
        """With good hosts everything ends."""
        for host in list(self.slots):
            self.leave(host)
        self.join("last", 2)
        for host in HOSTS:
            self.join(host, 1)
        for job in list(self.open):
            self.open.discard(job)
            self.tell(events.TasksEnded(job=job, total=len(self.places[job])))
        while self.leases:
            self.outcomes(0, [Kind.RETURNED] * 50, 1e-5)
        assert not self.scheduler._jobs
        assert self.ended == set(self.places)


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
