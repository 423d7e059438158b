"""Code of one task has one namespace, as at home, and each function's tasks have their own."""

from __future__ import annotations

import copy
import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.code.world import World
from scattergather.wire.values.payload import Packer, loads

CELL = """
import functools, types

TOTAL = 0
REG = []
LIMIT = 1
NESTED = {"reg": REG}

def helper(): return REG
def bump():
    global TOTAL
    TOTAL += 1
    return TOTAL
bump.calls = []

@functools.lru_cache
def cached(n): return object()
@functools.lru_cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.singledispatch
def area(thing): return "unknown"

def counter():
    n = 0
    def count():
        nonlocal n
        n += 1
        return n
    def look(): return n
    return count, look
count, look = counter()

class A:
    reg = REG
    help = staticmethod(helper)
    def __init__(self): self.n = 1
    def bump(self):
        global TOTAL
        TOTAL += self.n
    def total(self): return TOTAL
    def put(self, x, into=REG): into.append(x)
    def get_reg(self): return REG
    def limit(self): return LIMIT
    def helper(self): return helper
    def calls(self): return bump.calls
    def cached(self, n): return cached(n)
    def count(self): return count()
    def register(self): area.register(int, lambda _: "int")
    def make(self):
        global made
        made = A
    def fib(self): return fib(20)

class B:
    reg = REG
    def total(self): return TOTAL
    def get_reg(self): return REG
class Sub(A):
    def bump(self):
        super().bump()
        super().bump()
class Task:
    def __call__(self): return A().bump(), TOTAL
    def run(self): return A().bump(), TOTAL
class Plain:
    def who(self): return types.SimpleNamespace

def closure():
    seen = []
    class K:
        def put(self, x): seen.append(x)
    return K, seen
K, SEEN = closure()
"""

TASKS = {
    "a method rebinds": "def f(): A().bump(); A().bump(); return TOTAL",
    "the task rebinds": "def f():\n    global LIMIT\n    LIMIT = 5\n    return A().limit()",
    "the task deletes": "def f():\n    global REG\n    del REG\n"
    "    try: A().get_reg()\n    except NameError: return True",
    "a method of an argument rebinds": ("def f(a): a.bump(); return TOTAL", "A()"),
    "the task rebinds what a method of an argument reads": (
        "def f(a):\n    global LIMIT\n    LIMIT = 5\n    return a.limit()",
        "A()",
    ),
    "a method of an argument's base rebinds": ("def f(a): a.bump(); return TOTAL", "Sub()"),
    "a function that is an argument rebinds": ("def f(g): g(); return TOTAL", "bump"),
    "two functions that are arguments": ("def f(g, h): g(); return h.total()", "bump, A()"),
    "two classes of arguments": ("def f(a, b): a.bump(); return b.total()", "A(), B()"),
    "two classes of arguments and one list": (
        "def f(a, b): return a.get_reg() is b.get_reg()",
        "A(), B()",
    ),
    "a bound method is an argument": ("def f(m): m(); return TOTAL", "A().bump"),
    "a class is an argument": ("def f(a): a().bump(); return TOTAL", "A"),
    "a lambda is an argument": ("def f(g): A().bump(); return g()", "lambda: TOTAL"),
    "an object is called": "f = Task()",
    "a bound method is called": "f = Task().run",
    "a partial is called": "f = functools.partial(lambda a: (a().bump(), TOTAL), A)",
    "one list": "def f(): return REG is A.reg is A().get_reg() is B.reg, A.reg is NESTED['reg']",
    "one list by a method": "def f(): A().put(3); return REG, A.reg, helper(), B().get_reg()",
    "one list by a default": "def f(mine=REG): A().put(4); return mine, mine is REG",
    "one list by a default only": "def f(mine=REG): A().put(4); return mine",
    "one list by a closure": "def made(mine):\n"
    "    return lambda: (A().put(5), mine)\nf = made(REG)",
    "one list of two classes": "def f(): return A.reg is B.reg",
    "one helper": "def f(): return A().helper() is helper is A.help, helper() is A.reg",
    "attributes of a helper": "def f(): A().calls().append(1); return bump.calls",
    "a helper rebinds": "def f(): bump(); A().bump(); return TOTAL, A().total()",
    "one cache": "def f(): return A().cached(1) is cached(1), cached.cache_info().hits",
    "one recursive cache": "def f(): A().fib(); fib(20); return fib.cache_info()",
    "one dispatcher": "def f(): A().register(); return area(1)",
    "one closure's cell": "def f(): count(); return A().count(), look()",
    "a closure of a class": "def f(): K().put(1); return SEEN",
    "a name that only code makes": "def f(): A().make(); return made is A",
    "nested functions": "def f():\n    def inner():\n        global TOTAL\n        TOTAL += 1\n"
    "    inner(); A().bump()\n    return TOTAL, A().total()",
    "two classes": "def f(): A().bump(); Sub().bump(); return B().total(), TOTAL",
    "by globals()": "def f(): globals()['TOTAL'] = 7; return A().total(), B().total()",
}


@pytest.fixture
def main() -> Iterator[dict[str, Any]]:
    real = sys.modules["__main__"]
    sys.modules["__main__"] = fake = types.ModuleType("__main__")
    exec(CELL, vars(fake))
    yield vars(fake)
    sys.modules["__main__"] = real


class Worker:
    """Calls functions as a worker does, each in a world of its own."""

    def __init__(self) -> None:
        self.book = CodeBook()
        self.worlds: dict[Any, World] = {}

    def call(self, function: Any, *args: Any) -> Any:
        shipment = Shipment(CodeBook())
        digest = shipment.freeze(function)
        packer = Packer(shipment)
        packer.pack(args)
        _, body, needs = packer.take()
        for code in shipment.code.values():
            self.book.add(code)
        beside = frozenset(filter(self.book.is_of_a_world, needs)) - {digest}
        self.book.enter(self.worlds.setdefault((digest, beside), World()))
        try:
            called = self.book.function(digest)
            return called(*loads(body, self.book))
        finally:
            self.book.enter(World(shares=False))


@pytest.mark.parametrize("name", TASKS)
def test_code_that_came_in_several_ways_has_its_globals_in_common_as_at_home(
    main: dict[str, Any], name: str
) -> None:
    case = TASKS[name]
    source, args = (case, "") if isinstance(case, str) else case
    exec(source, main)
    found = Worker().call(main["f"], *eval(f"({args},)" if args else "()", main))
    assert found == main["f"](*eval(f"({args},)" if args else "()", main))


def test_what_tasks_of_one_function_leave_in_globals_no_other_function_sees(
    main: dict[str, Any],
) -> None:
    exec("def f(): A().bump(); REG.append(1); return TOTAL, len(A.reg)", main)
    exec("def g(): return TOTAL, A().total(), len(REG), len(A.reg), B().total()", main)
    worker = Worker()
    assert [worker.call(main["f"]) for _ in range(3)] == [(1, 1), (2, 2), (3, 3)]
    assert worker.call(main["g"]) == (0, 0, 0, 0, 0)
    assert worker.call(main["f"]) == (4, 4)
    main["TOTAL"] = 10
    assert worker.call(main["f"]) == (11, 1)
    assert worker.call(main["g"]) == (10, 10, 0, 0, 10)


def test_a_cell_that_ran_again_is_seen_by_whatever_comes_later(main: dict[str, Any]) -> None:
    exec("def version(): return 1\nA.version = lambda self: version()", main)
    exec(
        "def by_name(): return A().version(), version()\ndef by_value(a): return a.version()", main
    )
    exec("def called(g): return g()", main)
    worker = Worker()
    for number in (1, 2, 3):
        exec(f"def version(): return {number}", main)
        assert worker.call(main["by_name"]) == (number, number)
        assert worker.call(main["called"], main["version"]) == number
        assert worker.call(main["called"], main["A"]().version) == number


def test_names_that_arguments_bring_are_those_of_their_task(main: dict[str, Any]) -> None:
    exec("def called(g): return g()", main)
    worker = Worker()
    for _ in range(2):
        assert worker.call(main["called"], main["bump"]) == 1
    main["TOTAL"] = 5
    assert worker.call(main["called"], main["bump"]) == 6


def test_a_class_that_shares_nothing_is_one_class_for_all_functions(main: dict[str, Any]) -> None:
    exec("def f(): return Plain, A\ndef g(): return Plain, A, B", main)
    worker = Worker()
    assert worker.call(main["f"])[0] is worker.call(main["g"])[0] is worker.call(main["f"])[0]
    assert worker.call(main["f"])[1] is worker.call(main["f"])[1]


def test_a_module_made_in_memory_is_one_namespace_for_its_functions_and_who_reads_it(
    main: dict[str, Any],
) -> None:
    module = types.ModuleType("made_in_memory")
    sys.modules["made_in_memory"] = main["module"] = module
    source = "STATE, SEEN = 0, []\ndef bump():\n    global STATE\n    STATE += 1\n    return SEEN\n"
    source += "class M:\n    def bump(self): return bump()\n    def state(self): return STATE"
    try:
        exec(source, vars(module))
        exec(
            "def f(m): module.bump(); return m.bump() is module.SEEN, m.state(), module.STATE", main
        )
        worker = Worker()
        assert worker.call(main["f"], main["module"].M()) == (True, 2, 2)
        assert module.STATE == 0
    finally:
        del sys.modules["made_in_memory"]


def test_nothing_stays_in_a_world_of_code_that_could_not_be_loaded(main: dict[str, Any]) -> None:
    exec(
        "class Picky:\n    def __init__(self, n): self.n = n\n"
        "    def __setstate__(self, state):\n        if fails(): raise ZeroDivisionError\n"
        "        self.__dict__ = state\n"
        "def fails(): return getattr(types, 'fails', False)\n"
        "ONE = Picky(1)\nLIST = []\ndef f(): return ONE.n, TOTAL, LIST is G.list\n"
        "class G:\n    list = LIST\n    def total(self): return TOTAL",
        main,
    )
    worker = Worker()
    types.fails = True  # type: ignore[attr-defined]
    try:
        with pytest.raises(ZeroDivisionError):
            worker.call(main["f"])
    finally:
        del types.fails  # type: ignore[attr-defined]
    assert worker.call(main["f"]) == (1, 0, True)


def test_the_same_function_has_one_digest_each_time(main: dict[str, Any]) -> None:
    exec("def f(): A().bump(); return TOTAL, B, K, count", main)
    digests = {Shipment(CodeBook()).freeze(main["f"]) for _ in range(3)}
    copy.copy(main["A"]())
    digests.add(Shipment(CodeBook()).freeze(main["f"]))
    assert len(digests) == 1


def test_a_function_has_the_same_digest_when_it_is_known_that_it_shares(
    main: dict[str, Any],
) -> None:
    exec(
        "class Named: pass\nclass Naming:\n    def name(self): return Named\n"
        "def inner(): return Naming\ndef f(): return inner(), later, sharing",
        main,
    )
    main["later"], main["sharing"] = main["Named"], main["A"]
    book = CodeBook()
    shipments = [Shipment(book) for _ in range(3)]
    assert len({shipment.freeze(main["f"]) for shipment in shipments}) == 1
    assert len({frozenset(shipment.code) for shipment in shipments}) == 1


def test_a_lambda_or_method_made_anew_that_shares_is_frozen_with_its_classes_at_once(
    main: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exec("def f(n): return lambda: (A().bump(), n)", main)
    book = CodeBook()
    Shipment(book).freeze(main["f"](0))
    Shipment(book).freeze(main["A"]().bump)
    monkeypatch.setattr(Shipment, "_freeze_alone", None)
    Shipment(book).freeze(main["f"](1))
    Shipment(book).freeze(main["A"]().bump)


@pytest.mark.pythons
def test_instances_that_a_method_was_dispatched_for_stay_at_home(main: dict[str, Any]) -> None:
    exec(
        "class D:\n    @functools.singledispatchmethod\n    def d(self, n): return REG\n"
        "    @d.register\n    def _(self, n: int): return TOTAL\n"
        "def f(): return D().d(1), D().d('')",
        main,
    )
    main["f"]()  # what is dispatched by class travels
    before = Shipment(CodeBook()).freeze(main["f"])
    kept = [main["D"]() for _ in range(3)]
    assert [each.d(1) for each in kept] == [0, 0, 0]
    assert Shipment(CodeBook()).freeze(main["f"]) == before
    assert Worker().call(main["f"]) == (0, [])


def test_every_class_of_a_task_is_one_class_whoever_brings_it(main: dict[str, Any]) -> None:
    exec(
        "def f(*given): return [type(each) for each in given] == "
        "[{'A': A, 'Sub': Sub, 'B': B, 'Plain': Plain}[type(each).__name__] for each in given]",
        main,
    )
    exec("def g(*given): return isinstance(given[0], A) and type(given[1]).__bases__[0] is A", main)
    for names in itertools.permutations(["A", "Sub", "B", "Plain"]):
        assert Worker().call(main["f"], *(main[name]() for name in names))
    assert Worker().call(main["g"], main["A"](), main["Sub"]())
