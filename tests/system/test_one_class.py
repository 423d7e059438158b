"""With real workers: by put, retry and from a task too, one class is one class, as it is now."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather import inside, spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.wire.code.world import World
from scattergather.workers.process.task import call
from tests.classes import FUNCTIONS, HAPPENINGS, WAYS, agree, notebook
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def c() -> Iterator[ScatterGather]:
    with spawnScatterGather(workers=1) as client:
        yield client


def retried(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    job = c.addJob([((o,), {})], lambda o: 1 / 0)
    job.results(errors="return")
    type(o).version += 1
    return job.retry(function).results()


def retried_with_what_is_large(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    job = c.addJob([((o, bytearray(1 << 17), b"x" * (1 << 17)), {})], lambda *_: 1 / 0)
    job.results(errors="return")
    type(o).version += 1
    sized = as_in_a_notebook(lambda o, *large: sum(map(len, large)) == 1 << 18 and function(o))
    return job.retry(sized).results()


def put(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    with c.put(o) as ref, c.put([ref]) as outer:
        before = c.submit(function, ref).result(20)
        type(o).version += 1
        unpacked = as_in_a_notebook(lambda f, found: f(found[0]))
        after = [
            c.submit(function, ref).result(20),
            *c.addJob([((ref,), {}), ((o,), {"also": ref})], function).results(),
            *c.run_everywhere(function, o=ref).values(),
            c.submit(unpacked, function, outer).result(20),
        ]
        assert before is False or before == after[0] - 1
        return after


def nested(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    def again(function: Any, o: Any) -> Any:
        there = inside.submit(function, o).result()
        return there if type(o) is type(inside.submit(lambda: o).result()) else "another Outer"

    return [c.submit(as_in_a_notebook(again), function, o).result(20)]


def beside_pushed_code(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    c.push_code("pushed = 1")
    return [c.submit(function, o).result(20), *c.map(function, [o])]


@pytest.mark.pythons
@pytest.mark.parametrize(
    "way", [*WAYS, retried, retried_with_what_is_large, put, nested, beside_pushed_code]
)
def test_a_class_is_one_class_by_every_way_and_as_it_is_now(c: ScatterGather, way: Any) -> None:
    with notebook() as main:
        for happening, function in itertools.product(HAPPENINGS, FUNCTIONS):
            agree(c, main, [(happening, function, way)])


GLOBALS = """
import os
from scattergather import inside
TOTAL, REG, N = 0, [], 0
def version(): return 1
class Counter:
    reg = REG
    def bump(self):
        global TOTAL
        TOTAL += 1
        return TOTAL
    def look(self): return TOTAL, REG, version()
class Other:
    def bump(self):
        global TOTAL
        TOTAL += 1
        return TOTAL
def of_two(a, b): return a.bump() and b.bump()
def by_name(): return Counter().bump(), TOTAL, REG is Counter.reg
def by_value(o): return o.bump(), TOTAL, o.look()[1] is REG
def by_ref(o): return by_value(o)
def by_map(o): return by_value(o)
def by_function(f): return f(), TOTAL
def by_function_too(f): return by_function(f)
def fresh(): return TOTAL, Counter().look()
def versions(o): return o.look()[2], TOTAL
def nested():
    Counter().bump()
    return inside.submit(by_value, Counter()).result(), inside.submit(fresh).result(), TOTAL
def forked():
    mine, theirs = os.pipe()
    if not os.fork():
        os.write(theirs, bytes([Counter().bump(), TOTAL]))
        os._exit(0)
    os.wait()
    return [*os.read(mine, 2)], TOTAL, Counter().look()[0]
"""


@pytest.mark.pythons
def test_what_a_task_was_sent_sees_the_same_globals_and_no_other_function_does(
    c: ScatterGather,
) -> None:
    with notebook() as main:
        exec(GLOBALS, main)

        def run(name: str, *args: Any) -> Any:
            return c.submit(main[name], *args).result(20)

        assert run("by_name") == (1, 1, True)
        assert run("by_value", main["Counter"]()) == (1, 1, True)
        assert run("by_function", main["Counter"]().bump) == (1, 1)
        assert run("by_function_too", main["by_name"]) == ((1, 1, True), 1)
        assert run("forked") == ([1, 1], 0, 0)
        assert run("nested") == ((2, 2, True), (1, (1, [], 1)), 1)
        with c.put(main["Counter"]()) as ref:
            assert run("by_ref", ref) == (1, 1, True)
        assert list(c.map(main["by_map"], [main["Counter"]()])) == [(1, 1, True)]
        assert run("fresh") == (0, (0, [], 1))
        one, other = main["Counter"](), main["Other"]()
        assert [run("of_two", one, other), run("of_two", other, one)] == [2, 4]
        main["TOTAL"] = 10
        exec("def version(): return 2", main)
        assert run("by_name") == (11, 11, True)
        assert run("by_value", main["Counter"]()) == (11, 11, True)
        assert run("fresh") == (10, (10, [], 2))


def test_calls_from_before_and_after_a_cell_ran_again_each_have_their_globals_in_one_chunk(
    c: ScatterGather,
) -> None:
    cell = (
        "import pickle\nTOTAL = 0\ndef version(): return {0}\nclass Counter:\n"
        "    def bump(self):\n        global TOTAL\n        TOTAL += {0}\n"
        "        return version(), pickle.loads(pickle.dumps(self)) is not self\n"
    )
    with notebook() as main:
        exec("def task(o, *_):\n    global TOTAL\n    TOTAL = 0\n    return o.bump(), TOTAL", main)
        calls = []
        busy = c.submit(time.sleep, 0.2)  # meanwhile the others queue up
        futures = []
        for version in (1, 10):
            exec(cell.format(version), main)
            calls.append(((main["Counter"](),), {}))
            futures += [c.submit(main["task"], *calls[-1][0]) for _ in range(3)]
        assert busy.result(20) is None
        found = [each.result(20) for each in futures]
        assert found == [((1, True), 1)] * 3 + [((10, True), 10)] * 3
        older = c.addJob(calls[:1] * 3, main["task"]).results()
        assert older == [((10, True), 1)] * 3  # the function is of now, and says what holds
        assert (
            c.addJob(calls * 3, main["task"]).results() == [((10, True), 1), ((10, True), 10)] * 3
        )
        large = [((*args, bytearray(1 << 17)), {}) for args, _ in calls]
        assert (
            c.addJob(large * 2, main["task"]).results() == [((10, True), 1), ((10, True), 10)] * 2
        )


def test_a_worker_keeps_the_worlds_that_were_used_last_of_many(c: ScatterGather) -> None:
    def bounded(most: int) -> int:
        before, call.MOST_CLASSES = call.MOST_CLASSES, most
        return before

    def worlds() -> int:
        gc.collect()
        return sum(type(each) is World for each in gc.get_objects())

    with notebook() as main:
        exec("import gc\nSEEN = []\nclass Seeing:\n    def see(self): SEEN.append(1)", main)
        exec("def often(): Seeing().see(); return len(SEEN)", main)
        exec("def other(n): return lambda: (Seeing().see(), len(SEEN), n)[1:]", main)
        before = c.submit(bounded, 8).result(20)
        try:
            for n in range(40):
                assert c.submit(main["often"]).result(20) == n + 1
                assert c.submit(main["other"](n)).result(20) == (1, n)
            few = c.submit(worlds).result(20)
        finally:
            c.submit(bounded, before).result(20)
    assert few < 20
