"""Processes that tasks make: copies of their worker, and those that they leave behind."""

from __future__ import annotations

import atexit
import ctypes
import gc
import multiprocessing
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scattergather import errors, inside
from tests.conftest import calls
from tests.system.large import MB, array
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system


def returns(_number: int) -> Any:
    return "of a copy"


def returns_much(_number: int) -> Any:
    return np.full(MB, -1.0)


def raises(_number: int) -> Any:
    raise ValueError("in a copy")


def exits(_number: int) -> Any:
    sys.exit(3)


def exits_with_a_word(_number: int) -> Any:
    sys.exit("bye")


def asks_for_the_cluster(number: int) -> Any:
    try:
        inside.submit(abs, number)
    except errors.RequestError as error:
        sys.exit(3 if "forked" in str(error) else 4)


def has_grandchildren(number: int) -> Any:
    if os.fork() == 0:
        return returns(number)
    return raises(number)


def has_something_to_do_at_its_end(_number: int) -> Any:
    atexit.register(os._exit, 7)


def fork() -> int:
    return os.fork()


def fork_that_python_does_not_see() -> int:
    pid: int = ctypes.PyDLL(None).fork()
    return pid


def terminal() -> int:
    return pty.fork()[0]


def other_terminal() -> int:
    return os.forkpty()[0]


def on_a_thread(copy: Callable[[], int], then: Callable[[], Any]) -> int:
    pids: list[int] = []

    def run() -> None:
        pids.append(copy() or then())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return pids[0]


LEAVES: list[tuple[Callable[[], int], Callable[[int], Any], int]] = [
    (fork, returns, 0),
    (fork, returns_much, 0),
    (fork, raises, 1),
    (fork, exits, 3),
    (fork, exits_with_a_word, 1),
    (fork, asks_for_the_cluster, 3),
    (fork, has_grandchildren, 1),
    (fork, has_something_to_do_at_its_end, 7),
    (terminal, exits, 3),
    (other_terminal, raises, 1),
    (fork_that_python_does_not_see, returns, 0),
    (fork_that_python_does_not_see, returns_much, 0),
    (fork_that_python_does_not_see, exits_with_a_word, 1),
    (fork_that_python_does_not_see, asks_for_the_cluster, 3),
]


@pytest.mark.parametrize(("copy", "then", "status"), LEAVES)
def test_a_copy_that_comes_out_of_the_task_ends_as_a_script_does(c, copy, then, status) -> None:
    copy, then = as_in_a_notebook(copy), as_in_a_notebook(then)
    if then.__name__ == "has_grandchildren":
        then.__globals__.update(returns=as_in_a_notebook(returns), raises=as_in_a_notebook(raises))

    @as_in_a_notebook
    def task(number: int) -> Any:
        pid = copy()
        if pid == 0:
            return then(number)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return number, code, np.full(MB // 8, float(number))

    job = c.addJob(calls(*range(6)), task, retries=0, echo=False)
    for number, (own, code, much) in enumerate(job.results(timeout=20)):
        assert (own, code) == (number, status)
        assert (much == number).all()


@pytest.mark.parametrize("copy", [fork, fork_that_python_does_not_see])
def test_a_copy_that_a_value_makes_when_it_is_pickled_or_goes_says_nothing(c, copy) -> None:
    copy = as_in_a_notebook(copy)

    @as_in_a_notebook
    class Pickled:
        def __reduce__(self) -> Any:
            pid = copy()
            if pid:
                os.waitpid(pid, 0)
            return int, (7,)

    @as_in_a_notebook
    class Dropped:
        def __del__(self) -> None:
            pid = copy()
            if pid:
                os.waitpid(pid, 0)

    @as_in_a_notebook
    def task(number: int) -> Any:
        kept = sys.modules.setdefault("kept_between_tasks", type(sys)("kept"))
        kept.last = Dropped()
        return number, Pickled()

    job = c.addJob(calls(*range(6)), task, retries=0)
    assert job.results(timeout=20) == [(number, 7) for number in range(6)]


def test_a_copy_that_a_thread_makes_and_one_of_multiprocessing_say_nothing_for_the_task(c) -> None:
    on_its_thread = as_in_a_notebook(on_a_thread)

    @as_in_a_notebook
    def task(number: int) -> Any:
        pid = on_its_thread(os.fork, sys.exit)
        first = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        context = multiprocessing.get_context("fork")
        child = context.Process(target=sys.exit, args=(4,), daemon=True)
        child.start()
        child.join()
        return number, first, child.exitcode

    job = c.addJob(calls(*range(6)), task, retries=0)
    assert job.results(timeout=20) == [(number, 0, 4) for number in range(6)]


def test_what_a_copy_can_read_is_not_written_to_while_it_lives(spawn, tmp_path: Path) -> None:
    c = spawn(workers=1, memory=64 * MB)
    go, seen = tmp_path / "go", tmp_path / "seen"

    @as_in_a_notebook
    def task(numbers: Any) -> int:
        pid = os.fork()
        if pid == 0:
            while not go.exists():
                time.sleep(0.01)
            seen.with_suffix(".part").write_text(str(float(numbers[:: MB // 64].sum())))
            seen.with_suffix(".part").rename(seen)
            os._exit(0)
        return pid

    numbers = array(4)
    right = float(numbers[:: MB // 64].sum())
    (pid,) = c.addJob([((numbers,), {})], task, keep_children=True).results()
    for _ in range(8):  # they would take the memory of the first one
        numbers = np.full(4 * MB // 8, -1.0)
        c.addJob([((numbers,), {})], as_in_a_notebook(lambda x: float(x[0]))).results()
        gc.collect()
    assert alive(pid)
    go.touch()
    eventually(seen.exists)
    assert float(seen.read_text()) == right


def left_running(_number: int) -> tuple[int, int]:
    return os.getpid(), subprocess.Popen(["sleep", "600"]).pid


def test_a_task_never_meets_the_dead_helper_of_another(c) -> None:
    @as_in_a_notebook
    def task(number: int) -> Any:
        kept = sys.modules.setdefault("kept_between_tasks", type(sys)("kept"))
        if not hasattr(kept, "pool"):
            kept.pool = multiprocessing.get_context("fork").Pool(2)
        return kept.pool.map(abs, [-number])

    for number in range(3):
        assert c.submit(task, number).result(timeout=10) == [number]


def test_who_leaves_a_process_is_not_charged_for_the_end_of_its_worker(c) -> None:
    job = c.addJob(calls(*range(4)), as_in_a_notebook(left_running), retries=0)
    for worker, child in job.results(timeout=20):
        eventually(lambda worker=worker, child=child: not alive(worker) and not alive(child))
    assert not job.failures


def test_processes_stay_where_the_job_says_so(spawn) -> None:
    c = spawn(workers=1)
    task = as_in_a_notebook(left_running)
    pids = c.addJob(calls(0, 1), task, keep_children=True).results()
    pids.append(c.options(keep_children=True).submit(task, 2).result())
    c.addJob(calls(*range(3)), as_in_a_notebook(abs)).results()
    assert len({worker for worker, _ in pids}) == 1
    assert all(alive(child) for _, child in pids)
    c.command("refresh")
    eventually(lambda: not any(alive(child) for _, child in pids))


def forking_pool() -> Any:
    return multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1)


def executor_of_processes() -> Any:
    return futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))


def executor_of_threads() -> Any:
    return futures.ThreadPoolExecutor(2)


def test_a_pool_of_a_call_everywhere_stays_whatever_serves_it_by_now(spawn) -> None:
    c = spawn(workers=1)
    workers = set()
    for make in (forking_pool, executor_of_processes, executor_of_threads):
        make = as_in_a_notebook(make)

        @as_in_a_notebook
        def begin(make: Callable[[], Any] = make) -> None:
            sys.modules.setdefault("everywhere", type(sys)("everywhere")).pool = make()

        @as_in_a_notebook
        def task(number: int) -> Any:
            found = list(sys.modules["everywhere"].pool.map(abs, range(-number, number)))
            return os.getpid(), len(found)

        c.run_everywhere(begin)
        for _ in range(3):
            for worker, count in c.addJob(calls(2, 3), task, retries=0).results(timeout=20):
                workers.add(worker)
                assert count in (4, 6)
    worker, child = c.submit(as_in_a_notebook(left_running), 0).result()
    assert {worker} == workers
    eventually(lambda: not alive(child))
    assert c.submit(task, 1).result(timeout=20)[0] == worker


def test_a_tasks_own_pool_costs_its_worker_also_beside_one_of_a_call_everywhere(spawn) -> None:
    c = spawn(workers=1)

    @as_in_a_notebook
    def task(number: int) -> Any:
        kept = sys.modules.setdefault("kept_between_tasks", type(sys)("kept"))
        if not hasattr(kept, "pool"):
            kept.pool = multiprocessing.get_context("fork").Pool(1)
        return kept.pool.map(abs, [-number])

    make = as_in_a_notebook(executor_of_processes)

    @as_in_a_notebook
    def begin(make: Callable[[], Any] = make) -> None:
        sys.modules.setdefault("everywhere", type(sys)("everywhere")).pool = make()

    c.run_everywhere(begin)
    for number in range(2):
        assert c.submit(task, number).result(timeout=20) == [number]


def test_a_cancel_ends_what_its_job_has_kept(spawn, tmp_path: Path) -> None:
    c = spawn(workers=1)
    begun = tmp_path / "begun"

    @as_in_a_notebook
    def task() -> None:
        begun.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        time.sleep(600)

    job = c.addJob([((), {})], task, keep_children=True)
    eventually(lambda: begun.exists() and begun.read_text() != "")
    job.cancel()
    eventually(lambda: not alive(int(begun.read_text())))


def test_memory_that_a_task_shares_is_cleaned_up_by_its_resource_tracker(spawn) -> None:
    c = spawn(workers=1)

    @as_in_a_notebook
    def task() -> str:
        subprocess.Popen(["sleep", "600"])
        memory = shared_memory.SharedMemory(create=True, size=4096)
        return memory.name

    name = c.submit(task).result(timeout=10)
    eventually(lambda: not Path("/dev/shm", name).exists())


def test_ps_tells_zygotes_and_workers_apart(c) -> None:
    @as_in_a_notebook
    def lineage() -> list[tuple[str, str]]:
        found, pid = [], os.getpid()
        for _ in range(3):
            folder = Path(f"/proc/{pid}")
            title = (folder / "cmdline").read_bytes().rstrip(b"\0").decode()
            found.append(((folder / "comm").read_text().strip(), title))
            pid = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return found

    worker, session, root = c.submit(lineage).result(timeout=10)
    number = int(worker[0].removeprefix("sg-worker-").removesuffix("/1"))
    assert worker[1] == f"scattergather: worker {number} of session 1"
    assert session == ("sg-session-1", "scattergather: zygote of session 1")
    assert root[0] == "sg-zygote"
