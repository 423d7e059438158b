"""The controller's process: how it is started, what it inherits, how it is described at its end."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any

from scattergather.errors import BadRequest
from scattergather.machine.environment import current_directory, for_a_program
from scattergather.model.quoting import quoted
from scattergather.wire.memory.owned import Descriptor, own

_PACKAGE_PARENT = os.fsencode(Path(__file__).resolve().parents[3])
_TAIL_BYTES = 8 << 10
_TAIL_LINES = 12

_starting = threading.RLock()
"""Held while a controller is being started. Other threads fork before or after: until it ends, a
copy that was made in between would hold the pipe on which ``Popen`` waits for the program to run.
"""

os.register_at_fork(
    before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release
)


def environment_of_controller() -> dict[bytes, bytes]:
    """What the controller is started with: nothing of this process's that looks like a secret."""
    environment = for_a_program(os.environb)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    with contextlib.suppress(Exception):  # some embedders leave site half there
        installed |= {*site.getsitepackages(), site.getusersitepackages()}
    if _PACKAGE_PARENT not in {os.path.realpath(os.fsencode(place)) for place in installed}:
        # We run from a source tree, whose folder -P keeps off the controller's path.
        places = [environment.get(b"PYTHONPATH", b""), _PACKAGE_PARENT]
        environment[b"PYTHONPATH"] = os.fsencode(os.pathsep).join(filter(None, places))
    return environment


class Log:
    """Where the controller's stdout and stderr go: a file of the user's, or memory of our own.

    Raises:
        BadRequest: ``logFile`` is neither a path nor an open file, or cannot be written.
    """

    def __init__(self, logFile: Any = None) -> None:
        self.path: str | None = None
        self._file: Descriptor | None = None
        if logFile is None:
            return
        if isinstance(logFile, (str, os.PathLike)):
            self.path = os.path.abspath(os.fspath(logFile))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            try:
                self._file = own(os.open, self.path, flags, 0o600)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                raise BadRequest(f"logFile {quoted(self.path)} cannot be written: {why}") from error
            return
        try:
            with contextlib.suppress(AttributeError):
                logFile.flush()
            descriptor = logFile.fileno()
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise io.UnsupportedOperation("not writable")
            self._file = own(os.dup, descriptor)
        except (AttributeError, OSError, ValueError, TypeError) as error:
            raise BadRequest(
                f"logFile must be a path, or a file that is open for writing, not {quoted(logFile)}"
            ) from error
        name = getattr(logFile, "name", None)
        self.path = os.path.abspath(name) if isinstance(name, str) and name else None

    def fileno(self) -> int:
        """The descriptor to which the controller writes."""
        if self._file is None:
            self._file = own(os.memfd_create, "scattergather-log", os.MFD_CLOEXEC)
        return self._file.fileno()

    def tail(self) -> list[str]:
        """The last lines of the log; none if it cannot be read."""
        if self._file is None:
            return []
        try:
            # Opened anew, because the descriptor of a user's file may be for writing only.
            with open(f"/proc/self/fd/{self._file.fileno()}", "rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - _TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except (OSError, ValueError):  # closed
            return []
        return text.splitlines()[-_TAIL_LINES:]

    def close(self) -> None:
        """This process needs the log no more; the controller has a descriptor of its own."""
        if self._file is not None:
            self._file.close()


def start(log: Log) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The controller runs; returns our end of the pipe to it, and the process.

    It has a session of its own, so that an interrupt of the cell does not hit it.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    arguments = [str(theirs.fileno()), str(os.getpid())]
    with theirs:
        try:
            with _starting:
                return ours, subprocess.Popen(
                    [sys.executable, "-P", "-m", "scattergather.controller", *arguments],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=log.fileno(),
                    stderr=log.fileno(),
                    start_new_session=True,
                    env=environment_of_controller(),
                    cwd=None if current_directory() else "/",
                )
        except BaseException:
            ours.close()
            raise


def describe_end(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "it closed the pipe"
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
