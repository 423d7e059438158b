"""The small parts of a worker: names, notes, pushed source."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather.errors import ExitCalled, RequestError, TaskError, UnknownName
from scattergather.inside import running, submit
from scattergather.model.outcome import Kind
from scattergather.wire.values.raised import unpack_exception
from scattergather.workers.process.surroundings.registry import Services
from scattergather.workers.process.surroundings.resident import Residents
from scattergather.workers.process.task.call import Call
from scattergather.workers.process.task.outcomes import ARGUMENTS_SHOWN, Circumstances, shown


@pytest.fixture
def residents() -> Iterator[Residents]:
    main = sys.modules["__main__"]
    yield Residents()
    sys.modules["__main__"] = main


def outcome(error: BaseException, **fields: Any) -> tuple[int, BaseException]:
    here = Circumstances("anvil")
    given: dict[str, Any] = {"call": None, "label": "job", "index": 12, "attempt": 1, **fields}
    kind, blob = here.raised(error, **given)
    return kind, unpack_exception(blob)


def test_a_note_says_where_and_with_what() -> None:
    kind, error = outcome(ValueError("bad"), arguments=((7,), {"k": 1}))
    assert kind == Kind.RAISED
    (note,) = error.__notes__
    assert note.startswith("[scattergather] task 12 of job on anvil, worker ")
    assert note.endswith("args (7,), {'k': 1}")


def test_arguments_are_shown_whatever_their_repr_does() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise SystemExit(3)

    assert "Rude" in shown((Rude(),), {}) or "SystemExit" in shown((Rude(),), {})
    assert len(shown(("x" * 10_000, list(range(10_000))), {"k": "y" * 10_000})) <= ARGUMENTS_SHOWN
    assert "\\ud800" in shown(("\ud800",), {})


@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (3, 3), ("no licence", 1)])
def test_sys_exit_comes_home_as_exit_called(code: Any, status: int) -> None:
    call = Call(function=len, name="len", retry_on=(SystemExit,))
    kind, error = outcome(SystemExit(code), call=call)
    assert kind == Kind.RAISED
    assert isinstance(error, ExitCalled)
    assert error.status == status


def test_a_type_in_retry_on_makes_it_retryable() -> None:
    call = Call(function=len, name="len", retry_on=(OSError,))
    assert outcome(ConnectionResetError(), call=call)[0] == Kind.RETRYABLE
    assert outcome(ValueError(), call=call)[0] == Kind.RAISED


def test_an_exception_that_bites_when_shown_is_stood_in_for() -> None:
    class Biting(Exception):
        def __str__(self) -> str:
            raise SystemExit

    _, error = outcome(Biting())
    assert isinstance(error, TaskError)
    assert "Biting" in str(error)


def test_an_unknown_service_lists_the_known_names() -> None:
    services = Services()
    assert services.load(["length=builtins:len"]) == []
    assert services.names() == ("length",)
    assert services.find("length", {}) is len
    assert services.find("pushed", {"pushed": print}) is print
    with pytest.raises(UnknownName, match=r"'nope'.*length.*pushed are twice"):
        services.find("nope", {"twice": lambda x: 2 * x, "pi": 3})


def test_a_service_that_cannot_be_loaded_is_a_sentence() -> None:
    services = Services()
    (problem,) = services.load(["broken=no_such_module:f"])
    assert problem.startswith("The service 'broken' is not available: ModuleNotFoundError: No mod")
    assert services.names() == ()


def test_versions_of_main_build_on_each_other_and_stay_apart(residents: Residents) -> None:
    residents.push(1, "a = 1")
    residents.push(2, "b = a + 1\na = 5")
    assert residents.enter(2)["b"] == 2
    assert sys.modules["__main__"].a == 5
    assert residents.enter(1)["a"] == 1
    assert "b" not in residents.enter(1)
    assert residents.enter(2) is vars(sys.modules["__main__"])


def test_source_that_fails_shows_its_line_each_time(residents: Residents) -> None:
    residents.push(1, "x = 1\ny = x / 0  # here\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            residents.enter(1)
        text = "".join(traceback.format_exception(caught.value))
        assert 'File "<pushed code 1>", line 2' in text
        assert "y = x / 0  # here" in text
        caught.value.add_note("from one task")
    ours, theirs = caught.value.__notes__
    assert "push_code, version 1" in ours
    assert theirs == "from one task"


def test_source_that_does_not_compile_says_where(residents: Residents) -> None:
    residents.push(1, "def f(:\n")
    with pytest.raises(SyntaxError, match="pushed code 1") as caught:
        residents.enter(1)
    assert "push_code('') withdraws" in caught.value.__notes__[0]


def test_an_empty_source_withdraws_what_was_pushed_before(residents: Residents) -> None:
    for version, source in enumerate(("a = 1", "1 / 0", " \n", "b = 2"), 1):
        residents.push(version, source)
    with pytest.raises(ZeroDivisionError):
        residents.enter(2)
    assert "a" not in residents.enter(3)
    assert residents.enter(4)["b"] == 2
    assert residents.enter(1)["a"] == 1


def test_it_is_noted_which_source_runs_and_nothing_when_it_is_through(residents: Residents) -> None:
    residents.note = (noted := []).append
    residents.push(1, "")
    residents.push(2, "a = 1")
    residents.push(3, "1 / 0")
    with pytest.raises(ZeroDivisionError):
        residents.enter(3)
    assert [text.partition("(")[2][:21] for text in noted] == [
        "push_code, version 2)", "", "push_code, version 3)", "",
    ]  # fmt: skip


def test_inside_says_that_it_needs_a_task() -> None:
    assert not running()
    with pytest.raises(RequestError, match="in a running task only"):
        submit(len, ())
