"""``c.put``: a value that is sent once, however many tasks take it."""

from __future__ import annotations

import copy
import gc
import os
import signal
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scattergather import inside
from scattergather.client.client import ScatterGather
from scattergather.errors import BadRequest, CannotPickle, RequestError
from tests.conftest import calls
from tests.system.daemons import SEES_TESTS, free_port
from tests.system.large import MB, NOISE, Held, array, by_hand, extent, same
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system


@dataclass
class Holder:
    """Something of the user's that has a reference in it."""

    what: Any
    n: int


def memory(c: ScatterGather) -> int:
    return sum(host.memory for host in c.command("status").hosts)


# ---- the value ----------------------------------------------------------------------------------


def test_tasks_get_the_value(c) -> None:
    mine = array(4)
    with c.put(mine) as ref:
        tasks = [((ref, n), {}) for n in range(64)]
        assert c.addJob(tasks, lambda x, n: float(x[n])).results() == list(range(64))
        assert c.submit(type, ref).result() is np.ndarray
        assert c.submit(lambda *, x: x.size, x=ref).result() == mine.size


def test_a_reference_stands_anywhere_in_the_arguments(c) -> None:
    mine = array(1)
    total = float(mine.sum())
    with c.put(mine) as ref, c.put({"a": 1}) as small:
        shapes: list[Any] = [
            [ref],
            (1, (2, ref)),
            {"x": ref},
            {"deep": [{"er": (ref, small)}]},
            Holder(ref, 3),
            [ref, ref, small],
        ]
        assert not any("Ref" in kind for kind in c.map(lambda x: str(x), shapes))
        assert c.submit(lambda x: float(x[0].sum()), shapes[0]).result() == total
        assert c.submit(lambda x: float(x[1][1].sum()), shapes[1]).result() == total
        assert c.submit(lambda *, x: float(x["x"].sum()), x=shapes[2]).result() == total
        assert c.submit(lambda x: x["deep"][0]["er"][1], shapes[3]).result() == {"a": 1}
        assert c.submit(lambda x: float(x.what.sum()) + x.n, shapes[4]).result() == total + 3
        assert c.submit(lambda x: (len(x), x[2]["a"]), shapes[5]).result() == (3, 1)
        # With an array that travels by itself, and one that is small.
        mixed = c.submit(lambda x, y, z: float(x[1] + y[1] + z[1]), ref, array(2), np.arange(2))
        assert mixed.result() == 3


@pytest.mark.parametrize(
    "value",
    [None, 5, "text", b"x" * MB, bytearray(b"y" * MB), [1, {"a": np.arange(3)}], array(0.5)],
    ids=lambda value: type(value).__name__,
)
def test_whatever_can_travel_can_be_put(c, value: Any) -> None:
    with c.put(value) as ref:
        assert same(ref.get(), value)
        assert same(c.submit(copy.deepcopy, ref).result(), value)
        assert same(c.submit(lambda x: x, ref).result(), value)


def test_what_cannot_travel_is_named(c) -> None:
    with pytest.raises(CannotPickle, match="lock"):
        c.put([1, threading.Lock()])


def test_the_size_is_in_bytes(c) -> None:
    with c.put(array(8)) as ref:
        assert 8 * MB <= ref.size < 8 * MB + 10_000
    with c.put([array(1), array(2)]) as ref:
        assert 3 * MB <= ref.size < 3 * MB + 10_000
    with c.put(5) as ref:
        assert 0 < ref.size < 1_000


@pytest.mark.pythons
def test_a_reference_goes_every_way_that_arguments_go(c) -> None:
    mine = array(2)

    def nested(x: Any) -> float:
        return float(inside.submit(lambda y: y[7], x).result())

    with c.put(mine) as ref:
        assert set(c.run_everywhere(lambda x: float(x[5]), ref).values()) == {5.0}
        assert list(c.map(lambda x, n: float(x[n]), [ref] * 9, range(9))) == list(range(9))
        fed = c.addJob((((ref,), {"n": n}) for n in range(9)), lambda x, n: float(x[n]))
        assert fed.results() == list(range(9))
        assert c.submit(nested, ref).result() == 7
        assert c.options(retries=0).submit(lambda x: float(x[3]), ref).result() == 3


# ---- whose it is --------------------------------------------------------------------------------


def test_what_is_changed_stays_with_whoever_changed_it(c) -> None:
    mine = array(4)
    with c.put(mine) as ref:
        mine[:] = -1

        def change(x: Any, n: int) -> tuple[float, float]:
            before = float(x[0])
            x += n + 1
            return before, float(x[0])

        outcomes = c.addJob([((ref, n), {}) for n in range(20)], change).results()
        assert outcomes == [(0.0, n + 1.0) for n in range(20)]
        got = ref.get()
        assert same(got, array(4))
        got[:] = 9
        assert same(ref.get(), array(4))
        assert c.submit(lambda x: float(x.max()), ref).result() == array(4)[-1]


def test_what_was_got_outlives_the_reference_and_the_controller(spawn) -> None:
    c = spawn(workers=1)
    ref = c.put(array(4))
    got, back = ref.get(), c.submit(lambda x: x, ref).result()
    ref.free()
    for _ in range(10):
        c.put(array(4) - 5).free()
    assert same(got, array(4))
    c.command("die")
    assert same(got, array(4))
    assert same(back, array(4))


# ---- one copy a host ----------------------------------------------------------------------------


def test_there_is_one_copy_however_many_tasks_take_it(spawn, gate) -> None:
    c, held, size = spawn(workers=2), Held(), 32 * MB
    with c.put(array(32)) as ref:
        tasks = [((ref, n), {}) for n in range(64)]
        jobs = [c.addJob(tasks, gate.before(lambda x, n: extent(x))) for _ in range(2)]
        gate.reached(2)
        held.reaches(size)
        assert held.now() < size + NOISE
        assert size <= memory(c) < 2 * size
        gate.open()
        places = {place for job in jobs for place in job.results()}
        assert len(places) == 1
        assert next(iter(places))[1] != 0


def test_it_is_sent_to_another_host_once(spawn, start, relay, tmp_path) -> None:
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2", shim=SEES_TESTS)
    c, size = spawn(relay.before(daemon.furl().text)), 32 * MB
    c.waitForResult()
    with c.put(array(32)) as ref:
        before = relay.passed()
        for _ in range(3):
            got = c.addJob([((ref, n), {}) for n in range(40)], lambda x, n: float(x[n]))
            assert got.results() == list(range(40))
        c.command("refresh")
        assert c.submit(lambda x: float(x[-1]), ref).result() == array(32)[-1]
        assert size < relay.passed() - before < 1.5 * size


def test_every_host_gets_it(spawn, start, tmp_path) -> None:
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2", shim=SEES_TESTS)
    c = spawn([daemon.furl().text, "local:2"])
    c.waitForResult()
    with c.put(array(4)) as ref:
        assert set(c.run_everywhere(lambda x: float(x[9]), ref).values()) == {9.0}
        assert len(c.run_everywhere(lambda x: 0, ref)) == 4
        assert all(host.memory >= 4 * MB for host in c.command("status").hosts)
    eventually(lambda: memory(c) < 4 * MB)


# ---- its end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["free", "with", "raised in with", "garbage"])
def test_its_memory_comes_back_at_its_end(spawn, end: str) -> None:
    c, held = spawn(workers=2), Held()
    ref = c.put(array(96))
    assert c.submit(len, ref).result() == 12 * MB
    held.reaches(96 * MB)
    match end:
        case "free":
            ref.free()
            ref.free()
        case "with":
            with ref as itself:
                assert itself is ref
        case "raised in with":
            with pytest.raises(ZeroDivisionError), ref:
                raise ZeroDivisionError
        case "garbage":
            gone = weakref.ref(ref)
            del ref
            gc.collect()
            assert gone() is None
    eventually(lambda: memory(c) < 96 * MB)
    # It may stay in store for the next one; there is not another beside it then.
    with c.put(array(96)) as another:
        assert c.submit(len, another).result() == 12 * MB
        held.returns(kept=96 * MB)
    c.command("die")
    held.returns()


def test_tasks_that_took_it_have_it_when_it_is_freed_under_them(c, gate) -> None:
    ref = c.put(array(4))
    job = c.addJob([((ref, n), {}) for n in range(30)], gate.before(lambda x, n: float(x[n])))
    gate.reached(2)
    ref.free()
    with pytest.raises(RequestError):
        c.submit(len, ref)
    for n in range(4):
        c.put(array(4) - n).free()
    gate.open()
    assert job.results() == list(range(30))
    eventually(lambda: memory(c) < 4 * MB)


def test_tasks_that_took_it_have_it_when_nobody_else_holds_it(c, gate) -> None:
    job = c.addJob(
        [((c.put(array(2) + n), n), {}) for n in range(20)],
        gate.before(lambda x, n: float(x[1]) - n),
    )
    gc.collect()
    gate.reached(2)
    gate.open()
    assert job.results() == [1.0] * 20


def test_two_references_to_one_value_end_apart(c) -> None:
    mine = array(2)
    one, other = c.put(mine), c.put(mine)
    one.free()
    assert c.submit(lambda x: float(x[3]), other).result() == 3
    assert same(other.get(), mine)
    other.free()


def test_many_short_references_leave_nothing(spawn) -> None:
    c, held = spawn(workers=2), Held()
    controller = c._session.pipe.process
    assert controller is not None

    def descriptors() -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), controller.pid))

    with c.put(array(1)) as ref:
        c.submit(len, ref).result()
    before = descriptors()
    for n in range(300):
        with c.put(array(1) + n) as ref:
            assert c.submit(lambda x: float(x[0]), ref).result() == n
    eventually(lambda: descriptors() < before + 30)
    assert held.now() < 100 * MB


# ---- its misuse ---------------------------------------------------------------------------------


def test_a_reference_that_was_freed_is_refused(c) -> None:
    ref = c.put(array(1))
    ref.free()
    for request in (
        ref.get,
        lambda: c.submit(len, ref),
        lambda: c.addJob([((1,), {}), (([{"x": ref}],), {})], len),
        lambda: c.run_everywhere(len, ref),
        lambda: list(c.map(len, [ref])),
    ):
        with pytest.raises(RequestError, match=r"(?i)freed"):
            request()


def test_a_reference_of_another_cluster_is_refused(c, spawn) -> None:
    other = spawn(workers=1)
    with c.put(array(1)) as ref:
        for request in (
            lambda: other.submit(len, ref),
            lambda: other.addJob([(([ref],), {})], len),
        ):
            with pytest.raises(RequestError, match=r"(?i)ref.*(another|other)"):
                request()
        assert c.submit(len, ref).result() == MB // 8


HIDDEN: Any = None


def test_a_reference_in_a_function_is_refused_and_told_where_it_belongs(c, monkeypatch) -> None:
    with c.put(array(1)) as ref:
        monkeypatch.setitem(globals(), "HIDDEN", ref)

        def default(n: int, x: Any = ref) -> Any:
            return x[n]

        class Adder:
            def __call__(self, n: int) -> Any:
                return ref[n]

        hidden = as_in_a_notebook(lambda n: HIDDEN[n])
        for function in (lambda n: ref[n], hidden, default, Adder()):
            with pytest.raises(RequestError, match=r"(?i)ref.*argument"):
                c.submit(function, 1).result()
            with pytest.raises(RequestError, match=r"(?i)ref.*argument"):
                c.addJob(calls(1), function)
        assert c.submit(abs, -1).result() == 1


def test_a_reference_that_is_pickled_by_hand_is_refused(c) -> None:
    with c.put(array(1)) as ref:
        for pickled in (by_hand, copy.deepcopy):
            with pytest.raises(BadRequest, match="Ref"):
                pickled(ref)
            with pytest.raises(BadRequest, match="Ref"):
                pickled({"x": [ref]})


def test_a_reference_in_a_value_that_is_put_stands_for_its_own(c) -> None:
    with c.put(array(1)) as ref:
        both = c.put([ref, 7])
    with both:
        assert c.submit(lambda x: (float(x[0][3]), x[1]), both).result() == (3.0, 7)
        assert same(both.get(), [array(1), 7])


def test_a_reference_after_the_end_of_its_cluster_harms_nobody(spawn) -> None:
    c = spawn(workers=1)
    ref, left = c.put(array(1)), c.put(array(1))
    with ref:
        c.command("die")
    ref.free()
    with pytest.raises(RequestError):
        c.put(array(1))
    with pytest.raises(RequestError):
        c.submit(len, left)
    del left
    gc.collect()


def test_its_words_say_what_it_is(c) -> None:
    with c.put(array(2)) as ref:
        assert "Ref" in repr(ref)
        assert "freed" not in repr(ref)
    assert "freed" in repr(ref)


# ---- what dies under it -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "refresh"])
def test_it_outlives_the_workers(spawn, how: str) -> None:
    c = spawn(workers=2)
    with c.put(array(4)) as ref:
        workers = set(c.run_everywhere(lambda x: (x[0], os.getpid())[1], ref).values())
        if how == "kill":
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
        else:
            c.command("refresh")
        tasks = [((ref, n), {}) for n in range(40)]
        outcomes = c.addJob(tasks, lambda x, n: (float(x[n]), os.getpid())).results()
        assert [number for number, _ in outcomes] == list(range(40))
        assert not workers & {pid for _, pid in outcomes}


def test_a_task_that_dies_with_it_gets_it_again(c, tmp_path) -> None:
    mark = str(tmp_path / "died")

    def dies_once(x: Any) -> float:
        before = float(x.max())
        x[:] = -1
        if not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return before

    with c.put(array(2)) as ref:
        assert c.submit(dies_once, ref).result() == array(2)[-1]


def test_a_daemon_that_was_killed_gets_it_again_when_it_is_back(
    spawn, start, tmp_path, gate
) -> None:
    port = str(free_port())
    options = ("--directory", str(tmp_path / "pool"), "--workers", "2", "--port", port)
    first = start(*options, shim=SEES_TESTS)
    c = spawn(first.furl().text)
    with c.put(array(4)) as ref:
        assert c.submit(lambda x: float(x[5]), ref).result() == 5
        job = c.addJob([((ref, n), {}) for n in range(20)], gate.before(lambda x, n: float(x[n])))
        gate.reached(2)
        first.end(signal.SIGKILL)
        start(*options, shim=SEES_TESTS).furl()
        gate.reached(4)
        gate.open()
        assert job.results() == list(range(20))
        assert c.submit(lambda x: float(x[6]), ref).result() == 6
        assert same(ref.get(), array(4))


def test_threads_may_put_and_free_at_once(c) -> None:
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for n in range(15):
                with c.put(np.full(50_000, float(number * 100 + n))) as ref:
                    both = c.submit(lambda x: (float(x[0]), float(x[-1])), ref).result()
                    assert both == (number * 100 + n, number * 100 + n)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_who_submits_an_array_again_and_again_hears_of_put_once(c, capsys) -> None:
    big = array(2)
    for n in range(6):
        big[0] = n
        assert c.submit(lambda x: float(x[0]), big).result() == n
    with c.put(big) as ref:
        assert [c.submit(lambda x: float(x[0]), ref).result() for _ in range(6)] == [5.0] * 6
    assert c.addJob([((big,), {})] * 6, lambda x: float(x[0])).results() == [5.0] * 6
    c._session.echo.flush()
    said = capsys.readouterr().err
    assert said.count("c.put") == 1
    assert "[scattergather] ndarray of 2.1 MB was copied for 3 calls" in said
