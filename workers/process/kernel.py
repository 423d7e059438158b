"""The few system calls that Python does not name. Linux only, as is the rest of a host."""

from __future__ import annotations

import ctypes
import os
import signal

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
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The command's name stands in parentheses and may hold anything.
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def thread_count() -> int:
    """How many threads this process has, Python's and others."""
    return len(os.listdir("/proc/self/task"))
