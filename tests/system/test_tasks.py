"""What a task may do, through the public API with real processes: one pool for all of them."""

from __future__ import annotations

import ctypes
import importlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scattergather import inside, spawnScatterGather
from scattergather.errors import (
    CannotPickle,
    ExitCalled,
    JobFailed,
    TaskError,
    TaskKilledWorker,
    TaskLost,
    TimeLimitExceeded,
    UnknownName,
)
from tests.conftest import calls
from tests.pace import Promise
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system


class Gate:
    """Holds tasks up until it is opened; ``begun`` is how many of them there are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = folder / "open"

    def task(self) -> Callable[..., Any]:
        """Waits at the gate; returns the worker's process id."""
        folder, path = str(self._folder), str(self._open)

        def wait_at_the_gate(number: int) -> int:
            open(f"{folder}/begun-{number}", "w").close()
            while not os.path.exists(path):
                time.sleep(0.005)
            return os.getpid()

        return as_in_a_notebook(wait_at_the_gate)

    def begun(self) -> int:
        return len(list(self._folder.glob("begun-*")))

    def open(self) -> None:
        self._open.touch()


@pytest.fixture(scope="module")
def c() -> Iterator[object]:
    with spawnScatterGather(workers=2) as client:
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def one(c, function, *arguments, **options):
    """The result of a single call, or its error as a value."""
    job = c.addJob([(arguments, {})], function, **options)
    return job.results(errors="return")[0]


def test_results_come_in_task_order(c) -> None:
    job = c.addJob(calls(*range(1000)), lambda x: x * x)
    assert job.results() == [x * x for x in range(1000)]


def test_a_long_task_holds_up_neither_those_before_it_nor_those_behind(c, tmp_path) -> None:
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)

    def work(gate: str | None) -> None:
        if gate:
            with open(gate, "rb") as file:
                file.read()

    c.addJob(calls(*[None] * 3000), work).results()  # these are brief, so they travel together
    job = c.addJob(calls(*[None] * 10, gate, *[None] * 500), work)
    outcomes = iter(job.as_completed())
    try:
        assert {next(outcomes)[0] for _ in range(510)} == {*range(10), *range(11, 511)}
    finally:
        with open(gate, "wb") as file:
            file.write(b"go")
    assert next(outcomes)[0] == 10


def test_naps_that_wait_behind_one_that_turns_out_to_be_long_run_elsewhere(c, gate) -> None:
    def nap(held: Callable[[int], int] | None) -> None:
        if held is None:
            time.sleep(0.01)
        else:
            held(0)

    c.addJob(calls(*[None] * 20), nap).results()  # not brief, and short enough to be held ready
    job = c.addJob(calls(*[None] * 5, gate.task(), *[None] * 20), nap)
    outcomes = iter(job.as_completed())
    try:
        assert {next(outcomes)[0] for _ in range(25)} == {*range(5), *range(6, 26)}
    finally:
        gate.open()
    assert next(outcomes)[0] == 5
    assert job.failures == []


@pytest.mark.pythons
def test_closures_and_classes_travel(c) -> None:
    factor = 7

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def scaled(self) -> Point:
            return Point(self.x * factor)

    moved = one(c, lambda point: point.scaled(), Point(6))
    assert type(moved) is Point
    assert moved.x == 42


def test_task_objects_carry_their_state(c) -> None:
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, x: int) -> int:
            return self.n + x

    assert one(c, Adder(40), 2) == 42


@pytest.mark.pythons
def test_an_exception_keeps_its_type_and_shows_where_it_was_raised(c) -> None:
    class Odd(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} and {b}")

    def fails(x: int) -> None:
        raise ValueError(f"no {x}")

    error = one(c, fails, 3)
    assert type(error) is ValueError
    assert "in fails" in str(error.__cause__)
    (note,) = error.__notes__
    assert "task 0" in note
    assert "(3,)" in note
    assert isinstance(one(c, lambda: (_ for _ in ()).throw(Odd(1, 2))), (Odd, TaskError))


def test_a_job_with_failures_says_which_and_keeps_the_rest(c) -> None:
    c.addJob(calls(*range(10)), lambda x: 10 // (x - 4))
    with pytest.raises(JobFailed) as caught:
        c.waitForResult()
    assert caught.value.results[5] == 10
    assert isinstance(caught.value.results[4], ZeroDivisionError)
    assert [failure.index for failure in caught.value.failures] == [4]
    assert "ZeroDivisionError" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "body", "kind", "text"),
    [
        ("sys.exit", lambda: sys.exit(3), ExitCalled, "3"),
        ("os._exit", lambda: os._exit(5), ExitCalled, "exit status 5"),
        ("kill", lambda: os.kill(os.getpid(), signal.SIGKILL), TaskKilledWorker, "SIGKILL"),
        ("abort", lambda: os.abort(), TaskKilledWorker, "SIGABRT"),
        ("generator", lambda: (x for x in range(3)), CannotPickle, "generator"),
        ("lock", lambda: __import__("threading").Lock(), CannotPickle, "lock"),
        ("interrupt", lambda: (_ for _ in ()).throw(KeyboardInterrupt()), TaskError, "Keyboard"),
        ("exception", lambda: (_ for _ in ()).throw(Exception(iter([]).__next__)), Exception, ""),
    ],
)
def test_a_misbehaving_task_is_named_and_others_are_not_touched(
    c, name: str, body, kind: type[Exception], text: str
) -> None:
    error = one(c, body, retries=1)
    assert isinstance(error, kind), repr(error)
    assert text in str(error)
    assert one(c, lambda: "next") == "next"


def test_a_loss_says_everything_that_is_known(c) -> None:
    def dies() -> None:
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    error = one(c, dies, retries=1)
    assert isinstance(error, TaskKilledWorker)
    for known in ("SIGSEGV", "attempt 2 of 2", "last words"):
        assert known in str(error), str(error)
    assert "\nSegmentation fault, at:\nCurrent thread" in str(error)
    assert (error.attempt, error.attempts, error.signal) == (2, 2, signal.SIGSEGV)


def test_retries_none_is_at_most_once(c, tmp_path) -> None:
    ledger = tmp_path / "ledger"

    def dies(path: str) -> None:
        with open(path, "a") as file:
            file.write("ran\n")
        os._exit(1)

    assert isinstance(one(c, dies, str(ledger), retries=0), TaskLost)
    assert ledger.read_text() == "ran\n"


def test_only_named_exceptions_are_retried(c, tmp_path) -> None:
    def third_time_lucky(path: str) -> int:
        with open(path, "a+") as file:
            file.write("x")
            file.flush()
            file.seek(0)
            count = len(file.read())
        if count < 3:
            raise ConnectionError("flaky")
        return count

    lucky = one(c, third_time_lucky, str(tmp_path / "a"), retry_on=(ConnectionError,))
    assert lucky == 3
    assert isinstance(one(c, third_time_lucky, str(tmp_path / "b")), ConnectionError)


def test_a_task_that_closes_its_descriptors_still_answers(c) -> None:
    assert one(c, lambda: os.closerange(3, 256) or "closed") == "closed"
    assert one(c, lambda: os.closerange(3, 65536) or "closed all") == "closed all"
    assert one(c, lambda: "next") == "next"


def test_endless_recursion_is_an_error(c) -> None:
    def forever(n: int) -> int:
        return forever(n + 1)

    assert isinstance(one(c, forever, 0), RecursionError)


def test_what_a_task_prints_is_kept_with_it(c) -> None:
    def speak(x: int) -> int:
        print("task", x)
        os.write(2, b"from below\n")
        return x

    job = c.addJob(calls(1, 2), speak, echo=False)
    assert job.results() == [1, 2]
    assert job.output(1) == "task 2\nfrom below\n"


def test_a_flood_of_output_is_bounded(c) -> None:
    def flood() -> int:
        line = "x" * 999 + "\n"
        for _ in range(100_000):
            sys.stdout.write(line)
        return 1

    job = c.addJob([((), {})], flood, echo=False)
    assert job.results() == [1]
    assert 1000 < len(job.output(0)) <= 66_000


def test_a_time_limit_ends_the_task_and_only_that(c) -> None:
    def sleeps(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    job = c.addJob(calls(0.0, 60.0), sleeps, time_limit=2.0, retries=0)
    first, second = job.results(errors="return")
    assert first == 0.0
    assert isinstance(second, TimeLimitExceeded)
    told = str(second.__cause__)
    assert "in sleeps" in told
    assert "interrupts.py" not in told, told


def test_a_task_sleeps_no_longer_than_it_asks_for(c) -> None:
    def slack() -> int:
        get_timer_slack = 30
        return int(ctypes.CDLL(None).prctl(get_timer_slack, 0, 0, 0, 0))

    assert one(c, slack) == 1, "nanoseconds; the system's own is 50,000"


def test_cancel_ends_what_runs_and_keeps_what_is_done(c) -> None:
    def sleeps(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    job = c.addJob(calls(0.0, *[60.0] * 10), sleeps)
    next(iter(job))
    promise = Promise(3)
    job.cancel()
    results = job.results(errors="return")
    assert not promise.broken()
    assert results[0] == 0.0
    assert {type(each).__name__ for each in results[1:]} == {"CancelledError"}


def test_cancel_ends_a_task_however_it_resists(c, tmp_path) -> None:
    def resists(told: str) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(told, "w").close()
        while True:
            try:
                time.sleep(1)
            except BaseException:
                pass

    told = [tmp_path / "one", tmp_path / "two"]
    job = c.addJob(calls(*map(str, told)), resists)
    eventually(lambda: all(path.exists() for path in told))
    promise = Promise(3)
    job.cancel()
    job.results(errors="return")
    assert not promise.broken()
    assert one(c, lambda: "next") == "next"


def test_a_generator_is_consumed_in_a_window(c) -> None:
    taken = 0

    def numbers():
        nonlocal taken
        for x in range(1_000):
            taken = x
            yield (x,), {}

    def slow(x: int) -> int:
        time.sleep(0.002)
        return x

    total = ahead = 0
    for count, result in enumerate(c.addJob(numbers(), slow)):
        total += result
        ahead = max(ahead, taken - count)
    assert total == sum(range(1_000))
    # A quarter of a second's worth, for which two workers that do nothing else take 250.
    assert ahead < 500


def test_tasks_submit_tasks_and_wait_without_deadlock(c) -> None:
    def fib(n: int) -> int:
        if n < 2:
            return n
        left, right = inside.submit(fib, n - 1), inside.submit(fib, n - 2)
        return left.result() + right.result()

    assert one(c, fib, 7) == 13


def test_pushed_code_is_resident_until_it_is_replaced(c) -> None:
    c.push_code("def resident(x):\n    return x + OFFSET\nOFFSET = 1\n")
    first = c.addJob(calls(1), "resident")
    c.push_code("OFFSET = 100\n")
    second = c.addJob(calls(1), "resident")
    assert (first.results(), second.results()) == ([2], [101])
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec("def uses_it():\n    return resident(2)", namespace)
    assert one(c, namespace["uses_it"]) == 102


@pytest.mark.parametrize("source", ["1 / 0", "import os; os._exit(7)"])
def test_pushed_code_that_fails_is_named_with_its_cure_and_can_be_withdrawn(c, source) -> None:
    version = c.push_code(source)
    named = f"push_code, version {version}) and runs in each worker before its tasks"
    for failed in (
        one(c, abs, -1, retries=0),
        c.options(retries=0).submit(abs, -1).exception(20),
        next(iter(failures_everywhere(c))),
    ):
        said = "".join(traceback.format_exception(failed))
        assert said.count(named) == 1, said
        assert "push_code('') withdraws" in said
        assert "workers/process" not in said
    c.push_code("below = 1")
    assert isinstance(one(c, abs, -1, retries=0), Exception)
    c.push_code("")
    assert one(c, abs, -1) == 1
    c.push_code("def resident_again(): return 'mended'")
    assert one(c, "resident_again") == "mended"
    with pytest.raises(UnknownName):
        c.submit("resident_again" if c.push_code(" \n") else "")


def failures_everywhere(c) -> list[Exception]:
    with pytest.raises(JobFailed) as caught:
        c.run_everywhere(abs, -1)
    return [failure.error for failure in caught.value.failures]


def test_an_edited_module_is_seen_after_a_refresh(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "edited_module.py").write_text("def answer(): return 1\n")
    module = importlib.import_module("edited_module")
    with spawnScatterGather(workers=2) as c:
        assert c.run_everywhere(module.answer).popitem()[1] == 1
        (tmp_path / "edited_module.py").write_text("def answer(): return 22\n")
        importlib.reload(module)
        c.command("refresh")
        assert set(c.run_everywhere(module.answer).values()) == {module.answer()} == {22}
    del sys.modules["edited_module"]


def test_a_call_everywhere_runs_in_every_worker(c) -> None:
    pids = c.run_everywhere(os.getpid)
    assert len(pids) == 2
    assert all(key.endswith(f"/{pid}") for key, pid in pids.items())


def test_workers_draw_different_random_numbers(c) -> None:
    draws = c.run_everywhere(random.random)
    assert len(set(draws.values())) == len(draws)


def test_refresh_replaces_every_worker_and_runs_interrupted_tasks_again(c, gate) -> None:
    before = set(c.run_everywhere(os.getpid).values())
    job = c.addJob(calls(0, 1), gate.task())
    eventually(lambda: gate.begun() == 2)
    c.command("refresh")
    gate.open()
    assert not before & set(job.results())
    assert not before & set(c.run_everywhere(os.getpid).values())


def test_jobs_pass_each_other_by_priority(c, gate) -> None:
    first = c.addJob(calls(0, 1), gate.task())
    eventually(lambda: gate.begun() == 2)
    low = c.addJob(calls(*range(4)), lambda x: (os.getpid(), time.monotonic()))
    high = c.addJob(calls(*range(4)), lambda x: (os.getpid(), time.monotonic()), priority=5)
    c.command("status")  # the controller has both
    gate.open()
    first.results()
    # In each worker: one may be through with all while the other is late with its first.
    for worker in dict(high.results()):
        before, behind = ([at for pid, at in job.results() if pid == worker] for job in (high, low))
        assert not behind or max(before) <= min(behind)


def test_an_edited_function_runs_as_it_was_when_its_job_was_added(c, gate) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec("def f():\n    return 'old'", namespace)
    c.addJob(calls(0, 1), gate.task())
    old = c.addJob([((), {})], namespace["f"])
    exec("def f():\n    return 'new'", namespace)
    new = c.addJob([((), {})], namespace["f"])
    gate.open()
    assert (old.results(), new.results()) == (["old"], ["new"])


def test_a_large_argument_and_result_pass(c) -> None:
    data = bytes(range(256)) * 40_000
    assert one(c, lambda data: data[::-1], data) == data[::-1]
