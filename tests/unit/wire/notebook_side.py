"""A script in the role of a notebook: its ``__main__`` exists nowhere else.

It freezes what test_shipping.py lists, sends all of it to a fresh process (worker_side.py), takes
the results home, and prints one JSON object: check -> "ok" or what went wrong.
"""

import abc
import asyncio
import collections
import dataclasses
import enum
import functools
import json
import pickle
import subprocess
import sys
import typing
import xml.dom.minidom

from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values.payload import Packer, loads
from scattergather.wire.values.raised import unpack_exception

FACTOR = 3
COUNT = 0
T = typing.TypeVar("T")


def helper(x):
    return x * FACTOR


def calls_helper(x):
    return helper(x) + 1


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def count_up():
    global COUNT
    COUNT += 1
    return read_count()


def read_count():
    return COUNT


def make_adder(n):
    total = 0

    def add(x):
        nonlocal total
        total += x + n
        return total

    return add


def make_recursive():
    def down(n):
        return 0 if n == 0 else down(n - 1)

    return down


def traced(function):
    @functools.wraps(function)
    def wrapper(*args):
        return "traced", function(*args)

    return wrapper


@traced
def decorated(x):
    return x + FACTOR


@functools.lru_cache(maxsize=5)
def cached(x):
    return x * 2


@functools.singledispatch
def dispatched(x):
    return "other"


@dispatched.register
def _(x: int):
    return "int"


def generator(n):
    yield from range(n)


async def coroutine():
    return 5


def run_coroutine():
    return asyncio.run(coroutine())


def uses_submodule():
    return xml.dom.minidom.parseString("<a/>").documentElement.tagName


def with_class_inside(x):
    class Local:
        value = x

    return Local()


class Base:
    def who(self):
        return "base"


class Sub(Base):
    def who(self):
        return "sub of " + super().who()

    @classmethod
    def make(cls):
        return Sub()

    @property
    def one(self):
        return 1

    @staticmethod
    def kind():
        return Sub


class Left:
    def other(self):
        return Right()


class Right:
    def other(self):
        return Left()


class Registered:
    registry = []  # noqa: RUF012

    def __init_subclass__(cls, *, key):
        Registered.registry.append((key, cls))


class First(Registered, key="first"):
    pass


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    AZURE = 2  # noqa: PIE796

    def label(self):
        return self.name.lower()

    @classmethod
    def _missing_(cls, value):
        return cls.RED


class Planet(enum.Enum):
    EARTH = (5.0, 6.0)

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius


class Mode(enum.IntFlag):
    R = 4
    W = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    tags: tuple = dataclasses.field(default_factory=tuple)


@dataclasses.dataclass
class Node:
    name: str
    children: list["Node"] = dataclasses.field(default_factory=list)


Pair = collections.namedtuple("Pair", "a b", defaults=[7])


class Named(typing.NamedTuple):
    a: int
    b: str = "x"

    def both(self):
        return f"{self.a}{self.b}"


class Movie(typing.TypedDict):
    title: str


class Box(typing.Generic[T]):
    def __init__(self, item: T):
        self.item = item


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    def area(self):
        return 4


class Meta(type):
    def __new__(mcs, name, bases, namespace, *, tag):
        made = super().__new__(mcs, name, bases, namespace)
        made.tag = tag
        return made

    def __init__(cls, name, bases, namespace, *, tag):
        super().__init__(name, bases, namespace)

    def shout(cls):
        return cls.tag.upper()


class WithMeta(metaclass=Meta, tag="t"):
    pass


class Lazy:
    @functools.cached_property
    def value(self):
        return 41


class Odd(Exception):
    def __init__(self, code, *, where):
        super().__init__(f"{code} at {where}")
        self.code = code


class Plain(ValueError):
    pass


class Counter:
    def __init__(self, start):
        self.start = start

    def __call__(self, x):
        return self.start + x

    def method(self, x):
        return self.start * x


class Money:
    currency = "old"

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return type(self) is type(other) and self.n == other.n

    def __hash__(self):
        return hash(self.n)


def raise_odd():
    raise Odd(5, where="here")


def raise_plain():
    error = Plain("bad", 3)
    error.extra = [1]
    error.add_note("noted")
    raise error


def leave():
    raise SystemExit(3)


def lock_result():
    raise Plain(open("/dev/null"))  # noqa: SIM115


shared = [1]
money = Money(1)
node = Node("a")
node.children.append(node)

CHECKS = [
    ("lambda", lambda x: x + FACTOR, (4,), lambda r: r == 7),
    ("closure", make_adder(10), (1,), lambda r: r == 11),
    ("recursive closure", make_recursive(), (5,), lambda r: r == 0),
    ("helper and global", calls_helper, (2,), lambda r: r == 7),
    ("recursive", factorial, (5,), lambda r: r == 120),
    ("mutually recursive", even, (10,), lambda r: r is True),
    ("global statement", count_up, (), lambda r: r == 1),
    ("decorated", decorated, (1,), lambda r: r == ("traced", 4)),
    ("lru_cache", cached, (4,), lambda r: r == 8),
    ("singledispatch", dispatched, (4,), lambda r: r == "int"),
    ("generator function", lambda: list(generator(3)), (), lambda r: r == [0, 1, 2]),
    ("coroutine", run_coroutine, (), lambda r: r == 5),
    ("submodule", uses_submodule, (), lambda r: r == "a"),
    ("local class result", with_class_inside, (9,), lambda r: r.value == 9),
    ("super", lambda: Sub().who(), (), lambda r: r == "sub of base"),
    ("self reference", lambda: Sub.make(), (), lambda r: type(r) is Sub and r.one == 1),
    ("class result", Sub.kind, (), lambda r: r is Sub),
    ("mutual classes", lambda: Left().other().other(), (), lambda r: type(r) is Left),
    ("init_subclass", lambda: Registered.registry, (), lambda r: r == [("first", First)]),
    ("enum", lambda c: (c.label(), c is Color.RED, Color(9)), (Color.RED,),
     lambda r: r[0] == "red" and r[1] and r[2] is Color.RED),
    ("enum alias", lambda: Color.AZURE, (), lambda r: r is Color.BLUE),
    ("enum init", lambda: (Planet.EARTH.mass, Planet.EARTH), (),
     lambda r: r == (5.0, Planet.EARTH)),
    ("flag", lambda m: m | Mode.W, (Mode.R,), lambda r: r is Mode.R | Mode.W),
    ("int enum", lambda m: (m, m + 1), (Level.LOW,), lambda r: r == (Level.LOW, 2)),
    ("dataclass", lambda p: dataclasses.replace(p, x=p.x + 1), (Point(1),),
     lambda r: r == Point(2) and type(r) is Point),
    ("dataclass fields", lambda: [f.name for f in dataclasses.fields(Point)], (),
     lambda r: r == ["x", "y", "tags"]),
    ("cycle", lambda n: n, (node,), lambda r: r.children[0] is r and type(r) is Node),
    ("namedtuple", lambda p: Pair(p.b, p.a), (Pair(1),),
     lambda r: r == (7, 1) and type(r) is Pair),
    ("NamedTuple", lambda p: (p.both(), p), (Named(1),),
     lambda r: r[0] == "1x" and type(r[1]) is Named),
    ("TypedDict", lambda: Movie(title="t"), (), lambda r: r == {"title": "t"}),
    ("generic", lambda: Box[int](3), (), lambda r: type(r) is Box and r.item == 3),
    ("abc", lambda: Square().area(), (), lambda r: r == 4),
    ("metaclass", lambda: (WithMeta.shout(), WithMeta()), (),
     lambda r: r[0] == "T" and type(r[1]) is WithMeta),
    ("cached_property", lambda: Lazy().value, (), lambda r: r == 41),
    ("method", Counter(3).method, (4,), lambda r: r == 12),
    ("partial", functools.partial(helper, 5), (), lambda r: r == 15),
    ("partial method", functools.partial(Counter(2).method, 5), (), lambda r: r == 10),
    ("task object", Counter(3), (4,), lambda r: r == 7),
    ("class as callable", Money, (3,), lambda r: r == Money(3)),
    ("builtin", len, ([1, 2],), lambda r: r == 2),
    ("builtin method", "a-b".split, ("-",), lambda r: r == ["a", "b"]),
    ("importable", json.dumps, ([1],), lambda r: r == "[1]"),
    ("args with class", lambda a, b: (a is b, a), (money, money),
     lambda r: r == (True, Money(1))),
    ("lambda in args", lambda f, x, y: (f(x[0]), x is y), (lambda v: v + FACTOR, shared, shared),
     lambda r: r == (4, True)),
    ("lambda result", lambda: lambda x: x + 1, (), lambda r: r(1) == 2),
    ("module in args", lambda m: m.sqrt(4.0), (__import__("math"),), lambda r: r == 2.0),
    ("by dill", lambda k: sorted(k), ({"b": 1, "a": 2}.keys(),), lambda r: r == ["a", "b"]),
    ("odd init", raise_odd, (),
     lambda e: type(e) is Odd and str(e) == "5 at here" and e.code == 5
     and "raise_odd" in str(e.__cause__) and "worker_side" not in str(e.__cause__)),
    ("plain error", raise_plain, (),
     lambda e: isinstance(e, Plain) and e.args == ("bad", 3) and e.extra == [1]
     and e.__notes__ == ["noted"]),
    ("SystemExit", leave, (), lambda e: type(e).__name__ == "TaskError" and e.text == "3"),
    ("unpicklable error", lock_result, (),
     lambda e: type(e) is Plain and "TextIOWrapper" in str(e) and "_io.Text" in e.__notes__[0]),
]  # fmt: skip


def main():
    problems = {}
    shipment = Shipment(BOOK)
    packer = Packer(shipment)
    calls = []
    for name, function, args, _ in CHECKS:
        try:
            calls.append((name, shipment.freeze(function), *_packed(packer, args)))
        except Exception as error:
            problems[name] = f"sending: {error!r}"
    Money.currency = "new"  # a later cell changes the class: the next job shows it
    later = Shipment(BOOK)
    calls.append(
        (
            "changed class",
            later.freeze(lambda m: (m.currency, m)),
            *_packed(Packer(later), (money,)),
        )
    )
    checks = [(name, check) for name, _, _, check in CHECKS]
    checks.append(("changed class", lambda r: r == ("new", Money(1)) and type(r[1]) is Money))

    codes = [
        (code.digest, code.blob, code.needs)
        for code in [*shipment.code.values(), *later.code.values()]
    ]
    worker = subprocess.run(
        [sys.executable, sys.argv[1]], input=pickle.dumps((codes, calls)), capture_output=True
    )
    if worker.returncode:
        sys.exit(worker.stderr.decode())
    outcomes = pickle.loads(worker.stdout)
    for name, check in checks:
        if name in problems:
            continue
        kind, body = outcomes[name]
        try:
            if kind == "returned":
                value = loads(body, BOOK)
            else:
                value = unpack_exception(body, BOOK)
            problems[name] = (
                "ok" if check(value) else f"{value!r} {getattr(value, '__cause__', '')}"
            )
        except Exception as error:
            problems[name] = f"coming home: {error!r}"
    print(json.dumps(problems))


def _packed(packer, args):
    packer.pack((args, {}))
    _, body, needs = packer.take()
    return body, needs


if __name__ == "__main__":
    main()
