"""``python -m tests.system.faults.soak --seed N --seconds S``: everything goes wrong for a while.

A stream of jobs runs on this machine's workers and on two daemons, while a nemesis kills workers,
zygotes and one of the daemons, stops workers and the other daemon, refreshes, cancels and presses
Ctrl-C. A ledger says what was run, the client what was delivered: every task of every job has one
result, and it is the right one. At the end processes, descriptors and memory are what they were.

A failing seed strikes in the same order again; when exactly depends on the machine.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from scattergather import spawnScatterGather
from tests.system.daemons import COMMAND, free_port
from tests.system.process_driver import eventually

WORKERS = {"local": 2, "steady": 2, "shaken": 2}
JOBS_AT_ONCE, TASKS = 4, 60
PAUSE = 0.3
"""Seconds between two strikes, on average."""

STANDSTILL = 45.0
"""Seconds without a result after which it hangs; the slowest cure takes ten."""

SETTLES = 20.0
MORE_MEMORY = 1.05
SLACK = 6 << 20
"""Bytes that count as nothing: the allocator's own ways."""


def work(ledger: str, name: str, seconds: float, size: int) -> tuple[str, bytes]:
    """A task: it is in the ledger as often as it was run."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND)
    os.write(file, f"{name} {os.getpid()}\n".encode())
    os.close(file)
    time.sleep(seconds)
    return name, bytes(size)


class Host:
    """A daemon that keeps its address and its FURL however often it is killed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.furl = folder / f"{name}.furl"
        self._command = [*COMMAND, "pool", "--quiet", "--workers", str(WORKERS[name])]
        self._command += ["--port", str(free_port()), "--directory", str(folder / name)]
        self._command += ["--furl-file", str(self.furl), "--log-file", str(folder / f"{name}.log")]
        self.start()
        eventually(lambda: self.furl.exists() and self.furl.stat().st_size > 0)

    def start(self) -> None:
        self.process = subprocess.Popen(self._command)

    def die(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """A client and its hosts, and what there is of them."""

    client: Any
    steady: Host
    shaken: Host

    def roots(self) -> list[psutil.Process]:
        """The processes that hold a pool: the controller and the daemons."""
        controller = self.client._session.pipe.process.pid
        pids = (controller, self.steady.process.pid, self.shaken.process.pid)
        return [psutil.Process(pid) for pid in pids]

    def zygotes(self) -> list[psutil.Process]:
        """Root and session zygotes."""
        roots = [child for pool in self.roots() for child in pool.children()]
        return [*roots, *(child for root in roots for child in root.children())]

    def workers(self) -> list[psutil.Process]:
        """Every worker of this client."""
        zygotes = {zygote.pid for zygote in self.zygotes()}
        return [
            process
            for pool in self.roots()
            for process in pool.children(recursive=True)
            if process.pid not in zygotes
        ]

    def census(self) -> dict[str, int]:
        """How many there are: processes, and descriptors of the two that are never killed."""
        controller, steady, _ = self.roots()
        return {
            "workers": len(self.workers()),
            "zygotes": len(self.zygotes()),
            "descriptors of the controller": controller.num_fds(),
            "descriptors of the daemon": steady.num_fds(),
            "threads of the client": threading.active_count(),
        }

    def memory(self) -> dict[str, int]:
        """Bytes of their own that the two hold which are never killed."""
        names = ("controller", "daemon")
        return {
            name: process.memory_full_info().uss
            for name, process in zip(names, self.roots(), strict=False)
        }


@dataclass
class Work:
    """A job, what it has delivered, and whether it was cancelled."""

    job: Any
    names: list[str]
    sizes: list[int]
    got: list[tuple[int, Any]] = field(default_factory=list)
    cancelled: bool = False

    def wrong(self) -> Iterator[str]:
        """What is not as it must be, in words."""
        times = Counter(index for index, _ in self.got)
        for index, name in enumerate(self.names):
            if times[index] != 1:
                yield f"{name} was delivered {times[index]} times"
        for index, value in self.got:
            right = (self.names[index], bytes(self.sizes[index]))
            cancelled = self.cancelled and isinstance(value, CancelledError)
            if value != right and not cancelled:
                yield f"{self.names[index]} came to {value!r:.300}"


class Stream:
    """Jobs after jobs; the main thread's."""

    def __init__(self, client: Any, chance: random.Random, ledger: Path) -> None:
        self._client = client
        self._chance = chance
        self._ledger = ledger
        self._added = 0
        self.outstanding: deque[Work] = deque()
        self.tasks = 0
        self.found: list[str] = []
        self.exposed = False
        """An interrupt may be raised now."""
        self.moved = time.monotonic()

    def add(self) -> None:
        self._added += 1
        names = [f"{self._added}.{number}" for number in range(TASKS)]
        sizes = [self._chance.choice((0, 0, 0, 1000, 200_000)) for _ in names]
        tasks = [
            ((str(self._ledger), name, self._chance.choice((0, 0.002, 0.03)), size), {})
            for name, size in zip(names, sizes, strict=True)
        ]
        job = self._client.addJob(tasks, work, retries=1000)
        self.outstanding.append(Work(job, names, sizes))

    def drain_one(self) -> None:
        """Take the oldest job's results to the last, through any number of interrupts."""
        oldest = self.outstanding[0]
        results = iter(oldest.job.as_completed(errors="return"))
        while True:
            try:
                self.exposed = True
                for result in results:
                    oldest.got += (result,)
                    self.moved = time.monotonic()
                self.exposed = False
                break
            except KeyboardInterrupt:
                continue
        self.outstanding.popleft()
        oldest.job = None
        self.tasks += len(oldest.names)
        self.found += oldest.wrong()

    def interrupted(self, _signal: int, _frame: object) -> None:
        if self.exposed:
            self.exposed = False
            raise KeyboardInterrupt


class Nemesis(threading.Thread):
    """Strikes until it is told to stop; then everything that it stopped goes on."""

    def __init__(self, cluster: Cluster, stream: Stream, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._stream = stream
        self._chance = chance
        self._over = threading.Event()
        self._later: list[tuple[float, Callable[[], object]]] = []
        self.struck: Counter[str] = Counter()
        self.failed: BaseException | None = None
        self._strikes: dict[Callable[[], object], int] = {
            self.kill_a_worker: 8,
            self.stop_a_worker: 4,
            self.interrupt: 4,
            self.cancel: 3,
            self.stop_a_daemon: 2,
            self.refresh: 2,
            self.kill_a_zygote: 1,
            self.kill_a_daemon: 1,
        }

    def run(self) -> None:
        try:
            while not self._over.wait(self._chance.expovariate(1 / PAUSE)):
                self._resume(time.monotonic())
                (strike,) = self._chance.choices(*zip(*self._strikes.items(), strict=True))
                try:
                    strike()
                    self.struck[strike.__name__] += 1
                except (psutil.NoSuchProcess, IndexError):
                    continue  # it was dead, or there is none just now
            self._resume(float("inf"))
        except BaseException as error:
            self.failed = error

    def stop(self) -> None:
        self._over.set()
        self.join(STANDSTILL)
        assert not self.is_alive(), "the nemesis itself hangs"
        if self.failed is not None:
            raise self.failed

    def _resume(self, now: float) -> None:
        due = [(at, act) for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for _, act in due:
            try:
                act()
            except psutil.NoSuchProcess:
                continue

    def _after(self, low: float, high: float, act: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + self._chance.uniform(low, high), act))

    # ---- strikes ----

    def kill_a_worker(self) -> None:
        self._chance.choice(self._cluster.workers()).kill()

    def kill_a_zygote(self) -> None:
        self._chance.choice(self._cluster.zygotes()).kill()

    def stop_a_worker(self) -> None:
        worker = self._chance.choice(self._cluster.workers())
        worker.suspend()
        self._after(0.1, 1.5, worker.resume)

    def stop_a_daemon(self) -> None:
        _, steady, _ = self._cluster.roots()
        steady.suspend()
        self._after(0.1, 2.0, steady.resume)

    def kill_a_daemon(self) -> None:
        self._cluster.shaken.die()
        time.sleep(self._chance.uniform(0, 1))
        self._cluster.shaken.start()

    def refresh(self) -> None:
        self._resume(float("inf"))  # a stopped daemon answers when it goes on
        self._cluster.client.command("refresh")

    def cancel(self) -> None:
        chosen = self._chance.choice(list(self._stream.outstanding))
        job = chosen.job
        if job is not None:
            chosen.cancelled = True
            job.cancel()

    def interrupt(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGUSR1)


class Watchdog(threading.Thread):
    """Ends the process, with all that can be said, when no result comes any more."""

    def __init__(self, cluster: Cluster, stream: Stream, again: str) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._stream = stream
        self._again = again

    def run(self) -> None:
        while time.monotonic() - self._stream.moved < STANDSTILL:
            time.sleep(0.2)
        print(f"STANDSTILL: no result in {STANDSTILL:g} s\n{self._cluster.client!r}", flush=True)
        for each in self._stream.outstanding:
            missing = set(range(TASKS)) - {index for index, _ in each.got}
            print(f"{each.job!r}; missing {sorted(missing)}, cancelled {each.cancelled}")
        print(described(self._cluster))
        faulthandler.dump_traceback()
        print(f"again with: {self._again}", flush=True)
        os.killpg(0, signal.SIGKILL)


def described(cluster: Cluster) -> str:
    """Who is there, and the last of the logs: for whoever has to find what was wrong."""
    lines = [f"{process.pid} {process.status()}" for process in cluster.roots()]
    for zygote in cluster.zygotes():
        children = {child.pid: child.status() for child in zygote.children()}
        lines.append(f"zygote {zygote.pid} of {zygote.ppid()} {zygote.status()}: {children}")
    for log in sorted(cluster.steady.furl.parent.glob("*.log")):
        lines += [f"{log.name}:", *log.read_text().splitlines()[-40:]]
    return "\n".join(lines)


def settled(cluster: Cluster, before: dict[str, int]) -> list[str]:
    """What is more, or fewer, than it was, after it had time to settle."""
    try:
        eventually(lambda: _differences(cluster, before) == [], SETTLES)
    except AssertionError:
        return _differences(cluster, before)
    return []


def _differences(cluster: Cluster, before: dict[str, int]) -> list[str]:
    try:
        now = cluster.census()
    except psutil.NoSuchProcess:
        return ["a process is just ending"]
    return [
        f"{what}: {before[what]}, now {now[what]}"
        for what in before
        # A slab that was in store at the beginning has been given back since.
        if now[what] > before[what] or (now[what] < before[what] and "descriptors" not in what)
    ]


def grown(cluster: Cluster, before: dict[str, int]) -> list[str]:
    """Which of the two holds more memory than it may."""
    now = cluster.memory()
    return [
        f"memory of the {what}: {before[what] >> 10} kB, now {now[what] >> 10} kB"
        for what in before
        if now[what] > before[what] * MORE_MEMORY + SLACK
    ]


def soak(seed: int, seconds: float, folder: Path, again: str) -> list[str]:
    """What was found wrong, in words."""
    ledger = folder / "ledger"
    ledger.touch()
    steady, shaken = Host(folder, "steady"), Host(folder, "shaken")
    client = spawnScatterGather(
        [f"local:{WORKERS['local']}", str(steady.furl), str(shaken.furl)],
        logFile=folder / "controller.log",
    )
    cluster = Cluster(client, steady, shaken)
    stream = Stream(client, random.Random(seed), ledger)
    signal.signal(signal.SIGUSR1, stream.interrupted)
    Watchdog(cluster, stream, again).start()
    try:
        client.waitForResult()
        for _ in range(8):  # everything has been used, and has its memory
            stream.add()
            stream.drain_one()
        client.command("refresh")
        eventually(lambda: len(cluster.workers()) == sum(WORKERS.values()))
        census, memory = cluster.census(), cluster.memory()
        nemesis = Nemesis(cluster, stream, random.Random(seed))
        nemesis.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(stream.outstanding) < JOBS_AT_ONCE:
                stream.add()
            stream.drain_one()
        nemesis.stop()
        while stream.outstanding:
            stream.drain_one()
        stream.moved = time.monotonic()
        found = [*stream.found, *settled(cluster, census), *grown(cluster, memory)]
        if found:
            print(described(cluster))
        runs = Counter(line.split()[0] for line in ledger.read_text().splitlines())
        print(
            f"seed {seed}: {stream.tasks} tasks, {runs.total() - len(runs)} run again, "
            f"{stream.tasks - len(runs)} cancelled before they ran\n{dict(nemesis.struck)}\n"
            f"bytes before {memory}, after {cluster.memory()}"
        )
        return found
    finally:
        client.command("die")
        for host in (steady, shaken):
            host.process.terminate()
            host.process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.faults.soak")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    again = f"{parser.prog} --seed {options.seed} --seconds {options.seconds:g}"
    print(again, flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = soak(options.seed, options.seconds, Path(folder), again)
    if found:
        print(f"{len(found)} things are wrong:", *found[:20], f"again with: {again}", sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
