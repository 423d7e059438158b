"""What ``/proc`` says of processes. Light: the client reads it, too."""

from __future__ import annotations

import os


def children_of_this_process() -> list[int]:
    """Process ids of the living and the unreaped children, adopted ones included."""
    pid = os.getpid()
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as children:
                found += map(int, children.read().split())
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [each for each in map(int, filter(str.isdigit, os.listdir("/proc")))
                if parent_of(each) == pid]  # fmt: skip
    return found


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
    """How many threads this process has, Python's and others."""
    return len(os.listdir("/proc/self/task"))
