"""Scenario 13: exceptions that are hard to send, between hosts, and links that do not mind.

What becomes of each sort is tested in ``test_bad_input``; here they cross a link together.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from scattergather.errors import TaskError
from tests.conftest import calls
from tests.system.faults.ledger import once_each
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Needs(Exception):
    def __init__(self, one: int, *, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Holds(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Base(BaseException):
    pass


KINDS = {
    "locked": (lambda: Holds("it holds a lock"), Holds, "it holds a lock"),
    "locked and long": (lambda: Holds("x" * 10_000_000), Holds, "bytes cut here]"),
    "long": (lambda: ValueError("x" * 10_000_000), ValueError, "bytes cut here]"),
    "needs more": (lambda: Needs(1, two=2), Needs, "1 and 2"),
    "mute": (Mute, Mute, ""),
    "surrogate": (lambda: ValueError("lone \udc80"), ValueError, "lone \udc80"),
    "deep": (lambda: ValueError(nested(5000)), TaskError, "ValueError"),
    "base": (lambda: Base("odd"), TaskError, "odd"),
    "interrupt": (KeyboardInterrupt, TaskError, "KeyboardInterrupt"),
    "cancelled": (asyncio.CancelledError, TaskError, "CancelledError"),
    "generator": (GeneratorExit, TaskError, "GeneratorExit"),
    "group": (lambda: ExceptionGroup("several", [ValueError("one"), Mute()]), Exception, ""),
    "not here": (lambda: missing_class(), TaskError, "no way"),
}


@as_in_a_notebook
def nested(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@as_in_a_notebook
def missing_class() -> BaseException:
    import sys  # noqa: PLC0415
    import types  # noqa: PLC0415
    from importlib.machinery import ModuleSpec  # noqa: PLC0415

    module = sys.modules["only_there"] = types.ModuleType("only_there")
    module.__spec__ = ModuleSpec("only_there", None)  # as if a file had it
    exec("class Strange(Exception): pass", vars(module))
    return module.Strange("no way")  # type: ignore[attr-defined, no-any-return]


@pytest.mark.pythons
def test_every_sort_arrives_as_an_exception_and_the_link_stays(spawn, start, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the daemon's workers find this module's classes
    daemon = start("--directory", str(tmp_path / "pool"), "--workers", "2")
    c = spawn(daemon.furl().text)
    c.waitForResult()
    makers = {name: as_in_a_notebook(make) for name, (make, _, _) in KINDS.items()}

    @as_in_a_notebook
    def fails(name: str) -> None:
        raise makers[name]()

    job = c.addJob(calls(*KINDS), fails)
    for error, (name, (_, kind, text)) in zip(once_each(job), KINDS.items(), strict=True):
        assert isinstance(error, kind), (name, error)
        if isinstance(error, TaskError):
            assert error.type_name, name
            assert len(error.text.encode()) <= 64 << 10, name
        elif name != "mute":
            assert len(str(error)) <= 64 << 10, name
        trace = str(error.__cause__)
        assert "in fails" in trace, name
        assert len(trace.encode()) <= 65 << 10, name
        if name != "mute":
            assert text in str(error), name
    assert c.addJob(calls(*range(100)), abs).results() == list(range(100))
    assert c.command("status").hosts[0].state == "up"
    assert daemon.end() == 0
    assert "lost" not in daemon.errors
