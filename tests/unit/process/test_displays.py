from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scattergather.wire.values.bundle import Bundle, pack_bundle, unpack_bundle
from scattergather.workers.process.surroundings import displays
from scattergather.workers.process.surroundings.capture import KEPT, OutputFile
from scattergather.workers.process.surroundings.displays import Displays
from scattergather.workers.process.surroundings.libraries import _display, _Watch


class Task:
    """What a task prints and displays, and what leaves of it."""

    def __init__(self) -> None:
        self.output = OutputFile.create()
        capture: Any = types.SimpleNamespace(output=self.output)
        self.held: list[int] = []
        self.displays = Displays(capture, self.held.append)

    def print(self, text: str) -> None:
        os.write(self.output.fd, text.encode() + b"\n")

    def show(self, text: str, name: str | None = None, **facts: Any) -> None:
        data = {"text/plain": text, "text/html": f"<b>{text}</b>"}
        self.displays.show(Bundle(data=data, display_id=name, **facts))

    def left(self) -> list[Any]:
        """What was printed as text, and of what was displayed the HTML; and what is missing."""
        found: list[Any] = []
        for part, missing, _ in self.displays.parts(*self.output.take()):
            found += [missing] if missing else []
            found.append(part.data["text/html"] if isinstance(part, Bundle) else part.decode())
        return found


@pytest.fixture
def task() -> Iterator[Task]:
    made = Task()
    yield made
    made.output.close()


def test_what_is_displayed_stands_between_what_is_printed(task: Task) -> None:
    task.print("a")
    task.show("one")
    task.show("two")
    task.print("b")
    assert task.left() == ["a\n", "<b>one</b>", "<b>two</b>", "b\n"]
    assert task.left() == []


def test_its_text_is_all_that_a_worker_leaves_that_dies(task: Task) -> None:
    task.print("a")
    task.show("one")
    assert task.output.tail(KEPT)[0] == b"a\none\n"


def test_what_is_replaced_stands_where_it_stood(task: Task) -> None:
    task.show("one", "x")
    task.print("a")
    for number in range(1000):
        task.show(str(number), "x", update=True)
    assert task.left() == ["<b>999</b>", "a\n"]


def test_what_the_notebook_has_displayed_is_replaced_there(task: Task) -> None:
    task.show("one", "elsewhere", update=True)
    ((part, _, _),) = task.displays.parts(*task.output.take())
    assert isinstance(part, Bundle)
    assert part.update


def test_what_is_cleared_is_gone(task: Task) -> None:
    task.print("a")
    task.show("one")
    task.displays.clear(wait=False)
    task.print("b")
    assert task.left() == ["b\n"]


@pytest.mark.parametrize("then", ["print", "show", "nothing"])
def test_what_is_cleared_may_wait_for_what_takes_its_place(task: Task, then: str) -> None:
    task.print("a")
    task.show("one")
    task.displays.clear(wait=True)
    if then == "print":
        task.print("b")
    if then == "show":
        task.show("two")
    expected: dict[str, Any] = {
        "print": ["b\n"], "show": ["<b>two</b>"], "nothing": ["a\n", "<b>one</b>"],
    }  # fmt: skip
    assert task.left() == expected[then]
    task.print("of the next task")
    assert task.left() == ["of the next task\n"]


def test_frames_of_an_animation_leave_the_last_one(task: Task) -> None:
    for number in range(1000):
        task.displays.clear(wait=True)
        task.show(str(number))
    assert task.left() == ["<b>999</b>"]


def test_what_a_flood_has_washed_away_is_counted_and_the_rest_is_in_order(task: Task) -> None:
    task.show("one")
    task.print("x" * KEPT * 2)
    task.show("two")
    shown, missing, text, two = task.left()
    assert (shown, two) == ("<b>one</b>", "<b>two</b>")
    assert missing + len(text) == KEPT * 2 + 1 + len("one\n")


def test_what_is_too_large_is_a_sentence(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(displays, "MOST_BYTES", 1000)
    task.show("x" * 2000)
    task.show("small")
    text, small = task.left()
    assert "text/html of 4.04 kB is not shown: more than 1 kB" in text
    assert small == "<b>small</b>"


def test_too_many_are_counted(task: Task) -> None:
    for number in range(displays.MOST + 5):
        task.show(str(number))
    *shown, rest, said = task.left()
    assert len(shown) == displays.MOST
    assert rest == "".join(f"{number}\n" for number in range(displays.MOST, displays.MOST + 5))
    assert said.startswith("[5 more")


def test_what_json_does_not_know_travels_as_its_text() -> None:
    path = Path("/tmp")
    bundle = Bundle(data={"application/json": {"path": path}, "image/png": b"\x89"})
    read = unpack_bundle(pack_bundle(bundle))
    assert read.data == {"application/json": {"path": "/tmp"}, "image/png": b"\x89"}


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\x01", b"[]"])
def test_what_is_no_bundle_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        unpack_bundle(body)


def test_a_module_is_joined_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("shows_things.py").write_text("def show(): return 'theirs'")
    monkeypatch.syspath_prepend(tmp_path)

    def join(module: Any) -> None:
        module.show = lambda: "ours"

    monkeypatch.setattr(sys, "meta_path", [_Watch({"shows_things": join}), *sys.meta_path])
    module = importlib.import_module("shows_things")
    assert module.show() == "ours"
    assert importlib.reload(module).show() == "ours"
    del sys.modules["shows_things"]


def test_without_ipython_what_is_displayed_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    _display("a", 1)
    assert capsys.readouterr().out == "a 1\n"


def test_whoever_tells_what_is_printed_meanwhile_is_told_where_to_stop(task: Task) -> None:
    task.print("one")
    assert task.held == []
    task.show("a figure")
    task.print("two")
    task.displays.clear(wait=True)
    assert task.held == [4, 17]
