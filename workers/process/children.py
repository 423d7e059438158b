"""The processes of one zygote: forked, signalled, reaped, and none left behind.

A worker leads a session and a process group of its own, whose number is its process id. Nobody
else can get that number while the worker has not been reaped, and reaping happens here only, in
the zygote's one thread: so a signal never reaches a stranger.

Every worker adopts its own orphans, and so does every zygote. When a worker dies, what it had
started and left (also what moved to another session) becomes a child of the zygote at that moment.
Therefore any child that is no worker of ours was left by a dead one, and is killed, before it is
said that the worker has ended: it may still read what the worker had mapped. Only resource trackers
end by themselves, when all are gone whom they clean up behind.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from scattergather.machine.proc import children_of_this_process, is_tracker

CLEANING = 1.0
"""Seconds that resource trackers have, when a zygote ends, to clean up behind its workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A child was reaped: exit ``status`` or ``signal``; ``peak`` is its largest memory, bytes."""

    number: int
    pid: int
    status: int
    signal: int
    peak: int


@dataclass(slots=True)
class Children:
    """The children of this zygote that have a number (workers, or sessions), by process id."""

    numbers: dict[int, int] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)

    def enter(self, number: int, pid: int) -> None:
        """A child that was just forked has this number from now on."""
        self.numbers[pid] = number
        self.pids[number] = pid

    def signal(self, number: int, what: int, *, group: bool) -> None:
        """Signal a child, with ``group`` its whole process group; nothing when it is gone.

        What a killed child leaves is killed when it is reaped, and a tracker of it is not.
        """
        pid = self.pids.get(number)
        if pid is not None:
            _kill(pid, what)
            if group and what != signal.SIGKILL:
                _kill_group(pid, what)

    def reap(self) -> Iterator[Ended]:
        """Reap every dead child; kills what they left. Yields those that have a number."""
        while (pid := _dead_child()) is not None:
            number = self.numbers.pop(pid, None)
            if number is not None:
                del self.pids[number]
            _, status, usage = os.wait4(pid, 0)
            self._kill_strangers()
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                yield Ended(
                    number=number,
                    pid=pid,
                    status=max(code, 0),
                    signal=max(-code, 0),
                    peak=usage.ru_maxrss * 1024,
                )

    def end_all(self) -> None:
        """Kill every child and whatever they leave; returns when none is there any more.

        Resource trackers have ``CLEANING`` seconds to end by themselves.
        """
        patience = time.monotonic() + CLEANING
        while True:
            left = children_of_this_process()
            trackers = time.monotonic() < patience and [pid for pid in left if is_tracker(pid)]
            for pid in left:
                if not (trackers and pid in trackers):
                    _kill(pid, signal.SIGKILL)
            try:
                if not os.wait4(-1, os.WNOHANG if trackers else 0)[0]:
                    time.sleep(1e-3)
            except ChildProcessError:
                return

    def _kill_strangers(self) -> None:
        for pid in children_of_this_process():
            if pid not in self.numbers and not is_tracker(pid):
                _kill(pid, signal.SIGKILL)


def _dead_child() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def _kill(pid: int, what: int) -> None:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        pass


def _kill_group(pid: int, what: int) -> None:
    try:
        os.killpg(pid, what)
    except (ProcessLookupError, PermissionError):  # EPERM: not its own leader yet
        pass
