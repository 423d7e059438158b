"""No system at all: what the machine itself gives.

``Serial`` is the compute time of the seed's job; divided by the workers it is the figure that the
targets name. Whether a machine's two cores are two times one core is another question, which
``Forks`` answers: two processes, half the tasks each, nothing sent to and fro.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from benchmarks import functions
from benchmarks.system import WORKERS, System


class Serial(System):
    """The calls one after the other, in this process."""

    name = "serial"

    def seed_job(self, tasks: Sequence[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
        """The results, computed here."""
        return [functions.seed(task) for task in tasks]


class Forks(System):
    """A fork for each worker, its share of the calls, results thrown away."""

    name = "forks"

    def seed_job(self, tasks: Sequence[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
        """Nothing but the time it takes."""
        functions.seed(tasks[0])  # numpy is loaded before the fork
        pids = []
        for share in range(WORKERS):
            pid = os.fork()
            if pid == 0:
                for task in tasks[share::WORKERS]:
                    functions.seed(task)
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        return []
