"""Programs that a fault test ends: ``python -m tests.system.faults.victims NAME [ARGUMENT...]``.

Each says a line when the moment has come at which it may be killed. None has a guard around its
spawn: scripts need none.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from scattergather import spawnScatterGather
from tests.system.process_driver import as_in_a_notebook

LONG = "600"
"""Seconds that what must not be left behind sleeps."""


def say(*words: object) -> None:
    print(*words, flush=True)


def family(folder: str) -> None:
    """A task that starts a child, an orphan and one that left session and environment; sleeps."""
    child = subprocess.Popen(["sleep", LONG])
    Path(folder, f"child-{child.pid}").touch()
    for name, command in {
        "orphan": f"sleep {LONG}",
        "stranger": f"env -i setsid sleep {LONG}",
    }.items():
        line = f"{command} >/dev/null 2>&1 & echo $!"
        pid = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, check=True, text=True)
        Path(folder, f"{name}-{pid.stdout.strip()}").touch()
    time.sleep(float(LONG))


def with_family(*urls: str) -> Any:
    """A client of these hosts, or of this machine's, whose two workers run families."""
    c = spawnScatterGather(urls) if urls else spawnScatterGather(workers=2)
    folder = os.environ["FAMILY"]
    c.addJob([((folder,), {})] * 2, as_in_a_notebook(family))
    while sum(1 for _ in Path(folder).glob("stranger-*")) < 2:
        if c.poll():
            c.waitForResult()  # says why there is no family
        time.sleep(0.01)
    return c


# ---- moments ------------------------------------------------------------------------------------


def spawning(*urls: str) -> None:
    say("now")
    c = spawnScatterGather(urls) if urls else spawnScatterGather(workers=2)
    c.waitForResult()
    time.sleep(600)


def sending(*urls: str) -> None:
    c = spawnScatterGather(urls) if urls else spawnScatterGather(workers=2)
    load = os.urandom(1 << 20)
    say("now")
    while True:
        c.addJob([((load + bytes([n]),), {}) for n in range(32)], len)


def waiting(*urls: str) -> None:
    c = with_family(*urls)
    say("now")
    c.waitForResult()


def idle(*urls: str) -> None:
    c = spawnScatterGather(urls) if urls else spawnScatterGather(workers=2)
    assert c.submit(pow, 2, 3).result() == 8
    say("now")
    time.sleep(600)


# ---- ends ---------------------------------------------------------------------------------------


def leaves_with_by_an_exception() -> None:
    with with_family():
        say("now")
        raise ZeroDivisionError


def falls_off_the_end() -> None:
    with_family()
    say("now")


def keeps_its_client_to_the_end() -> None:
    """By an exception: a script that ends regularly has its jobs finished first."""
    globals()["kept"] = with_family()
    say("now")
    raise ZeroDivisionError


def calls_hard_exit() -> None:
    c = with_family()
    say("now")
    os._exit(c.poll())


def becomes_another_program() -> None:
    c = with_family()
    say("now")
    os.execvp("sleep", ["sleep", "0" if c.poll() else "0.0"])


def ends_in_a_thread() -> None:
    """A thread that holds the client calls sys.exit; the main thread then ends."""

    def work() -> None:
        c = with_family()
        sys.exit(f"with {c!r}")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    say("now")


def exits_while_a_thread_waits() -> None:
    c = with_family()
    threading.Thread(target=c.waitForResult, daemon=True).start()
    say("now")
    raise ZeroDivisionError


# ---- who else holds the pipe --------------------------------------------------------------------


def forks_behind_our_back() -> None:
    """A copy made by a library's own fork, of which Python hears nothing, holds the pipe."""
    c = with_family()
    if (copy := ctypes.PyDLL(None).fork()) == 0:
        os.close(1)
        signal.pause()
    say(copy)
    c.waitForResult()


def forks_before_it_spawned() -> None:
    """The same, in the moment when the controller's pipe is open and nothing was sent yet."""
    real = subprocess.Popen

    def fork_and_start(*arguments: Any, **options: Any) -> Any:
        if (copy := ctypes.PyDLL(None).fork()) == 0:
            os.close(1)
            signal.pause()
        say(copy)
        return real(*arguments, **options)

    subprocess.Popen = fork_and_start  # type: ignore[assignment,misc]
    spawnScatterGather(workers=2).waitForResult()
    time.sleep(600)


def forks_in_the_middle_of_the_start() -> None:
    """Another thread forks while ``Popen`` waits for the controller, and the child stays."""
    real, children = subprocess._fork_exec, []  # type: ignore[attr-defined]

    def fork() -> None:
        if (child := os.fork()) == 0:
            os.close(1)
            signal.pause()
        children.append(child)

    forking = threading.Thread(target=fork)

    def fork_and_start(*arguments: Any) -> Any:
        forking.start()
        forking.join(0.5)  # the fork itself may wait for us
        return real(*arguments)

    subprocess._fork_exec = fork_and_start  # type: ignore[attr-defined]
    c = spawnScatterGather(workers=2)
    subprocess._fork_exec = real  # type: ignore[attr-defined]
    forking.join()
    say(*children)
    c.waitForResult()
    time.sleep(600)


def forks_all_the_time() -> None:
    """Other code of the notebook forks from the first moment on, and its children stay."""
    children: list[int] = []

    def fork() -> None:
        while len(children) < 10:
            if (child := os.fork()) == 0:
                os.close(1)
                signal.pause()
            children.append(child)
            time.sleep(0.05)

    forking = threading.Thread(target=fork)
    forking.start()
    c = with_family()
    forking.join()
    say(*children)
    c.waitForResult()


def starts_in_a_thread_that_ends() -> None:
    """Whatever is bound to the thread that forked would end with it."""
    made: list[Any] = []
    starter = threading.Thread(target=lambda: made.append(spawnScatterGather(workers=2)))
    starter.start()
    starter.join()
    (c,) = made
    assert c.addJob([((n,), {}) for n in range(100)], abs).results() == list(range(100))
    say("now")


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what nohup has made of it would be inherited
    globals()[sys.argv[1]](*sys.argv[2:])
