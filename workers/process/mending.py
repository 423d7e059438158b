"""Undoes what a task bent in its process, so that the next one finds a clean worker.

Looking costs some microseconds, so that happens only after tasks that took longer than that.
"""

from __future__ import annotations

import os
import sys

from scattergather.workers.process.capture import Capture
from scattergather.workers.process.interrupts import Interrupts

WORTH_IT = 1e-3
"""Seconds that a task has to run before its worker is looked after."""


class Mending:
    """The state of the process as it should be: as it was when this was made."""

    def __init__(self, capture: Capture, interrupts: Interrupts) -> None:
        self._capture = capture
        self._interrupts = interrupts
        self._directory = os.getcwd()
        self._recursion = sys.getrecursionlimit()
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    def mend(self) -> None:
        """Directory, standard streams, signal handlers, umask and recursion limit are right."""
        try:
            moved = os.getcwd() != self._directory
        except OSError:  # it was removed
            moved = True
        if moved:
            try:
                os.chdir(self._directory)
            except OSError:
                pass
        os.umask(self._umask)
        self._capture.repair()
        if not self._interrupts.intact():
            self._interrupts.install()
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
