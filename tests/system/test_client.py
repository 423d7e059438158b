"""The client with a real controller: processes, signals, exits."""

from __future__ import annotations

import functools
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.client.spawn import _sessions
from scattergather.errors import BadRequest, Closed, ControllerLost
from tests.pace import Promise
from tests.system.process_driver import alive, as_in_a_notebook, eventually
from tests.waits import interrupted

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


@pytest.fixture
def spawn(spawn: Callable[..., ScatterGather]) -> Callable[..., ScatterGather]:
    """Starts clients with two workers."""
    return functools.partial(spawn, workers=2)


def controller_of(c: ScatterGather) -> psutil.Process:
    process = c._session.pipe.process
    assert process is not None
    return psutil.Process(process.pid)


def run_script(source: str, *, expect: int = 0, timeout: float = 60) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.pythons
def test_the_seeds_walk_on_this_machine(spawn):
    c = spawn(function=lambda x: x + 1)
    go = c.waitForResult()
    assert go.workers == 2
    c.addJob([([n], {}) for n in range(100)])
    assert c.waitForResult()[0:5] == [1, 2, 3, 4, 5]
    assert c.command("refresh").workers == 2
    c.command("die")
    with pytest.raises(Closed, match=r"command\('die'\)"):
        c.addJob([])


@pytest.mark.pythons
def test_the_first_call_of_each_of_many_functions_comes_home(spawn):
    c = spawn(function=abs)
    for number in range(60):  # each name is a job of its own
        assert c.options(name=f"the {number}th").submit(abs, -number).result(timeout=20) == number


def test_importing_brings_little_and_no_reactor():
    out, _ = run_script(
        """
        import sys
        from scattergather import spawnScatterGather
        bad = {"twisted", "foolscap", "asyncio", "dill", "numpy", "IPython"} & set(sys.modules)
        known = sys.stdlib_module_names | {"scattergather"}
        print(sum(name.partition(".")[0] not in known for name in sys.modules), bad)
        """
    )
    more, bad = out.split(" ", 1)
    assert bad.strip() == "set()"
    assert int(more) < 30  # modules of others: 0.1 s in all on an idle machine


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from scattergather import spawnScatterGather\n"
        "print('once')\n"
        "c = spawnScatterGather(workers=1)\n"
        "def double(x): return 2 * x\n"
        "print(c.addJob([((21,), {})], double).results())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "once\n[42]\n"
    assert done.stderr == ""


def test_tasks_see_the_clients_place_but_nothing_of_the_kernel_and_no_furl(
    spawn, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_SETTING", "here")
    monkeypatch.setenv("MY_TOKEN", "mine, and so are the workers")
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("WHERE", "at pb://tub@host:1/name")
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mymodule.py").write_text("def answer(): return 42\n")

    def look():
        import mymodule  # noqa: PLC0415  (there, not here)

        return os.getcwd(), dict(os.environ), mymodule.answer()

    directory, environment, answer = spawn().submit(look).result(20)
    assert directory == str(tmp_path)
    assert environment["MY_SETTING"] == "here"
    assert environment["MY_TOKEN"] == "mine, and so are the workers"
    assert not environment.keys() & {"JPY_PARENT_PID", "WHERE"}
    assert answer == 42


@pytest.mark.pythons
def test_the_exit_of_the_interpreter_by_an_exception_ends_everything_at_once():
    promise = Promise(20)
    out, err = run_script(
        """
        import time
        from scattergather import spawnScatterGather
        c = spawnScatterGather(workers=1)
        c.submit(pow, 2, 3).result()
        pending = [c.submit(time.sleep, 60) for _ in range(3)]
        job = c.addJob([((60,), {})], time.sleep)
        fed = c.addJob((((0.01,), {}) for _ in iter(int, 1)), time.sleep)
        print("bye")
        raise ZeroDivisionError
        """,
        expect=1,
    )
    assert out == "bye\n"
    assert "cancelled" in err.splitlines()[-1]
    assert not promise.broken()


def test_the_death_of_the_controller_is_told_within_two_seconds(spawn):
    c = spawn()
    job = c.addJob([((n,), {}) for n in (0, 0, 60, 60, 60)], time.sleep)
    eventually(lambda: job.progress.settled == 2)
    future = c.submit(time.sleep, 60)
    promise = Promise(2)
    controller_of(c).kill()
    with pytest.raises(ControllerLost, match="SIGKILL"):
        job.results()
    assert not promise.broken()
    with pytest.raises(ControllerLost):
        future.result(20)
    assert job.results(errors="return")[:2] == [None, None]
    with pytest.raises(ControllerLost, match="spawnScatterGather"):
        c.addJob([], time.sleep)


def test_the_last_lines_of_the_log_are_shown(spawn):
    c = spawn()
    c.submit(pow, 2, 3).result()
    os.write(c._session.log.fileno(), b"what went wrong\n")
    controller_of(c).kill()
    with pytest.raises(ControllerLost, match="what went wrong") as caught:
        c.submit(time.sleep, 60).result(20)
    assert "what went wrong" in caught.value.log


def test_the_log_goes_where_it_is_told(spawn, tmp_path):
    path = tmp_path / "log"
    c = spawn(logFile=path)
    c.submit(pow, 2, 3).result()
    assert "joined" in path.read_text()
    with open(tmp_path / "other", "w") as stream:
        other = spawn(logFile=stream)
        other.submit(pow, 2, 3).result()
    assert "joined" in (tmp_path / "other").read_text()


def test_it_survives_the_thread_that_started_it(spawn):
    made = []
    thread = threading.Thread(target=lambda: made.append(spawn()))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert made[0].submit(pow, 2, 3).result(20) == 8


def test_an_interrupt_of_the_cell_does_not_reach_the_controller(spawn, tmp_path):
    c = spawn()
    c.waitForResult()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job = c.addJob([((str(gate),), {})], as_in_a_notebook(lambda gate: Path(gate).read_text()))
    with interrupted(), pytest.raises(KeyboardInterrupt, match="It goes on"):
        c.waitForResult()
    assert os.getpgid(controller_of(c).pid) != os.getpgid(0)
    gate.write_text("go")
    assert c.waitForResult() == ["go"]
    assert job.done()


def test_an_interrupted_spawn_leaves_nothing():
    run_script(
        """
        import os, random, signal, time
        from scattergather import spawnScatterGather
        import psutil
        from tests.pace import Promise
        before = len(os.listdir("/proc/self/fd"))
        chance = random.Random(3)

        def strike(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, strike)
        for _ in range(12):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.006))
                c = spawnScatterGather(workers=1)
                signal.setitimer(signal.ITIMER_REAL, 0)
                c.command("die")
            except KeyboardInterrupt:
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        c = None
        promise = Promise(15)
        while psutil.Process().children() or len(os.listdir("/proc/self/fd")) > before:
            import gc; gc.collect()
            assert not promise.broken(), psutil.Process().children()
            time.sleep(0.05)
        """
    )


def test_a_client_that_is_garbage_ends_its_controller_and_leaves_no_zombie(spawn):
    c = spawnScatterGather(workers=1)
    c.submit(pow, 2, 3).result()
    controller = controller_of(c)
    del c

    def ended():
        gc.collect()  # a thread of the client may have held it the last time
        return not controller.is_running()

    eventually(ended)
    assert controller.pid not in [child.pid for child in psutil.Process().children()]


def test_nothing_is_kept_of_a_session_that_is_gone():
    c = spawnScatterGather(workers=1)
    session = weakref.ref(c._session)
    assert session in _sessions
    del c

    def gone():
        gc.collect()  # a thread of the client may have held it the last time
        return session() is None

    eventually(gone)
    assert session not in _sessions


def test_a_fork_of_this_process_neither_uses_nor_ends_the_controller(spawn):
    c = spawn()
    assert c.submit(pow, 2, 3).result() == 8
    child = os.fork()
    if child == 0:
        status = 1
        try:
            c.submit(pow, 2, 3)
        except Closed as error:
            status = 0 if "copied by fork" in str(error) else 2
        finally:
            del c
            gc.collect()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert c.submit(pow, 2, 4).result(20) == 16


def test_a_fork_of_this_process_can_start_a_client_of_its_own_and_wait_for_no_other():
    out, err = run_script(
        """
        import os, signal, time, warnings
        from concurrent.futures import wait
        from scattergather import spawnScatterGather
        from scattergather.errors import Closed
        # Since Python 3.12 a fork beside threads is warned of; this one is to do no harm.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        c = spawnScatterGather(workers=2)
        assert c.submit(pow, 2, 3).result() == 8
        job = c.addJob([((60,), {})] * 2, time.sleep)
        future = c.submit(time.sleep, 60)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            for wait_for in (c.waitForResult, job.results, lambda: next(iter(job)), future.result,
                             lambda: wait([future])):
                try:
                    wait_for()
                except Closed as error:
                    assert "copied by fork" in str(error)
                    print("told", flush=True)
            own = spawnScatterGather(workers=1)
            assert own.addJob([((n,), {}) for n in range(5)], abs).results() == [*range(5)]
            own.command("die")
            print("done", flush=True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        c.command("die")  # or it would finish the job first
        """
    )
    assert (out, err) == ("told\n" * 5 + "done\n0\n", "")


def test_a_forked_sibling_that_holds_the_pipe_does_not_hide_the_controllers_death(spawn):
    c = spawn()
    c.submit(pow, 2, 3).result()
    child = os.fork()
    if child == 0:
        time.sleep(100)
        os._exit(0)
    try:
        future = c.submit(time.sleep, 60)
        controller_of(c).kill()
        with pytest.raises(ControllerLost):
            future.result(20)  # when the sibling ends, it would be told anyhow
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_kill_of_this_process_ends_the_controller(tmp_path):
    script = """
        import sys, time
        from scattergather import spawnScatterGather
        c = spawnScatterGather(workers=2)
        c.submit(pow, 2, 3).result()
        job = c.addJob([((60,), {})] * 4, time.sleep)
        print(c._session.pipe.process.pid, flush=True)
        time.sleep(60)
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    controller = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: not alive(controller), 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"workers": 0}, "workers"),
        ({"urls": "local:2", "workers": 2}, "workers"),
        ({"urls": 5}, "urls"),
        ({"function": 5}, "function"),
        ({"logFile": 5}, "logFile"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(arguments, said):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BadRequest, match=said):
        spawnScatterGather(**arguments)
    # Other clients of this process have threads, which may have something open for a moment.
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_controller_that_cannot_start_says_why(spawn, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        spawn()


@pytest.mark.parametrize(
    ("where", "what", "error"),
    [
        (threading.Thread, "start", RuntimeError("can't start new thread")),
        (subprocess, "Popen", BlockingIOError(11, "Resource temporarily unavailable")),
    ],
)
def test_where_no_process_or_thread_can_be_had_the_limit_is_named(monkeypatch, where, what, error):
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(where, what, refuse)
    with pytest.raises(BadRequest, match="raise the limit with `ulimit -u`"):
        spawnScatterGather(workers=1)


def test_cancel_ends_what_runs(spawn):
    c = spawn()
    job = c.addJob([((n,), {}) for n in (0, 60, 60, 60)], time.sleep)
    eventually(lambda: job.progress.settled == 1)
    promise = Promise(3)
    job.cancel()
    results = job.results(errors="return")
    assert not promise.broken()
    assert results[0] is None
    assert job.progress.cancelled == 3


def test_with_left_by_an_exception_ends_what_runs(spawn):
    promise = Promise(15)
    with pytest.raises(ZeroDivisionError), spawn() as c:  # noqa: PT012
        c.submit(time.sleep, 60)
        c.addJob([((60,), {})] * 3, time.sleep)
        c.addJob((((0.01,), {}) for _ in iter(int, 1)), time.sleep)
        raise ZeroDivisionError
    assert not promise.broken()


def test_output_is_marked_and_kept(spawn, capsys):
    job = spawn().addJob([((n,), {}) for n in range(2)], lambda n: print(f"hello {n}"))
    job.results()
    assert job.output(1) == "hello 1\n"
    assert "[task 1 of job 1] hello 1" in capsys.readouterr().out


def test_what_a_long_task_prints_comes_while_it_runs_and_once_also_if_it_is_killed(spawn, tmp_path):
    def task(end: str) -> None:
        print("so far")
        while not os.path.exists(f"{tmp_path}/go on"):
            time.sleep(0.01)
        print("the end", end=end)
        if not end:
            os.kill(os.getpid(), signal.SIGKILL)

    c = spawn()
    job = c.addJob([((end,), {}) for end in ("\n", "")], task, retries=0)
    eventually(lambda: [job.output(n) for n in range(2)] == ["so far\n"] * 2)
    (tmp_path / "go on").touch()
    _, lost = job.results(errors="return")
    assert [job.output(n) for n in range(2)] == ["so far\nthe end\n", "so far\nthe end"]
    assert "so far\n    the end" in str(lost)


def test_large_arguments_and_results_pass(spawn):
    data = os.urandom(20 << 20)
    assert spawn().submit(bytes.swapcase, data).result(60) == data.swapcase()


def test_memory_of_queued_tasks_and_of_long_iterators():
    out, _ = run_script(
        """
        import gc, os, psutil, time
        from scattergather import spawnScatterGather
        def memory(): gc.collect(); return psutil.Process().memory_info().rss
        c = spawnScatterGather(workers=2)
        c.addJob([((n,), {}) for n in range(1000)], abs).results()
        time.sleep(0.3)
        tasks = [((n,), {}) for n in range(100_000)]
        before = memory()
        blocker = c.addJob([((600,), {})] * 2, time.sleep, priority=1)
        job = c.addJob(tasks, abs)
        print((memory() - before) / len(tasks))
        job.cancel(); blocker.cancel(); job.results(errors="return")
        del job, tasks
        before = memory()
        peak = 0
        for n, result in enumerate(c.addJob((((k,), {}) for k in range(300_000)), abs)):
            assert result == n
            if n % 10_000 == 0: peak = max(peak, memory())
        print((peak - before) / 1e6)
        """,
        timeout=100,
    )
    a_task, peak = map(float, out.split())
    assert a_task < 150
    assert peak < 100


def test_what_a_call_everywhere_prints_is_of_its_worker_and_of_no_task(spawn, capsys):
    c = spawn()
    c.run_everywhere(lambda: print("everywhere"))
    c.addJob([((n,), {}) for n in range(4)], abs).results()
    lines = capsys.readouterr().out.splitlines()
    workers = c.run_everywhere(os.getpid)
    assert sorted(lines) == sorted(f"[{worker}] everywhere" for worker in workers)
