"""What says that it is a name of the notebook, and what derives from what Python keeps in C."""

from __future__ import annotations

import gc
import sys
import types
from typing import Any

import pytest

from scattergather.wire.code import origin
from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values import named
from scattergather.wire.values.payload import dumps, loads
from tests.unit.wire import sending
from tests.unit.wire.sending import sent

SENTINELS = (
    "class Plain:\n    def __reduce__(self): return 'PLAIN'\n"
    "    def __bool__(self): return False\nPLAIN = Plain()\n"
    "class Slotted:\n    __slots__ = ('x',)\n    def __init__(self, x): self.x = x\n"
    "    def __reduce_ex__(self, protocol): return self.x\n"
    "A = Slotted('A')\nB = Slotted('B')\n"
    "class Full:\n    def __init__(self): self.more = [1]\n"
    "    def __reduce__(self): return 'NS.full'\n"
    "class NS: full = Full()\n"
    "class Word(str):\n    def __reduce__(self): return 'WORD'\nWORD = Word('w')\n"
    "class Other:\n    default = PLAIN\n    table = {A: 'a'}\n"
    "def f(x=PLAIN, y=A): return (x is PLAIN, y is A, y is B, NS.full.more, WORD + '!',\n"
    "    Other.default is PLAIN, Other.table[A])\n"
    "def is_it(x): return [x is each for each in (PLAIN, A, B, NS.full, WORD)]\n"
    "alls = [PLAIN, A, B, NS.full, WORD]\n"
)


class Elsewhere:
    """A notebook's side and a worker's, with another ``__main__`` there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.here, self.there = CodeBook(), CodeBook()
        self.shipment = Shipment(self.here)

    def brought(self, value: Any) -> Any:
        body = dumps(value, self.shipment)
        for code in self.shipment.code.values():
            self.there.add(code)
        with self._monkeypatch.context() as patch:
            patch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
            return loads(body, self.there)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    return Elsewhere(monkeypatch)


def test_a_sentinel_is_one_in_each_process_and_itself_at_home(
    notebook: Any, elsewhere: Elsewhere
) -> None:
    main = notebook(SENTINELS)
    f, is_it = elsewhere.brought((main["f"], main["is_it"]))
    assert f() == main["f"]()
    for place, sentinel in enumerate(main["alls"]):
        came = elsewhere.brought(sentinel)
        assert came is not sentinel
        assert is_it(came) == [place == each for each in range(5)]
        assert loads(dumps(came, elsewhere.there), elsewhere.here) is sentinel


def test_a_sentinel_keeps_the_attributes_that_it_has_there(
    notebook: Any, elsewhere: Elsewhere
) -> None:
    main = notebook(SENTINELS)
    came = elsewhere.brought(main["NS"].full)
    came.more.append(2)
    assert elsewhere.brought([main["NS"].full])[0].more == [1, 2]


def test_sentinels_that_nobody_holds_are_gone(notebook: Any, elsewhere: Elsewhere) -> None:
    elsewhere.brought(notebook(SENTINELS)["PLAIN"])
    gc.collect()
    assert all(name != "PLAIN" for _, name in named._KNOWN._alive)


def test_what_says_itself_how_it_is_pickled_is_asked_once_for_each(notebook: Any) -> None:
    main = notebook(
        "import copyreg\nclass K:\n    def __init__(self, n): self.n = n\n"
        "    def __reduce__(self): return K, (self.n + 1,)\n"
        "class C(K): pass\ncopyreg.pickle(C, lambda c: (C, (c.n + 10,)))\n"
    )
    assert [each.n for each in sent([main["K"](1), main["K"](2), main["C"](3)])] == [2, 3, 13]


def test_an_alias_that_a_library_makes_for_the_notebook_arrives(notebook: Any) -> None:
    pytest.importorskip("typing_extensions")
    main = notebook(
        "from typing_extensions import TypeAliasType\nX = TypeAliasType('X', list[int])\n"
        "def f(x: X = None) -> X: return X.__value__\n"
    )
    assert sent(main["f"])() == list[int]


def test_a_sentinel_of_a_module_without_a_file_is_one_in_each_process_too(
    notebook: Any, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("filled_in_memory")
    monkeypatch.setitem(sys.modules, "filled_in_memory", module)
    exec("class K:\n    def __reduce__(self): return 'ONE'\nONE = K()\n", vars(module))
    monkeypatch.setattr(module, "__file__", None, raising=False)
    one = module.ONE
    with monkeypatch.context() as patch:
        body = dumps([one, one], elsewhere.shipment)
        for code in elsewhere.shipment.code.values():
            elsewhere.there.add(code)
        patch.delitem(sys.modules, "filled_in_memory")
        first, second = loads(body, elsewhere.there)
    assert first is second is not one
    assert loads(dumps(first, elsewhere.there), elsewhere.here) is one


DERIVED = (
    "import abc, functools, types\n"
    "class Tagged(property):\n    def __init__(self, f, tag='t'):\n"
    "        super().__init__(f)\n        self.tag = tag\n"
    "    def __get__(self, thing, owner=None):\n"
    "        return self if thing is None else (self.tag, super().__get__(thing, owner))\n"
    "class Noted(classmethod):\n    def __init__(self, f, note=None):\n"
    "        super().__init__(f)\n        self.note = note\n"
    "class Static(staticmethod): pass\n"
    "class Lazy(functools.cached_property):\n    def __init__(self, f):\n"
    "        super().__init__(f)\n        self.more = 'm'\n"
    "class K:\n    v = 8\n    @Tagged\n    def a(self): return self.v\n"
    "    b = Tagged(lambda self: 9, 'q')\n"
    "    c = Noted(lambda cls: cls.v, note=[1])\n"
    "    @Static\n    def d(): return 4\n"
    "    @Lazy\n    def e(self): return 6\n"
    "    @abc.abstractproperty\n    def f(self): return 7\n"
    "def f():\n    k = K()\n"
    "    return (k.a, k.b, k.c(), vars(K)['c'].note, k.d(), k.e, k.e, vars(K)['e'].more, k.f,\n"
    "            type(K.a).__name__, K.a.__doc__)\n"
    "class Loud(types.ModuleType):\n    def __getattr__(self, name):\n"
    "        if name.startswith('__'): raise AttributeError(name)\n        return name.upper()\n"
    "module = Loud('loud')\nmodule.x = 5\n"
)


def test_what_derives_from_property_and_its_like_arrives_with_its_attributes(notebook: Any) -> None:
    main = notebook(DERIVED)
    assert sent(main["f"])() == main["f"]()


def test_a_module_of_a_type_of_its_own_goes_by_name_if_it_is_imported_else_whole(
    notebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = notebook(DERIVED)["module"]
    came = sent(module)
    assert (came.x, came.y, came.__name__, came is module) == (5, "Y", "loud", False)
    monkeypatch.setitem(sys.modules, "loud", module)
    assert sent(module) is module


def test_weak_collections_hold_what_came_with_them(notebook: Any) -> None:
    main = notebook(
        "import weakref\nclass K:\n    all = weakref.WeakSet()\n"
        "    named = weakref.WeakValueDictionary()\n"
        "    def __init__(self): K.all.add(self); K.named['k'] = self\n"
        "k = K()\nboth = [k, weakref.WeakSet([k]), weakref.WeakValueDictionary(a=k)]\n"
    )
    k, some, by_name = sent(main["both"])
    assert list(some) == [k]
    assert by_name["a"] is k
    assert list(type(k).all) in ([], [k])


def test_what_imports_from_a_place_is_never_itself_imported_from_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An editable installation has no entry in ``sys.path``: a finder leads to its folder."""
    monkeypatch.setattr(origin, "_path", frozenset({"/usr/lib/python3"}))
    monkeypatch.setattr(origin, "_looked_at", {})
    assert origin.whereabouts(sending.__name__) is not None  # imported from a place
    value = (sent, origin.whereabouts)
    assert loads(dumps(value)) == value
