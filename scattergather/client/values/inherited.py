"""What a copy of this process, made by fork, may read of results that lie in others' memory.

A result is mapped privately, and such a mapping shows what is written below it later. So what is
held here when this process is forked stays held, whatever the user gives up meanwhile, until that
copy is gone, and all that it has forked. A pipe tells: nothing is ever written to it, and its end
for reading hears when the last process that has the other end is gone. A program that one of them
starts has it not, as it has no mapping.
"""

from __future__ import annotations

import os
import select
import threading


class InheritedResults:
    """What copies of this process may read. Any thread."""

    def __init__(self) -> None:
        self._begun: dict[int, tuple[int, int]] = {}
        self._held: dict[int, list[object]] = {}

    def begin(self) -> None:
        """This thread forks now."""
        try:
            self._begun[threading.get_ident()] = os.pipe()
        except OSError:  # no descriptors: a fork will hardly help
            pass

    def copied(self, held: list[object]) -> None:
        """This thread has forked, and the copy may read these."""
        ends = self._begun.pop(threading.get_ident(), None)
        if ends is None:
            return
        os.close(ends[1])
        if held:
            self._held[ends[0]] = held
        else:
            os.close(ends[0])

    def abandon(self) -> None:
        """This is the copy. It keeps its end of the pipe, and nothing else."""
        ends = self._begun.pop(threading.get_ident(), None)
        for fd in [*self._held, *(ends or ())[:1]]:
            os.close(fd)
        self._held.clear()

    def close(self) -> None:
        """The controller is gone, and nothing is written any more: nothing need be held."""
        for fd in tuple(self._held):
            if self._held.pop(fd, None) is not None:
                os.close(fd)

    def __del__(self) -> None:
        self.close()

    def settle(self) -> None:
        """What only copies could read that are gone is held no more."""
        for fd in tuple(self._held):
            look = select.poll()
            look.register(fd, 0)
            if look.poll(0) and self._held.pop(fd, None) is not None:
                os.close(fd)
