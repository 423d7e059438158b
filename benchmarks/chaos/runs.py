"""Starts stages, each in a session of its own, and ends them with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.scenarios import Scenario
from benchmarks.chaos.tasks import Ledger

MARK = "SCATTERGATHER_CHAOS_RUN"
"""In the environment of a stage, and of everything that it starts."""

GRACE = 30.0
"""Seconds for starting and ending, beyond a scenario's own limit."""

LOOKS = (2.0, 12.0)
"""Seconds after the death of a client at which is counted what it left."""


def play(peer: str, scenario: Scenario) -> str:
    """The outcome of one scenario with one peer, in words."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        log = Path(folder, "log")
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.stage", peer, scenario.name, folder],
                env={**os.environ, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if scenario.play is None:
                return _left_by(process, Ledger(os.path.join(folder, "ledger")), mark)
            process.wait(scenario.limit + GRACE)
        except subprocess.TimeoutExpired:
            return "**hung**, ended from outside"
        finally:
            _end(process, mark)
        outcome = Path(folder, "outcome")
        if outcome.exists():
            return outcome.read_text()
        tail = log.read_text(errors="replace").strip().splitlines()[-1:]
        return f"**the client died** ({process.returncode}): {' '.join(tail):.120}"


def _left_by(process: subprocess.Popen[bytes], ledger: Ledger, mark: str) -> str:
    """How much is alive some time after its client was killed."""
    if not _within(GRACE, lambda: ["client", "ready", str(process.pid)] in ledger.lines()):
        return "it did not start"
    begin = time.monotonic()
    process.kill()
    process.wait()
    counts = []
    for look in LOOKS:
        _within(begin + look - time.monotonic(), lambda: not marked(mark))
        if not marked(mark):
            return f"ok, none after {time.monotonic() - begin:.1f} s"
        counts.append(f"{len(marked(mark))} after {look:g} s")
    return f"**left** {', '.join(counts)}"


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def marked(mark: str) -> list[int]:
    """The living processes of a stage, in whatever session they are by now."""
    entry = f"{MARK}={mark}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if entry in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:  # gone, or not ours
            continue
    return found


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ends a stage and everything of it, and the semaphores that its processes then leave."""
    segments: set[Path] = set()
    while left := marked(mark):
        for pid in left:
            segments |= _segments(pid)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    process.wait()
    for segment in segments:
        segment.unlink(missing_ok=True)


def _segments(pid: int) -> set[Path]:
    """The files in ``/dev/shm`` that a process has mapped."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    paths = {Path("/" + line.partition("/")[2]) for line in lines}
    return {path for path in paths if path.parent == Path("/dev/shm")}
