"""What a user can get wrong, and what tasks do that they should not, with real processes.

Every error names the culprit and the cure, at once; nothing is lost, and the next task runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pydantic
import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.errors import (
    BadRequest,
    CannotConnect,
    CannotImport,
    CannotPickle,
    Closed,
    InputFailed,
    JobFailed,
    RequestError,
    TaskError,
    UnknownName,
    VersionMismatch,
)
from scattergather.settings.furl import Furl
from scattergather.wire.messages import page as messages
from tests.conftest import calls
from tests.system.daemons import (
    COMMAND,
    OTHER_PROTOCOL,
    OTHER_PYTHON,
    free_port,
)
from tests.system.process_driver import eventually

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def c() -> Iterator[ScatterGather]:
    with spawnScatterGather(workers=2) as client:
        client.waitForResult()
        yield client


def of_notebook(source: str, **variables: object) -> Any:
    """What this source is in a cell: its globals are the notebook's, not this module's."""
    return eval(source, {"__name__": "__main__", **variables})


def error_of(c: ScatterGather, function: Any, *arguments: object, **options: Any) -> BaseException:
    """What a single call raised."""
    job = c.addJob([(arguments, {})], function, **options)
    error = job.results(errors="return")[0]
    assert isinstance(error, BaseException), error
    return error


# ---- hosts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("hints", ("tcp:127.0.0.1:{free}",), "nothing listens at 127.0.0.1:{free}"),
        ("hints", ("tcp:no-such-host.invalid:1",), "no machine is called 'no-such-host.invalid'"),
        ("name", "z" * 32, "refuses this FURL: its secret is not valid there"),
        ("tub", "a" * 32, "is not the pool of this FURL: its identity changed"),
    ],
)
def test_a_host_that_cannot_be_joined_is_named_with_the_reason(
    start, spawn, capsys, part, value, sentence
) -> None:
    furl, free = start("--port", "0").furl(), free_port()
    if part == "hints":
        value = tuple(hint.format(free=free) for hint in value)
    parts = {"tub": furl.tub, "hints": furl.hints, "name": furl.name, part: value}
    c = spawn(Furl(**parts).text)
    go = c.waitForResult()
    sentence = sentence.format(free=free)
    assert go.workers == 0
    assert sentence in go.hosts[0].why
    assert sentence in repr(c.command("status"))
    c._session.echo.flush()
    assert sentence in capsys.readouterr().err
    for secret in (furl.name, "z" * 32):
        assert secret not in repr(go) + repr(c) + repr(c.command("status"))
    with pytest.raises(CannotConnect, match="no worker is there"):
        c.run_everywhere(os.getpid)
    with pytest.raises(BadRequest, match="no function was given") as caught:
        c.addJob([])
    assert sentence in str(caught.value)
    refreshed = repr(c.command("refresh"))
    assert "0 workers on 0 hosts" in refreshed
    assert "is not up: " in refreshed


def test_a_job_added_before_its_host_is_up_runs_when_it_is(start, spawn, capsys) -> None:
    port = free_port()
    known = start("--port", str(port))
    known.furl()
    known.end()
    c = spawn([("pb://127.0.0.1:", port, "/all_series", 1)])
    assert c.waitForResult().workers == 0
    by_name = c.addJob([([10], {"bins": 3})])
    by_value = c.addJob(calls(1, 2), of_notebook("lambda x: x + 1"))
    with pytest.raises(TimeoutError, match=r"No worker is there: .*nothing listens"):
        c.waitForResult(0)
    start("--port", str(port)).furl()
    assert len(by_name.results(timeout=60)[0][1]) == 4
    assert by_value.results(timeout=60) == [2, 3]
    assert f": scattergather pool --workers 1 --port {port}" in capsys.readouterr().err


def test_a_service_that_the_hosts_lack_is_answered_with_what_they_have(start, spawn) -> None:
    c = spawn(start("--port", "0", "--service", "all_series").furl().text)
    c.waitForResult()
    with pytest.raises(UnknownName, match="'all_serie'; there are: all_series"):
        c.addJob(calls(1), "all_serie")
    # Asked before the hosts have said what they have, if this thread is fast enough: then the task
    # fails; else it is refused as above.
    with pytest.raises(UnknownName, match=r"'all_serie'.*all_series"):
        raise error_of(spawn("local:1"), "all_serie", 1)


# ---- versions -----------------------------------------------------------------------------------


def test_a_pool_of_another_release_is_refused_with_both_versions(start, spawn) -> None:
    c = spawn(start("--port", "0", shim=OTHER_PROTOCOL).furl().text)
    (host,) = c.waitForResult().hosts
    assert "runs scattergather 9.9 (protocol 99)" in host.why
    assert f"(protocol {messages.PROTOCOL}). Where " in host.why
    assert "in a folder with the newer one: pip install -U ." in host.why


def test_a_controller_of_another_release_is_refused_with_both_versions(spawn, monkeypatch) -> None:
    installed = messages.PROTOCOL
    # As after an upgrade under a running kernel: this process speaks what it has loaded.
    monkeypatch.setattr(messages, "PROTOCOL", 99)
    c = spawn(workers=1)
    for ask in (c.waitForResult, lambda: c.addJob([], abs), lambda: c.command("status")):
        with pytest.raises(VersionMismatch) as caught:
            ask()
        assert "(protocol 99)" in str(caught.value)
        assert f"(protocol {installed})" in str(caught.value)
        assert "Restart the kernel" in str(caught.value)


def test_code_of_the_notebook_does_not_run_on_another_python(start, spawn) -> None:
    furl = start("--port", "0", shim=OTHER_PYTHON).furl().text
    c = spawn(furl)
    c.waitForResult()
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(JobFailed) as caught:
        c.addJob(calls(1, 2), lambda x: x).results(timeout=60)
    for failure in caught.value.failures:
        assert isinstance(failure.error, VersionMismatch)
        assert f"byte code of Python {own}" in str(failure.error)
        assert "runs 3.99" in str(failure.error)
    with pytest.raises(VersionMismatch, match=r"runs 3\.99"):
        c.submit(lambda: 1).result(60)
    with pytest.raises(RequestError, match=f"byte code of Python {own}, which .* cannot run"):
        c.run_everywhere(lambda: 1)
    assert c.addJob(calls(-1, -2), abs).results(timeout=60) == [1, 2]
    both = spawn([furl, "local:1"])
    assert both.waitForResult().workers == 2
    job = both.addJob(calls(*range(20)), lambda x: x + 1)
    assert job.results(timeout=60) == list(range(1, 21))


# ---- what is asked of the client ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"a": 1}, "the dict {'a': 1}"),
        ({}, "the dict {}"),
        ("", "the str ''"),
        (b"ab", "the bytes b'ab'"),
        (None, "not None"),
        (5, "the int 5"),
        ([((1,), {}), ((2,),)], "task 1 must be a pair"),
        ([(1, {})], "task 0 must be a pair .* written \\(\\[1\\], {}\\)"),
        ([((1,), None)], "its kwargs are None, not a dict"),
        ([((1,), {}), ((1,), {2: 3})], "task 1: the keyword 2 is no string"),
    ],
)
def test_tasks_of_the_wrong_kind_are_named_and_nothing_starts(c, tasks, said) -> None:
    with pytest.raises(BadRequest, match=said):
        c.addJob(tasks, abs)
    assert c.addJob(calls(-1), abs).results() == [1]


def test_a_bad_task_of_an_iterator_is_named_and_what_came_before_stays(c) -> None:
    job = c.addJob(iter([((-1,), {}), 5]), abs)
    with pytest.raises(InputFailed, match="ended after 1: task 1 must be a pair") as caught:
        job.results()
    assert caught.value.results == [1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retries", -1),
        ("retries", "3"),
        ("time_limit", "5"),
        ("time_limit", 0),
        ("time_limit", float("inf")),
        ("memory_limit", "1XB"),
        ("memory_limit", float("inf")),
        ("memory_limit", float("nan")),
        ("priority", None),
        ("retry_on", "ValueError"),
        ("name", 5),
    ],
)
def test_a_bad_option_is_named_with_what_it_may_be(c, option, value) -> None:
    with pytest.raises(BadRequest, match=rf"{option} must be .* not {value!r}"):
        c.addJob(calls(1), abs, **{option: value})
    with pytest.raises(BadRequest, match=option):
        c.options(**{option: value})


def test_words_that_do_not_exist_are_answered_with_those_that_do(c) -> None:
    with pytest.raises(UnknownName, match=r"'refesh'; there are: refresh, die, status"):
        c.command("refesh")
    with pytest.raises(UnknownName, match=r"'retry'; there are: .*retries"):
        c.options(retry=3)
    with pytest.raises(UnknownName, match=r"'all_serie'; there are: .*all_series"):
        c.addJob(calls(1), "all_serie")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"urls": 5}, "urls is a int"),
        ({"urls": ["local", 5]}, r"urls\[1\] is a int"),
        ({"urls": "alpha"}, "no host is called 'alpha'"),
        ({"urls": "pb://alpha:1/x"}, "this is not a FURL"),
        ({"urls": [("pbu://alpha:", 1, "/x", 2)]}, "scattergather hosts add"),
        ({"workers": 0}, "workers= is 0; .* from 1 to 1024"),
        ({"workers": 1025}, "workers= is 1025; .* from 1 to 1024"),
        ({"workers": 2, "urls": "local"}, "'local:N'"),
        ({"logFile": "/nowhere/log"}, "'/nowhere/log' cannot be written: No such file"),
        ({"logFile": object()}, "open for writing"),
    ],
)
def test_a_spawn_that_cannot_be_meant_starts_nothing(arguments, said) -> None:
    before = psutil.Process().num_fds()
    with pytest.raises((BadRequest, UnknownName), match=said):
        spawnScatterGather(**arguments)
    # Other clients of this process have threads, which may have something open for a moment.
    eventually(lambda: psutil.Process().num_fds() <= before)


def test_a_log_file_that_is_open_for_reading_only_is_refused(tmp_path) -> None:
    (tmp_path / "log").touch()
    with (
        open(tmp_path / "log") as reading,
        pytest.raises(BadRequest, match=r"logFile must be .* open for writing"),
    ):
        spawnScatterGather(workers=1, logFile=reading)


def test_nothing_is_taken_after_die_and_what_had_come_stays(spawn) -> None:
    c = spawn(workers=1)
    job = c.addJob(calls(-1), abs)
    assert job.results() == [1]
    c.command("die")
    for ask in (lambda: c.addJob([], abs), lambda: c.submit(abs, 1), lambda: c.command("status")):
        with pytest.raises(Closed, match=r"command\('die'\); start another with spawnScatter"):
            ask()
    assert job.results() == [1]


def test_a_home_that_is_no_folder_is_named(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCATTERGATHER_HOME", str(tmp_path / "file"))
    with pytest.raises(BadRequest, match=f"{tmp_path}/file/hosts.toml cannot be read"):
        spawnScatterGather("alpha")
    pool = subprocess.run([*COMMAND, "pool"], capture_output=True, text=True, timeout=60)
    assert pool.returncode == 1
    assert re.search(rf"{tmp_path}/file.*: Not a directory", pool.stderr)
    assert "Traceback" not in pool.stderr


@pytest.mark.parametrize("option", ["--log-file", "--furl-file", "--directory"])
def test_a_place_where_the_pool_cannot_write_is_named_in_a_sentence(option) -> None:
    place = "/proc/nowhere"
    pool = subprocess.run(
        [*COMMAND, "pool", "--quiet", option, place], capture_output=True, text=True, timeout=20
    )
    assert pool.returncode == 1
    assert re.search(r"/proc/nowhere.*: No such file or directory|directory: '/proc/", pool.stderr)
    assert "Traceback" not in pool.stderr


# ---- what cannot travel -------------------------------------------------------------------------

LOCK = threading.Lock()


class Holder:
    def __init__(self) -> None:
        self.inner = {"deep": [1, LOCK]}


def test_an_argument_that_cannot_travel_is_named_by_task_and_path(c) -> None:
    with pytest.raises(CannotPickle, match=r"task 1: Cannot send args\[0\] -> .inner\['deep'\]\[1"):
        c.addJob(calls(1, Holder()), abs)
    with pytest.raises(CannotPickle, match=r"task 0: Cannot send kwargs\['key'\] \(a _thread.lock"):
        c.addJob([((), {"key": LOCK})], abs)
    with pytest.raises(CannotPickle, match=r"Cannot send args\[0\] \(a generator\)"):
        c.submit(list, (x for x in "ab"))
    assert c.addJob(calls(-1), abs).results() == [1]


def by_closure() -> Any:
    held = Holder()
    return lambda x: held


def by_class() -> Any:
    lock = LOCK

    class Task:
        def __call__(self, x: int) -> Any:
            return lock

    return Task()


def by_attribute() -> Any:
    def function(x: int) -> int:
        return x

    function.kept = LOCK  # type: ignore[attr-defined]
    return function


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (by_closure(), "<lambda>' -> closure 'held' -> .inner['deep'][1] (a _thread.lock)"),
        (by_class(), "Task' -> class 'by_class.<locals>.Task' -> .__call__ -> closure 'lock' ("),
        (by_attribute(), "function' -> .kept (a _thread.lock)"),
    ],
    ids=["closure", "class", "attribute"],
)
def test_a_function_that_cannot_travel_is_named_with_the_path(c, function, path) -> None:
    with pytest.raises(CannotPickle) as caught:
        c.addJob(calls(1), function)
    assert path in str(caught.value)
    assert "make it inside the task" in str(caught.value)


def test_a_global_that_cannot_travel_is_named(c) -> None:
    inner = of_notebook("lambda x: lock", lock=LOCK)
    with pytest.raises(CannotPickle, match="'<lambda>' -> global 'inner' -> global 'lock' "):
        c.addJob(calls(1), of_notebook("lambda x: inner(x)", inner=inner))


def test_a_result_that_cannot_travel_is_named_with_its_own_cure(c) -> None:
    def gives(x: int) -> Any:
        return {"a": [x, threading.Lock()]}

    error = error_of(c, gives, 1)
    assert isinstance(error, CannotPickle)
    assert "gives['a'][1] (a _thread.lock)" in str(error)
    assert "Return what is needed of it as plain data" in str(error)
    # Where our own code noticed it helps nobody.
    assert "picklers.py" not in str(error.__cause__)
    error = error_of(c, lambda: (x for x in "ab"))
    assert isinstance(error, CannotPickle)
    assert "A generator cannot travel. Return" in str(error)


def test_a_module_that_the_host_lacks_is_named(start, spawn, tmp_path, monkeypatch) -> None:
    (tmp_path / "only_here.py").write_text("def function(x): return x\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]  # noqa: PLC0415

    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    (tmp_path / "only_here.py").unlink()  # as on another machine

    c = spawn(start("--port", "0").furl().text)
    for function, argument in (
        (only_here.function, 1),
        (of_notebook("lambda x: only_here.function(x)", only_here=only_here), 1),
        (repr, only_here.Thing()),
    ):
        error = error_of(c, function, argument)
        assert isinstance(error, CannotImport)
        assert error.module == "only_here"
        assert "Cannot import 'only_here'" in str(error)
        assert "install it there" in str(error)
        assert c.addJob(calls(-1), abs).results() == [1]


# ---- what tasks raise ---------------------------------------------------------------------------


class NoWay(Exception):
    def __init__(self) -> None:
        super().__init__("no way")
        self.lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    inner: Odd


class Endless(Exception):
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        return "no end" if self.lock.locked() is False else ""


class Odd(Exception):
    def __init__(self, a: int, *, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.b = b


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Base(BaseException):
    pass


@pytest.mark.parametrize(
    ("make", "type_name", "text", "why"),
    [
        (Endless, "Endless", "no end", "because of exception -> .lock (a _thread.lock)"),
        (lambda: Base("odd"), "Base", "odd", "derived from Exception"),
        (KeyboardInterrupt, "KeyboardInterrupt", "", "derived from Exception"),
        (GeneratorExit, "GeneratorExit", "", "derived from Exception"),
    ],
    ids=["unpicklable", "BaseException", "interrupt", "GeneratorExit"],
)
def test_what_cannot_be_raised_here_is_stood_in_for_and_says_why(
    c, make, type_name, text, why
) -> None:
    def fails(x: int) -> None:
        raise make()

    error = error_of(c, fails, 7)
    assert isinstance(error, TaskError)
    assert error.type_name.endswith(type_name)
    assert error.text == text
    assert "in fails" in str(error.__cause__)
    stands_in, where = error.__notes__
    assert stands_in.startswith("TaskError stands in for ")
    assert why in stands_in
    assert where.startswith("[scattergather] task 0 of job ")
    assert where.endswith(", args (7,)")
    # The note of the worker, which counts otherwise, is gone.
    assert "[scattergather]" not in str(error.__cause__)
    assert c.addJob(calls(-1), abs).results() == [1]


def test_an_assertion_of_a_function_in_a_test_fails_in_a_task_as_it_does_here(c) -> None:
    # pytest has written names into this module that its source does not have.
    def check(x):
        assert x == 3, "told"

    with pytest.raises(AssertionError, match="told\nassert 2 == 3"):
        c.submit(check, 2).result()
    assert c.submit(check, 3).result() is None


def test_exceptions_keep_their_type_however_they_are_made(c) -> None:
    def fails(kind: str) -> None:
        if kind == "odd":
            raise Odd(1, b=2)
        if kind == "surrogate":
            raise ValueError("lone \udc80")
        if kind == "locked":
            raise NoWay
        if kind == "mute":
            raise Mute
        if kind == "frozen":
            raise Frozen(Odd(1, b=2))
        if kind == "invalid":
            pydantic.TypeAdapter(int).validate_python("x")
        raise ExceptionGroup("several", [ValueError("one"), Odd(1, b=2), NoWay()])

    odd = error_of(c, fails, "odd")
    assert (type(odd), str(odd), odd.b) == (Odd, "1 and 2", 2)  # type: ignore[attr-defined]
    surrogate = error_of(c, fails, "surrogate")
    assert (type(surrogate), surrogate.args) == (ValueError, ("lone \udc80",))
    group = error_of(c, fails, "group")
    assert isinstance(group, ExceptionGroup)
    assert [type(each) for each in group.exceptions] == [ValueError, Odd, NoWay]
    locked = error_of(c, fails, "locked")
    assert (type(locked), str(locked)) == (NoWay, "no way")
    assert "left where it was raised: <unlocked" in locked.__notes__[0]
    mute = error_of(c, fails, "mute")
    assert type(mute) is Mute
    frozen = error_of(c, fails, "frozen")
    assert (type(frozen), frozen.inner.b) == (Frozen, 2)  # type: ignore[attr-defined]
    assert frozen.__notes__[-1].startswith("[scattergather] task 0 of job ")
    assert isinstance(error_of(c, fails, "invalid"), pydantic.ValidationError)


def test_a_text_of_ten_megabytes_is_cut_and_its_report_is_short(c) -> None:
    def fails() -> None:
        raise ValueError("x" * 10_000_000)

    job = c.addJob([((), {})] * 5, fails)
    with pytest.raises(JobFailed) as caught:
        job.results()
    error = caught.value.failures[0].error
    assert type(error) is ValueError
    assert len(str(error)) <= 64 << 10
    assert "bytes cut here]" in str(error)
    assert len(str(caught.value)) < 20_000
    assert "5 of 5 tasks" in str(caught.value)


# ---- what tasks do ------------------------------------------------------------------------------


def memory(process: psutil.Process) -> int:
    """Bytes that it and all its descendants have resident, at their highest."""
    peak = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(OSError):  # one of an earlier test has ended meanwhile
            for line in Path("/proc", str(each.pid), "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak += int(line.split()[1]) * 1024
    return peak


FLOOD = int(os.environ.get("SCATTERGATHER_FLOOD_MEGABYTES", "64"))


def test_a_flood_of_output_takes_no_memory_anywhere(c, capfd) -> None:
    def flood(megabytes: int) -> str:
        block = (b"x" * 99 + b"\n") * 10_000
        for _ in range(megabytes):
            os.write(1, block)
        print("the end")
        return "done"

    c.addJob(calls(1), flood).results()
    before = memory(psutil.Process())
    job = c.addJob(calls(FLOOD), flood)
    assert job.results() == ["done"]
    assert memory(psutil.Process()) - before < 48 << 20
    assert job.output(0).endswith("the end\n")
    assert len(job.output(0)) < 70_000
    assert "dropped" in job.output(0).splitlines()[0]
    shown = capfd.readouterr().out
    assert len(shown) < 2_000_000
    assert "the end" in shown
