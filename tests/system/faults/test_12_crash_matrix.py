"""Scenario 12: every way to end a process, at every moment of a task (after loky's tests).

Arguments are pickled and results unpickled in the client's own process: what ends it there ends
the user's own program, so those cells run in a program of their own, and nothing may be left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.errors import CannotPickle, ExitCalled, TaskError, TaskKilledWorker
from tests.conftest import calls
from tests.pace import Promise
from tests.system.faults.ledger import LONG
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
PROMPT = 2.0
"""Seconds to the outcome."""


@pytest.fixture(scope="module")
def c() -> Iterator[ScatterGather]:
    with spawnScatterGather(workers=2) as client:
        client.waitForResult()
        yield client


@as_in_a_notebook
def end(how: str) -> None:
    match how:
        case "SystemExit":
            sys.exit(3)
        case "os._exit":
            os._exit(3)
        case "exception":
            raise ZeroDivisionError("on purpose")
        case _:
            os.kill(os.getpid(), getattr(signal, how))


WAYS = {
    "SystemExit": (ExitCalled, "sys.exit with status 3"),
    "os._exit": (ExitCalled, "exit status 3"),
    "SIGSEGV": (TaskKilledWorker, "SIGSEGV"),
    "SIGKILL": (TaskKilledWorker, "SIGKILL"),
    "SIGABRT": (TaskKilledWorker, "SIGABRT"),
    "exception": (ZeroDivisionError, "on purpose"),
}


def at_unpickling(how: str) -> Any:
    class Argument:
        def __reduce__(self) -> Any:
            return end, (how,)

    return (lambda argument: "ran"), Argument()


def at_running(how: str) -> Any:
    return end, how


def at_pickling_the_result(how: str) -> Any:
    class Result:
        def __getstate__(self) -> Any:
            return end(how)

    return (lambda _: Result()), None


def at_collecting(how: str) -> Any:
    class Garbage:
        def __del__(self) -> None:
            end(how)

    return (lambda _: Garbage() and "ran"), None


MOMENTS = (at_unpickling, at_running, at_pickling_the_result, at_collecting)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_the_outcome_says_how_it_ended_and_no_other_task_is_affected(c, moment, how):
    kind, said = WAYS[how]
    function, argument = moment(how)
    others = c.addJob(calls(*range(20)), lambda n: n)
    promise = Promise(PROMPT)
    (outcome,) = c.addJob(calls(argument), as_in_a_notebook(function), retries=1).results(
        errors="return"
    )
    assert not promise.broken()
    if moment is at_collecting and how in ("SystemExit", "exception"):
        assert outcome == "ran"  # Python prints what a __del__ raises, and goes on
    elif moment is at_pickling_the_result and how == "exception":
        assert isinstance(outcome, CannotPickle)
        assert said in str(outcome)
    else:
        assert type(outcome) is kind, outcome
        assert said in str(outcome)
    assert others.results() == list(range(20))
    assert c.addJob(calls(*range(4)), lambda n: n).results() == list(range(4))


# ---- in the client's own process ----------------------------------------------------------------


class Result:
    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return end, (self.how,)


class Argument:
    def __init__(self, how: str) -> None:
        self.how = how

    def __getstate__(self) -> Any:
        return end(self.how)


def test_what_raises_in_the_client_while_a_result_is_unpickled_fails_that_task_only(c):
    def gives(how: str) -> Any:
        return made(how) if how else how

    made = Result
    gives = as_in_a_notebook(gives)
    job = c.addJob(calls("", "exception", "SystemExit", ""), gives)
    first, raised, exited, last = job.results(errors="return")
    assert (first, last) == ("", "")
    with pytest.raises(TaskError, match="SystemExit"):
        c.submit(gives, "SystemExit").result(10)  # read by the thread that reads all results
    assert c.submit(abs, -1).result(10) == 1
    for error, name in ((raised, "ZeroDivisionError"), (exited, "SystemExit")):
        assert isinstance(error, TaskError), error
        assert name in str(error)
        assert "cannot be rebuilt here" in str(error)


@pytest.mark.parametrize(("how", "kind"), [("exception", Exception), ("SystemExit", SystemExit)])
def test_what_raises_in_the_client_while_an_argument_is_pickled_starts_nothing(c, how, kind):
    with pytest.raises(kind):
        c.addJob(calls(Argument(how)), repr)
    assert c.addJob(calls(-1), abs).results() == [1]


PROGRAM = """
import os, signal
from scattergather import spawnScatterGather
class Argument:
    def __getstate__(self):
        os.kill(os.getpid(), signal.{how})
class Result:
    def __init__(self, client):
        self.client = client
    def __reduce__(self):
        return os.kill, (self.client, signal.{how})
c = spawnScatterGather(workers=1)
c.waitForResult()
if {moment!r} == "argument":
    c.addJob([((Argument(),), {{}})], repr)
c.addJob([((os.getpid(),), {{}})], Result).results()
"""


@pytest.mark.parametrize("moment", ["argument", "result"])
@pytest.mark.parametrize("how", ["SIGSEGV", "SIGKILL", "SIGABRT"] if LONG else ["SIGSEGV"])
def test_what_ends_the_client_while_it_pickles_leaves_nothing(scene, how, moment):
    program = PROGRAM.format(how=how, moment=moment)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -getattr(signal, how)
    scene.clears()
