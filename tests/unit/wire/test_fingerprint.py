"""Whether a function is still what it was: every way in which it can become another one."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import pytest

from scattergather.wire.code.fingerprint import Memory, fingerprint

CALLING = "x = 1000\ndef g(): return x\ndef f(): return g()"
BOUND = "def make(x):\n    def f(): return x\n    return f\nf = make(1000)"


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (CALLING, "x = 2000"),
        (CALLING, "del x"),
        (CALLING, "def g(): return 7"),
        (CALLING, "g.__code__ = (lambda: 7).__code__"),
        ("def f(): return x", "x = 1"),
        ("def f(x=1): return x", "f.__defaults__ = (2,)"),
        ("def f(x=1): return x", "f.__defaults__ = None"),
        ("def f(*, x=1): return x", "f.__kwdefaults__['x'] = 2"),
        ("def f(*, x=1, y): return x", "f.__kwdefaults__['y'] = 2"),
        ("def f(*, x=1): return x", "f.__kwdefaults__ = None"),
        ("def f(): return f.x", "f.x = 1"),
        ("def f(): return f.x\nf.x = 1", "f.x = 2"),
        ("def f(): return f.x\nf.x = 1", "f.y = 2"),
        ("def f(): return f.x\nf.x = 1", "del f.x"),
        (BOUND, "f.__closure__[0].cell_contents = 7"),
        (BOUND, "del f.__closure__[0].cell_contents"),
        ("def h(): return 1\npair = (1, h)\ndef f(): return pair", "h.__defaults__ = (1,)"),
    ],
)
def test_a_change_of_anything_that_a_function_reaches_is_noticed(
    notebook: Any, before: str, change: str
) -> None:
    main = notebook(before)
    found = fingerprint(main["f"])
    assert found is not None
    notebook("unrelated = 1")
    assert found.holds()
    notebook(change)
    assert not found.holds()


def test_an_import_is_noticed_because_it_may_bring_a_submodule(
    notebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fingerprint(notebook("import json\ndef f(): return json.made_up.x")["f"])
    assert found is not None
    assert found.holds()
    monkeypatch.setitem(sys.modules, "json.made_up", types.ModuleType("json.made_up"))
    assert not found.holds()


def test_a_function_that_its_module_does_not_show_any_more_is_noticed(
    notebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fingerprint(notebook("from json import dumps\ndef f(): return dumps")["f"])
    assert found is not None
    assert found.holds()
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", json.loads)
        assert not found.holds()
        patch.delattr(json, "dumps")
        assert not found.holds()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "json", types.ModuleType("json"))
        assert not found.holds()
    assert found.holds()


def test_only_what_cannot_change_has_a_fingerprint(notebook: Any) -> None:
    main = notebook(
        "import json\nclass A: pass\nitems = []\nadd = items.append\n"
        "def good(n=(1, 'a')): return json, len, json.dumps, n, missing\n"
        "def by_class(): return A\ndef by_list(): return items\ndef by_method(): return add\n"
        "def by_default(x=[]): return x\ndef by_attribute(): pass\nby_attribute.x = []\n"
        "def make():\n"
        "    def inner(): return later\n"
        "    yield inner\n"
        "    later = 1\n"
        "by_empty_cell = next(make())\n"
        "def loop(): return loop()"
    )
    assert fingerprint(json.dumps) is not None
    assert fingerprint(main["good"]) is not None
    assert fingerprint(main["loop"]) is not None
    for name in ("class", "list", "method", "default", "attribute", "empty_cell"):
        assert fingerprint(main[f"by_{name}"]) is None, name


def test_a_memory_forgets_what_changed_and_the_first_of_too_many(notebook: Any) -> None:
    main = notebook("x = 1000\ndef f(): return x\ndef g(): return 2\ndef h(): return 3")
    memory: Memory[str] = Memory(kept=2)

    def put(name: str) -> None:
        before = fingerprint(main[name])
        assert before is not None
        memory.put(main[name], before, name)

    put("f")
    assert memory.get(main["f"]) == "f"
    notebook("x = 2000")
    assert memory.get(main["f"]) is None
    put("g")
    put("f")
    put("h")
    assert [memory.get(main[name]) for name in "fgh"] == ["f", None, "h"]
