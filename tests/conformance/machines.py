"""What the pool's service may rely on of every ``workers.daemon.machine.Machine``."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from scattergather.model.outcome import Kind
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.machine import Machine, WorkerSeam, ZygoteSeam
from tests.pace import Promise


class Does(Enum):
    """How long a task lasts."""

    NOTHING = "it returns at once"
    WAIT = "it returns after it was released"
    WITHOUT_END = "it ends when it is interrupted"


@dataclass(frozen=True, kw_only=True)
class MachineCase:
    """A machine on which nothing goes wrong by itself.

    Attributes:
        services: what its root zygote is to preload.
        pause: lets a moment pass there.
        chunk: a chunk of that number of such tasks, and its body.
        release: the one task that waits returns.
        freeze: a signal stops a zygote.
    """

    machine: Machine
    services: tuple[str, ...]
    pause: Callable[[], None]
    chunk: Callable[[int, tuple[Does, ...]], tuple[messages.Run, bytes]]
    release: Callable[[], None]
    freeze: Callable[[ZygoteSeam], None]


class Session:
    """A root zygote, a session's and its workers, and what was heard of all of them."""

    def __init__(self, case: MachineCase) -> None:
        self.case = case
        self.heard: list[messages.FromZygote] = []
        self.heard_of_root: list[messages.FromZygote] = []
        self.ends: list[str] = []
        self.said: dict[int, list[messages.FromWorker]] = {}
        self.broken: list[int] = []
        self.root = case.machine.root(
            case.services, self.heard_of_root.append, lambda: self.ends.append("root")
        )
        self.until(lambda: any(self.is_ready(each) for each in self.heard_of_root))
        self.zygote = self.opened()
        # Two say so, by two sockets: the new process and who has forked it.
        self.until(lambda: any(self.is_ready(each) for each in self.heard) and self.zygote.pid > 0)
        assert self.zygote.open

    @staticmethod
    def is_ready(message: messages.FromZygote) -> bool:
        return isinstance(message, messages.ZygoteReady) and message.pid > 0

    def opened(self) -> ZygoteSeam:
        return self.root.open_session(
            1, messages.TaskPlace(), self.heard.append, lambda: self.ends.append("session")
        )

    def until(self, condition: Callable[[], object]) -> None:
        promise = Promise(10)
        while not condition():
            assert not promise.broken(), "it did not happen"
            self.case.pause()

    def pauses(self) -> None:
        """Time for what should not happen."""
        for _ in range(30):
            self.case.pause()

    def worker(self, number: int = 1) -> WorkerSeam:
        """One that a zygote is yet to fork."""
        said = self.said[number] = []
        return self.case.machine.worker(
            number,
            lambda _number, message, _body: said.append(message),
            lambda number, _reason, _nonsense: self.broken.append(number),
        )

    def born(self, number: int = 1) -> WorkerSeam:
        worker = self.worker(number)
        self.zygote.fork(worker)
        self.until(lambda: self.all_of(number, messages.Born) and self.all_heard(messages.Forked))
        (forked,) = self.all_heard(messages.Forked)
        (birth,) = self.all_of(number, messages.Born)
        assert forked.worker == number
        assert forked.pid == birth.pid
        worker.pid = forked.pid
        return worker

    def all_of(self, number: int, kind: type) -> list:
        """What a worker said of this kind."""
        return [message for message in self.said[number] if isinstance(message, kind)]

    def all_heard(self, kind: type) -> list:
        """What the session's zygote said of this kind."""
        return [message for message in self.heard if isinstance(message, kind)]

    def tells(self, worker: WorkerSeam, chunk: int, *tasks: Does) -> None:
        worker.tell(*self.case.chunk(chunk, tasks))

    def outcomes(self, chunk: int, number: int = 1) -> list[int]:
        """The kinds of a chunk's outcomes; they come in order, and none twice."""
        kinds: list[int] = []
        for message in self.all_of(number, messages.Outcomes):
            if message.chunk == chunk:
                assert message.first == len(kinds)
                kinds += message.kinds
        return kinds

    def runs(self, worker: WorkerSeam, chunk: int, index: int) -> Callable[[], bool]:
        return lambda: (worker.running() or (-1, -1, 0.0))[:2] == (chunk, index)

    def exit_of(self, number: int) -> messages.Exited:
        self.until(lambda: any(each.worker == number for each in self.all_heard(messages.Exited)))
        (exited,) = (each for each in self.all_heard(messages.Exited) if each.worker == number)
        return exited

    def close(self) -> None:
        """A zygote that is closed says nothing, and its end is not heard."""
        ends, heard = list(self.ends), len(self.heard)
        self.zygote.close()
        self.root.close()
        self.until(self.root.ended)
        self.pauses()
        assert not self.root.open
        assert self.ends == ends
        assert len(self.heard) == heard


def outcomes_come_in_order_and_an_idle_worker_that_is_hung_up_ends(session: Session) -> None:
    worker = session.born()
    session.tells(worker, 1, Does.NOTHING, Does.NOTHING, Does.NOTHING)
    session.until(lambda: session.outcomes(1) == [Kind.RETURNED] * 3)
    session.until(lambda: worker.running() is None)  # it sends them, and then says that it has
    worker.hang_up()
    exited = session.exit_of(1)
    assert (exited.status, exited.signal) == (0, 0)
    worker.bury()


def what_is_told_before_the_fork_arrives_after_it(session: Session) -> None:
    worker = session.worker()
    session.tells(worker, 1, Does.NOTHING)
    session.zygote.fork(worker)
    session.until(lambda: session.outcomes(1) == [Kind.RETURNED])
    worker.free()


def the_dead_leave_what_they_had_and_the_task_that_they_were_in(session: Session) -> None:
    worker = session.born()
    session.tells(worker, 7, Does.NOTHING, Does.WITHOUT_END, Does.NOTHING)
    session.until(session.runs(worker, 7, 1))
    assert not worker.stopped()
    waiting = worker.waiting(math.inf)
    session.zygote.signal(1, signal.SIGKILL, group=True)
    exited = session.exit_of(1)
    assert (exited.signal, exited.status) == (signal.SIGKILL, 0)
    harvest = worker.bury()
    assert (harvest.chunk, harvest.running) == (7, 1)
    if not session.outcomes(7):
        assert waiting is not None
        assert (waiting[0].chunk, waiting[0].first, len(waiting[0].kinds)) == (7, 0, 1)
        assert [(index, kind) for index, kind, _ in harvest.outcomes] == [(0, Kind.RETURNED)]
    session.zygote.signal(1, signal.SIGKILL)  # nobody is there
    session.pauses()
    assert len(session.all_heard(messages.Exited)) == 1


def only_a_cancel_that_is_in_the_journal_ends_a_task(session: Session) -> None:
    worker = session.born()
    session.tells(worker, 1, Does.WITHOUT_END, Does.NOTHING)
    session.until(session.runs(worker, 1, 0))
    session.zygote.signal(1, signal.SIGINT)
    session.pauses()
    assert session.runs(worker, 1, 0)()
    worker.cancel(1)
    session.zygote.signal(1, signal.SIGINT)
    session.until(lambda: session.all_of(1, messages.GaveBack))
    assert session.outcomes(1) == [Kind.CANCELLED]
    assert session.all_of(1, messages.GaveBack) == [messages.GaveBack(chunk=1, first=1)]
    worker.free()


def no_task_begins_after_a_stop(session: Session) -> None:
    worker = session.born()
    session.tells(worker, 1, Does.WAIT, Does.NOTHING)
    session.tells(worker, 2, Does.NOTHING)
    session.until(session.runs(worker, 1, 0))
    worker.stop(2)
    session.case.release()
    session.until(lambda: len(session.all_of(1, messages.GaveBack)) == 2)
    assert session.outcomes(1) == [Kind.RETURNED]
    assert session.all_of(1, messages.GaveBack) == [
        messages.GaveBack(chunk=1, first=1),
        messages.GaveBack(chunk=2, first=0),
    ]
    worker.free()


def a_chunk_behind_another_is_recalled(session: Session) -> None:
    worker = session.born()
    session.tells(worker, 1, Does.WAIT)
    session.tells(worker, 2, Does.NOTHING)
    session.until(session.runs(worker, 1, 0))
    assert worker.recall(2)
    session.case.release()
    session.until(lambda: session.all_of(1, messages.GaveBack))
    assert session.all_of(1, messages.GaveBack) == [messages.GaveBack(chunk=2, first=0)]
    session.tells(worker, 3, Does.WITHOUT_END)
    session.until(session.runs(worker, 3, 0))
    assert not worker.recall(3), "it has begun"
    worker.free()


def who_is_freed_is_heard_no_more(session: Session) -> None:
    worker = session.born()
    session.tells(worker, 1, Does.NOTHING)
    worker.free()
    session.pauses()
    assert not session.outcomes(1)
    assert not session.broken


def a_zygote_that_dies_takes_its_workers_along(session: Session) -> None:
    workers = [session.worker(number) for number in (1, 2)]
    session.zygote.fork(workers[0])
    session.until(lambda: session.all_of(1, messages.Born))
    session.tells(workers[0], 1, Does.WITHOUT_END)
    session.until(session.runs(workers[0], 1, 0))
    session.zygote.kill()
    session.until(lambda: session.ends)
    assert session.ends == ["session"]
    assert not session.zygote.open
    # What is asked of one that is gone has no effect.
    session.zygote.fork(workers[1])
    session.zygote.signal(1, signal.SIGINT)
    session.zygote.kill()
    assert workers[0].bury().running == 0
    assert workers[1].bury().running is None
    session.heard.clear()
    session.zygote = session.opened()
    session.until(lambda: session.all_heard(messages.ZygoteReady))
    third = session.born(3)
    assert session.ends == ["session"]
    third.free()


def a_stopped_zygote_is_seen_to_be_and_can_be_killed(session: Session) -> None:
    assert not session.zygote.stopped()
    session.case.freeze(session.zygote)
    session.until(session.zygote.stopped)
    session.zygote.kill()
    session.until(lambda: session.ends)
    assert session.ends == ["session"]
    assert not session.root.stopped()


def a_root_that_dies_takes_all_along(session: Session) -> None:
    session.root.kill()
    session.until(lambda: len(session.ends) == 2)
    assert sorted(session.ends) == ["root", "session"]
    session.until(session.root.ended)


CHECKS: tuple[Callable[[Session], None], ...] = (
    outcomes_come_in_order_and_an_idle_worker_that_is_hung_up_ends,
    what_is_told_before_the_fork_arrives_after_it,
    the_dead_leave_what_they_had_and_the_task_that_they_were_in,
    only_a_cancel_that_is_in_the_journal_ends_a_task,
    no_task_begins_after_a_stop,
    a_chunk_behind_another_is_recalled,
    who_is_freed_is_heard_no_more,
    a_zygote_that_dies_takes_its_workers_along,
    a_stopped_zygote_is_seen_to_be_and_can_be_killed,
    a_root_that_dies_takes_all_along,
)


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
