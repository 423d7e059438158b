"""The message of CannotPickle leads to the smallest thing that cannot be sent."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest

from scattergather.errors import CannotPickle
from scattergather.wire.values import culprit
from scattergather.wire.values.payload import dumps
from tests.pace import Promise


def find(value: Any, name: str) -> str | None:
    found = culprit._search(value, name, None)
    return None if found is None else f"{found[0]} (a {culprit._type_name(type(found[1]))})"


class Log:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Unstable:
    def __getstate__(self) -> Any:
        raise KeyError("state")


class Refusing:
    __scattergather_refuse__ = "A client stays at home. Call it outside the task."


class RefusingByMethod:
    def __scattergather_refuse__(self) -> str:
        return "Not this one. Use the other."


def test_a_value_that_can_be_sent_has_no_culprit() -> None:
    assert find([1, {"a": (2, len)}, lambda: 1], "value") is None


def test_the_path_goes_through_containers_and_attributes() -> None:
    value = ([1, {"log": Log()}], {})
    assert find(value, "task argument") == "task argument[0][1]['log'] -> .lock (a _thread.lock)"


def test_the_path_goes_through_slots_closures_and_defaults() -> None:
    lock = threading.Lock()
    inner = Slotted(lock)

    def outer() -> Any:
        return inner

    def outermost(default: Any = outer) -> Any:
        return default

    assert find(outermost, "f") == "f -> default 0 -> closure 'inner' -> .inner (a _thread.lock)"


def test_the_message_says_what_where_which_type_and_the_cure() -> None:
    with pytest.raises(CannotPickle) as caught:
        dumps({"log": Log()}, name="task argument")
    assert caught.value.path == "task argument['log'] -> .lock (a _thread.lock)"
    assert re.fullmatch(
        r"Cannot send task argument\['log'\] -> \.lock \(a _thread\.lock\): .*\. "
        r"Make it inside the task, of something that can travel, such as a path or plain data\.",
        str(caught.value),
    )


def test_the_cure_fits_what_code_brings_along_and_what_raises_when_it_is_taken_apart() -> None:
    lock = threading.Lock()
    with pytest.raises(CannotPickle, match=r"Pass what it needs as an argument, or make it"):
        dumps([lambda: lock], name="task argument")
    with pytest.raises(CannotPickle, match=r"Unstable: KeyError: 'state'\. Mend how it is"):
        dumps([Unstable()], name="task argument")


def test_what_is_nested_too_deeply_is_named_as_far_as_it_is_not_the_same_step() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CannotPickle) as caught:
        dumps((1, {"a": [value, 2]}), name="task argument")
    assert "Cannot send task argument[1]['a']: it is nested too deeply" in str(caught.value)
    assert caught.value.path == "task argument[1]['a']"


@pytest.mark.parametrize("thing", [Refusing(), RefusingByMethod()])
def test_a_thing_can_say_why_it_refuses(thing: Any) -> None:
    with pytest.raises(CannotPickle) as caught:
        dumps(lambda: [thing], name="function 'f'")
    message = str(caught.value)
    assert "closure 'thing'" in message
    assert "stays at home" in message or "Use the other" in message
    assert "Pass what it needs" not in message


def test_open_files_and_generators_are_refused(tmp_path: Any) -> None:
    with open(tmp_path / "f", "w") as file, pytest.raises(CannotPickle, match="open file"):
        dumps([file])
    with pytest.raises(CannotPickle, match=r"value\[0\] \(a generator\)"):
        dumps([iter(x for x in "ab")])


def test_a_cycle_ends() -> None:
    value: list[Any] = [Log()]
    value.append(value)
    assert find(value, "v") == "v[0] -> .lock (a _thread.lock)"


BESIDE = (
    "import abc, collections, dataclasses, enum, functools, threading, types, typing\n"
    "lock = threading.Lock()\n"
    "@dataclasses.dataclass\nclass D:\n    x: int = 1\n    y: object = None\n"
    "@dataclasses.dataclass(slots=True)\nclass DS:\n    x: object\n"
    "@dataclasses.dataclass(frozen=True)\nclass DF:\n    x: object\n"
    "class N(typing.NamedTuple):\n    x: object\n"
    "class E(enum.Enum):\n    A = 1\n"
    "class P(abc.ABC):\n    @functools.cached_property\n    def c(self): return 1\n"
    "    @functools.singledispatchmethod\n    def d(self, x): pass\n"
    "T = typing.TypeVar('T')\nclass G(typing.Generic[T]): pass\n"
    "class TD(typing.TypedDict): a: int\n"
    "class S:\n    __slots__ = ('inner', '__dict__')\n"
    "    def __init__(self, inner): self.inner = inner\n"
    "class Kept:\n    def __init__(self, good, bad): self.good, self.bad = good, bad\n"
    "    def __getstate__(self): return {'bad': self.bad}\n"
    "class Reduced:\n    def __init__(self, bad): self.bad, self.other = bad, lock\n"
    "    def __reduce__(self): return Reduced, (self.bad,)\n"
    "class L(list): pass\nclass X(Exception): pass\n"
    "def closed(x): return lambda: x\n"
    "def defaults(a, b=lock, *, c=1): pass\n"
    "def keyword(a, *, c=lock): pass\n"
    "class Attr:\n    made = D()\n    table = {'a': [1, lock]}\n"
    "class Deep:\n    class In:\n        x = lock\n"
    "class Meta(type): x = lock\nclass HasMeta(metaclass=Meta): pass\n"
    "class Based(Attr): pass\n"
    "class LE(enum.Enum):\n    A = 1\n    B = lock\n"
    "class Method:\n    def m(self, x=lock): pass\n"
    "class Prop:\n    @property\n    def p(self): return lock\n"
    "error = X('a', lock)\nattributed = X()\nattributed.lock = lock\n"
    "cell = D(y=D(y={}))\ncell.y.y['me'] = cell\ncell.y.y['l'] = lock\n"
)
GRAPHS = {
    "[D(), DS(1), DF(1), N(1), E.A, P(), G(), TD(a=1), D, G[int], lock]": "[10]",
    "[{1: 2}.keys(), types.MappingProxyType({}), lock]": "[2]",
    "D(1, [DF({'k': (1, lock)})])": " -> .y[0] -> .x['k'][1]",
    "DS(lock)": " -> .x",
    "N(lock)": "[0]",
    "S(S(lock))": " -> .inner -> .inner",
    "{DF(1): 2, lock: 1}": f" -> key {threading.Lock()!r}"[:30],
    "collections.deque([1, [lock]])": "[1][0]",
    "collections.OrderedDict(a=1, b=lock)": "['b']",
    "collections.defaultdict(lambda: lock)": " -> part -> global 'lock'",
    "L([1, lock])": "[1]",
    "{1, lock}": " -> item",
    "functools.partial(pow, 1, x=[lock])": " -> .keywords['x'][0]",
    "closed(closed([lock]))": " -> closure 'x' -> closure 'x'[0]",
    "defaults": " -> default 0",
    "keyword": " -> default 'c'",
    "Attr": " -> .table['a'][1]",
    "Attr()": " -> class 'Attr' -> .table['a'][1]",
    "Based()": " -> class 'Based' -> base 'Attr' -> .table['a'][1]",
    "Deep()": " -> class 'Deep' -> .In -> .x",
    "HasMeta": " -> metaclass -> .x",
    "LE": " -> .B.value",
    "[E.A, LE.A]": "[1] -> class 'LE' -> .B.value",
    "Method().m": " -> self -> class 'Method' -> .m -> default 0",
    "Prop()": " -> class 'Prop' -> .p -> getter -> global 'lock'",
    "error": " -> .args[1]",
    "attributed": " -> .lock",
    "Kept(lock, [lock])": " -> .bad[0]",
    "Reduced({'x': lock})": " -> part['x']",
    "cell": " -> .y -> .y['l']",
    "[[[[[[[[[[lock]]]]]]]]]]": "[0][0][0][0][0][0][0][0][0][0]",
    "[*range(500_000), [lock]]": "[500000][0]",
    "dict.fromkeys(range(10_000)) | {'z': lock}": "['z']",
    "[[D(i)] for i in range(300)] + [lock]": "[300]",
}


@pytest.mark.parametrize("source", GRAPHS, ids=GRAPHS.keys())
def test_the_lock_is_named_with_its_path_whatever_is_beside_it(notebook: Any, source: str) -> None:
    main = notebook(BESIDE + f"value = {source}\n")
    with pytest.raises(CannotPickle) as caught:
        dumps(main["value"], name="it")
    assert "lock means nothing in another process" in str(caught.value)
    assert caught.value.path.startswith("it" + GRAPHS[source])
    assert caught.value.path.endswith(" (a _thread.lock)")


def test_a_proxy_that_says_that_it_is_a_list_is_named_for_what_it_is(notebook: Any) -> None:
    main = notebook(
        "class Proxy:\n    @property\n    def __class__(self): return list\nproxy = Proxy()\n"
    )
    with pytest.raises(CannotPickle, match=r"it\[0\] \(a Proxy\)"):
        dumps([main["proxy"]], name="it")


def test_the_search_is_bounded_in_time() -> None:
    value = [[[number] for number in range(300)] for _ in range(300)]
    value[-1].append([threading.Lock()])  # type: ignore[list-item]
    promise = Promise(3)
    assert find(value, "v") is not None
    assert not promise.broken()


def test_what_is_nested_too_deeply_is_looked_for_no_longer_than_anything_else(monkeypatch):
    probed = []

    class Slow:
        def __reduce__(self):
            probed.append(1)
            time.sleep(0.002)
            return str, ()

    deep = []
    for _ in range(100_000):
        deep = [deep]
    monkeypatch.setattr(culprit, "MOST_SECONDS", 0.005)
    error = culprit.too_deep([*(Slow() for _ in range(300)), deep], "it")
    assert len(probed) < 50
    assert str(error).startswith("Cannot send it: it is nested too deeply")
