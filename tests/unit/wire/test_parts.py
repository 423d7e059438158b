"""What fills classes comes in an order in which whatever runs finds what it needs."""

from __future__ import annotations

import copyreg
import sys
import threading
import types
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from scattergather.wire.code import rebuild
from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.shipping import Shipment
from tests.unit.wire.sending import sent

ACTING = {
    "keys and items": "class K:\n    table = {}\n    salt = S(3)\n"
    "    def __init__(self, n): self.n = n\n"
    "    def __hash__(self): return hash((self.n, K.salt, more(self.n)))\n"
    "    def __eq__(self, other): return self.n == other.n\n"
    "def more(n): return MORE[0].n + n\nMORE = [S(7)]\n"
    "K.table[K(1)] = 'one'\nK.all = {K(1), K(2)}\nK.both = (K(1), {K(3): frozenset([K(4)])})\n"
    "def f(): return K.table[K(1)], K(2) in K.all, K(4) in K.both[1][K(3)]\n",
    "setstate": "class K:\n    factor = [10]\n    def __init__(self, x): self.x = x\n"
    "    def __getstate__(self): return self.x\n"
    "    def __setstate__(self, x): self.x, self.y = x, U.n * self.factor[0]\n"
    "U = S(2)\nK.one = K(4)\ndef f(): return K.one.x\n",
    "reduce by a classmethod": "class K:\n    def __init__(self, a): self.a = a\n"
    "    def __reduce__(self): return K.build, (self.a,)\n"
    "    @classmethod\n    def build(cls, a): return cls(checked(a))\n"
    "def checked(a): return a * U.n\nU = S(1)\nK.one = K(5)\ndef f(): return K.one.a\n",
    "newargs": "class K:\n"
    "    def __new__(cls, a, *, b):\n        o = super().__new__(cls)\n"
    "        o.a, o.b = a, b\n        return o\n"
    "    def __getnewargs_ex__(self): return (self.a,), {'b': self.b}\n"
    "K.one = K(1, b=2)\ndef f(): return K.one.a, K.one.b\n",
    "bound methods": "class K:\n    table = {}\n"
    "    @classmethod\n    def make(cls): return 'made'\n"
    "    def hidden(self): return self.__hide\n    def __hide(self): return 3\n"
    "    def plain(self): return 4\n"
    "K.table['make'] = K.make\nK.one = K()\nK.hide = K.one.hidden()\nK.bound = K.one.plain\n"
    "K.part = functools.partial(K.make)\n"
    "def f(): return K.table['make'](), K.hide(), K.bound(), K.part()\n",
    "factories of classes that name each other": "class A:\n    @classmethod\n"
    "    def build(cls): return cls()\n    def other(self): return B\n"
    "@dataclasses.dataclass\nclass B:\n"
    "    a: object = dataclasses.field(default_factory=A.build)\n    def back(self): return A\n"
    "A.b = B()\nA.method = A.b.back\n"
    "def f(): return type(B().a) is A, A.method() is A, type(A.b.a) is A\n",
    "frozen data classes with slots": "@dataclasses.dataclass(frozen=True, slots=True)\nclass P:\n"
    "    x: int\n"
    "@dataclasses.dataclass(frozen=True, slots=True)\nclass Q(P):\n    p: P = P(9)\n"
    "    many: frozenset = frozenset({P(1)})\n"
    "def f(): return Q(1).p == P(9), P(1) in Q(1).many, P.__slots__\n",
    "super and closures": "class A:\n    def __hash__(self): return 7\n"
    "    def __eq__(self, other): return type(self) is type(other)\n"
    "class B(A):\n    def __hash__(self): return super().__hash__() + U.n\n"
    "U = S(1)\nA.all = {A(), B()}\nB.all = {B()}\n"
    "def f(): return A() in A.all, B() in A.all, B() in B.all\n",
    "a metaclass with a table": "class M(type):\n    known = {}\n"
    "    def __hash__(cls): return len(cls.__name__)\n"
    "    def __eq__(cls, other): return cls is other\n"
    "    def __call__(cls, *given):\n"
    "        return M.known.setdefault((cls, given), super().__call__(*given))\n"
    "class K(metaclass=M):\n    def __init__(self, *given): self.given = given\n"
    "K(1)\ndef f(): return K(1) is K(1), len(M.known)\n",
    "a class as a key": "class M(type):\n    def __hash__(cls): return hash(cls.__name__)\n"
    "    def __eq__(cls, other): return cls is other\n"
    "class A(metaclass=M): pass\nclass B(A):\n    all = {A}\n    names = {A: 'A'}\n"
    "def f(): return A in B.all, B.names[A]\n",
    "one instance": "class K:\n    one = None\n    def __new__(cls):\n"
    "        if cls.one is None: cls.one = super().__new__(cls)\n        return cls.one\n"
    "class G:\n    def __new__(cls):\n        global only\n"
    "        if only is None: only = object.__new__(cls)\n        return only\n"
    "only = None\nK().n, G().n = 9, 8\n"
    "def f(): return K() is K.one, K().n, G() is only, G().n\n",
    "interned": "class K:\n    known = {}\n    def __init__(self, name): self.name = name\n"
    "    def __reduce__(self): return K.named, (self.name,)\n"
    "    @classmethod\n    def named(cls, name):\n"
    "        if name not in cls.known: cls.known[name] = cls(name)\n"
    "        return cls.known[name]\n"
    "K.order = [K.named('b'), K.named('a')]\nK.first = K.named('a')\n"
    "def f():\n    kept = K.named('a') is K.first is K.order[1]\n"
    "    return kept, [each.name for each in K.order], [*K.known]\n",
    "interned by __new__": "class K:\n    __slots__ = ('n', '__weakref__')\n    known = {}\n"
    "    def __new__(cls, n):\n        if n not in cls.known:\n"
    "            cls.known[n] = made = object.__new__(cls)\n            made.n = n\n"
    "        return cls.known[n]\n"
    "    def __getnewargs__(self): return (self.n,)\n"
    "    def __hash__(self): return hash(self.n)\n"
    "    def __eq__(self, other): return self.n == other.n\n"
    "K.pairs = {K(1): K(2)}\n"
    "def f(): return K.pairs[K(1)] is K(2), [*K.known], [each.n for each in K.pairs]\n",
    "what __new__ makes": "import threading\nclass K:\n    def __new__(cls):\n"
    "        made = super().__new__(cls)\n        made.lock = threading.Lock()\n"
    "        return made\n"
    "    def __getstate__(self): return {'n': self.n}\n"
    "K.one = K()\nK.one.n = 3\ndef f(): return K.one.lock.locked(), K.one.n\n",
    "virtual subclasses": "class A(abc.ABC):\n    @classmethod\n"
    "    def __subclasshook__(cls, other): return NotImplemented if U.n else True\n"
    "class B: pass\nU = S(1)\nA.register(B)\nA.register(int)\n"
    "def f(): return isinstance(B(), A), isinstance(1, A), isinstance('', A)\n",
    "subclasses of containers": "class D(collections.OrderedDict):\n"
    "    def __setitem__(self, key, value): super().__setitem__(U.lower(key), value)\n"
    "class L:\n    def lower(self, key): return key.lower()\n"
    "U = L()\nD.one = D(A=1)\ndef f(): return dict(D.one)\n",
    "generic classes": "T = typing.TypeVar('T')\nclass B(typing.Generic[T]):\n"
    "    def __class_getitem__(cls, item): return seen(super().__class_getitem__(item))\n"
    "def seen(item): return (U.n, item)[1]\nU = S(1)\n"
    "class A(B[int]):\n    other = B[str]\nB.alias = B[bytes]\n"
    "def f(): return A.other.__args__, B.alias.__args__, A.__orig_bases__[0].__args__\n",
    "functools": "class K:\n    w = 4\n    @functools.lru_cache(None)\n"
    "    def cached(self, x): return x + self.w\n"
    "    @functools.singledispatchmethod\n    def one(self, x): return 'any'\n"
    "    @one.register\n    def _(self, x: int): return self.w\n"
    "    part = functools.partialmethod(cached, 5)\n"
    "K.shared = K()\nK.bound = K.shared.cached\nK.single = K.shared.one\n"
    "vars(K)['cached'].note = 'n'\n"
    "K.of_class = classmethod(lambda cls: cls.w)\nvars(K)['of_class'].note = 'c'\n"
    "def f():\n"
    "    notes = K.cached.note, K.cached.__name__, vars(K)['of_class'].note\n"
    "    return K.bound(3), K.single(2), K.shared.part(), K.of_class(), notes\n",
    "structures of ctypes": "import ctypes\nclass A(ctypes.Structure):\n"
    "    _pack_ = 1\n    _fields_ = [('x', ctypes.c_byte), ('y', ctypes.c_double)]\n"
    "    def sum(self): return self.x + self.y\n"
    "class Z(ctypes.Structure): pass\n"
    "Z._fields_ = [('a', A), ('many', A * 3), ('next', ctypes.POINTER(Z))]\n"
    "class B(ctypes.Union):\n    _fields_ = [('z', Z), ('n', ctypes.c_int)]\n"
    "def f():\n    z = Z(A(1, 2.5))\n    z.many[1].x = 4\n    z.next = ctypes.pointer(z)\n"
    "    sizes = ctypes.sizeof(A), ctypes.sizeof(B), A.x.size\n"
    "    return z.a.sum(), z.next.contents.many[1].x, sizes\n",
    "other types of ctypes": "import ctypes\n"
    "class Net(ctypes.BigEndianStructure):\n"
    "    _fields_ = [('n', ctypes.c_int), ('all', ctypes.c_double * 2)]\n"
    "class N(ctypes.c_int):\n    def twice(self): return self.value * 2\n"
    "class T(ctypes.c_int * 2):\n    def sum(self): return sum(self)\n"
    "C = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)\n"
    "E = ctypes.CFUNCTYPE(ctypes.c_int, use_errno=True)\nP = ctypes.PYFUNCTYPE(ctypes.c_int)\n"
    "class S(ctypes.Structure):\n    _fields_ = [('call', C)]\n"
    "def f():\n    net = Net(1)\n    net.all[1] = 2.0\n"
    "    called = S(C(lambda x: x + 1)).call(3), E(lambda: 5)(), P(lambda: 6)(), E._flags_\n"
    "    return bytes(net), N(3).twice(), T(1, 2).sum(), called, Net.n.size\n",
    "methods of what has no name": "import types\nclass K: pass\nclass A:\n"
    "    def __call__(self, x): return x, 1\n"
    "K.call = types.MethodType(A(), 3)\n"
    "K.part = types.MethodType(functools.partial(pow, 2), 3)\n"
    "def f(): return K.call(), K.part()\n",
    "an alias of a slot": "class K:\n    __slots__ = ('x', '__y')\n"
    "    def __init__(self): self.x = self.__y = 3\n    def y(self): return self.__y\n"
    "K.alias = K.x\nK.one = K()\ndef f(): return K.one.alias, K.one.y()\n",
}

BEGIN = (
    "import abc, collections, dataclasses, functools, typing\n"
    "class S:\n    def __init__(self, n): self.n = n\n"
    "    def __setstate__(self, state): self.__dict__.update(state); self.ready()\n"
    "    def ready(self): pass\n"
)


@pytest.mark.parametrize("source", ACTING.values(), ids=ACTING.keys())
def test_what_runs_code_of_a_class_while_it_is_made_finds_it_there(
    notebook: Any, source: str
) -> None:
    main = notebook(BEGIN + source)
    assert sent(main["f"])() == main["f"]()


def test_a_thing_that_forwards_what_it_is_asked_arrives(notebook: Any) -> None:
    main = notebook(
        "import collections, types\n"
        "class P:\n    def __init__(self, inner): self._inner = inner\n"
        "    def __getattr__(self, name): return getattr(self._inner, name)\n"
        "class Q(P):\n    __slots__ = ('more',)\n"
        "class D(dict):\n    def __getattr__(self, name): return self[name]\n"
        "    def __setattr__(self, name, value): self[name] = value\n"
        "class N(types.SimpleNamespace):\n    def __getattr__(self, name): return N(name=name)\n"
        "class M(collections.deque):\n    def __getattr__(self, name): return N(name=name)\n"
        "K = Q([1, 1])\nK.more = 5\nmany = M([N(x=1)], 3)\nmany.y = 2\n"
        "class Home: one = P([2])\n"
        "def f(p, d, many):\n"
        "    assert (many[0].x, many.y, many.maxlen, many.z.name) == (1, 2, 3, 'z')\n"
        "    return p.count(1), p.more, Home.one.count(2), d.x, dict(d), vars(d)\n"
    )
    f, given = sent((main["f"], (main["K"], main["D"](x=3), main["many"])))
    assert f(*given) == (2, 5, 1, 3, {"x": 3}, {})


def test_a_group_has_one_digest_wherever_it_is_entered(notebook: Any) -> None:
    main = notebook(
        "class A:\n    def b(self): return B\nclass B:\n    def c(self): return C\n"
        "class C:\n    def a(self): return A, table\ntable = {}\n"
    )
    digests = set()
    for name in "ABC":
        shipment = Shipment(CodeBook())
        shipment.reduce_class(main[name])
        digests.add(tuple(shipment.code))
    assert len(digests) == 1


def test_what_functions_share_is_there_for_each_of_them(notebook: Any) -> None:
    main = notebook(
        BEGIN + "class Z:\n    def z(self): return U.n, K\n"
        "class K:\n    def __hash__(self): return U.n\nU = S(1)\nK.all = {K()}\n"
        "def f(): return len(K.all), Z().z()[0]\n"
    )
    assert sent((main["Z"], main["f"]))[1]() == (1, 1)


def test_a_method_travels_alike_if_a_library_has_its_own_way_for_methods(
    notebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(copyreg.dispatch_table, types.MethodType, lambda _method: "nowhere")
    main = notebook("class K:\n    @classmethod\n    def make(cls): return 1\nmake = K.make\n")
    assert sent(main["make"])() == 1


def test_many_parts_that_need_each_other_are_no_matter_of_depth(notebook: Any) -> None:
    lines = [f"V{number} = K({number})" for number in range(3000)]
    names = ", ".join(f"V{number}" for number in range(3000))
    main = notebook(
        "class K:\n    def __init__(self, n): self.n = n\n"
        f"    def all(self): return [{names}]\n" + "\n".join(lines)
    )
    assert [each.n for each in sent(main["K"])(0).all()] == list(range(3000))


@pytest.fixture
def library() -> Iterator[types.ModuleType]:
    """A module whose classes do something whenever somebody derives from them."""
    module = types.ModuleType("a_library")
    module.__spec__ = ModuleSpec("a_library", None)  # as if it had a file
    sys.modules["a_library"] = module
    exec(
        "class Plugin:\n    registry = {}\n"
        "    def __init_subclass__(cls, *, key, **more):\n"
        "        super().__init_subclass__(**more)\n"
        "        Plugin.registry[key] = cls\n        cls.key = key\n"
        "class Checked:\n    seen = []\n"
        "    def __init_subclass__(cls, **more):\n"
        "        super().__init_subclass__(**more)\n"
        "        if 'run' not in cls.__dict__: raise TypeError('no run')\n"
        "        Checked.seen.append(cls)\n        cls.checked = 'again'\n        cls.more = 1\n"
        "class Meta(type):\n    def __new__(mcs, name, bases, space, *, table):\n"
        "        made = super().__new__(mcs, name, bases, space)\n        made.table = table\n"
        "        return made\n"
        "    def __init__(cls, name, bases, space, *, table): pass\n"
        "class Model(metaclass=Meta, table=''): pass\n",
        module.__dict__,
    )
    yield module
    del sys.modules["a_library"]


def test_a_class_with_options_for_its_base_in_a_library_arrives(
    notebook: Any, library: Any
) -> None:
    main = notebook(
        "from a_library import *\n"
        "class Mine(Plugin, key='k'):\n    def run(self): return self.key\n"
        "class Sub(Mine, key='s'): pass\nclass Row(Model, table='t'):\n    x = 1\n"
    )
    assert sent(main["Mine"])().run() == "k"
    assert sent(main["Sub"])().run() == "s"
    assert (sent(main["Row"]).table, sent(main["Row"]).x) == ("t", 1)
    assert list(library.Plugin.registry) == ["k", "s"]


def test_a_base_in_a_library_hears_of_a_class_that_has_all_it_has(
    notebook: Any, library: Any
) -> None:
    main = notebook(
        "from a_library import *\nclass Mine(Checked):\n    def run(self): return 1\n"
        "Mine.checked = 'at home'\ndel Mine.more\n"
    )
    made = sent(main["Mine"])
    assert library.Checked.seen == [main["Mine"], made]
    assert made.checked == "at home"
    assert not hasattr(made, "more")


def test_another_thread_derives_with_the_hook_of_its_base_meanwhile(library: Any) -> None:
    def derive() -> None:
        type("Other", (library.Checked,), {"run": None})

    with rebuild._quiet([library.Checked]):
        type("Mine", (library.Checked,), {})
        thread = threading.Thread(target=derive)
        thread.start()
        thread.join()
    assert [kind.__name__ for kind in library.Checked.seen] == ["Other"]
    with pytest.raises(TypeError, match="no run"):
        type("Mine", (library.Checked,), {})


def test_a_metaclass_or_an_object_that_answers_everything_is_not_taken_at_its_word(
    notebook: Any,
) -> None:
    main = notebook(
        "class Loose(type):\n    def __getattr__(cls, name): return lambda *a, **k: None\n"
        "class Q(metaclass=Loose):\n    def __init__(self, n): self.n = n\n"
        "class O:\n    def __getattr__(self, name):\n"
        "        if name.startswith('__'): raise AttributeError(name)\n        return name\n"
        "def f(q, o): return q.n, Q.column(), o.x\n"
    )
    f, q, o = sent((main["f"], main["Q"](1), main["O"]()))
    assert f(q, o) == (1, None, "x")


def test_a_function_of_a_main_module_in_a_package_imports_from_there(notebook: Any) -> None:
    main = notebook(
        "__package__ = 'xml.dom'\n"
        "def f():\n    from .minidom import parseString\n    return parseString('<a/>')\n"
    )
    assert sent(main["f"])().documentElement.tagName == "a"
