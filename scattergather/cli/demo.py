"""The main job, on a real pool daemon over Foolscap and on the embedded pool.

It is what ``make demo`` runs: starts a daemon with two workers on a free port of this machine, runs
the seed's hundred calls on it and on the embedded pool, prints results and figures, tidies up.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from scattergather.client.spawn import spawnScatterGather
from scattergather.model.snapshot import plural

TASKS = [([1000], {"distribution": "normal", "loc": 1, "scale": 1, "bins": 10}) for _ in range(100)]
START_SECONDS = 20.0


@contextmanager
def _daemon(say: Callable[[str], None]) -> Iterator[str]:
    """A pool daemon on a free port; yields the path of its FURL file, and ends it after."""
    with tempfile.TemporaryDirectory(prefix="scattergather-demo-") as folder:
        furl = Path(folder, "pool.furl")
        command = [sys.executable, "-m", "scattergather", "pool", "--workers", "2", "--port", "0"]
        command += ["--service", "all_series", "--quiet", "--directory", folder]
        command += ["--furl-file", str(furl), "--log-file", str(Path(folder, "pool.log"))]
        say("$ scattergather pool --workers 2 --port 0 --service all_series")
        process = subprocess.Popen(command)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not furl.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"demo: the pool daemon did not start: {' '.join(command)}")
                time.sleep(0.02)
            yield str(furl)
        finally:
            process.terminate()
            process.wait(10)


def _walk(say: Callable[[str], None], *arguments: Any, function: str | None = None) -> int:
    """The seed's cells; returns how many results are right."""
    begun = time.perf_counter()
    with spawnScatterGather(*arguments) as c:
        go = c.waitForResult()
        ready = time.perf_counter()
        say(f"  go: {go}")
        c.addJob(TASKS, function)
        results = c.waitForResult()
        done = time.perf_counter()
        counts, edges = results[0]
        say(f"  first histogram: {[int(n) for n in counts]}")
        say(f"  its edges: {edges[0]:.2f} ... {edges[-1]:.2f}")
        say(
            f"  ready in {ready - begun:.2f} s, "
            f"{plural(len(TASKS), 'task')} in {done - ready:.3f} s"
        )
        refresh = c.command("refresh")
        say(f"  refresh: {refresh}")
        c.command("die")
    return sum(int(counts.sum()) == 1000 for counts, _ in results)


def run(say: Callable[[str], None] = print) -> None:
    """Run the demo; the last line that is said counts what came back right."""
    say("1. A pool daemon, joined over Foolscap (TLS):")
    with _daemon(say) as furl:
        over_foolscap = _walk(say, [furl])
    say("2. The embedded pool, no set-up:")
    embedded = _walk(say, "local:2", function="all_series")
    say(f"The command is {own_command()}; docs/guide.md says what to do with it.")
    total = len(TASKS)
    say(f"demo: {over_foolscap} of {total} over Foolscap, {embedded} of {total} embedded")
    if over_foolscap != total or embedded != total:
        raise SystemExit(1)


def own_command() -> str:
    """How the command of this environment is called, also where its folder is not on the PATH."""
    script = Path(sys.executable).with_name("scattergather")
    if not script.exists():
        return f"{sys.executable} -m scattergather"
    found = shutil.which("scattergather")
    return "scattergather" if found and Path(found).samefile(script) else str(script)


@click.command("demo")
def command() -> None:
    """Run the seed's hundred calls on a real pool daemon and on the embedded pool."""
    run()
