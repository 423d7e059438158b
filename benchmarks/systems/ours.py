"""scattergather itself: the embedded pool, and a pool daemon on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.system import WORKERS, Lacking, System


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

    def keepers(self) -> list[int]:
        """The client and its controller."""
        import psutil  # noqa: PLC0415 - not part of what `start` times

        children = psutil.Process().children()
        controllers = [
            child.pid for child in children if "scattergather.controller" in child.cmdline()
        ]
        assert len(controllers) == 1, [child.cmdline() for child in children]
        return [os.getpid(), *controllers]

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
        self.furl = os.path.join(self.folder.name, "pool.furl")
        command = [sys.executable, "-m", "scattergather", "pool", "--workers", str(WORKERS)]
        command += ["--port", "0", "--furl-file", self.furl, "--quiet"]
        # The host has the module whose functions are called; nothing of it is sent.
        root = str(Path(__file__).parents[2])
        self.daemon = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root})
        until = time.monotonic() + 30
        while not os.path.exists(self.furl) or not os.path.getsize(self.furl):
            if self.daemon.poll() is not None or time.monotonic() > until:
                self.daemon.kill()
                raise RuntimeError(f"the pool daemon did not come up: {command}")
            time.sleep(0.02)

    def spawn(self) -> Any:
        """The client."""
        from scattergather import spawnScatterGather  # noqa: PLC0415 - timed

        self.laps["imported"] = time.perf_counter()
        return spawnScatterGather([self.furl])

    def refresh(self, workers: int, laps: int) -> list[float]:
        """Left to the embedded pool: the daemon has as many workers as it was started with."""
        raise Lacking

    def stop(self) -> None:
        """Controller first."""
        self.c.command("die")
        self.daemon.terminate()
        self.daemon.wait(20)
        self.folder.cleanup()
