"""A notebook whose functions look at what class their argument is of, and the ways to call them."""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scattergather.client.client import ScatterGather

CELL = """
import dataclasses

@dataclasses.dataclass
class Inner:
    n: int = 1

class Outer:
    version = 0
    def __init__(self): self.inner = Inner()
    def make(self): return Inner()

def whole(o, *, also=None):
    assert also is None or type(also) is type(o)
    return isinstance(o, Outer) and o.inner == Inner() == o.make() and type(o).version

def part(o, *, also=None):
    return isinstance(o.inner, Inner) and type(o).version

def both(o, *, also=None):
    return whole(o, also=also) if isinstance(o.inner, Inner) else "another Inner"

class Whole:
    def __call__(self, o, *, also=None): return whole(o, also=also)
"""


@contextmanager
def notebook() -> Iterator[dict[str, Any]]:
    """A notebook's ``__main__`` that ran the cell."""
    real = sys.modules["__main__"]
    fake = types.ModuleType("__main__")
    sys.modules["__main__"] = fake
    exec(CELL, vars(fake))
    yield vars(fake)
    sys.modules["__main__"] = real


def submitted(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return [c.submit(function, o).result(60)]


def by_keyword(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return [c.submit(function, o=o).result(60), c.submit(function, o, also=o).result(60)]


def called_before(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    assert isinstance(c.submit(function, 1).exception(60), AttributeError | AssertionError | None)
    return submitted(c, function, o)


def mapped(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return list(c.map(function, [o, o]))


def added(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return c.addJob([((o,), {}), ((o,), {"also": o})], function).results()


def generated(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return list(c.addJob((((o,), {}) for _ in range(2)), function))


def everywhere(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return list(c.run_everywhere(function, o).values())


def home_and_back(c: ScatterGather, function: Any, o: Any) -> list[Any]:
    return submitted(c, function, c.submit(copy.copy, o).result(60))


WAYS = [submitted, by_keyword, called_before, mapped, added, generated, everywhere, home_and_back]
"""Each returns what a function of the cell said of ``o``; all should say the class's version."""


def nothing(main: dict[str, Any]) -> None:
    """The class is left alone."""


def edited(main: dict[str, Any]) -> None:
    main["Outer"].version += 1


def run_again(main: dict[str, Any]) -> None:
    exec(CELL, main)


def looked_at(main: dict[str, Any]) -> None:
    copy.copy(main["Outer"]())
    assert main["Outer"].__annotations__ == {}


FUNCTIONS = ["whole", "part", "both", "Whole"]
HAPPENINGS = [nothing, edited, run_again, looked_at]


def agree(c: ScatterGather, main: dict[str, Any], steps: Any) -> None:
    """Fails unless every way says the present version of the class."""
    run_again(main)
    for happening, function, way in steps:
        happening(main)
        called = main[function]() if function == "Whole" else main[function]
        said = [(type(each), each) for each in way(c, called, main["Outer"]())]
        now = int, main["Outer"].version
        assert said == [now] * len(said) != [], (happening, function, way)
