"""The few system calls that Python does not name. Linux only, as is the rest of a host."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import errno
import os
import platform
import resource
import signal
import time
from functools import cache
from typing import Any

from scattergather.errors import BadRequest

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_TIMERSLACK = 29
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PUNCH_HOLE_KEEP_SIZE = 0x03

_DESCRIPTORS = 1 << 16
"""More than that nobody needs, and where everything is allowed, some go through all."""

LEAST_FILE = 8 << 20
"""Bytes that a file must be allowed to have where workers are."""

LEAST_DESCRIPTORS = 16
"""With fewer a controller has none left for its first worker."""

_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 375}.get(
    platform.machine()
)
_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 1 << 1, 1 << 2
_SETTLED_SECONDS = 1e-4

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


def adopts_orphans() -> bool:
    """Processes that lose their parent become children of this one, as those of process 1 do."""
    found = ctypes.c_int(0)
    asked = _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(found), 0, 0, 0) == 0
    return os.getpid() == 1 or (asked and found.value != 0)


def reap() -> None:
    """No ended child waits any more to be asked for its status.

    A ``subprocess.Popen`` of a child that ended takes it for one that ended with status 0.
    """
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


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


def occupy_standard_descriptors() -> None:
    """0, 1 and 2 are open here, on nothing if they were closed.

    Otherwise a socket or a memory of ours would be what others write to by these numbers.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)


def name_process(name: str, title: str) -> None:
    """``ps`` calls this process so: by ``name`` (15 bytes), in full by ``title`` as far as it fits.

    A name has no space: Python 3.12 counts the fields of ``/proc/self/stat`` by spaces when it
    forks, takes another field for the number of threads, and warns of a fork that is none.

    The title takes the place of the arguments, in memory that every forked process has a copy of.
    """
    assert " " not in name, name
    text = ctypes.create_string_buffer(name.encode())
    _libc.prctl(_PR_SET_NAME, ctypes.addressof(text), 0, 0, 0)
    begin, end = _arguments()
    if begin:
        size = end - begin
        ctypes.memmove(begin, title.encode()[: size - 1].ljust(size, b"\0"), size)


@cache
def _arguments() -> tuple[int, int]:
    """Where the arguments of this program begin and end in memory; zeros where that is not told."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            begin, end = map(int, stat.read().rpartition(b")")[2].split()[45:47])
    except (OSError, ValueError):
        return 0, 0
    return (begin, end) if begin < end else (0, 0)


def wake_in_time() -> None:
    """What this thread waits for by the clock, as sleeps and time limits, is over when it should.

    The system may else let 50 us more pass, to wake several at once. Threads and processes that are
    begun from here inherit it.
    """
    _checked(_libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0), "prctl")


def check_files() -> None:
    """Outcomes, output and large values lie in files in memory, to which the limits apply, too.

    Raises:
        BadRequest: files of this process may not be as large, or as many, as workers need.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if 0 <= limit < LEAST_FILE:
        raise BadRequest(
            f"files of this process may have {limit} bytes at most, and workers need "
            f"{LEAST_FILE >> 20} MB: raise the limit with `ulimit -f`"
        )
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < LEAST_DESCRIPTORS:
        raise BadRequest(
            f"this process may have {limit} files open at most, and a controller needs "
            f"{LEAST_DESCRIPTORS}: raise the limit with `ulimit -n`"
        )


def no_process(error: Exception) -> str:
    """What is said where a process or a thread cannot be had."""
    if isinstance(error, OSError) and error.errno != errno.EAGAIN:
        return str(error)
    return (
        f"{error}: this user may have no more processes and threads; raise the limit with "
        "`ulimit -u`"
    )


def punch_hole(fd: int, length: int) -> None:
    """The first ``length`` bytes of a file take no memory and read as zeros; its size stays."""
    _checked(_libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, 0, length), "fallocate")


def allow_descriptors() -> None:
    """This process may have as many descriptors as its hard limit allows: slabs take one each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def limit_descriptors(soft: int) -> None:
    """Whoever is forked from here may have so many; what a task starts may know no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def heed_barriers() -> None:
    """:func:`barrier` of other processes reaches this one from now on."""
    if _MEMBARRIER is not None:
        _libc.syscall(_MEMBARRIER, _REGISTER_GLOBAL_EXPEDITED, 0, 0)


def barrier() -> None:
    """What this process stored before is seen by what others load from now on, and the reverse.

    A processor may load before its earlier stores are seen by others. So of two processes that
    each store a word and then look at the other's, neither may see anything. With this between the
    two steps of one of them, at least one sees the other's. The other pays nothing for it, but must
    have called :func:`heed_barriers`. Where the system has no such call (before Linux 4.16), a
    pause does it: stores wait for less than a microsecond.
    """
    if _MEMBARRIER is None or _libc.syscall(_MEMBARRIER, _GLOBAL_EXPEDITED, 0, 0) != 0:
        time.sleep(_SETTLED_SECONDS)
