"""What processes hold, from the kernel's books.

PSS, the proportional set size: private pages, plus each shared page divided by those who share it.
Sums over processes are therefore right also where processes were forked from one another.

``python -m benchmarks.memory PID...`` watches until its stdin ends, then prints the peak: a
process of its own, since a thread would take its turns from the one that is measured.
"""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Sequence

PERIOD = 0.1


def pss(pids: Sequence[int]) -> int:
    """Bytes held by these processes together; one that has ended holds nothing."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                for line in rollup:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
                        break
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def settled(pids: Sequence[int], patience: float = 20.0) -> int:
    """``pss`` once it has changed by less than 256 kB in half a second."""
    until = time.monotonic() + patience
    before = pss(pids)
    while time.monotonic() < until:
        time.sleep(0.5)
        now = pss(pids)
        if abs(now - before) < 256 * 1024:
            return now
        before = now
    return before


class Watch:
    """Samples ``pss`` ten times a second until asked for the peak."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory", *map(str, pids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it has begun

    def peak(self) -> int:
        """The largest sum seen, in bytes; ends the watch."""
        out, _ = self.process.communicate()
        return int(out)


def main(pids: list[int]) -> None:
    """Watches; see the top of this file."""
    print("watching", flush=True)
    peak = pss(pids)
    while not select.select([sys.stdin], [], [], PERIOD)[0]:
        peak = max(peak, pss(pids))
    print(peak)


if __name__ == "__main__":
    main([int(pid) for pid in sys.argv[1:]])
