"""The few system calls that Python does not name. Linux only, as is the rest of a host."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import os
import resource
import signal
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PUNCH_HOLE_KEEP_SIZE = 0x03

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


handler_of: Any = _signal.getsignal
"""The handler of a signal; ``signal.getsignal`` looks up names besides, for ten times as long."""


def adopt_orphans() -> None:
    """Descendants that lose their parent become children of this process."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Signal ``number`` reaches this process when its parent's forking thread ends.

    So it is right only below a process with one thread. Ends the process when ``parent`` is gone
    already: it may have died between the fork and this call.
    """
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(0)


def dump_no_core() -> None:
    """This process leaves no core file: it would hold keys, or the user's data."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def punch_hole(fd: int, length: int) -> None:
    """The first ``length`` bytes of a file take no memory and read as zeros; its size stays."""
    _checked(_libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, 0, length), "fallocate")


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
                if _parent_of(each) == pid]  # fmt: skip
    return found


def _parent_of(pid: int) -> int:
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
