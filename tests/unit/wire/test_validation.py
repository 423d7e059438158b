"""What pydantic makes of a notebook's functions and classes arrives as what it was."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values.payload import dumps, loads

pytest.importorskip("pydantic")

MODELS = (
    "from typing import Generic, TypeVar\n"
    "from pydantic import BaseModel, validate_call\n"
    "T = TypeVar('T')\n"
    "class Cat(BaseModel): name: str = 'c'\n"
    "class Page(BaseModel, Generic[T]): items: list[T]\n"
)


class Way:
    """To one worker and home again."""

    def __init__(self) -> None:
        self.home, self.worker = CodeBook(), CodeBook()

    def there(self, thing: Any) -> Any:
        shipment = Shipment(self.home)
        body = dumps(thing, shipment)
        for code in shipment.code.values():
            self.worker.add(code)
        return loads(body, self.worker)

    def back(self, thing: Any) -> Any:
        return loads(dumps(thing, self.worker), self.home)


def test_a_parametrised_model_is_there_what_its_expression_gives(notebook: Any) -> None:
    main = notebook(
        MODELS + "class Sub(Page[Cat]): pass\n"
        "class Tree(BaseModel, Generic[T]): kids: list['Tree[T]'] = []\n"
        "def f(page, sub, tree):\n"
        "    return (type(page) is Page[Cat], isinstance(sub, Page[Cat]),\n"
        "        type(tree.kids[0]) is Tree[int])\n"
    )
    page = main["Page"][main["Cat"]](items=[{}])
    tree = main["Tree"][int](kids=[{}])
    f, args = Way().there((main["f"], (page, main["Sub"](items=[]), tree)))
    assert f(*args) == (True, True, True)


def test_a_model_that_a_task_parametrised_is_at_home_what_is_there_already(notebook: Any) -> None:
    main = notebook(
        MODELS + "def known(): return Page[Cat], Page[list[Cat]]\n"
        "def f(): return Page[Cat](items=[{}]), Page[list[Cat]](items=[])\n"
        "def g():\n    class Mine(BaseModel): pass\n    return Page[Mine](items=[Mine()])\n"
    )
    kinds, way = main["known"](), Way()
    there = way.there((main["f"], main["g"]))
    assert tuple(map(type, way.back(there[0]()))) == kinds
    assert type(way.back(there[1]()).items[0]).__name__ == "Mine"


def test_what_a_task_pickles_by_itself_has_a_parametrised_model_as_its_expression(
    notebook: Any,
) -> None:
    main = notebook(MODELS)
    things = main["Page"][main["Cat"]], main["Page"], main["Cat"]
    kind, main["Page"], main["Cat"] = Way().there(things)
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert pickle.loads(pickle.dumps(main["Page"])) is main["Page"]


def test_a_function_under_validate_call_travels_without_the_rest_of_the_notebook(
    notebook: Any,
) -> None:
    main = notebook(
        MODELS + "import threading\nlock = threading.Lock()\n"
        "@validate_call\ndef f(n: int, cat: 'Cat', more: list['Cat'] = []):\n"
        "    return n, cat.name, len(more)\n"
        "@validate_call(validate_return=True)\ndef again(n: int) -> int:\n"
        "    return '0' if n == 0 else again(n - 1) + 1\n"
        "class K:\n    @validate_call\n    def method(self, n: int): return n\n"
    )
    f, again, k = Way().there((main["f"], main["again"], main["K"]()))
    assert f("3", {"name": "x"}, [{}]) == (3, "x", 1)
    assert (again("4"), k.method("5")) == (4, 5)
    with pytest.raises(ValueError, match="n"):
        f("three", {})
