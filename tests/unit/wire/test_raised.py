"""Exceptions on their way home: same type, text of the traceback, stand-ins where need be."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from scattergather.errors import TaskError
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.values.raised import (
    MOST_TEXT,
    RemoteTraceback,
    pack_exception,
    unpack_exception,
)


class TwiceWrapped(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Attribute(Exception):
    """Its text is an attribute."""

    def __init__(self, text: str) -> None:
        super().__init__(1)
        self.text = text

    def __str__(self) -> str:
        return self.text


class BadStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def travelled(error: BaseException, **more: Any) -> BaseException:
    return unpack_exception(pack_exception(error, BOOK, **more))


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_type_arguments_attributes_and_notes_arrive() -> None:
    error = ValueError("bad", 3)
    error.extra = {"a": 1}  # type: ignore[attr-defined]
    error.add_note("first")
    home = unpack_exception(pack_exception(error))
    assert type(home) is ValueError
    assert home.args == ("bad", 3)
    assert home.extra == {"a": 1}  # type: ignore[attr-defined]
    assert home.__notes__ == ["first"]


@pytest.mark.parametrize("error", [TwiceWrapped("way"), KeywordOnly(code=4)])
def test_an_odd_init_is_gone_around(error: Exception) -> None:
    home = travelled(error)
    assert type(home) is type(error)
    assert str(home) == str(error)
    assert home.__dict__ == error.__dict__


def test_an_os_error_keeps_its_number() -> None:
    home = travelled(FileNotFoundError(2, "gone", "/x"))
    assert isinstance(home, FileNotFoundError)
    assert (home.errno, home.filename) == (2, "/x")


def test_the_remote_traceback_is_the_cause_without_our_frames() -> None:
    home = travelled(raised(KeyError("k")))
    assert isinstance(home.__cause__, RemoteTraceback)
    assert "in raised" in str(home.__cause__)
    assert "in raised" not in str(travelled(raised(KeyError("k")), skip=1).__cause__)


def test_the_chain_is_in_the_text() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        home = travelled(error)
    assert "KeyError: 'inner'" in str(home.__cause__)
    assert "direct cause" in str(home.__cause__)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_notebook_is_stood_in_for(error: BaseException) -> None:
    home = travelled(error)
    assert isinstance(home, TaskError)
    assert home.type_name == type(error).__name__


def test_what_cannot_travel_is_stood_in_for() -> None:
    home = travelled(ValueError("with", threading.Lock()))
    assert isinstance(home, TaskError)
    assert home.type_name == "ValueError"
    assert "with" in home.text


def test_a_raising_str_is_tolerated() -> None:
    home = travelled(raised(BadStr()))
    assert isinstance(home, TaskError)
    assert home.text == "<its __str__ raised RuntimeError>"


LONG = "begin " + "x" * 10_000_000 + " end"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(LONG),
        ValueError("short", LONG, 3),
        TwiceWrapped(LONG),
        KeyError(LONG),
        OSError(5, LONG, "/x"),
        TaskError(LONG, type_name="other.Kind", text="t"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_long_text_is_cut_and_says_by_how_much_and_the_type_arrives(error: Exception) -> None:
    error.data = b"d" * 1_000_000  # type: ignore[attr-defined]
    packed = pack_exception(error)
    assert len(packed) < 1_000_000 + 4 * MOST_TEXT
    home = unpack_exception(packed)
    assert type(home) is type(error)
    assert len(home.args) == len(error.args)
    assert len(str(home)) < 2 * MOST_TEXT
    assert "bytes cut here]" in str(home)
    assert home.data == error.data  # type: ignore[attr-defined]
    assert "begin x" in str(home)
    assert "x end" in str(home)
    shown = {name: getattr(home, name, None) for name in ("errno", "filename", "type_name")}
    assert shown == {name: getattr(error, name, None) for name in shown}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("y" * MOST_TEXT),
        ValueError("two", ["z" * 1_000_000]),
        UnicodeEncodeError("ascii", "\udc80" * 1_000_000, 0, 1, "no"),
        Attribute("w" * 1_000_000),
    ],
    ids=["at the limit", "inside a list", "data", "attribute"],
)
def test_what_is_not_a_text_among_the_arguments_is_left_whole(error: Exception) -> None:
    home = travelled(error)
    assert type(home) is type(error)
    assert (home.args, str(home), vars(home)) == (error.args, str(error), vars(error))


def test_long_texts_are_cut_and_surrogates_replaced() -> None:
    class Sealed(Exception):
        def __str__(self) -> str:
            return "\udc80" + "x" * 1_000_000

    home = travelled(Sealed(threading.Lock()))
    assert isinstance(home, TaskError)
    assert len(home.text.encode()) <= MOST_TEXT
    assert "\\udc80" in home.text
    assert len(str(home.__cause__).encode()) <= MOST_TEXT + 16
