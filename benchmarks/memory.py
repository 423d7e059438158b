"""What processes hold, from the kernel's books.

PSS, the proportional set size: private pages, plus each shared page divided by those who share it.
Sums over processes are therefore right also where processes were forked from one another.

Memory that is shared and that nobody maps is in no process's PSS: a memfd that was filled by
``write``, or whose mapping is not read yet. ``held`` counts it: shared memory is taken from the
machine's own figure (``Shmem``: memfds, ``/dev/shm``, every tmpfs, mapped or not), and of the
processes everything else (their PSS without ``Pss_Shmem``). A page of a private mapping that was
written is a copy, and counts as the private memory that it is. Since ``Shmem`` is the machine's,
only differences mean something, and only while nobody else fills shared memory.

``python -m benchmarks.memory PERIOD WHAT PID...`` watches until its stdin ends, then prints the
peak: a process of its own, since a thread would take its turns from the one that is measured.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

PERIOD = 0.1
MARK = "BENCHMARKS_STAGE"
SETTLED = 256 * 1024

Measure = Callable[[Sequence[int]], int]
"""Bytes, of these processes."""


def mark() -> None:
    """From now on every process that comes of this one is known by its environment."""
    os.environ[MARK] = uuid.uuid4().hex


def everybody() -> list[int]:
    """The pids of this process and of all that came of it since ``mark``, whoever's child now."""
    entry = f"{MARK}={os.environ[MARK]}".encode()
    pids = [os.getpid()]
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry in environment.read_bytes().split(b"\0"):
                pids.append(int(environment.parent.name))
        except OSError:
            continue
    return sorted(set(pids))


def _sum(pids: Sequence[int], signs: dict[str, int]) -> int:
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                for line in rollup:
                    name, _, rest = line.partition(":")
                    if name in signs:
                        total += signs[name] * int(rest.split()[0]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def pss(pids: Sequence[int]) -> int:
    """Bytes held by these processes together; one that has ended holds nothing."""
    return _sum(pids, {"Pss": 1})


def shared() -> int:
    """Bytes of shared memory on this machine, mapped or not."""
    with open("/proc/meminfo") as meminfo:
        return next(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("Shmem:"))


def held(pids: Sequence[int]) -> int:
    """Bytes of these processes, their shared memory taken as all of this machine's."""
    return _sum(pids, {"Pss": 1, "Pss_Shmem": -1}) + shared()


class Grown:
    """By how many bytes the private memory of one process has grown, of that which grew most."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.before = {pid: private(pid) for pid in pids}

    def __call__(self, pids: Sequence[int]) -> int:
        """Now; one that has ended has not grown."""
        return max(private(pid) - self.before[pid] for pid in pids)


def private(pid: int) -> int:
    """Bytes of this process without shared memory."""
    return _sum([pid], {"Pss": 1, "Pss_Shmem": -1})


def over_loopback() -> int:
    """Bytes that have crossed the loopback interface since the machine came up."""
    with open("/proc/net/dev") as devices:
        return next(int(line.split()[1]) for line in devices if line.lstrip().startswith("lo:"))


def settled(
    pids: Sequence[int],
    patience: float = 20.0,
    measure: Measure = pss,
) -> int:
    """What is measured, once it has changed by less than 256 kB in half a second."""
    until = time.monotonic() + patience
    before = measure(pids)
    while time.monotonic() < until:
        time.sleep(0.5)
        now = measure(pids)
        if abs(now - before) < SETTLED:
            return now
        before = now
    return before


class Watch:
    """Samples ``pss`` every ``period`` seconds until asked for the peak; or something else.

    That is ``held`` with shared memory, or ``Grown`` of each process by itself.
    """

    def __init__(
        self,
        pids: Sequence[int],
        *,
        period: float = PERIOD,
        with_shared: bool = False,
        each: bool = False,
    ) -> None:
        arguments = [period, "each" if each else "held" if with_shared else "pss", *pids]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != MARK},
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it has begun

    def peak(self) -> int:
        """The largest number seen, in bytes; ends the watch."""
        out, _ = self.process.communicate()
        return int(out)


def main(period: float, what: str, pids: list[int]) -> None:
    """Watches; see the top of this file."""
    measures: dict[str, Measure] = {"pss": pss, "held": held, "each": Grown(pids)}
    measure = measures[what]
    print("watching", flush=True)
    peak = measure(pids)
    while not select.select([sys.stdin], [], [], period)[0]:
        peak = max(peak, measure(pids))
    print(peak)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], [int(pid) for pid in sys.argv[3:]])
