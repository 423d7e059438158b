"""Enumerations of a notebook are made again from what they are, whatever made them."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values.payload import dumps, loads
from tests.unit.wire.sending import sent

BEGIN = "import dataclasses, datetime, decimal, enum, math, pathlib\nfrom enum import *\n"


def there_and_here(main: dict[str, Any], name: str = "f") -> tuple[Any, Any]:
    return sent(main[name])(), main[name]()


def shown(kind: Any) -> list[Any]:
    return [
        (name, member._name_, repr(member._value_), sorted(vars(member)), member._sort_order_)
        for name, member in kind.__members__.items()
    ]


MIXED = {
    "data class": "@dataclasses.dataclass(frozen=True)\nclass D:\n    x: str\n    y: int\n"
    "class E(D, Enum):\n    A = 'a', 1\n    B = 'b', 2\ndef look(e): return e.x, e.y\n",
    "slots": "class D:\n    __slots__ = ('q',)\n    def __init__(self, q): self.q = q\n"
    "class E(D, Enum):\n    A = 3\ndef look(e): return e.q\n",
    "timedelta": "class E(datetime.timedelta, Enum):\n    DAY = 1, 0\n    WEEK = 7, 0\n"
    "def look(e): return e.days, e + datetime.timedelta(1), E(datetime.timedelta(7))._name_\n",
    "datetime": "class E(datetime.datetime, Enum):\n    A = 1970, 1, 2\n"
    "def look(e): return e.day, e.month\n",
    "decimal": "class E(decimal.Decimal, Enum):\n    A = '1.10'\ndef look(e): return e + 1\n",
    "path": "class E(pathlib.PurePosixPath, Enum):\n    A = '/home/x'\n"
    "def look(e): return e.parts\n",
    "tuple": "class E(tuple, Enum):\n    A = 1, 2\n    B = (3,)\ndef look(e): return e + (4,)\n",
    "frozenset": "class E(frozenset, Enum):\n    A = [1, 2]\ndef look(e): return sorted(e)\n",
    "list": "class E(list, Enum):\n    A = [1, 2]\ndef look(e): return e[1], len(e)\n",
    "float whose value differs": "class E(float, Enum):\n"
    "    def __new__(cls, v, unit):\n        o = float.__new__(cls, v * 1000)\n"
    "        o._value_, o.unit = v, unit\n        return o\n"
    "    KM = 2.0, 'km'\ndef look(e): return e + 1.0, e.value, e.unit, E(2.0) is e\n",
    "bytes": "class E(bytes, Enum):\n    def __new__(cls, v, label):\n"
    "        o = bytes.__new__(cls, [v])\n        o._value_, o.label = v, label\n        return o\n"
    "    def __repr__(self): return 'by'\n"
    "    A = 65, 'ex'\ndef look(e): return e + b'y', e.label, E(65) is e\n",
    "complex": "class E(complex, Enum):\n    I = 0, 1\ndef look(e): return e * 2\n",
    "int by a base": "class Base(int, Enum):\n    def up(self): return self + 1\n"
    "class E(Base):\n    A = 3\ndef look(e): return e.up()\n",
}


@pytest.mark.parametrize("source", MIXED.values(), ids=MIXED.keys())
def test_a_member_is_what_it_was_by_the_type_that_is_mixed_in(notebook: Any, source: str) -> None:
    main = notebook(
        BEGIN + source + "def f(): return E, [(e is E[e._name_], look(e)) for e in E]\n"
    )
    (kind, there), (_, here) = there_and_here(main)
    assert there == here
    assert shown(kind) == shown(main["E"])


VALUES = {
    "not equal to itself": "class E(Enum):\n    X = math.nan\n    Y = 1\n",
    "not hashable": "class E(Enum):\n    A = [1]\n    B = {'x': 1}\n    C = A\n",
    "functions": "class E(Enum):\n    A = member(lambda: 1)\n    B = member(max)\n",
    "objects without a text": "class E(Enum):\n    A = object()\n    B = object()\n",
    "of the notebook": "class V:\n    def __init__(self, x): self.x = x\n"
    "    def __hash__(self): return len(self.x)\n    def __repr__(self): return self.x\n"
    "    def __eq__(self, other): return self.x == other.x\n"
    "class E(Enum):\n    A = V('a')\n    B = frozenset([V('b'), V('cc')])\n    ALIAS = V('a')\n",
    "by the user's rule": "class E(Enum):\n"
    "    def _generate_next_value_(name, start, count, last): return name * 2\n"
    "    AB = auto()\n    C = auto()\n",
    "through init": "class E(Enum):\n    def __init__(self, a, b): self.a, self.b = a, b\n"
    "    X = 1, 2\n    Y = 3, 4\n",
    "names of attributes of enum": "class E(Enum):\n    name = 1\n    value = 2\n",
    "ordered and with things left out": "class E(Enum):\n    _order_ = 'B A'\n"
    "    _ignore_ = ['t']\n    B = 2\n    A = 1\n    t = 3\n",
    "of classes": "class E(Enum):\n    A = member(int)\n    B = nonmember(3)\n"
    "    @nonmember\n    class In: pass\n",
    "by name of their own will": "class E(Enum):\n    A = object()\n"
    "    __reduce_ex__ = pickle_by_enum_name\n",
}  # fmt: skip


@pytest.mark.parametrize("source", VALUES.values(), ids=VALUES.keys())
def test_members_arrive_as_themselves_whatever_their_values(notebook: Any, source: str) -> None:
    main = notebook(
        BEGIN + source + "def f(*given): return E, [each is E[each._name_] for each in given]\n"
    )
    kind, _ = sent(main["f"])()
    assert [each[:2] for each in shown(kind)] == [each[:2] for each in shown(main["E"])]
    assert [each[3:] for each in shown(kind)] == [each[3:] for each in shown(main["E"])]
    f, members = sent((main["f"], list(main["E"])))
    assert all(f(*members)[1])


def test_a_flag_keeps_its_boundary_and_its_combinations(notebook: Any) -> None:
    main = notebook(
        BEGIN + "class K(Flag, boundary=KEEP):\n    R = 4\n    W = 2\n"
        "class S(IntFlag, boundary=STRICT):\n    A = 1\n"
        "class J(IntFlag, boundary=EJECT):\n    A = 1\n"
        "class L(Flag):\n    def __new__(cls, v, label):\n        o = object.__new__(cls)\n"
        "        o._value_, o.label = v, label\n        return o\n"
        "    B = 2, 'b'\n    A = 1, 'a'\n"
        "K.BOTH = K.R | K.W\nTABLE = {K.R | K.W: 'both', L.A: 'a'}\n"
        "def f():\n"
        "    try: refused = S(8)\n"
        "    except ValueError: refused = True\n"
        "    return (K(12).value, refused, type(J(9)), [m.name for m in L], L.B.label,\n"
        "            K.BOTH is K.R | K.W, TABLE[K.R | K.W], TABLE[L.A], (~K.R).value)\n"
    )
    there, here = there_and_here(main)
    assert there == here
    assert sent(main["K"].R | main["K"].W)._value_ == 6


def test_more_values_of_one_member_and_members_found_by_missing_work(notebook: Any) -> None:
    main = notebook(
        BEGIN + "class E(Enum):\n    def __new__(cls, value, *more):\n"
        "        o = object.__new__(cls)\n        o._value_ = value\n"
        "        for each in more: cls._value2member_map_[each] = o\n        return o\n"
        "    ONE = 1, 'one'\n    TWO = 2, 'two'\n"
        "    @classmethod\n    def _missing_(cls, value): return cls.ONE\n"
        "def f(): return E('two').name, E(9).name, [e.name for e in E], E.TWO.value\n"
    )
    there, here = there_and_here(main)
    assert there == here


def test_what_the_user_wrote_on_an_enumeration_stays_as_it_is(notebook: Any) -> None:
    main = notebook(
        BEGIN + "class Meta(EnumMeta):\n"
        "    def __getitem__(cls, name): return super().__getitem__(name.upper())\n"
        "class E(str, Enum, metaclass=Meta):\n    A = 'a'\n"
        "    def __str__(self): return 'S'\n    def __format__(self, how): return 'F'\n"
        "    def __repr__(self): return 'R'\n"
        "    def __setattr__(self, name, value):\n"
        "        if name == 'x': raise AttributeError('no')\n"
        "        super().__setattr__(name, value)\n"
        "class H(Enum):\n    A = 1\n    B = 2\n"
        "    def __hash__(self): return self.value\n"
        "    def __eq__(self, other): return self.value == other.value\n"
        "H.TABLE = {H.A: 'a', E.A: 'e'}\nH.SET = {H.B}\n"
        "def f():\n"
        "    try: E.A.x = 1\n"
        "    except AttributeError as error: said = str(error)\n"
        "    return (str(E.A), f'{E.A}', repr(E.A), E['a'] is E.A, said, H.TABLE[H.A],\n"
        "            H.TABLE[E.A], H.B in H.SET, E._use_args_, E._member_type_)\n"
    )
    there, here = there_and_here(main)
    assert there == here


def test_no_hook_of_a_base_runs_when_members_are_entered(notebook: Any) -> None:
    main = notebook(
        BEGIN + "class Hooked:\n    seen = []\n"
        "    def __init_subclass__(cls, **options): Hooked.seen.append(cls.__name__)\n"
        "class E(Hooked, Enum):\n    A = 1\ndef f(): return Hooked.seen, E.A.value\n"
    )
    assert sent(main["f"])() == (["E"], 1)


def test_a_member_that_the_notebook_has_no_longer_is_named(notebook: Any) -> None:
    book = CodeBook()
    body = dumps(notebook(BEGIN + "class E(Enum):\n    A = 1\n")["E"].A, Shipment(book))
    notebook("class E(Enum):\n    B = 1\n")
    with pytest.raises(LookupError, match="E has no member 'A' here: it was changed meanwhile"):
        loads(body, book)


def test_members_of_an_enumeration_that_is_importable_go_in_their_own_way() -> None:
    assert sent(enum.FlagBoundary.KEEP) is enum.KEEP
