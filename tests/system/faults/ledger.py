"""Who ran what: every run of a task leaves a line in a file, also one whose worker is killed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scattergather.client.client import ScatterGather
from tests.system.process_driver import alive, as_in_a_notebook

LONG = bool(os.environ.get("SCATTERGATHER_CHAOS"))
"""The long form of the fault tests is asked for."""


class Ledger:
    """The runs of a job's tasks, by index."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "ledger"
        self.path.touch()

    def keeping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function(index, ...)``; each of its runs is noted first."""
        path = str(self.path)

        @as_in_a_notebook
        def noted(index: int, *arguments: Any) -> Any:
            book = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.write(book, f"{index} {os.getpid()}\n".encode())
            os.close(book)
            return function(index, *arguments)

        return noted

    def runs(self) -> Counter[int]:
        """How often each task was begun."""
        return Counter(index for index, _ in self._lines())

    def pid(self, index: int) -> int | None:
        """Where this task was begun last."""
        return next((pid for each, pid in reversed(self._lines()) if each == index), None)

    def pids(self) -> set[int]:
        """Where tasks were begun."""
        return {pid for _, pid in self._lines()}

    def extra(self) -> int:
        """How many runs there were beyond one a task."""
        return self.runs().total() - len(self.runs())

    def _lines(self) -> list[tuple[int, int]]:
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return [(int(index), int(pid)) for index, pid in lines]


def once_each(job: Any) -> list[Any]:
    """The outcomes of a job in task order, each of which was delivered exactly once."""
    outcomes = list(job.as_completed(errors="return"))
    assert len(outcomes) == len(dict(outcomes)) == len(job)
    return [outcome for _, outcome in sorted(outcomes)]


class Killer(threading.Thread):
    """Kills a random worker of a client on this machine every ``period`` seconds, while it runs.

    ``kills`` counts them; ``back`` are the seconds until there were as many workers as before.
    """

    def __init__(self, c: ScatterGather, period: float, seed: int) -> None:
        super().__init__()
        self.kills = 0
        self.back: list[float] = []
        self._zygotes = set(c.run_everywhere(os.getppid).values())
        self._workers = len(self._living())
        self._period = period
        self._chance = random.Random(seed)
        self._over = threading.Event()

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(self._period):
            victim = self._chance.choice(self._living() or [0])
            if victim:
                began = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                self.kills += 1
                while not self._replaced(victim) and not self._over.wait(1e-3):
                    pass
                self.back.append(time.monotonic() - began)

    def _replaced(self, victim: int) -> bool:
        living = self._living()
        return victim not in living and len(living) >= self._workers

    def _living(self) -> list[int]:
        found: list[int] = []
        for zygote in self._zygotes:
            children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text()
            found += [pid for pid in map(int, children.split()) if alive(pid)]
        return found
