"""Exceptions on their way home: same type, text of the traceback, stand-ins where need be."""

from __future__ import annotations

import dataclasses
import sys
import threading
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

from scattergather.errors import TaskError
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.values.payload import dumps, loads
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


def test_what_cannot_travel_of_an_exception_is_shown_and_its_type_arrives() -> None:
    lock = threading.Lock()
    error = ValueError("with", lock)
    error.more = {"a": [1, lock]}  # type: ignore[attr-defined]
    error.whole = [2]  # type: ignore[attr-defined]
    home = travelled(error)
    assert type(home) is ValueError
    assert str(home) == str(error)
    assert home.args[0] == "with"
    assert repr(home.more) == repr(error.more)  # type: ignore[attr-defined]
    assert home.whole == [2]  # type: ignore[attr-defined]
    assert "left where it was raised: <unlocked _thread" in home.__notes__[0]


def test_a_raising_str_is_tolerated() -> None:
    home = travelled(raised(BadStr("x")))
    assert type(home) is BadStr
    assert home.args == ("x",)


class Slots(Exception):
    __slots__ = ("q",)


class New(Exception):
    def __new__(cls, a: int, b: int) -> New:
        made = super().__new__(cls, a)
        made.ab = a + b  # type: ignore[attr-defined]
        return made

    def __init__(self, a: int, b: int) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    inner: Exception


class NoSuch(FileNotFoundError):
    def __init__(self, path: str, *, code: int) -> None:
        super().__init__(2, "gone", path)
        self.code = code


class Grammar(SyntaxError):
    def __init__(self, where: int) -> None:
        super().__init__("bad", ("file", where, 3, "text"))


class Decoding(UnicodeDecodeError):
    def __init__(self, place: int) -> None:
        super().__init__("utf-8", b"\xff\xfe", place, place + 1, "odd")


class Lacking(AttributeError):
    def __init__(self) -> None:
        super().__init__("lacks", name="n", obj=threading.Lock())


class Several(ExceptionGroup):
    def __new__(cls, errors: list[Exception], code: int) -> Several:
        made = super().__new__(cls, "several", errors)
        made.code = code  # type: ignore[attr-defined]
        return made

    def __init__(self, errors: list[Exception], code: int) -> None:
        pass


class BadReduce(Exception):
    def __init__(self, a: int, *, b: int) -> None:
        super().__init__(a)
        self.b = b

    def __reduce__(self) -> Any:
        return BadReduce, (1, 2)


class Setting(Exception):
    def __init__(self, *, x: int) -> None:
        self.x = x

    def __getstate__(self) -> Any:
        return {"x": self.x + 1}

    def __setstate__(self, state: Any) -> None:
        self.x = state["x"] - 1


def slotted() -> Slots:
    error = Slots("s")
    error.q = 3  # type: ignore[attr-defined]
    return error


ODD = [
    slotted(), New(1, 2), Frozen(1, KeywordOnly(code=2)), NoSuch("/x", code=3), Grammar(4),
    Decoding(1), Lacking(), BadReduce(1, b=2), Setting(x=4), ImportError("no", name="m", path="p"),
    ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeywordOnly(code=5)])]),
    Several([KeywordOnly(code=1), NoSuch("/y", code=2)], 7),
    ValueError("holds", KeywordOnly(code=1), {"a": [New(3, 4)]}),
]  # fmt: skip
FIELDS = (
    "q", "ab", "code", "errno", "filename", "strerror", "msg", "lineno", "text", "start", "end",
    "object", "reason", "name", "path", "b", "x", "message",
)  # fmt: skip


def parts(error: BaseException) -> Any:
    """What an exception is, and what those in it are."""
    inner = [*getattr(error, "exceptions", ()), getattr(error, "inner", None)]
    return (
        type(error),
        str(error),
        repr(error.args),
        {name: getattr(error, name, None) for name in FIELDS},
        [parts(each) for each in inner if each is not None],
    )


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
def test_an_exception_is_made_of_what_it_has_whatever_its_init_wants(error: Exception) -> None:
    assert parts(travelled(error)) == parts(error)
    if not isinstance(error, BadReduce):
        assert parts(loads(dumps([error]))[0]) == parts(error)


def test_a_group_with_a_member_that_cannot_travel_whole_keeps_all_types() -> None:
    odd = KeywordOnly(code=1)
    odd.lock = threading.Lock()  # type: ignore[attr-defined]
    home = travelled(ExceptionGroup("g", [BadReduce(1, b=2), ExceptionGroup("h", [odd])]))
    assert isinstance(home, ExceptionGroup)
    assert isinstance(home.exceptions[1].exceptions[0], KeywordOnly)  # type: ignore[attr-defined]
    matched, rest = home.split(KeywordOnly)
    assert matched is not None
    assert rest is not None


def test_the_error_of_a_validation_arrives_as_itself() -> None:
    pydantic = pytest.importorskip("pydantic")

    def refuses(value: Any) -> Any:
        raise ValueError(f"no {value}")

    checked = pydantic.TypeAdapter(dict[str, Annotated[int, pydantic.AfterValidator(refuses)]])
    for given in ({"a": 1, "b": "x"}, {"a": threading.Lock()}):
        with pytest.raises(pydantic.ValidationError) as caught:
            checked.validate_python(given)
        home = travelled(caught.value)
        assert type(home) is pydantic.ValidationError
        assert home.error_count() == caught.value.error_count()
        assert str(home).splitlines()[:2] == str(caught.value).splitlines()[:2]


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
            return "\udc80" + "x" * 1_000_000 * (self.args[0].locked() is False)

    home = travelled(Sealed(threading.Lock()))
    assert isinstance(home, TaskError)
    assert len(home.text.encode()) <= MOST_TEXT
    assert "\\udc80" in home.text
    assert len(str(home.__cause__).encode()) <= MOST_TEXT + 16


class Anew(Exception):
    def __str__(self) -> str:
        return f"at {id(self)}"


@pytest.mark.parametrize("error", [KeyError(1), ValueError(1), Anew(1)])
def test_what_says_something_new_each_time_keeps_its_type(error: Exception) -> None:
    error.args = (Thing(),)
    assert type(travelled(error)) is type(error)


def test_what_holds_itself_and_what_cannot_travel_keeps_its_type() -> None:
    error = ValueError("x")
    error.itself, error.lock = error, threading.Lock()  # type: ignore[attr-defined]
    home = travelled(error)
    assert (type(home), home.args) == (ValueError, ("x",))


class Thing:
    """It shows where it lies."""


def test_a_frame_of_a_cell_is_named_as_the_notebook_names_it(monkeypatch: Any) -> None:
    def named(file: str) -> tuple[str, str] | None:
        return ("Cell", "In[7]") if file == "/tmp/ipykernel_1/2.py" else None

    shell = SimpleNamespace(compile=SimpleNamespace(format_code_name=named))
    notebook = SimpleNamespace(get_ipython=lambda: shell)
    text = (
        'Traceback (most recent call last):\n  File "/tmp/ipykernel_1/2.py", line 4, in f\n'
        '    return 1/x\n  File "/lib/mine.py", line 5, in g\n    return 2/x\n'
    )
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    shown = str(RemoteTraceback(text))
    assert "  Cell In[7], line 4, in f\n    return 1/x" in shown
    assert '  File "/lib/mine.py", line 5, in g' in shown
    monkeypatch.delitem(sys.modules, "IPython")
    assert text in str(RemoteTraceback(text))
