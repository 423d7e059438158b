"""``python -m tests.system.faults.interrupted SEED ROUNDS``: Ctrl-C at any moment, again and again.

Each round spawns, adds and waits, and is interrupted at a moment that the seed chooses. At the end
this process holds what it held before, and a fresh cluster works. In a process of its own: in
pytest's, interrupts would also hit what is not ours.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
from collections import Counter

import psutil

from scattergather import spawnScatterGather
from tests.system.process_driver import eventually

LONGEST = {"spawning": 0.03, "all": 0.5}
"""Seconds that an undisturbed round takes on an idle machine, until it has spawned, and in all."""


class Round:
    """One use of a cluster, with the name of what it was doing."""

    def __init__(self) -> None:
        self.doing = "nothing"
        self.open = False

    def strike(self, _signal: int, _frame: object) -> None:
        if self.open:
            self.open = False
            raise KeyboardInterrupt

    def run(self, moment: float, load: bytes) -> str:
        """What it was doing at ``moment``, if it was not done by then."""
        signal.signal(signal.SIGALRM, self.strike)
        try:
            self.open = True
            signal.setitimer(signal.ITIMER_REAL, moment)
            self.doing = "spawning"
            c = spawnScatterGather(workers=1)
            self.doing = "adding"
            for _ in range(4):
                c.addJob([((load + bytes([n]),), {}) for n in range(8)], len)
            self.doing = "waiting"
            for _ in range(4):
                c.waitForResult()
        except KeyboardInterrupt:
            return self.doing
        finally:
            self.open = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        return "done"


def held() -> tuple[int, int, int]:
    """Threads, descriptors and children of this process."""
    me = psutil.Process()
    return threading.active_count(), me.num_fds(), len(me.children(recursive=True))


def main(seed: int, rounds: int) -> None:
    chance, load, struck = random.Random(seed), os.urandom(1 << 20), Counter[str]()
    Round().run(30, load)  # what is imported late is there
    gc.collect()
    eventually(lambda: held()[::2] == (1, 0), 5)
    before = held()
    for number in range(rounds):
        longest = LONGEST["all" if number % 2 else "spawning"]
        struck[Round().run(chance.uniform(0, longest), load)] += 1
    gc.collect()
    try:
        eventually(lambda: held() == before, 2)
    except AssertionError:
        files = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
        sys.exit(f"threads, descriptors, children: {before}, now {held()}; {dict(struck)}; {files}")
    with spawnScatterGather(workers=1) as c:
        assert c.submit(pow, 2, 3).result(10) == 8
    print(dict(struck))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
