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
    monkeypatch.setattr(culprit, "MOST_SECONDS", 0.05)
    error = culprit.too_deep([*(Slow() for _ in range(300)), deep], "it")
    assert len(probed) < 50
    assert str(error).startswith("Cannot send it: it is nested too deeply")
