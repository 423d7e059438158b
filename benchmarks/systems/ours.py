"""scattergather itself: the embedded pool, and a pool daemon on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import functions
from benchmarks.system import WORKERS, Hosts, Lacking, Map, System


def controllers() -> list[int]:
    """The pids of all controllers of this process."""
    import psutil  # noqa: PLC0415 - not part of what `start` times

    children = psutil.Process().children()
    return [child.pid for child in children if "scattergather.controller" in child.cmdline()]


def daemons(stack: ExitStack, folder: str, count: int, workers: int) -> list[str]:
    """The files with the FURLs of so many pool daemons; they end with the stack.

    Raises:
        RuntimeError: one does not come up.
    """
    # The host has the module whose functions are called; nothing of it is sent.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    furls = [os.path.join(folder, f"pool-{number}.furl") for number in range(count)]
    running = []
    for number, furl in enumerate(furls):
        command = [sys.executable, "-m", "scattergather", "pool", "--workers", str(workers)]
        command += ["--port", "0", "--furl-file", furl, "--quiet"]
        command += ["--directory", os.path.join(folder, f"pool-{number}")]
        command += ["--log-file", os.path.join(folder, f"pool-{number}.log")]
        daemon = subprocess.Popen(command, env=environment)
        stack.callback(daemon.wait, 20)
        stack.callback(daemon.terminate)
        running.append(daemon)
    until = time.monotonic() + 60 + 10 * count
    for daemon, furl in zip(running, furls, strict=True):
        while not os.path.exists(furl) or not os.path.getsize(furl):
            if daemon.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the pool daemon did not come up: {daemon.args!r}")
            time.sleep(0.02)
    return furls


class Daemons(Hosts):
    """Hosts of a client; what they make they keep."""

    def __init__(self, c: Any, controller: int) -> None:
        self.c = c
        self.controller = controller
        self.names = [host.name for host in c.command("status").hosts]

    def make(self, wanted: Sequence[tuple[int, int, float]]) -> list[Any]:
        """``keep=True``."""
        keeping = [self.c.options(keep=True, on=name) for name in self.names]
        futures = [
            keeping[host].submit(functions.filled, size, number) for host, size, number in wanted
        ]
        return [future.result() for future in futures]

    def take(self, wanted: Sequence[tuple[int, Sequence[Any]]]) -> list[float]:
        """Refs as arguments."""
        there = [self.c.options(on=name) for name in self.names]
        futures = [there[host].submit(functions.paged, *refs) for host, refs in wanted]
        return [future.result() for future in futures]

    def passed(self) -> int:
        """By the controller's books."""
        return sum(host.sent + host.received for host in self.c.command("status").hosts)

    def processes(self) -> list[int]:
        """The client, its controller, and all of the daemons."""
        import psutil  # noqa: PLC0415 - not part of what `start` times

        children = psutil.Process().children(recursive=True)
        return [os.getpid(), *(child.pid for child in children)]


class Embedded(System):
    """``spawnScatterGather(workers=2)``."""

    name = "scattergather"
    distribution = "scattergather"
    ours = True

    def prepare(self) -> None:
        """Settings of the run's own."""
        self.folder = tempfile.TemporaryDirectory()
        os.environ["SCATTERGATHER_HOME"] = self.folder.name
        self.laps: dict[str, float] = {}

    def spawn(self) -> Any:
        """The client."""
        from scattergather import spawnScatterGather  # noqa: PLC0415 - timed

        self.laps["imported"] = time.perf_counter()
        return spawnScatterGather(workers=WORKERS)

    def start(self) -> None:
        """Spawns. Nobody has to wait for the hosts before adding a job."""
        began = time.perf_counter()
        self.c = self.spawn()
        self.laps["spawned"] = time.perf_counter()
        for lap in self.laps:
            self.laps[lap] -= began

    def stop(self) -> None:
        """Ends the controller, with tasks outstanding or not."""
        self.c.command("die")
        self.folder.cleanup()

    def roundtrip(self, function: Callable[[Any], Any], x: Any) -> Any:
        """``submit(...).result()``."""
        return self.c.submit(function, x).result()

    def submit_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """``submit`` for each."""
        return [future.result() for future in [self.c.submit(function, x) for x in xs]]

    def map_many(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        """One ``addJob``, a task for each x."""
        results: list[Any] = self.c.addJob([((x,), {}) for x in xs], function).results()
        return results

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """The same array in each task of a list."""
        tasks: list[Any] = [((array, place), {}) for place in range(count)]
        results: list[float] = self.c.addJob(tasks, function).results()
        return results

    def put(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """``c.put``, freed at the end."""
        with self.c.put(array) as ref:
            tasks: list[Any] = [((ref, place), {}) for place in range(count)]
            results: list[float] = self.c.addJob(tasks, function).results()
        return results

    def seed_job(self, tasks: Sequence[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
        """The seed's cell."""
        from scattergather.workers.services.all_series import all_series  # noqa: PLC0415

        results: list[Any] = self.c.addJob(tasks, all_series).results()
        return results

    def queue(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> object:
        """A job; a generator would be read in a window only."""
        return self.c.addJob([((x,), {}) for x in xs], function)

    def iterate(self, function: Callable[[Any], Any], xs: Iterable[Any]) -> Iterator[Any]:
        """A job from a generator, iterated."""
        return iter(self.c.addJob((((x,), {}) for x in xs), function))

    def refresh(self, workers: int, laps: int) -> list[float]:
        """``command("refresh")``, each time on workers that have worked."""
        from scattergather import spawnScatterGather  # noqa: PLC0415 - as in spawn

        took = []
        with spawnScatterGather(workers=workers) as c:
            before = set(c.run_everywhere(os.getpid).values())
            for _ in range(laps):
                began = time.perf_counter()
                c.command("refresh")
                took.append(time.perf_counter() - began)
                after = set(c.run_everywhere(os.getpid).values())
                assert len(after) == workers, after
                assert not before & after
                before = after
        return took

    def added(self, laps: int) -> list[float]:
        """``c.hosts.add``, while a job waits for a host."""
        from scattergather import spawnScatterGather  # noqa: PLC0415 - as in spawn

        took = []
        for _ in range(laps):
            with spawnScatterGather([]) as c:
                c.waitForResult()  # there is no job: the controller is up
                job = c.addJob([((None,), {})], functions.begun)
                began = time.monotonic()
                c.hosts.add(self.host_to_add())
                took.append(job.results()[0] - began)
        return took

    def small_results(self, tasks: int, *, keep: bool) -> float:
        """One job, with ``keep=True`` or without."""
        calls: list[Any] = [((number,), {}) for number in range(tasks)]
        began = time.perf_counter()
        self.c.addJob(calls, functions.hundred, keep=keep).results()
        return time.perf_counter() - began

    def host_to_add(self) -> str:
        """As the user names it."""
        return f"local:{WORKERS}"

    @contextmanager
    def over_hosts(self, hosts: int, workers: int) -> Iterator[tuple[Map, int]]:
        """So many daemons on loopback, and a controller of their own."""
        with self.daemons(hosts, workers) as there:
            c = there.c
            yield (
                lambda function, xs: c.addJob([((x,), {}) for x in xs], function).results(),
                there.controller,
            )

    @contextmanager
    def daemons(self, hosts: int, workers: int) -> Iterator[Daemons]:
        """So many daemons on loopback, and a controller of their own."""
        from scattergather import spawnScatterGather  # noqa: PLC0415 - as in spawn

        others = set(controllers())
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            furls = daemons(stack, folder, hosts, workers)
            c = stack.enter_context(spawnScatterGather(furls))
            while (go := c.command("status")).workers < hosts * workers:
                time.sleep(0.1)
                assert all(host.state != "down" for host in go.hosts), go
            (pid,) = set(controllers()) - others
            yield Daemons(c, pid)

    def keepers(self) -> list[int]:
        """The client and its controller."""
        (controller,) = controllers()
        return [os.getpid(), controller]

    def notes(self) -> dict[str, float]:
        """The start's way stations, in seconds since its beginning."""
        return self.laps


class Foolscap(Embedded):
    """``spawnScatterGather`` on the FURL of a daemon on loopback."""

    name = "scattergather (Foolscap)"
    over_loopback = True

    def prepare(self) -> None:
        """The daemon of a host is there before its users."""
        super().prepare()
        self.host = ExitStack()
        (self.furl,) = daemons(self.host, self.folder.name, 1, WORKERS)

    def spawn(self) -> Any:
        """The client."""
        from scattergather import spawnScatterGather  # noqa: PLC0415 - timed

        self.laps["imported"] = time.perf_counter()
        return spawnScatterGather([self.furl])

    def host_to_add(self) -> str:
        """As the user names it."""
        return self.furl

    def between(self, hosts: int) -> AbstractContextManager[Hosts]:
        """Daemons on loopback with a worker each."""
        return self.daemons(hosts, 1)

    def refresh(self, workers: int, laps: int) -> list[float]:
        """Left to the embedded pool: the daemon has as many workers as it was started with."""
        raise Lacking

    def stop(self) -> None:
        """Controller first."""
        self.c.command("die")
        self.host.close()
        self.folder.cleanup()
