"""Drives real zygotes and workers over real sockets, blocking, without Twisted."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from scattergather.model.ids import shipped
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.frame import FrameReader, frame
from scattergather.wire.messages import page as messages
from scattergather.wire.values.payload import Packer, loads
from scattergather.wire.values.raised import unpack_exception
from scattergather.workers.daemon.zygotes import file_of
from scattergather.workers.process.surroundings.capture import OutputFile
from scattergather.workers.process.task.journal import Journal
from tests.pace import Promise

PATIENCE = 20.0


class Channel:
    """The daemon's end of a zygote's socket."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)

    def tell(self, message: Any, descriptors: Iterable[int] = ()) -> None:
        socket.send_fds(self.socket, [messages.encode(message)], list(descriptors))

    def hear(self) -> Any:
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError
        return messages.read_from_zygote(data)


@dataclass
class Outcome:
    """What came of a task, read: ``value`` or ``error``."""

    index: int
    kind: Kind
    value: Any = None
    error: Any = None


@dataclass
class Worker:
    session: Session
    number: int
    journal: Journal = field(default_factory=Journal.create)
    output: OutputFile = field(default_factory=OutputFile.create)
    pid: int = 0
    exited: Any = None
    printed: dict[int, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        self.reader = FrameReader()
        self.frames: deque[tuple[Any, bytes]] = deque()
        self.taught: set[bytes] = set()
        with theirs:
            fork = messages.Fork(worker=self.number)
            descriptors = [theirs.fileno(), self.journal.fd, self.output.fd]
            self.session.channel.tell(fork, descriptors)

    def born(self) -> Worker:
        message, _ = self.read()
        assert isinstance(message, messages.Born)
        self.pid = message.pid
        return self

    def tell(self, message: Any, *body: Any) -> None:
        self.socket.sendall(b"".join(frame(messages.encode(message), *body)))

    def read(self) -> tuple[Any, bytes]:
        while not self.frames:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            for head, body in self.reader.feed(data):
                self.frames.append((messages.read_from_worker(head), body))
        return self.frames.popleft()

    def teach(self, shipment: Shipment) -> None:
        for code in shipment.code.values():
            if code.digest not in self.taught:
                self.taught.add(code.digest)
                head = messages.Code(digest=code.digest, needs=code.needs, python=code.python)
                self.tell(head, code.blob)

    def start(
        self, function: Any, tasks: list[Any], *, retry_on: Any = None, **fields: Any
    ) -> messages.Run:
        """Send a chunk of calls, each the tuple of its arguments."""
        shipment = Shipment(BOOK)
        function = as_in_a_notebook(function)
        name = function if isinstance(function, str) else shipped(shipment.freeze(function))
        packer = Packer(shipment)
        for arguments in tasks:
            packer.pack((arguments, {}))
        ends, data, needs = packer.take()
        if retry_on:
            fields["retry_on"] = shipment.freeze(retry_on)
        self.teach(shipment)
        self.session.host.chunks += 1
        fields.setdefault("first", 0)
        run = messages.Run(
            chunk=self.session.host.chunks,
            job=bytes(16),
            function=name,
            count=len(tasks),
            needs=needs,
            **fields,
        )
        self.tell(run, ends.tobytes(), data)
        return run

    def collect(self, count: int) -> list[Outcome]:
        """The next ``count`` outcomes; output is kept in ``printed``, by index."""
        found: list[Outcome] = []
        while len(found) < count:
            message, body = self.read()
            if isinstance(message, messages.Output):
                self.printed[message.index] = body.decode(), message.dropped
                continue
            assert isinstance(message, messages.Outcomes), message
            found += outcomes_of(message, body)
        return found

    def run(self, function: Any, tasks: list[Any], **fields: Any) -> list[Outcome]:
        self.start(function, tasks, **fields)
        return self.collect(len(tasks))

    def call(self, function: Any, *arguments: Any, **fields: Any) -> Any:
        (outcome,) = self.run(function, [arguments], **fields)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def until_running(self, index: int) -> None:
        eventually(lambda: (self.journal.running() or (0, -1))[1] == index)

    def interrupt(self, chunk: int) -> None:
        self.journal.request_cancel(chunk)
        self.signal(signal.SIGINT)

    def signal(self, number: int, group: bool = False) -> None:
        self.session.channel.tell(messages.Kill(worker=self.number, signal=number, group=group))

    def death(self) -> messages.Exited:
        while self.exited is None:
            message = self.session.channel.hear()
            if isinstance(message, messages.Exited):
                self.session.workers[message.worker].exited = message
        return self.exited

    def close(self) -> None:
        self.socket.close()
        self.journal.close()
        self.output.close()


def as_in_a_notebook(function: Any) -> Any:
    """A function of a test module as if a cell had defined it: it then travels by value, and
    workers import neither the tests nor pytest."""
    if not isinstance(function, types.FunctionType) or not function.__module__.startswith("tests."):
        return function
    scope = {**function.__globals__, "__name__": "__main__"}
    made = types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    made.__module__ = "__main__"
    made.__qualname__ = function.__qualname__.rpartition(".")[2]
    return made


def outcomes_of(message: messages.Outcomes, body: bytes) -> list[Outcome]:
    return [
        outcome(message.first + place, kind, blob)
        for place, (kind, blob) in enumerate(
            zip(message.kinds, blobs.each(body, len(message.kinds)), strict=True)
        )
    ]


def outcome(index: int, kind: int, blob: bytes) -> Outcome:
    if kind == Kind.RETURNED:
        return Outcome(index, Kind.RETURNED, loads(blob))
    if kind in (Kind.RAISED, Kind.RETRYABLE):
        return Outcome(index, Kind(kind), error=unpack_exception(blob))
    return Outcome(index, Kind(kind))


class Session:
    """A session zygote and its workers."""

    def __init__(self, host: Host, **place: Any) -> None:
        self.host = host
        self.channel = Channel()
        self.workers: dict[int, Worker] = {}
        with self.channel.theirs as theirs, file_of(messages.TaskPlace(**place)) as file:
            host.channel.tell(messages.OpenSession(), [theirs.fileno(), file.fileno()])
        self.ready = self.channel.hear()

    def fork(self) -> Worker:
        number = len(self.workers) + 1
        worker = self.workers[number] = Worker(self, number)
        return worker

    def close(self) -> None:
        self.channel.socket.close()
        for worker in self.workers.values():
            worker.close()


class Host:
    """A root zygote."""

    def __init__(self, *services: str) -> None:
        self.channel = Channel()
        self.sessions: list[Session] = []
        self.chunks = 0
        with self.channel.theirs as theirs:
            command = [sys.executable, "-P", "-m", "scattergather.workers.process.zygote"]
            command += [str(theirs.fileno())]
            for service in services:
                command += ["--service", service]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self.ready = self.channel.hear()

    def session(self, **place: Any) -> Session:
        session = Session(self, **place)
        self.sessions.append(session)
        return session

    def worker(self, **place: Any) -> Worker:
        return self.session(**place).fork().born()

    def close(self) -> None:
        self.channel.socket.close()
        for session in self.sessions:
            session.close()
        self.process.wait(PATIENCE)


def eventually(
    condition: Callable[[], object], patience: float = PATIENCE, pause: float = 0.002
) -> None:
    """Return as soon as ``condition()`` is true; fail if that takes too long for this machine.

    Args:
        pause: seconds between two looks.
    """
    promise = Promise(patience)
    while not condition():
        if promise.broken():
            raise AssertionError(f"not within {promise.seconds:.1f} s")
        time.sleep(pause)


def alive(pid: int) -> bool:
    """True unless the process is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def ended(fd: int, patience: float = PATIENCE) -> bool:
    """True when everybody who held the other end of a pipe is gone."""
    ready, _, _ = select.select([fd], [], [], patience)
    return bool(ready) and os.read(fd, 1) == b""
