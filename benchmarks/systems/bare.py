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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import functions
from benchmarks.system import WORKERS, Hosts, Lacking, System


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


class Link(Hosts):
    """A bare TLS stream of the standard library, over which goes what hosts take from others."""

    def __init__(self, order: Callable[[int], None]) -> None:
        self.order = order

    def make(self, wanted: Sequence[tuple[int, int, float]]) -> list[Any]:
        """Nothing but what it would be."""
        return list(wanted)

    def take(self, wanted: Sequence[tuple[int, Sequence[Any]]]) -> list[float]:
        """As many bytes as lie on other hosts than the task, and the numbers from the order."""
        self.order(sum(each[1] for host, parts in wanted for each in parts if each[0] != host))
        return [
            float(sum(number * -(-size // 4096) for _, size, number in parts))
            for _, parts in wanted
        ]


class Stream(System):
    """What a link costs at least: TLS between two processes, in one direction.

    As many bytes as an array and its copy, on a connection that is there already.
    """

    name = "TLS stream"

    def start(self) -> None:
        """Two processes, connected."""
        self.stack = ExitStack()
        self.order = self.stack.enter_context(_stream("benchmarks.stream"))

    def stop(self) -> None:
        """Both end."""
        self.stack.close()

    def large(self, function: Callable[[Any], Any], array: Any) -> Any:
        """There and back again, from here."""
        if function is not functions.copied:
            raise Lacking
        self.order(2 * array.nbytes)
        return array

    @contextmanager
    def between(self, hosts: int) -> Iterator[Hosts]:
        """Two processes, as a stream is between two, however many there are."""
        with _stream("benchmarks.tls") as order:
            yield Link(order)


@contextmanager
def _stream(module: str) -> Iterator[Callable[[int], None]]:
    """Passes so many bytes from one process to another one, and waits until they are there."""
    command = [sys.executable, "-m", module]
    receiver = subprocess.Popen([*command, "receive"], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    port = receiver.stdout.readline().strip()
    sender = subprocess.Popen(
        [*command, "send", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def order(count: int) -> None:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdin.write(f"{count}\n")
        sender.stdin.flush()
        if not sender.stdout.readline():
            raise RuntimeError("the stream broke")

    try:
        yield order
    finally:  # the sender ends with its stdin, the receiver with the connection
        sender.communicate()
        receiver.communicate()
