"""What a cluster could leave behind, and how long it takes until nothing is left.

Processes are found by the name of the test in their environment (``tests.conftest``); those that
tasks start with an empty environment write their process id into a folder. The temporary directory
is the test's own; of ``/dev/shm``, which is everybody's, what those processes have open counts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import MARK, left_behind
from tests.pace import Promise
from tests.system.process_driver import alive, eventually

PROMISE = 2.0
"""Seconds after which nothing may be left."""

ROOT = Path(__file__).parents[3]
SHARED = Path("/dev/shm")
FAMILY = ("child", "orphan", "stranger")
"""What ``victims.family`` starts."""


@dataclass
class Scene:
    """A folder where a victim works, and what was there before it came.

    Args:
        folder: the test's own.
        spared: process ids of what may live on: daemons, for instance.
    """

    folder: Path
    spared: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self._segments: set[Path] = set()
        self._around = {process.pid for process in left_behind(os.environ[MARK])}

    def victim(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """A program of ``victims`` in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.system.faults.victims", program, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def families(self) -> set[int]:
        """The processes that tasks have started; waits until all of two families are there."""
        eventually(lambda: all(len(list(self._notes(name))) >= 2 for name in FAMILY))
        return self._noted()

    def forget(self, pids: set[int]) -> None:
        """These have been seen to end."""
        for note in [note for name in FAMILY for note in self._notes(name)]:
            if _pid(note) in pids:
                note.unlink()

    def _notes(self, name: str) -> Iterator[Path]:
        return self.folder.glob(f"{name}-*")

    def _noted(self) -> set[int]:
        return {_pid(note) for name in FAMILY for note in self._notes(name)}

    def left(self) -> list[str]:
        """Everything that was not there before and is there now, in words."""
        pids = {process.pid for process in left_behind(os.environ[MARK])}
        pids |= {pid for pid in self._noted() if alive(pid)}
        found = [f"process {pid}: {_command(pid)}" for pid in pids - self._around - self.spared]
        # Unlike rglob, walk does not mind a folder that is just being removed.
        for folder, folders, files in os.walk(self.temporary):
            found += [f"file {Path(folder, name)}" for name in (*folders, *files)]
        found += [f"file {segment}" for segment in self._segments if segment.exists()]
        return found

    def heard(self, victim: subprocess.Popen[str]) -> str:
        """The next line that a victim says, without its end; notes what shared memory it has."""
        assert victim.stdout is not None
        line = victim.stdout.readline().rstrip("\n")
        for process in left_behind(os.environ[MARK]):
            self._segments |= _segments(process.pid)
        return line

    def clears(self, within: float = PROMISE) -> float:
        """Seconds until nothing is left.

        Raises:
            AssertionError: something is left after ``within`` seconds, as ``pace`` counts them.
        """
        began, promise = time.monotonic(), Promise(within)
        while left := self.left():
            if promise.broken():
                raise AssertionError(f"left after {promise.seconds:.1f} s: " + ", ".join(left))
            time.sleep(0.02)
        return time.monotonic() - began


def _segments(pid: int) -> set[Path]:
    """The files in ``/dev/shm`` that a process has open or mapped."""
    names = []
    with contextlib.suppress(OSError):  # it may just be ending
        maps = Path(f"/proc/{pid}/maps").read_text()
        names = ["/" + line.partition("/")[2] for line in maps.splitlines()]
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # ours, of looking, is closed again
                names.append(os.readlink(link))
    return {path for path in map(Path, names) if path.parent == SHARED}


def _pid(note: Path) -> int:
    return int(note.name.partition("-")[2])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "gone by now"


def family_of(pid: int) -> set[int]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return {pid, *(each.pid for each in process.children(recursive=True))}
