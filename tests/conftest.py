"""What every test gets: settings of its own, and a check that nothing is left running.

Each test runs with its name in the environment. Children inherit it through any number of
generations, also when they change session or parent, so whoever still carries the name of a test
when that test is over was left behind by it. Processes of a module's or the session's fixture
carry the name of the run only, and are looked for at the end.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from tests.pace import Promise

MARK = "SCATTERGATHER_TEST"
RUN = uuid.uuid4().hex
GRACE = 2.0

AGAIN = 0.2
"""Times its timeout after which a test that still goes on is struck again, and then again.

Each blow ends one wait. A test that stands still is often cleaned up by what stands still, too: a
``tearDown`` that shuts down, the end of a ``with``, a ``finally`` that reads a pipe to its end.
After one blow alone nothing would be heard of the test for ever.
"""

STUCK = 2.0
"""Times its timeout after which a test that this could not end is ended with the whole process.

The timeout is a signal: it ends nothing where the exception is swallowed, or where code in C never
comes back.
"""

_LOG = pytest.StashKey[int]()

# Python's own helper of a process: it ends when that process does.
HARMLESS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "ci", parent=hypothesis.settings.get_profile("default"), derandomize=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def left_behind(mark: str) -> list[psutil.Process]:
    """The living processes, but ourselves, whose environment holds this mark or begins with it."""
    entry = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            # A zombie's is empty; another user's cannot be opened.
            environment = Path("/proc", name, "environ").read_bytes()
            if b"\0" + entry in b"\0" + environment:
                process = psutil.Process(int(name))
                if not any(word in " ".join(process.cmdline()) for word in HARMLESS):
                    found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def calls(*arguments: object) -> list[tuple[tuple[object, ...], dict[str, object]]]:
    """A scatter set: one call with each of these as its only argument."""
    return [((each,), {}) for each in arguments]


def survivors(mark: str, grace: float = GRACE) -> list[str]:
    """Those still there after ``grace`` seconds, described; they are killed."""
    promise = Promise(grace)
    while (found := left_behind(mark)) and not promise.broken():
        time.sleep(0.02)
    described = []
    for process in found:
        try:
            described.append(f"{process.pid} (parent {process.ppid()}): {process.cmdline()}")
            process.kill()
        except psutil.Error:
            continue
    return described


def pytest_configure(config: pytest.Config) -> None:
    os.environ[MARK] = RUN
    # A copy, since each test's own is captured; who reads the log is to see where it stood.
    config.stash[_LOG] = os.dup(2)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    found = yield
    seconds, _ = signal.getitimer(signal.ITIMER_REAL)
    if seconds:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN * seconds)
    return found


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    # Beside --pdb a test may take as long as its reader does.
    if not item.config.getoption("usepdb"):
        marker = item.get_closest_marker("timeout")
        timeout = float(marker.args[0] if marker else item.config.getini("timeout"))
        faulthandler.dump_traceback_later(STUCK * timeout, exit=True, file=item.config.stash[_LOG])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCATTERGATHER_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _alone(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    mark = f"{RUN}/{request.node.nodeid}/"
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("SCATTERGATHER_HOME", str(tmp_path / "home"))
    yield
    if left := survivors(mark):
        pytest.fail("left running:\n" + "\n".join(left), pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if left := survivors(RUN):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("\nleft running by this run:\n" + "\n".join(left), red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
