"""Directory, module path and environment that the workers of a session see."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Mapping

from scattergather.machine import environment
from scattergather.model.snapshot import in_bytes
from scattergather.wire.memory import scratch
from scattergather.wire.messages.page import read_place
from scattergather.wire.messages.shared import TaskPlace

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_LOOKED_UP = type(os.environ).__getitem__.__code__


def one_thread_each() -> None:
    """Numeric libraries use one thread unless told otherwise: the workers share the cores.

    Has to run before the first of them is imported.
    """
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")


def read(descriptor: int) -> TaskPlace:
    """The place in this file."""
    return read_place(os.pread(descriptor, os.fstat(descriptor).st_size, 0))


class Surroundings:
    """What this process and those that are forked from it see.

    When it is made that is what the process finds. A place that it is told later is put upon that,
    each anew. It remembers which variables were kept from it, for those who look for them.
    """

    def __init__(self) -> None:
        self._path = tuple(sys.path)
        self._environment = dict(os.environb)
        self._directory = environment.current_directory()
        self._withheld: frozenset[bytes] = frozenset()
        self._of_a_daemon = True
        self.files = b""
        """The folder of files that clients have sent to this host; empty if there is none."""

    def settle(self, place: TaskPlace) -> list[str]:
        """This process sees ``place``; returns a sentence for each part that cannot be had."""
        self._take_environment(place)
        self.files = place.files
        scratch.use(os.fsdecode(place.scratch))
        found = [os.fsdecode(each) for each in place.path]
        # Ours stay reachable behind the client's: scattergather itself may be found only there.
        sys.path[:] = [*found, *(each for each in self._path if each not in found)]
        importlib.invalidate_caches()
        directory = place.directory or self._directory
        try:
            os.chdir(directory)
        except OSError as error:
            if not environment.current_directory():
                os.chdir("/")
            return [
                f"The workers stay in {os.getcwd()!r}: {os.fsdecode(directory)!r} cannot be "
                f"entered ({error.strerror})."
            ]
        return []

    def _take_environment(self, place: TaskPlace) -> None:
        """A daemon's tasks, which may be a guest's, get nothing that looks like a secret."""
        self._of_a_daemon = place.environment is None
        if place.environment is not None:
            self._withheld = frozenset(place.withheld)
            _become(place.environment)
        else:
            own = self._environment.items()
            self._withheld = frozenset(name for name, value in own
                                       if environment.looks_secret(name, value))  # fmt: skip
            _become({name: value for name, value in own if name not in self._withheld})
        one_thread_each()
        # What a task starts agrees with it on ``hash(text)``.
        seed = self._environment.get(b"PYTHONHASHSEED")
        if seed is not None:
            os.environb.setdefault(b"PYTHONHASHSEED", seed)

    def advice(self, error: BaseException) -> str:
        """Why a variable of the environment is not there, or a disk is full; else empty.

        ``error`` is what says so.
        """
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _full_disk()
        if (
            type(error) is not KeyError
            or len(error.args) != 1
            or not isinstance(error.args[0], str)
        ):
            return ""
        name = error.args[0]
        withheld = os.fsencode(name.encode("utf-8", "replace").decode()) in self._withheld
        if withheld and self._of_a_daemon:
            return (
                f"{name} is set in this host's pool, whose tasks get no variables that look like "
                "secrets: pass its value as an argument"
            )
        if withheld:
            return (
                f"{name} is set in the notebook, but workers get neither variables of the kernel "
                "(JPY_...) nor FURLs: pass its value as an argument"
            )
        if self._of_a_daemon and _was_looked_up(error):
            return (
                "tasks see the environment with which this host's pool was started, not the "
                f"notebook's: set {name} there, or pass its value as an argument"
            )
        return ""


def _full_disk() -> str:
    folder = scratch.folder()
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    return (
        f"files of inside.create_file() lie in {folder}, whose disk has "
        f"{in_bytes(disk.f_bavail * disk.f_frsize)} left: scattergather pool --scratch DIR, or "
        "spawnScatterGather(scratch=...), names another"
    )


def _become(variables: Mapping[bytes, bytes]) -> None:
    """The environment is this one."""
    for name in os.environb.keys() - variables.keys():
        del os.environb[name]
    for name, value in variables.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def _was_looked_up(error: BaseException) -> bool:
    """True when it is ``os.environ`` that raised this."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code is _LOOKED_UP
