"""Ends a process whose loop stands still: a program of its own, which nothing there can hold up.

A loop that spins or waits for ever notices neither the end of its client nor a signal that Python
handles, and nothing inside of the process would do. A thread needs the interpreter, which native
code may hold for ever. The timer of ``faulthandler`` does not, but it goes on while the process is
stopped, and would kill one that goes on after a minute. A timer of processor time sees no loop that
waits. So this looks from outside, once a second. It uses nothing but the standard library, and is
there after 15 ms::

    python -I -S watchman.py PID BEATS LOG PROCESS CLIENT SILENT ORPHANED

``BEATS`` is a file into which the loop writes another number each second, ``LOG`` where the process
logs to, ``PROCESS`` and ``CLIENT`` descriptors of processes (-1: none), the last two are seconds.
The process is ended when its client has ended and it has not, so long after; or when its loop has
stood still for so long. Only seconds count in which it could have run: not those in which it was
stopped, waited for a disk, or nobody ran, since then this program stood still, too.

The signal is SIGABRT, at which ``faulthandler`` writes the stacks of all threads to the log,
whoever has the interpreter. Who survives it is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

LOOK_SECONDS = 1.0
STACKS_SECONDS = 2.0
"""So long it may take to write them."""


class Vigil:
    """Counts for how long a loop has stood still, and its client has been gone. Pure.

    Args:
        now: monotonic time.
        silent: after so many seconds without a beat the process is to end.
        orphaned: after so many without a client.
    """

    def __init__(self, now: float, silent: float, orphaned: float) -> None:
        self._bounds = silent, orphaned
        self._looked = now
        self._beats = b""
        self._silent = self._orphaned = 0.0

    def look(self, now: float, beats: bytes, *, held: bool, client_gone: bool) -> str:
        """Why the process is to end; empty if it is not.

        Args:
            now: monotonic time.
            beats: what the loop has written last.
            held: the process could not have run.
            client_gone: its client has ended.
        """
        passed = 0.0 if held else min(now - self._looked, 2 * LOOK_SECONDS)
        self._looked = now
        self._silent = self._silent + passed if beats == self._beats else 0.0
        self._beats = beats
        self._orphaned += passed if client_gone else 0.0
        silent, orphaned = self._bounds
        if self._orphaned >= orphaned:
            return f"its client ended {self._orphaned:.0f} s ago, and it goes on"
        if self._silent >= silent:
            return f"its loop has stood still for {self._silent:.0f} s"
        return ""


def is_held(pid: int) -> bool:
    """The process is stopped, traced, or waits for a disk; not, if nobody can tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2][:1] in (b"T", b"t", b"D")
    except OSError:
        return False


def _ended(process: int, seconds: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _say(log: int, line: str) -> None:
    """One line into the log, unless that would wait."""
    _, writable, _ = select.select([], [log], [], 0)
    if writable:
        with contextlib.suppress(OSError):
            os.write(log, line.encode())


def _end(process: int, pid: int, log: int, why: str) -> None:
    _say(log, f"process {pid} is ended: {why}. What its threads do:\n")
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGABRT)
        if not _ended(process, STACKS_SECONDS):
            signal.pidfd_send_signal(process, signal.SIGKILL)


def main() -> None:
    """Watch one process until it ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pid, beats, log, process, client = map(int, sys.argv[1:6])
    vigil = Vigil(time.monotonic(), *map(float, sys.argv[6:8]))
    while not _ended(process, LOOK_SECONDS):
        why = vigil.look(
            time.monotonic(),
            os.pread(beats, 8, 0),
            held=is_held(pid),
            client_gone=client >= 0 and _ended(client),
        )
        if why:
            _end(process, pid, log, why)
            return


if __name__ == "__main__":
    main()
