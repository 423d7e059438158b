"""What a notebook declares with the syntax of Python 3.12 (PEP 695) works where it is sent."""

from __future__ import annotations

import sys
import typing
from typing import Any

import pytest

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.names import global_names
from scattergather.wire.code.shipping import Shipment
from tests.unit.wire.sending import sent

if sys.version_info < (3, 12):
    pytest.skip("the syntax is Python 3.12's", allow_module_level=True)


def test_a_generic_function_works_and_shows_its_parameters(notebook: Any) -> None:
    main = notebook("def f[T, *Ts, **P](x: T, *rest: *Ts) -> tuple[T, *Ts]:\n    return (x, *rest)")
    there = sent(main["f"])
    assert there(1, 2) == (1, 2)
    t, ts, p = there.__type_params__
    assert [type(each) for each in (t, ts, p)] == [
        typing.TypeVar,
        typing.TypeVarTuple,
        typing.ParamSpec,
    ]
    assert there.__annotations__["x"] is t
    assert t.__infer_variance__


def test_a_function_that_uses_its_own_parameter_works(notebook: Any) -> None:
    main = notebook(
        "def f[T: (int, str)](x: T):\n"
        "    def inner(y: T) -> T: return y\n"
        "    return T.__name__, T.__constraints__, inner(x)"
    )
    assert sent(main["f"])(3) == ("T", (int, str), 3)


def test_generic_classes_work_with_all_that_they_show(notebook: Any) -> None:
    main = notebook(
        "class Box[T]:\n"
        "    def __init__(self, item: T): self.item = item\n"
        "    def map[R](self, function: 'Callable[[T], R]') -> 'Box[R]':\n"
        "        return type(self)(function(self.item))\n"
        "class Named[T: int](Box[T]):\n    pass\n"
        "def f(x):\n"
        "    box = Named[int](x).map(lambda item: item + 1)\n"
        "    return box.item, Named.__parameters__[0].__bound__, Box.__type_params__[0].__name__"
    )
    assert sent(main["f"])(1) == (2, int, "T")
    kind = sent(main["Named"])
    assert kind.__orig_bases__[0].__args__ == kind.__parameters__ == kind.__type_params__


def test_what_a_parameter_is_bound_to_may_be_the_class_itself(notebook: Any) -> None:
    main = notebook(
        "class Node[T: Node]:\n    def same(self): return T.__bound__ is Node\n"
        "class Meet[T: (Meet, int)]:\n    pass\n"
        "def f(): return Node().same() and Meet.__parameters__[0].__constraints__ == (Meet, int)"
    )
    assert sent(main["f"])() is True
    kind = sent(main["Node"])
    assert kind.__orig_bases__ == (typing.Generic[kind.__type_params__[0]],)
    assert kind.__parameters__ == kind.__type_params__
    assert kind.__type_params__[0].__bound__ is kind


def test_aliases_go_along_and_may_name_themselves(notebook: Any) -> None:
    main = notebook(
        "class Leaf: pass\n"
        "type Json = dict[str, Json] | list[Json] | Leaf | None\n"
        "type Tree[T: Leaf, *Ts, **P] = T | list[Tree[T, *Ts, P]]\n"
        "def f(x: Json) -> Tree[Leaf]:\n    return Json.__value__, Tree, Tree[Leaf]"
    )
    function = sent(main["f"])
    json = function.__annotations__["x"]
    value, tree, of_leaves = function(None)
    leaf = of_leaves.__args__[0]
    assert json.__name__ == "Json"
    assert value == dict[str, json] | list[json] | leaf | None
    t, ts, p = tree.__type_params__
    assert tree.__value__ == t | list[tree[(t, *ts, p)]]
    assert t.__bound__ is leaf
    assert of_leaves.__origin__ is tree


def test_an_alias_comes_home_as_one(notebook: Any) -> None:
    main = notebook("type Pair[T] = tuple[T, T]\ndef f(): return Pair, Pair[int]")
    shipment, book = Shipment(CodeBook()), CodeBook()
    digest = shipment.freeze(main["f"])
    for code in shipment.code.values():
        book.add(code)
    pair, of_int = sent(book.function(digest)())
    assert pair.__value__ == tuple[pair.__type_params__[0], pair.__type_params__[0]]
    assert of_int == pair[int]


def test_what_is_looked_at_only_when_asked_is_among_the_names_of_a_function(notebook: Any) -> None:
    main = notebook(
        "class Wanted: pass\n"
        "def f():\n"
        "    class Holder:\n"
        "        type Alias = Wanted\n"
        "        def method[T: Wanted](self): return T.__bound__\n"
        "    return Holder.Alias.__value__ is Wanted and Holder().method() is Wanted"
    )
    assert "Wanted" in global_names(main["f"].__code__)
    assert sent(main["f"])() is True


def test_dataclasses_protocols_and_named_tuples_may_be_generic(notebook: Any) -> None:
    main = notebook(
        "import dataclasses\nfrom typing import *\n"
        "@dataclasses.dataclass\nclass Point[T]:\n    x: T\n    y: T\n"
        "class Pair[T](NamedTuple):\n    a: T\n"
        "class Sized[T](Protocol):\n    def size(self) -> T: ...\n"
        "class Mine(Sized[int]):\n    def size(self): return 3\n"
        "class Film[T](TypedDict):\n    title: T\n"
        "def f(p): return Point[int](1, 2) == p, Pair[int](3).a, Mine().size(), Film(title='t')"
    )
    function, point = sent((main["f"], main["Point"](1, 2)))
    assert function(point) == (True, 3, 3, {"title": "t"})


def test_the_same_generic_class_has_the_same_digest_in_every_shipment(notebook: Any) -> None:
    main = notebook("class Node[T: Node]:\n    x: T\ndef f[T](x: T = Node): return x")
    digests = set()
    for _ in range(3):
        shipment = Shipment(CodeBook())
        digests.add((shipment.freeze(main["f"]), tuple(sorted(shipment.code))))
    assert len(digests) == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="defaults are Python 3.13's")
def test_defaults_of_parameters_go_along(notebook: Any) -> None:
    main = notebook(
        "from typing import *\n"
        "class Node[T: Node = Node, **P = [int]]:\n    pass\n"
        "class Row[*Ts = *tuple[int, str]]:\n    pass\n"
        "Old = TypeVar('Old', default=int)\nMany = TypeVarTuple('Many', default=Unpack[tuple[int]])"
    )
    kind = sent(main["Node"])
    t, p = kind.__type_params__
    (ts,) = sent(main["Row"]).__type_params__
    assert t.__default__ is t.__bound__ is kind
    assert ts.__default__ == next(iter(tuple[int, str]))
    assert p.__default__ == [int]
    assert sent(main["Old"]).__default__ is int
    assert sent(main["Many"]).__default__ == typing.Unpack[tuple[int]]
