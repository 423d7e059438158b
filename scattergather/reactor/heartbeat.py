"""A loop that is watched: it says once a second that it turns, and is ended when it does not.

Whoever watches is a program of its own (``machine.watchman``), and no child: it is nobody's to wait
for. It ends with the process that it watches.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from typing import TextIO

from scattergather.machine import watchman
from scattergather.reactor.seam import Clock

BEAT_SECONDS = 1.0

SILENT_SECONDS = 60.0
"""A loop that stands still for so long ends with its process; its timers wait at least."""

ORPHANED_SECONDS = 5.0
"""A process whose client has ended ends by itself in two."""


class Heartbeat:
    """Of the loop of this process, which is watched from now on; while it has one thread.

    Args:
        log: where the process logs to; the stacks of all threads are written there at its end.
        client: the process without which there is nothing to do; 0 for none.
        silent: how many seconds the loop may stand still.
        orphaned: how many the process may outlive its client.
    """

    def __init__(
        self,
        log: TextIO,
        client: int = 0,
        *,
        silent: float = SILENT_SECONDS,
        orphaned: float = ORPHANED_SECONDS,
    ) -> None:
        self._beats = os.memfd_create("scattergather-heartbeat")
        self._count = 0
        self._between = 0
        faulthandler.enable(log)
        try:
            process = os.pidfd_open(os.getpid())
            of_client = os.pidfd_open(client) if client else -1
        except (AttributeError, OSError):
            return  # a kernel before 5.3, or the client is gone, for which others look
        given = [self._beats, log.fileno(), process, of_client]
        self._between = _start(
            given, [str(os.getpid()), *map(str, given), str(silent), str(orphaned)]
        )
        for each in given[2:]:
            if each >= 0:
                os.close(each)

    def beat(self, clock: Clock) -> None:
        """The loop turns, and says so from now on."""
        if self._between:  # not before: nothing is to wait for it that has work
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._between, 0)
            self._between = 0
        self._count += 1
        os.pwrite(self._beats, self._count.to_bytes(8, "little"), 0)
        clock.callLater(BEAT_SECONDS, self.beat, clock)


def _start(given: list[int], arguments: list[str]) -> int:
    """Start the watchman, with these descriptors; he becomes a child of the system's first process.

    Returns:
        The process that stands between this one and him, which ends at once and is to be waited
        for; 0 where none is allowed, and nobody watches.
    """
    command = [sys.executable, "-I", "-S", watchman.__file__, *arguments]
    nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    nothing = [each for each in nothing if each[1] not in given]
    try:
        between = os.fork()
    except OSError:
        return 0
    if between:
        return between
    try:
        for each in given:
            if each >= 0:
                os.set_inheritable(each, True)
        # Nothing of the environment, which may hold secrets, but what Python may need to begin.
        needed = {name: each for name, each in os.environ.items() if name == "LD_LIBRARY_PATH"}
        os.posix_spawn(sys.executable, command, needed, file_actions=nothing)
    finally:
        os._exit(0)
