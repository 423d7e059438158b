"""Scenario 14: a task bends its process; the next task finds a clean worker."""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import gc
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scattergather import errors, spawnScatterGather
from scattergather.client.client import ScatterGather
from tests.conftest import calls
from tests.pace import Promise
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def c() -> Iterator[ScatterGather]:
    with spawnScatterGather(workers=1) as client:
        client.waitForResult()
        yield client


@as_in_a_notebook
def state() -> dict[str, Any]:
    """What a task can see of its process, but its number."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "directory": os.getcwd(),
        "umask": umask,
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "handlers": [
            repr(signal.getsignal(number))[:20] for number in sorted(signal.valid_signals())
        ],
        "environment": dict(os.environ),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": os.sched_getaffinity(0),
        "threads": [each.name for each in threading.enumerate() if not each.daemon],
        "timers": [signal.getitimer(timer) for timer in (0, 1, 2)],
        "recursion": sys.getrecursionlimit(),
        "streams": [sys.stdout.name, sys.stderr.name, os.fstat(1).st_ino == os.fstat(2).st_ino],
        "flags": [fcntl.fcntl(number, fcntl.F_GETFL) for number in (1, 2)],
        "input": (sys.stdin.read(), os.fstat(0).st_rdev),
        "zone": time.tzname,
        "collects": gc.isenabled(),
        "crashes": faulthandler.is_enabled(),
    }


def open_files() -> list[int]:
    """Descriptors of this process."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    return [number for number in numbers if os.path.exists(f"/proc/self/fd/{number}")]


BENDS: dict[str, Any] = {
    "descriptors": lambda: os.closerange(0, 65536),
    "standard streams": lambda: os.closerange(0, 3) or sys.stdout.close(),
    "flags of the output": lambda: fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK),
    "flags of all files": lambda: [
        fcntl.fcntl(number, fcntl.F_SETFL, os.O_NONBLOCK) for number in open_files()
    ],
    "other files in the place of the standard ones": lambda: [
        os.dup2(os.open("/etc/passwd", os.O_RDONLY), number) for number in range(3)
    ],
    "other files in the place of all": lambda: [
        os.dup2(os.open("/etc/passwd", os.O_RDONLY), number) for number in open_files()
    ],
    "another output file": lambda: [
        os.dup2(os.open("/dev/null", os.O_RDWR), number)
        for number in open_files()
        if number > 2 and os.path.sameopenfile(number, 1)
    ],
    "standard input": lambda: sys.stdin.close() or os.close(0),
    "directory": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o777),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()),
    "handlers": lambda: [
        signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1)
    ],
    "every handler": lambda: [
        signal.signal(number, signal.SIG_IGN)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    ],
    "time zone": lambda: os.environ.update(TZ="Asia/Tokyo") or time.tzset(),
    "garbage collection": lambda: gc.disable(),
    "crash reports": lambda: faulthandler.disable(),
    "variable": lambda: os.environ.update(PATH="nowhere", NEW="new"),
    "environment": lambda: os.environ.clear(),
    "soft limit": lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    ),
    "hard limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30)),
    "priority": lambda: os.nice(5),
    "processors": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "thread": lambda: threading.Thread(target=time.sleep, args=(600,)).start(),
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05),
    "deadly alarm": lambda: signal.setitimer(signal.ITIMER_PROF, 0.1, 0.1),
    "recursion": lambda: sys.setrecursionlimit(10**6),
}


@pytest.mark.parametrize("bend", BENDS)
def test_the_next_task_finds_a_clean_worker_after_one_bent_its(c, bend):
    before = c.addJob([((), {})], state, echo=False).results()[0]
    bends = as_in_a_notebook(BENDS[bend])

    @as_in_a_notebook
    def task() -> str:
        bends()
        return "bent"

    promise = Promise(2)
    assert c.addJob([((), {})], task, retries=0, echo=False).results() == ["bent"]
    assert not promise.broken()
    assert c.addJob([((), {})], state, echo=False).results()[0] == before
    # And it works as before, for a while: nothing that was left comes up.
    assert (
        c.addJob(calls(*[0.01] * 10), lambda s: time.sleep(s), retries=0).results() == [None] * 10
    )


def test_a_worker_keeps_what_a_call_everywhere_sets_up(c):
    c.run_everywhere(as_in_a_notebook(lambda: os.environ.update(MINE="mine")))
    assert c.addJob([((), {})] * 2, as_in_a_notebook(lambda: os.environ["MINE"])).results() == [
        "mine",
        "mine",
    ]


@as_in_a_notebook
def writes_over_its_journal(word: int, value: int) -> int:
    maps = Path("/proc/self/maps").read_text().splitlines()
    (begin,) = (int(line.split("-")[0], 16) for line in maps if "scattergather-journal" in line)
    ctypes.c_uint64.from_address(begin + 8 * word).value = value
    return value


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("word", range(11))
def test_a_word_of_the_journal_that_a_task_bends_leaves_no_task_without_an_outcome(
    c, word: int, value: int
) -> None:
    job = c.addJob([((word, value), {})] * 3, writes_over_its_journal, retries=0, echo=False)
    for outcome in job.results(timeout=10, errors="return"):
        assert outcome == value or isinstance(outcome, errors.TaskKilledWorker | errors.ExitCalled)
