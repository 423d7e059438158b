"""Real zygotes and workers over real sockets, without a daemon: what a pool may rely on."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scattergather import inside
from scattergather.errors import (
    CannotImport,
    CannotPickle,
    ExitCalled,
    TaskError,
    TimeLimitExceeded,
    UnknownName,
)
from scattergather.model.outcome import Kind, LossKind
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Limits, Loss
from scattergather.wire.values.payload import dumps, loads
from scattergather.wire.values.raised import pack_exception
from scattergather.workers.process.surroundings.capture import HELD, KEPT
from tests.system.process_driver import (
    Host,
    Worker,
    alive,
    ended,
    eventually,
    outcomes_of,
)

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    """A root zygote; the sessions that a test opens end with it."""
    yield shared
    while shared.sessions:
        shared.sessions.pop().close()


@pytest.fixture
def worker(host: Host) -> Worker:
    return host.worker()


def cell(source: str) -> SimpleNamespace:
    """What a cell of a notebook with this source would define."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(source, scope)
    return SimpleNamespace(**{name: scope[name] for name in scope if not name.startswith("__")})


# ---- ordinary work ------------------------------------------------------------------------------


def test_tasks_run_in_order_and_keep_their_index(worker: Worker) -> None:
    found = worker.run(lambda x: x * x, [(x,) for x in range(100)], first=50)
    assert [each.value for each in found] == [x * x for x in range(100)]
    assert [each.index for each in found] == list(range(50, 150))


def test_tasks_share_no_mutable_argument(worker: Worker) -> None:
    shared: list[int] = []

    def grow(items: list[int]) -> int:
        items.append(1)
        return len(items)

    assert [each.value for each in worker.run(grow, [(shared,)] * 5)] == [1] * 5


def test_a_short_task_does_not_wait_for_a_long_one_behind_it(
    worker: Worker, tmp_path: Path
) -> None:
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)

    def work(index: int) -> int:
        if index == 1:
            time.sleep(0.021)
        if index == 2:
            Path(gate).read_bytes()
        return index

    worker.start(work, [(0,), (1,), (2,)])
    assert [each.value for each in worker.collect(2)] == [0, 1]
    Path(gate).write_bytes(b"go")
    assert worker.collect(1)[0].value == 2


def test_large_results_arrive_whole(worker: Worker) -> None:
    sizes = [10, 300_000, 5_000_000, 0, 262_000, 262_100]
    found = worker.run(lambda size: b"x" * size, [(size,) for size in sizes])
    assert [len(each.value) for each in found] == sizes
    assert [each.index for each in found] == list(range(6))


def test_coroutine_functions_and_awaitable_results_are_run(worker: Worker) -> None:
    defined = cell(
        "import asyncio\n"
        "async def double(x):\n    await asyncio.sleep(0)\n    return 2 * x\n"
        "def later(x):\n    return double(x)\n"
    )
    assert worker.call(defined.double, 4) == 8
    assert worker.call(defined.later, 5) == 10


def test_classes_of_the_notebook_come_home(worker: Worker) -> None:
    defined = cell(
        "class Point:\n    def __init__(self, x):\n        self.x = x\n"
        "def moved(point):\n    return Point(point.x + 1)\n"
    )
    point = worker.call(defined.moved, defined.Point(1))
    assert point.x == 2
    assert type(point).__name__ == "Point"


def test_services_are_found_by_name(host: Host, worker: Worker) -> None:
    counts, _ = worker.call("all_series", 100)
    assert counts.sum() == 100
    with pytest.raises(UnknownName, match=r"'all_serious'.*all_series"):
        worker.call("all_serious", 100)


def test_a_missing_module_is_named_by_every_task_of_the_chunk(worker: Worker) -> None:
    found = worker.run("lost", [(1,), (2,)])
    assert [each.kind for each in found] == [Kind.RAISED, Kind.RAISED]

    def needs() -> None:
        import no_such_module_here  # noqa: F401, PLC0415  (the point)

    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        worker.call(needs)
    worker.tell(messages.Run(
        chunk=9999, job=bytes(16), function="#" + "00" * 16, first=0, count=1
    ), (len(blob := dumps(((), {})))).to_bytes(8, "little"), blob)  # fmt: skip
    (outcome,) = worker.collect(1)
    assert isinstance(outcome.error, CannotImport)


# ---- failures of the user's function ------------------------------------------------------------


def test_an_exception_comes_home_with_traceback_and_note(worker: Worker) -> None:
    def fail(x: int) -> None:
        raise ValueError(f"bad {x}")

    (outcome,) = worker.run(fail, [(7,)], label="study", first=12)
    assert isinstance(outcome.error, ValueError)
    assert "in fail" in str(outcome.error.__cause__)
    assert "workers/process" not in str(outcome.error.__cause__)
    (note,) = outcome.error.__notes__
    assert note.startswith("[scattergather] task 12 of study on ")
    assert note.endswith("args (7,)")


def test_types_in_retry_on_are_told_apart(worker: Worker) -> None:
    def fail(kind: type[Exception]) -> None:
        raise kind("no")

    found = worker.run(fail, [(OSError,), (ValueError,)], retry_on=(OSError,))
    assert [each.kind for each in found] == [Kind.RETRYABLE, Kind.RAISED]


def test_nothing_that_a_task_raises_ends_the_worker(worker: Worker) -> None:
    fail = cell(
        "import sys\n"
        "class Biting(Exception):\n"
        "    def __str__(self):\n"
        "        raise SystemExit\n"
        "def fail(how):\n"
        "    if how == 'exit': sys.exit(3)\n"
        "    if how == 'interrupt': raise KeyboardInterrupt\n"
        "    if how == 'generator': raise GeneratorExit\n"
        "    if how == 'surrogate': raise ValueError('\\ud800')\n"
        "    if how == 'deep': fail(how)\n"
        "    if how == 'biting': raise Biting\n"
    ).fail
    hows = ["exit", "interrupt", "generator", "surrogate", "deep", "biting"]
    found = worker.run(fail, [(how,) for how in hows], retry_on=(BaseException,))
    errors = [each.error for each in found]
    assert isinstance(errors[0], ExitCalled)
    assert errors[0].status == 3
    assert found[0].kind == Kind.RAISED
    assert [type(error) for error in errors[1:3]] == [TaskError, TaskError]
    assert isinstance(errors[3], ValueError)
    assert isinstance(errors[4], RecursionError)
    assert worker.call(os.getpid) == worker.pid


def test_a_result_that_cannot_travel_is_named(worker: Worker) -> None:
    def generator() -> Any:
        return (x for x in range(3))

    with pytest.raises(CannotPickle, match=r"generator"):
        worker.call(generator)
    with pytest.raises(CannotPickle, match="lock"):
        worker.call(lambda: {"results": [1, threading.Lock()]})
    assert worker.call(lambda: [1, 2]) == [1, 2]


# ---- output -------------------------------------------------------------------------------------


def test_what_a_task_prints_comes_before_its_outcome(worker: Worker) -> None:
    def say(x: int) -> int:
        if x % 2:
            print("odd", x)
            print("to stderr", file=sys.stderr)
            os.write(1, b"raw\n")
            subprocess.run(["echo", "from a child"], check=True)
        return x

    worker.start(say, [(x,) for x in range(4)])
    done: list[int] = []
    while len(done) < 4:
        message, body = worker.read()
        if isinstance(message, messages.Output):
            assert message.index not in done
            worker.printed[message.index] = body.decode(), message.dropped
        else:
            done += [each.index for each in outcomes_of(message, body)]
    text = "odd {}\nto stderr\nraw\nfrom a child\n"
    assert worker.printed == {1: (text.format(1), 0), 3: (text.format(3), 0)}


def test_a_flood_of_output_is_bounded_and_counted(worker: Worker) -> None:
    def flood(megabytes: int) -> None:
        block = "x" * 999 + "\n"
        for _ in range(1000 * megabytes):
            sys.stdout.write(block)

    worker.start(flood, [(200,)])
    most = 0
    while not worker.frames:
        most = max(most, os.fstat(worker.output.fd).st_blocks * 512)
        try:
            worker.socket.settimeout(0.01)
            worker.frames.appendleft(worker.read())
        except TimeoutError:
            continue
        finally:
            worker.socket.settimeout(20)
    worker.collect(1)
    text, dropped = worker.printed[0]
    assert len(text) + dropped == 200_000_000
    assert len(text) <= KEPT
    assert most <= HELD


def test_a_task_that_closes_the_standard_streams_spoils_nothing(worker: Worker) -> None:
    def close() -> None:
        sys.stdout.close()
        os.closerange(0, 3)
        time.sleep(0.002)

    worker.call(close)
    worker.run(print, [("again",)])
    assert worker.printed[0] == ("again\n", 0)


# ---- deaths -------------------------------------------------------------------------------------


def harvest_of(worker: Worker) -> tuple[list[int], Any]:
    """Indices of the outcomes that reached us by socket or journal, and the journal's harvest."""
    worker.death()
    indices = []
    try:
        while True:
            message, body = worker.read()
            if isinstance(message, messages.Outcomes):
                indices += [each.index for each in outcomes_of(message, body)]
    except (EOFError, ConnectionError):
        pass
    left = worker.journal.harvest()
    return indices + [index for index, _, _ in left.outcomes if index not in indices], left


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_loses_only_the_task_it_was_in(worker: Worker, number: int) -> None:
    def work(index: int, number: int) -> int:
        if index == 5:
            print("last words", end="")
            os.kill(os.getpid(), number)
        return index

    run = worker.start(work, [(index, number) for index in range(10)])
    indices, left = harvest_of(worker)
    assert indices == [0, 1, 2, 3, 4]
    assert (left.chunk, left.running) == (run.chunk, 5)
    assert worker.death().signal == number
    assert worker.output.tail(KEPT)[0].startswith(b"last words")


def test_kills_at_any_moment_leave_socket_and_journal_without_a_gap(host: Host) -> None:
    session = host.session()
    cut_short = 0
    for round_ in range(25):
        worker = session.fork().born()
        if round_ == 0:  # the one that surely comes in the middle
            worker.start(lambda x: x == 1000 and time.sleep(1000), [(x,) for x in range(2000)])
            worker.until_running(1000)
        else:
            worker.start(lambda x: "x" * 300, [(x,) for x in range(2000)])
            time.sleep(round_ * 2e-4)  # spread over the chunk; no result depends on it
        worker.signal(signal.SIGKILL)
        indices, left = harvest_of(worker)
        assert indices == list(range(len(indices)))
        if left.running is not None:
            # One before: it was sent, and its worker died before it forgot it.
            assert left.running in (len(indices), len(indices) - 1)
        cut_short += 0 < len(indices) < 2000
        worker.close()
    assert cut_short


def test_a_worker_that_exits_says_how(worker: Worker) -> None:
    worker.start(os._exit, [(9,)])
    indices, left = harvest_of(worker)
    assert (indices, left.running, worker.death().status) == ([], 0, 9)


@pytest.mark.pythons
def test_a_segfault_leaves_a_traceback(worker: Worker) -> None:
    worker.start(lambda: ctypes.string_at(0), [()])
    assert worker.death().signal == signal.SIGSEGV
    assert b"Fatal Python error: Segmentation fault" in worker.output.tail(KEPT)[0]


def test_closing_the_usual_descriptors_does_not_cut_the_worker_off(worker: Worker) -> None:
    worker.call(os.closerange, 3, 256)
    assert worker.call(os.getpid) == worker.pid


def test_a_task_that_closes_all_descriptors_keeps_its_outcome(worker: Worker) -> None:
    def close(index: int) -> int:
        if index == 1:
            os.closerange(3, 20_000)
        return index

    worker.start(close, [(0,), (1,), (2,)])
    indices, left = harvest_of(worker)
    assert indices[:2] == [0, 1]
    assert left.running is None
    assert (worker.death().status, worker.death().signal) == (0, 0)


def test_a_task_that_closes_the_workers_socket_keeps_what_was_not_sent(worker: Worker) -> None:
    def close(index: int) -> int:
        for name in os.listdir("/proc/self/fd") if index == 1 else ():
            link = f"/proc/self/fd/{name}"
            if os.path.lexists(link) and os.readlink(link).startswith("socket:"):
                os.close(int(name))
                time.sleep(0.003)
        return index

    worker.start(close, [(0,), (1,), (2,)])
    indices, left = harvest_of(worker)
    assert indices[:2] == [0, 1]
    assert left.running is None


def test_eight_workers_are_killed_and_forked_again(host: Host) -> None:
    session = host.session()
    old = [session.fork() for _ in range(8)]
    for worker in old:
        worker.born()
    for worker in old:
        worker.signal(signal.SIGKILL, group=True)
    new = [session.fork().born() for _ in range(8)]
    assert {worker.death().signal for worker in old} == {signal.SIGKILL}
    assert all(worker.call(os.getpid) == worker.pid for worker in new)


def test_what_a_worker_started_dies_with_it(worker: Worker) -> None:
    reader, writer = os.pipe()
    script = (
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.write(1, b'x')\n"
        "time.sleep(1000)\n"
    )

    def leave_behind(pid: int, fd: int, script: str) -> None:
        pipe = os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY)
        subprocess.Popen(["sleep", "1000"], stdout=pipe)
        subprocess.run([sys.executable, "-c", script], stdout=pipe, check=True)
        time.sleep(1000)  # when a task ends by itself, what it left behind is ended then

    worker.start(leave_behind, [(os.getpid(), writer, script)])
    assert os.read(reader, 1) == b"x"
    os.close(writer)
    worker.signal(signal.SIGKILL)
    worker.death()
    assert ended(reader)
    os.close(reader)


def test_what_a_living_worker_started_is_left_alone_when_another_dies(
    host: Host, tmp_path: Path
) -> None:
    session = host.session()
    one, other = session.fork().born(), session.fork().born()

    def daemonize(told: str) -> None:
        script = "sleep 1000 >/dev/null 2>&1 & echo $!"
        found = subprocess.run(["setsid", "sh", "-c", script], capture_output=True).stdout
        os.write(os.open(told, os.O_CREAT | os.O_WRONLY), found)
        time.sleep(1000)

    told = tmp_path / "pid"
    one.start(daemonize, [(str(told),)])
    eventually(lambda: told.exists() and told.read_text().endswith("\n"))
    pid = int(told.read_text())
    other.signal(signal.SIGKILL)
    other.death()
    assert session.fork().born().call(len, "the zygote has swept") == 20
    assert alive(pid)
    one.signal(signal.SIGKILL)
    eventually(lambda: not alive(pid), 2.0)


def test_a_retired_worker_ends_by_itself(worker: Worker) -> None:
    worker.socket.close()
    assert (worker.death().status, worker.death().signal) == (0, 0)


def test_nothing_is_left_when_the_daemon_dies() -> None:
    host = Host()
    workers = [host.worker() for _ in range(2)]
    for worker in workers:
        worker.start(lambda: subprocess.run(["sleep", "1000"], check=True), [()])
        worker.until_running(0)
    pids = [host.process.pid, *(worker.session.ready.pid for worker in workers)]
    pids += [worker.pid for worker in workers]
    host.close()  # the sockets end, as when the kernel closes those of a dead process
    eventually(lambda: not any(alive(pid) for pid in pids), 2.0)


def test_a_root_zygote_that_is_killed_takes_all_with_it() -> None:
    host = Host()
    worker = host.worker()
    worker.start(time.sleep, [(1000,)])
    worker.until_running(0)
    host.process.kill()
    eventually(lambda: not alive(worker.session.ready.pid) and not alive(worker.pid), 2.0)
    host.close()


def test_a_session_zygote_that_is_killed_takes_its_workers_only(host: Host) -> None:
    one, other = host.worker(), host.worker()
    os.kill(one.session.ready.pid, signal.SIGKILL)
    eventually(lambda: not alive(one.pid), 2.0)
    assert other.call(os.getpid) == other.pid


# ---- cancel and time limit ----------------------------------------------------------------------


def test_a_cancel_ends_the_running_task_and_gives_the_rest_back(worker: Worker) -> None:
    def work(index: int) -> int:
        if index == 1:
            time.sleep(1000)
        return index

    run = worker.start(work, [(index,) for index in range(4)])
    worker.until_running(1)
    worker.interrupt(run.chunk)
    found = worker.collect(2)
    assert [each.kind for each in found] == [Kind.RETURNED, Kind.CANCELLED]
    assert worker.read()[0] == messages.GaveBack(chunk=run.chunk, first=2)
    assert worker.call(os.getpid) == worker.pid


def test_an_interrupt_for_another_chunk_passes_by(worker: Worker, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    run = worker.start(lambda gate: Path(gate).read_bytes(), [(gate,)])
    worker.until_running(0)
    worker.interrupt(run.chunk - 1)
    worker.interrupt(run.chunk + 1)
    Path(gate).write_bytes(b"undisturbed")
    assert worker.collect(1)[0].value == b"undisturbed"


@pytest.mark.pythons
def test_interrupts_at_any_moment_leave_every_task_with_one_outcome(worker: Worker) -> None:
    ended_early = 0
    for round_ in range(100):
        if round_ == 0:  # the one that surely comes in time
            worker.journal.request_cancel(worker.session.host.chunks + 1)
        run = worker.start(lambda x: x, [(x,) for x in range(2000)])
        time.sleep(round_ * 5e-5)  # spread over the chunk; no result depends on it
        worker.interrupt(run.chunk)
        indices: list[int] = []
        while len(indices) < 2000:
            message, body = worker.read()
            if isinstance(message, messages.GaveBack):
                assert message.first == len(indices)
                ended_early += 1
                break
            found = outcomes_of(message, body)
            assert all(each.kind == Kind.RETURNED for each in found[:-1])
            indices += [each.index for each in found]
        assert indices == list(range(len(indices)))
    assert ended_early
    assert worker.call(os.getpid) == worker.pid


def test_a_time_limit_is_raised_in_each_task_that_exceeds_it(worker: Worker) -> None:
    def work(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    limits = Limits(time=2.0)  # none of the brief ones stands still for so long
    found = worker.run(work, [(0.0,), (1000.0,), (0.01,), (1000.0,)], limits=limits)
    assert [each.kind for each in found] == [
        Kind.RETURNED, Kind.RAISED, Kind.RETURNED, Kind.RAISED,
    ]  # fmt: skip
    for each in (found[1], found[3]):
        assert isinstance(each.error, TimeLimitExceeded)
        assert (each.error.index, each.error.limit) == (each.index, 2.0)


def test_an_alarm_that_a_task_leaves_behind_harms_no_other(worker: Worker) -> None:
    def work(index: int) -> None:
        if index == 0:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            time.sleep(0.05)

    assert [each.kind for each in worker.run(work, [(0,), (1,)])] == [Kind.RETURNED] * 2


# ---- the worker's surroundings ------------------------------------------------------------------


def test_siblings_draw_different_numbers() -> None:
    def draw() -> tuple[float, float, Any]:
        import random  # noqa: PLC0415

        import numpy  # noqa: PLC0415

        from scattergather.workers.services.all_series import all_series  # noqa: PLC0415

        return random.random(), numpy.random.rand(), all_series(100)[1].tolist()

    host = Host("all_series")  # numpy is loaded before the fork
    assert host.ready.services == ("all_series",)
    assert host.ready.problems == ()
    session = host.session()
    one, other = (session.fork().born().call(draw) for _ in range(2))
    host.close()
    assert all(mine != yours for mine, yours in zip(one, other, strict=True))


def test_a_service_that_cannot_be_loaded_is_a_sentence_and_the_rest_works() -> None:
    host = Host("broken=no_such_module:f", "length=builtins:len")
    assert host.ready.services == ("length",)
    assert "'broken' is not available: ModuleNotFoundError" in host.ready.problems[0]
    worker = host.worker()
    assert worker.call("length", "four") == 4
    with pytest.raises(CannotImport, match="broken"):
        worker.call("broken")
    host.close()


def test_a_service_that_starts_a_thread_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "def serve(): return 1\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        host = Host("serve=threaded:serve")
    assert "started threads" in host.ready.problems[0]
    host.close()


def test_a_session_sees_its_own_place(host: Host, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "only_here.py").write_text("answer = 42\n")
    worker = host.worker(
        directory=bytes(tmp_path),
        path=(bytes(tmp_path / "lib"),),
        environment={b"COLOUR": b"blue"},
    )

    def look() -> Any:
        import only_here  # noqa: PLC0415

        return os.getcwd(), only_here.answer, os.environ["COLOUR"], os.environ["OMP_NUM_THREADS"]

    assert worker.call(look) == (str(tmp_path), 42, "blue", "1")
    missing = host.session(directory=bytes(tmp_path / "gone"))
    assert "gone' cannot be entered" in missing.ready.problems[0]


def test_what_a_long_task_bends_is_straight_again(worker: Worker) -> None:
    def bend() -> None:
        os.chdir("/")
        os.umask(0)
        sys.stdout = sys.stderr = None  # type: ignore[assignment]
        sys.setrecursionlimit(50_000)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(0.005)

    def look() -> Any:
        print("here")
        old = os.umask(0)
        os.umask(old)
        return os.getcwd(), old, sys.getrecursionlimit()

    before = worker.call(look)
    worker.call(bend)
    assert worker.call(look) == before
    run = worker.start(time.sleep, [(1000,)])
    worker.until_running(0)
    worker.interrupt(run.chunk)
    assert worker.collect(1)[0].kind == Kind.CANCELLED


def test_pushed_code_has_versions_and_fills_missing_names(worker: Worker) -> None:
    worker.tell(messages.Resident(version=1, source="factor = 2\ndef helper(x): return factor * x"))
    worker.tell(messages.Resident(version=2, source="factor = 3"))
    use = cell("def use(x):\n    return helper(x)").use
    assert worker.call(use, 5, code_version=1) == 10
    assert worker.call(use, 5, code_version=2) == 15
    assert worker.call("helper", 5, code_version=2) == 15
    assert worker.call(use, 5, code_version=1) == 10
    with pytest.raises(UnknownName):
        worker.call("helper", 5)


def test_a_call_everywhere_is_answered_once(worker: Worker) -> None:
    worker.start(int, [("7",)])
    worker.collect(1)
    worker.tell(messages.Resident(version=1, source="def place(x): return x, __name__"))
    everywhere = messages.Everywhere(call=4, function="place", code_version=1)
    worker.tell(everywhere, dumps(((5,), {})))
    message, body = worker.read()
    assert (message.call, message.worker, message.kind) == (4, worker.pid, Kind.RETURNED)
    assert loads(body) == (5, "__main__")


def test_workers_carry_neither_twisted_nor_foolscap(worker: Worker) -> None:
    loaded = worker.call(lambda: sorted(sys.modules))
    assert not {"twisted", "foolscap"} & set(loaded)


# ---- nested calls -------------------------------------------------------------------------------


def test_a_task_submits_and_waits_and_its_slot_is_lent(worker: Worker) -> None:
    def outer(x: int) -> Any:
        if x:
            return x
        futures = [inside.submit(pow, n, 2) for n in (3, 4)]
        return sum(future.result() for future in futures), inside.where().index

    run = worker.start(outer, [(5,), (0,), (6,)], label="job")
    later = worker.start(len, [((),)])
    tickets: list[messages.NestedSubmit] = []
    seen: list[Any] = []
    # It gives the other chunk back before it waits, or when it reads it while it waits.
    gave_back = messages.GaveBack(chunk=later.chunk, first=0)
    while not {messages.Waiting(), gave_back} <= set(seen):
        message, body = worker.read()
        if isinstance(message, messages.NestedSubmit):
            tickets.append(message)
            assert loads(body) == ((2 + len(tickets), 2), {})
            assert message.chunk == run.chunk
        elif isinstance(message, messages.Outcomes):
            assert outcomes_of(message, body)[0].value == 5
            assert not seen
        elif not isinstance(message, messages.Code):
            seen.append(message)
    assert len(tickets) == 2
    for ticket, value in zip(reversed(tickets), (16, 9), strict=True):
        outcome = messages.NestedOutcome(worker=1, ticket=ticket.ticket, kind=Kind.RETURNED)
        worker.tell(outcome, dumps(value))
    message, _ = worker.read()
    assert isinstance(message, messages.Resumed)
    found = worker.collect(2)
    assert found[0].value == (25, 1)
    assert found[1].value == 6


def test_nested_errors_are_raised_as_they_were(worker: Worker) -> None:
    def outer() -> Any:
        future = inside.submit("all_series", -1)
        try:
            future.result()
        except (KeyError, CancelledError) as error:
            return type(error).__name__, str(error)

    for kind, body, said in (
        (Kind.RAISED, pack_exception(KeyError("no")), ("KeyError", "'no'")),
        (Kind.CANCELLED, b"", ("CancelledError", "The nested call was cancelled.")),
    ):
        worker.start(outer, [()])
        message, _ = worker.read()
        ticket = message.ticket
        assert isinstance(worker.read()[0], messages.Waiting)
        worker.tell(messages.NestedOutcome(worker=1, ticket=ticket, kind=kind), body)
        assert isinstance(worker.read()[0], messages.Resumed)
        assert worker.collect(1)[0].value == said


@pytest.mark.parametrize("kind", LossKind)
def test_the_loss_of_a_nested_call_is_raised_as_what_it_is(worker: Worker, kind: LossKind) -> None:
    def outer() -> Any:
        try:
            inside.submit("all_series", 1).result()
        except Exception as error:
            return type(error).__name__, str(error)

    worker.start(outer, [()])
    ticket = worker.read()[0].ticket
    assert isinstance(worker.read()[0], messages.Waiting)
    lost = messages.NestedOutcome(worker=1, ticket=ticket, kind=Kind.LOST, host="alpha")
    worker.tell(lost, messages.encode(Loss(kind=kind, reason="so it was")))
    assert isinstance(worker.read()[0], messages.Resumed)
    said = {
        LossKind.TOO_LARGE: "A nested call ended on alpha, and so it was",
        LossKind.VERSION_MISMATCH: "A nested call cannot run: so it was",
    }
    sentence = said.get(kind, "A nested call was lost on alpha: so it was")
    assert worker.collect(1)[0].value == (str(kind), sentence)


def test_a_waiting_task_can_be_cancelled_and_its_worker_goes_on(worker: Worker) -> None:
    run = worker.start(lambda: inside.submit("all_series", 1).result(), [(), ()])
    assert isinstance(worker.read()[0], messages.NestedSubmit)
    assert isinstance(worker.read()[0], messages.Waiting)
    worker.interrupt(run.chunk)
    assert isinstance(worker.read()[0], messages.Resumed)
    assert worker.collect(1)[0].kind == Kind.CANCELLED
    assert worker.read()[0] == messages.GaveBack(chunk=run.chunk, first=1)
    assert worker.call(os.getpid) == worker.pid


def test_a_nested_wait_ends_when_its_time_is_over(worker: Worker) -> None:
    def outer() -> str:
        future = inside.submit("all_series", 1)
        assert not future.done()
        try:
            return str(future.result(timeout=0.01))
        except TimeoutError as error:
            return str(error)

    worker.start(outer, [()])
    kinds = [type(worker.read()[0]) for _ in range(3)]
    assert kinds == [messages.NestedSubmit, messages.Waiting, messages.Resumed]
    assert "no result after 0.01 s" in worker.collect(1)[0].value


def test_threads_of_a_task_may_submit_and_wait_too(worker: Worker) -> None:
    def outer() -> list[Any]:
        found: list[Any] = []

        def ask(number: int) -> None:
            found.append(inside.submit("all_series", number).result())

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    worker.start(outer, [()])
    for _ in range(4):
        message, body = worker.read()
        while not isinstance(message, messages.NestedSubmit):
            message, body = worker.read()
        answer = messages.NestedOutcome(worker=1, ticket=message.ticket, kind=Kind.RETURNED)
        worker.tell(answer, dumps(loads(body)[0][0] * 10))
    said = []
    message, body = worker.read()
    while isinstance(message, (messages.Waiting, messages.Resumed)):
        said.append(type(message))
        message, body = worker.read()
    assert said[-1] is messages.Resumed, "the slot is taken back before the task ends"
    assert [outcome.value for outcome in outcomes_of(message, body)] == [[0, 10, 20, 30]]
