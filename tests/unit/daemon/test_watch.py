"""The looks at workers, over a nursery and a clock that stand still until they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.watch import PRINT_LOOKS, REST_LOOKS, WATCH_SECONDS, WorkerWatch
from scattergather.workers.pool import events
from scattergather.workers.pool.losses.watching import AtWork


class Worker:
    """It is in its task since ever."""

    number = 1

    def __init__(self) -> None:
        self.looks = self.asked = 0

    def trim(self) -> None:
        self.looks += 1

    def waiting(self, since: float) -> None:
        return None

    def running(self) -> tuple[int, int, float]:
        return 7, 0, 0.0

    def printed(self, running: tuple[int, int, float]) -> Any:
        self.asked += 1
        return messages.Output(chunk=7, index=0), b"so far\n"

    def stopped(self) -> bool:
        return False

    def memory(self) -> int:
        return 1000


class Nursery:
    """One worker, and no zygote."""

    def __init__(self) -> None:
        self.only = Worker()

    def worker(self, number: int) -> Worker | None:
        return self.only if number == 1 else None

    def end_stopped(self) -> None: ...


class NoKills:
    """The kernel has memory enough."""

    def look(self, now: float) -> None: ...

    def lately(self, now: float) -> bool:
        return False


class Bench:
    """A watch whose pool has one worker at work."""

    def __init__(self, handle: Callable[[events.Event], None] | None = None) -> None:
        self.clock = Clock()
        self.seen: list[events.Event] = []
        self.working = [AtWork(worker=1, limited=True), AtWork(worker=2, limited=False)]
        self.rests = self.told = 0
        nursery: Any = Nursery()
        self.worker = nursery.only
        clock: Any = self.clock
        self.watch = WorkerWatch(
            clock,
            nursery,
            NoKills(),
            working=lambda: self.working,
            handle=handle or self.seen.append,
            rest=self.rest,
            tell=self.tell,
        )

    def rest(self) -> None:
        self.rests += 1

    def tell(self) -> None:
        self.told += 1


def test_a_worker_that_has_a_chunk_is_looked_at_until_it_has_none() -> None:
    bench = Bench()
    bench.watch.begin()
    bench.clock.pump([WATCH_SECONDS] * 3)
    assert bench.seen == [events.Sampled(worker=1, chunk=7, index=0, started=0.0, memory=1000)] * 3
    bench.working = []
    bench.clock.pump([WATCH_SECONDS] * 3)
    assert bench.worker.looks == 3
    assert not bench.clock.getDelayedCalls()
    assert not bench.watch.looking


def test_a_task_that_runs_for_a_second_is_asked_now_and_then_what_it_has_printed() -> None:
    bench = Bench()
    bench.watch.begin()
    bench.clock.pump([WATCH_SECONDS] * (PRINT_LOOKS - 1))
    assert bench.worker.asked == 0
    bench.clock.pump([WATCH_SECONDS] * (2 * PRINT_LOOKS))
    assert bench.worker.asked == 2
    told = [each.body for each in bench.seen if isinstance(each, events.WorkerSaid)]
    assert told == [b"so far\n"] * 2


def test_what_a_controller_does_not_take_stays_where_it_was_printed() -> None:
    bench = Bench()
    bench.working = [AtWork(worker=1, limited=True, heard=False)]
    bench.watch.begin()
    bench.clock.pump([WATCH_SECONDS] * (2 * PRINT_LOOKS))
    assert bench.worker.asked == 0


def test_a_chunk_that_is_handed_out_during_a_look_begins_no_second_series_of_looks() -> None:
    def hand_out(event: events.Event) -> None:
        if not bench.watch.looking:
            bench.watch.begin()

    bench = Bench(hand_out)
    bench.watch.begin()
    bench.clock.pump([WATCH_SECONDS] * 5)
    assert bench.worker.looks == 5
    assert len(bench.clock.getDelayedCalls()) == 1


def test_looks_go_on_after_one_that_failed() -> None:
    def fail(event: events.Event) -> None:
        raise ValueError("a message could not be handled")

    bench = Bench(fail)
    bench.watch.begin()
    for _ in range(3):
        try:
            bench.clock.advance(WATCH_SECONDS)
        except ValueError:
            continue
    assert bench.worker.looks == 3


def test_who_stops_during_a_look_looks_no_more() -> None:
    bench = Bench(lambda event: bench.watch.stop())
    bench.watch.begin()
    bench.clock.pump([WATCH_SECONDS] * 3)
    assert bench.worker.looks == 1
    assert not bench.clock.getDelayedCalls()


def test_how_the_machine_is_is_told_every_six_seconds_also_while_nothing_works() -> None:
    bench = Bench()
    bench.working = []
    bench.watch.start()
    bench.clock.pump([2.0] * 9)
    assert bench.told == 3


def test_memory_goes_back_to_the_system_as_long_as_nothing_works() -> None:
    """What was kept for a task may become free long after it."""
    bench = Bench()
    bench.watch.start()
    bench.clock.pump([2.0] * 5)
    assert bench.rests == 0
    bench.working = []
    bench.clock.pump([2.0] * (REST_LOOKS - 1))
    assert bench.rests == 0
    bench.clock.pump([2.0] * 3)
    assert bench.rests == 3
