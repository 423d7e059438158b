"""What ``/proc`` says of processes. Light: the client reads it, too.

Where it is not mounted nothing is known of other processes, and whoever asks goes on without.
"""

from __future__ import annotations

import os
import time

USED = slice(11, 13)
"""Where the ticks stand, in user and in system mode, that a process has taken."""

_TRACKER = b".resource_tracker import main"
"""How Python's multiprocessing and loky start theirs, by ``python -c``."""

BECOMING = 0.1
"""Seconds for which a process that has no arguments is taken for one that is about to have some."""


def children_of_this_process() -> list[int]:
    """Process ids of the living and the unreaped children, adopted ones included."""
    pid = os.getpid()
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as children:
                found += map(int, children.read().split())
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        everybody = os.listdir("/proc") if os.path.isdir("/proc") else []
        return [each for each in map(int, filter(str.isdigit, everybody))
                if parent_of(each) == pid]  # fmt: skip
    return found


def living_children() -> list[int]:
    """Children of this process that run, but for the resource trackers of Python and loky.

    A tracker cleans up behind those that started it, and ends by itself when all of them are gone.
    """
    return [pid for pid in children_of_this_process() if runs(pid) and not is_tracker(pid)]


def runs(pid: int) -> bool:
    """There is such a process, and it has not ended, though nobody may have waited for it."""
    return state_of(pid) not in ("", "Z", "X")


def is_tracker(pid: int) -> bool:
    """A process was started to clean up shared memory and semaphores behind others.

    For a moment one that becomes another program has no arguments, when whoever started it goes on
    already; they are waited for.
    """
    patience = time.monotonic() + BECOMING
    while not (command := command_of(pid)) and runs(pid) and time.monotonic() < patience:
        time.sleep(1e-4)
    return _TRACKER in command


def name_of(pid: int) -> str:
    """What the system calls a process, for messages; empty when there is none."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as name:
            return name.read().strip()
    except OSError:
        return ""


def command_of(pid: int) -> bytes:
    """The arguments of a process, each with a zero byte behind it; empty when it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as command:
            return command.read()
    except OSError:
        return b""


def parent_of(pid: int) -> int:
    """The parent of a process; 0 when there is none."""
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[bytes]:
    """What ``/proc`` says of a process, from its state on."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The command's name stands in parentheses and may hold anything.
            return stat.read().rpartition(b")")[2].split()
    except OSError:
        return [b"", b"0"]


def state_of(pid: int) -> str:
    """One letter: R runs, S sleeps, T is stopped, Z is a zombie; empty when there is none."""
    return _stat(pid)[0].decode("ascii")


def is_stopped(pid: int) -> bool:
    """A signal stopped it, and it does nothing until it goes on (state T). Takes some 10 us."""
    return state_of(pid) == "T"


def time_of_sleeper(pid: int) -> float | None:
    """The processor time, in seconds, of a process whose main thread sleeps (state S), else None.

    It is that of all its threads.
    """
    stat = _stat(pid)
    if stat[0] != b"S" or len(stat) < USED.stop:
        return None
    return sum(map(int, stat[USED])) / os.sysconf("SC_CLK_TCK")


def anonymous_memory(pid: int) -> int:
    """Bytes of anonymous memory that a process holds; 0 when that cannot be read."""
    return 1024 * _number(f"/proc/{pid}/status", "RssAnon:")


def kills_for_memory() -> int:
    """How many processes the kernel has ended for want of memory since it began, in any cgroup."""
    return _number("/proc/vmstat", "oom_kill ")


def _number(path: str, key: str) -> int:
    """The number behind ``key`` at the beginning of a line; 0 when it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(key):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def thread_count() -> int:
    """How many threads this process has, Python's and others; 0 when that cannot be told."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0
