"""Type variables of a notebook, as every Python has them."""

from __future__ import annotations

import operator
import sys
import typing
from typing import Any

import pytest

from tests.unit.wire.sending import sent


def test_variables_of_each_kind_stay_what_they_are(notebook: Any) -> None:
    main = notebook(
        "from typing import *\n"
        "T = TypeVar('T', bound=int)\nC = TypeVar('C', int, str)\n"
        "O = TypeVar('O', covariant=True)\nP = ParamSpec('P')\nTs = TypeVarTuple('Ts')\n"
        "things = [T, C, O, P, Ts, P.args, P.kwargs, Callable[P, T],"
        " Callable[Concatenate[T, P], T], tuple[Unpack[Ts]], T]"
    )
    t, c, o, p, ts, args, kwargs, calls, concatenated, unpacked, again = sent(main["things"])
    assert (t.__bound__, c.__constraints__, o.__covariant__) == (int, (int, str), True)
    assert (t.__infer_variance__ if sys.version_info >= (3, 12) else False) is False
    assert [type(each) for each in (p, ts)] == [typing.ParamSpec, typing.TypeVarTuple]
    assert args.__origin__ is p
    assert kwargs.__origin__ is p
    assert calls.__parameters__ == (p, t)
    assert concatenated.__parameters__ == (t, p)
    assert unpacked.__parameters__ == (ts,)
    assert again is t


def test_a_decorator_that_is_annotated_with_a_param_spec_works(notebook: Any) -> None:
    main = notebook(
        "import functools\nfrom typing import *\nP = ParamSpec('P')\nR = TypeVar('R')\n"
        "def logged(function: Callable[P, R]) -> Callable[P, R]:\n"
        "    @functools.wraps(function)\n"
        "    def inner(*args: P.args, **kwargs: P.kwargs) -> R:\n"
        "        return function(*args, **kwargs)\n"
        "    return inner\n"
        "@logged\ndef f(a: int, b: int) -> int:\n    return a + b\n"
    )
    assert sent(main["f"])(1, 2) == 3
    assert sent(main["logged"])(pow)(2, 3) == 8


def test_a_class_over_a_tuple_of_variables_can_be_subscripted(notebook: Any) -> None:
    main = notebook(
        "from typing import *\nTs = TypeVarTuple('Ts')\n"
        "class Row(Generic[Unpack[Ts]]):\n    def __init__(self, *cells): self.cells = cells\n"
        "def f(): return Row[int, str](1, 'a').cells"
    )
    assert sent(main["f"])() == (1, "a")


def test_variables_of_typing_extensions_work_with_their_defaults(notebook: Any) -> None:
    pytest.importorskip("typing_extensions")
    main = notebook(
        "from typing_extensions import *\nT = TypeVar('T')\nD = TypeVar('D', default=int)\n"
        "V = TypeVar('V', infer_variance=True, bound=int)\nP = ParamSpec('P')\n"
        "Q = ParamSpec('Q', default=[int])\nTs = TypeVarTuple('Ts')\n"
        "B = TypeVar('B', infer_variance=True, bound=int, default=bool)\n"
        "things = [T, D, V, B, P, Q, Ts]\n"
        "class Pair(Generic[T, D]): pass\n"
        "def f(x: T, y: D): return Pair[str].__args__"
    )
    t, d, v, b, p, q, ts = sent(main["things"])
    assert [type(each) for each in (t, p, ts)] == [
        typing.TypeVar,
        typing.ParamSpec,
        typing.TypeVarTuple,
    ]
    assert (d.__default__, q.__default__, b.__default__) == (int, [int], bool)
    assert (v.__bound__, b.__bound__) == (int, int)
    assert sent(main["f"])(1, 2) == main["f"](1, 2)


def test_type_variables_and_new_types_are_one_in_each_process(notebook: Any) -> None:
    main = notebook(
        "import typing\nT = typing.TypeVar('T')\nP = typing.ParamSpec('P')\n"
        "U = typing.NewType('U', int)\n"
        "class Box(typing.Generic[T]): pass\n"
        "def f(t): return (T, P, U), T is t is Box.__parameters__[0], U.__module__\n"
    )
    home = main["T"], main["P"], main["U"]
    assert all(map(operator.is_, sent(home), home))
    f, t = sent((main["f"], main["T"]))
    made, is_one, module = f(t)
    assert (is_one, module) == (True, "__main__")
    assert all(one.__module__ == "__main__" for one in made)
    main["T"] = typing.TypeVar("T", bound=int)  # a later cell's is another one
    assert sent(home[0]) is not main["T"]
