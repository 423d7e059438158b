"""Large values of the calls beside jobs: those that tasks submit, and those on every worker."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scattergather import errors, inside
from scattergather.client.client import ScatterGather
from tests.conftest import calls
from tests.system.daemons import SEES_TESTS
from tests.system.large import MB, Held, array, extent, same
from tests.system.process_driver import alive, as_in_a_notebook, eventually

pytestmark = pytest.mark.system

TEN = 10 * MB


@pytest.fixture
def pools(start: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """Starts pool daemons of one worker."""

    def begin(name: str, *options: str) -> str:
        folder = str(tmp_path / name)
        furl: str = start("--directory", folder, *options, shim=SEES_TESTS).furl().text
        return furl

    return begin


def memory(c: ScatterGather) -> int:
    """Bytes that the hosts of a client hold."""
    return sum(host.memory for host in c.command("status").hosts)


def peak(c: ScatterGather) -> int:
    """The most that the controller ever held."""
    process = c._session.pipe.process
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@as_in_a_notebook
def raised(x: Any, gate: str = "") -> tuple[tuple[str, int, int], str, int, Any]:
    """Changes what it takes and returns it, with where that lay, and where this ran.

    With a gate, not before that is a file.
    """
    while gate and not os.path.exists(gate):
        time.sleep(0.005)
    place = extent(x)
    x += 1
    return place, inside.where().host, os.getpid(), x


@as_in_a_notebook
def parent(count: int, size: int = TEN, gate: str = "") -> list[tuple[bool, bool, bool, bool]]:
    """Of each of so many calls: whether they took and returned shared memory, and the numbers.

    With a gate, none is over before all are submitted.
    """
    mine = np.arange(size // 8, dtype=np.float64)
    total = float(mine.sum())
    seen = []
    futures = [inside.submit(raised, mine, gate) for _ in range(count)]
    if gate:
        open(gate, "w").close()
    for future in futures:
        place, _, _, back = future.result()
        right = float(back.sum()) == total + mine.size and float(mine.sum()) == total
        back[:] = -1
        seen.append((place[1] != 0, extent(back)[1] != 0, right, float(mine[-1]) == mine.size - 1))
    return seen


GOOD = (True, True, True, True)


# ---- nested calls -------------------------------------------------------------------------------


@pytest.mark.pythons
def test_what_a_nested_call_takes_and_returns_is_shared_and_what_it_changes_is_its_own(c) -> None:
    assert c.submit(parent, 3).result() == [GOOD] * 3


def test_large_values_of_nested_calls_are_not_copied_into_the_controller(spawn) -> None:
    c = spawn(workers=2)
    c.submit(parent, 1, MB).result()
    before = peak(c)
    assert c.submit(parent, 3, 96 * MB).result() == [GOOD] * 3
    assert peak(c) - before < 16 * MB


def test_more_nested_calls_than_memory_holds_leave_nothing(spawn) -> None:
    c, held = spawn(workers=2, memory=512 * MB), Held()

    def many(count: int) -> set[Any]:
        # One after the other: all of them together have no room.
        return {each for _ in range(count) for each in parent(1)}

    assert c.submit(many, 70).result() == {GOOD}
    eventually(lambda: memory(c) == 0)
    assert held.now() < 256 * MB
    held.returns()


@pytest.mark.parametrize("how", ["argument", "put"])
def test_what_a_task_was_given_is_passed_on_and_comes_back_without_a_copy(c, how: str) -> None:
    mine = array(10)

    def passes_on(x: Any) -> tuple[Any, ...]:
        there, back = inside.submit(lambda x: (extent(x), x), x).result()
        again = inside.submit(lambda x: (extent(x), float(x.sum())), back).result()
        return extent(x), there, extent(back), *again

    given = c.put(mine) if how == "put" else mine
    first, second, third, fourth, total = c.submit(passes_on, given).result()
    assert first[1] != 0
    assert first == second == third == fourth
    assert total == float(mine.sum())


def test_what_was_changed_is_not_passed_on_as_it_was(c) -> None:
    def changes(x: Any) -> tuple[float, float]:
        x[0] = 5
        back = inside.submit(lambda x: x, x).result()
        back[1] = 6
        return inside.submit(lambda x: (float(x[0]), float(x[1])), back).result()

    assert c.submit(changes, array(4)).result() == (5, 6)


def test_one_array_twice_in_a_nested_call_is_one_array_there(c) -> None:
    def twice() -> bool:
        one = array(2)
        return inside.submit(lambda x, y: x is y[0], one, [one]).result()

    assert c.submit(twice).result()


def test_a_thread_of_a_task_submits_large_values_too(c) -> None:
    def threads() -> list[float]:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        def call(n: int) -> float:
            return float(inside.submit(lambda x: x + 1, np.full(MB, float(n))).result()[-1])

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(call, n) for n in range(12)]
            # The main thread lends its place meanwhile.
            assert inside.submit(len, b"x" * MB).result() == MB
            return [future.result() for future in futures]

    assert c.submit(threads).result() == [n + 1 for n in range(12)]


def test_a_result_that_a_task_puts_away_stays_as_it_was(c) -> None:
    def keep() -> None:
        import builtins  # noqa: PLC0415 - lives as long as the worker

        builtins.put_away = inside.submit(lambda: np.full(MB, 5.0)).result()

    def look() -> Any:
        import builtins  # noqa: PLC0415

        x = getattr(builtins, "put_away", None)
        return None if x is None else (extent(x)[1] != 0, float(x.min()), float(x.max()))

    def forget() -> None:
        import builtins  # noqa: PLC0415

        builtins.put_away = None

    c.submit(keep).result()
    for _ in range(20):
        assert c.submit(parent, 2).result() == [GOOD] * 2
    found = [each for each in c.run_everywhere(look).values() if each is not None]
    assert found == [(True, 5.0, 5.0)]
    c.run_everywhere(forget)
    eventually(lambda: memory(c) == 0)


def test_what_nobody_waits_for_is_given_back(c) -> None:
    def forgets() -> None:
        for _ in range(5):
            inside.submit(lambda x: x + 1, array(2))

    c.submit(forgets).result()
    eventually(lambda: memory(c) == 0)


def test_of_a_worker_that_dies_with_results_of_nested_calls_nothing_stays(spawn, tmp_path) -> None:
    c, told = spawn(workers=2), tmp_path / "told"

    def holds(path: str) -> None:
        kept = [inside.submit(lambda: array(10)).result() for _ in range(4)]
        with open(path + ".new", "w") as file:
            file.write(f"{os.getpid()} {len(kept)}")
        os.rename(path + ".new", path)
        time.sleep(600)

    future = c.options(retries=0).submit(holds, str(told))
    eventually(told.exists)
    assert memory(c) >= 4 * TEN
    pid = int(told.read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert isinstance(future.exception(), errors.TaskKilledWorker)
    eventually(lambda: not alive(pid) and memory(c) == 0)


def test_what_has_no_room_in_shared_memory_travels_in_messages(spawn, tmp_path) -> None:
    c = spawn(workers=2, memory=16 * MB)  # each worker may share 4 MB
    seen = c.submit(parent, 4, 3 * MB, str(tmp_path / "gate")).result()
    assert [each[2:] for each in seen] == [(True, True)] * 4
    assert [each[0] for each in seen] == [True, False, False, False]
    eventually(lambda: memory(c) == 0)
    assert c.submit(parent, 1, 3 * MB).result() == [GOOD]


def test_an_argument_of_a_nested_call_that_can_never_fit_is_refused(spawn) -> None:
    c = spawn(workers=1, memory=16 * MB)

    def too_much() -> str:
        try:
            inside.submit(len, array(12))
        except errors.TooLarge as error:
            return str(error)
        return "no error"

    assert "argument of a nested call" in c.submit(too_much).result()


def test_a_cancelled_parent_leaves_nothing_of_its_calls(spawn, tmp_path) -> None:
    c = spawn(workers=2)

    def waits(folder: str, n: int) -> None:
        def child(x: Any, n: int) -> None:
            open(f"{folder}/{n}", "w").close()
            time.sleep(600)

        inside.submit(child, array(10), n).result()

    job = c.addJob([((str(tmp_path), n), {}) for n in range(2)], waits)
    eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    assert memory(c) >= 2 * TEN
    job.cancel()
    eventually(lambda: memory(c) == 0)


# ---- between hosts ------------------------------------------------------------------------------


def test_large_values_of_nested_calls_stay_on_the_host_that_they_are_needed_on(
    spawn, pools, relay
) -> None:
    c = spawn(relay.before(pools("a", "--workers", "2")))
    c.waitForResult()
    before = relay.passed()
    assert c.submit(parent, 12).result() == [GOOD] * 12
    assert relay.passed() - before < MB
    eventually(lambda: memory(c) == 0)


@pytest.mark.parametrize("hosts", ["local", "daemon"])
def test_large_values_of_nested_calls_go_to_another_host_and_back(
    spawn, pools, relay, hosts
) -> None:
    other = "local:1" if hosts == "local" else relay.before(pools("b"))
    c = spawn([relay.before(pools("a")), other])
    c.waitForResult()

    def places(count: int) -> list[Any]:
        mine = array(10)
        seen = []
        for future in [inside.submit(raised, mine) for _ in range(count)]:
            place, _, pid, back = future.result()
            seen.append((pid == os.getpid(), place[1] != 0, extent(back)[1] != 0))
            assert float(back.sum()) == float(mine.sum()) + mine.size
        return [os.getpid(), *seen]

    before = relay.passed()
    rounds = c.addJob([((6,), {}) for _ in range(8)], places).results()
    assert {each[1:] for pid, *seen in rounds for each in seen} == {(True, True)}
    crossed = relay.passed() - before
    assert crossed > TEN, "no call went to another host"
    # There and back, and between two daemons by way of the controller: each once.
    assert crossed < 48 * 4 * TEN * 1.1
    eventually(lambda: memory(c) == 0)


def test_a_host_that_is_full_of_what_waiting_tasks_take_still_serves_their_calls(
    spawn, pools
) -> None:
    c = spawn([pools("a", "--memory", "32MB"), pools("b", "--memory", "32MB")])
    c.waitForResult()

    def waits(x: Any) -> float:
        futures = [inside.submit(lambda y: y + 1, x + n) for n in range(3)]
        return float(sum(future.result()[0] for future in futures))

    given = [np.full(TEN // 8, float(n)) for n in range(6)]
    results = c.addJob(calls(*given), waits).results()
    assert results == [3.0 * n + 6 for n in range(6)]
    eventually(lambda: memory(c) == 0)


# ---- on every worker ----------------------------------------------------------------------------


def test_what_every_worker_returns_is_shared_and_given_back(spawn) -> None:
    c, held = spawn(workers=3), Held()
    c.waitForResult()
    c.run_everywhere(lambda: np.arange(10))
    before = peak(c)
    results = c.run_everywhere(lambda: array(5))
    assert len(results) == 3
    for result in results.values():
        assert extent(result)[1] != 0
        assert same(result, array(5))
        result += 1
    big = c.run_everywhere(lambda: array(64))
    assert peak(c) - before < 16 * MB
    assert all(same(result, array(5) + 1) for result in results.values())
    del result, results, big
    gc.collect()
    eventually(lambda: memory(c) == 0)
    held.returns()


def test_an_argument_that_every_worker_returns_as_it_came_is_there_already(c) -> None:
    mine = array(5)
    results = list(c.run_everywhere(lambda x: x, mine).values())
    assert len({extent(each) for each in results}) == 1
    results[0][0] = 7
    assert (mine[0], results[1][0]) == (0, 0)


def test_what_every_worker_of_another_host_returns_comes_home(spawn, pools, relay) -> None:
    c = spawn([relay.before(pools("a", "--workers", "2")), "local:1"])
    c.waitForResult()
    before = relay.passed()
    results = c.run_everywhere(lambda: array(5) + os.getpid())
    assert 2 * 5 * MB < relay.passed() - before < 2 * 6 * MB
    assert len(results) == 3
    for where, result in results.items():
        assert extent(result)[1] != 0
        assert same(result, array(5) + int(where.rpartition("/")[2]))
    del result, results
    gc.collect()
    eventually(lambda: memory(c) == 0)


def test_every_worker_may_return_what_can_never_fit_and_says_so(spawn) -> None:
    c = spawn(workers=2, memory=16 * MB)
    with pytest.raises(errors.JobFailed) as caught:
        c.run_everywhere(lambda: array(12))
    reasons = [str(failure.error) for failure in caught.value.failures]
    assert len(reasons) == 2
    assert all("the result has" in reason and "memory=" in reason for reason in reasons)
    assert len(c.run_everywhere(lambda: array(2))) == 2
