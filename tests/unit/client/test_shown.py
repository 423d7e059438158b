"""What a notebook shows of an error: the user's frames and one sentence, not how we got there."""

from __future__ import annotations

import re
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.ultratb import AutoFormattedTB

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.unit.client.work import inverse

OURS = (
    "picklers.py", "by_dill.py", "_dill.py", "pickle.py", "feeding.py", "iterating.py",
    "executor.py", "freezing.py", "futures.py", "process.py", "_base.py", "socket.py",
)  # fmt: skip


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], str]:
    """What IPython shows of what a call raises."""
    form = AutoFormattedTB(mode="Context", theme_name="nocolor")
    shell = SimpleNamespace(InteractiveTB=form)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))

    def show(cell: Callable[[], Any]) -> str:
        try:
            cell()
        except BaseException as error:
            before = error.__traceback__, error.__cause__, error.__context__
            render = getattr(error, "_render_traceback_", None) or partial(
                form.structured_traceback, type(error), error, error.__traceback__
            )
            text = "\n".join(render())
            same = before == (error.__traceback__, error.__cause__, error.__context__)
            return text if same else "what is shown was changed"
        pytest.fail("it raised nothing")

    return show


class Stateless:
    def __getstate__(self) -> Any:
        raise OSError("my own state")


class Chained:
    def __reduce__(self) -> Any:
        try:
            return {}["key"]
        except KeyError as error:
            raise ValueError("my own reduce") from error


def broken() -> Iterator[Any]:
    yield (1,), {}
    raise ValueError("my own generator")


@pytest.mark.parametrize(
    "thing", [sqlite3.connect(":memory:"), memoryview(b"abc"), sys._getframe(), socket.socket()],
    ids=["connection", "memoryview", "frame", "socket"],
)  # fmt: skip
@pytest.mark.parametrize("way", ["submit", "addJob", "generator", "put"])
def test_what_cannot_travel_is_told_in_the_cell_and_one_sentence(
    c: ScatterGather, shown: Any, thing: Any, way: str
) -> None:
    ways: dict[str, Callable[[], Any]] = {
        "submit": lambda: c.submit(len, thing),
        "addJob": lambda: c.addJob([((thing,), {})], len),
        "generator": lambda: list(c.addJob((((each,), {}) for each in [thing]), len)),
        "put": lambda: c.put(thing),
    }
    text = shown(ways[way])
    assert not [name for name in OURS if name in text], text
    assert "Cannot send" in text
    assert "inside the task" in text
    assert "Pass what it needs as an argument" not in text


@pytest.mark.parametrize("thing", [Stateless(), Chained()])
def test_of_the_cause_the_users_own_frames_are_shown_once(
    c: ScatterGather, shown: Any, thing: Any
) -> None:
    text = shown(lambda: c.submit(len, [thing]))
    assert not [name for name in OURS if name in text], text
    assert len(re.findall("(?m)^(OS|Value)Error: my own", text)) == 1, text
    assert f"args[0][0] (a {type(thing).__module__}.{type(thing).__qualname__})" in text
    assert "Mend how it is pickled" in text
    if isinstance(thing, Chained):
        assert "KeyError: 'key'" in text


def test_a_generator_that_raises_is_shown_with_its_own_frames(c: ScatterGather, shown: Any) -> None:
    for cell in (
        lambda: c.addJob(broken(), abs).results(),
        lambda: list(c.addJob(broken(), abs)),
        lambda: list(c.map(abs, (args[0] for args, _ in broken()), buffersize=1)),
    ):
        text = shown(cell)
        assert "raise ValueError" in text
        assert not [name for name in OURS if name in text], text


def test_a_log_that_cannot_be_written_is_one_sentence(shown: Any) -> None:
    text = shown(lambda: spawnScatterGather(logFile="/no/x.log"))
    assert "\nFileNotFoundError" not in text
    assert "No such file or directory" in text


def test_the_error_of_a_task_is_shown_where_it_was_asked_for(c: ScatterGather, shown: Any) -> None:
    for cell in (
        lambda: list(c.addJob([((0,), {})], inverse)),
        lambda: list(c.addJob([((0,), {})], inverse).as_completed()),
        lambda: list(c.map(inverse, [0])),
        lambda: c.submit(inverse, 0).result(60),
    ):
        text = shown(cell)
        assert "ZeroDivisionError" in text
        assert not [name for name in OURS if name in text], text


def test_a_failed_job_shows_the_line_of_the_cell_that_asked_and_the_remote_tracebacks(c, shown):
    text = shown(lambda: c.addJob([((0,), {})], inverse).results())
    assert "c.addJob([((0,), {})], inverse).results()" in text
    assert "JobFailed: 1 of 1 tasks of job 1 failed" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "scattergather/client" not in text
