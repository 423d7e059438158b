"""No system at all: what the machine itself gives.

``Serial`` is the compute time of the seed's job; divided by the workers it is the figure that the
targets name. Whether a machine's two cores are two times one core is another question, which
``Forks`` answers: two processes, half the tasks each, which find what they take as it was at the
fork. ``Slabs`` is what large arrays cost that pass through shared memory, ``Stream`` what those
cost that pass through a link.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import functions
from benchmarks.system import WORKERS, Lacking, System


class Serial(System):
    """The calls one after the other, in this process."""

    name = "serial"

    def seed_job(self, tasks: Sequence[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
        """The results, computed here."""
        return [functions.seed(task) for task in tasks]


class Forks(System):
    """A fork for each worker, its share of the calls, results thrown away."""

    name = "forks"

    def seed_job(self, tasks: Sequence[tuple[list[Any], dict[str, Any]]]) -> list[Any]:
        """Nothing but the time it takes."""
        functions.seed(tasks[0])  # numpy is loaded before the fork
        pids = []
        for share in range(WORKERS):
            pid = os.fork()
            if pid == 0:
                for task in tasks[share::WORKERS]:
                    functions.seed(task)
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        return []

    def share(self, function: Callable[[Any, int], float], array: Any, count: int) -> list[float]:
        """The array as it was at the fork; the results through a pipe each."""
        results = [0.0] * count
        pipes = []
        for worker in range(WORKERS):
            out, into = os.pipe()
            if os.fork() == 0:
                found = [function(array, place) for place in range(worker, count, WORKERS)]
                os.write(into, struct.pack(f"{len(found)}d", *found))
                os._exit(0)
            os.close(into)
            pipes.append(out)
        for worker, pipe in enumerate(pipes):
            os.wait()
            # They fit into a pipe.
            data = os.read(pipe, 8 * count)
            os.close(pipe)
            results[worker::WORKERS] = struct.unpack(f"{len(data) // 8}d", data)
        return results


class Slabs(System):
    """What shared memory on one host costs at least: one process, two memfds that are warm.

    The array is written into the first, mapped from there as a private copy of the callee's, the
    result written into the second and mapped again. Nobody is told anything and nobody waits.
    """

    name = "slabs"

    def start(self) -> None:
        """Empty memfds."""
        self.there = os.memfd_create("there")
        self.back = os.memfd_create("back")

    def stop(self) -> None:
        """Gives them back."""
        os.close(self.there)
        os.close(self.back)

    def large(self, function: Callable[[Any], Any], array: Any) -> Any:
        """Through both."""
        return self._through(self.back, function(self._through(self.there, array)))

    def _through(self, memfd: int, array: Any) -> Any:
        import numpy as np  # noqa: PLC0415 - as the cases do

        rest, written = memoryview(array).cast("B"), 0
        while written < len(rest):
            written += os.pwrite(memfd, rest[written:], written)
        mapping = mmap.mmap(memfd, array.nbytes, flags=mmap.MAP_PRIVATE)
        return np.frombuffer(mapping, array.dtype)


class Stream(System):
    """What a link costs at least: TLS between two processes, in one direction.

    As many bytes as an array and its copy, on a connection that is there already.
    """

    name = "TLS stream"

    def start(self) -> None:
        """Two processes, connected."""
        command = [sys.executable, "-m", "benchmarks.stream"]
        self.receiver = subprocess.Popen([*command, "receive"], stdout=subprocess.PIPE, text=True)
        assert self.receiver.stdout is not None
        port = self.receiver.stdout.readline().strip()
        self.sender = subprocess.Popen(
            [*command, "send", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> None:
        """The sender ends with its stdin, the receiver with the connection."""
        self.sender.communicate()
        self.receiver.communicate()

    def large(self, function: Callable[[Any], Any], array: Any) -> Any:
        """There and back again, from here."""
        if function is not functions.copied:
            raise Lacking
        assert self.sender.stdin is not None
        assert self.sender.stdout is not None
        self.sender.stdin.write(f"{2 * array.nbytes}\n")
        self.sender.stdin.flush()
        if not self.sender.stdout.readline():
            raise RuntimeError("the stream broke")
        return array
