"""The in-memory twin of the pipe: a controller on threads that really unpickles and runs tasks.

It speaks the client's protocol over a socket pair and nothing else, so a test through it sees what
the real controller would. Its workers are threads: a task that tests write may share objects with
the test when its function is importable.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from scattergather.client.client import ScatterGather
from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.pipe import Pipe
from scattergather.client.pipe.process import Log
from scattergather.client.session.session import Session
from scattergather.client.spawn import first_message
from scattergather.model.ids import digest_of
from scattergather.model.outcome import Kind
from scattergather.wire import blobs
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.frame import FrameReader, frame
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.client import (
    EmbeddedSpec,
    HostsAnswered,
    HostSpec,
    HostState,
    JobState,
    TasksDropped,
)
from scattergather.wire.messages.shared import Loss
from scattergather.wire.values.payload import dumps
from scattergather.wire.values.raised import pack_exception
from tests.pace import Promise

HOST = "fake"
_now = threading.local()


def say(text: str) -> None:
    """In a task: what ``print`` is in a real worker."""
    _now.say(text)


def where() -> tuple[int, int]:
    """In a task: its index and attempt."""
    return _now.where


class Lost(Exception):
    """In a task: its worker dies."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        self.facts = {"kind": "TaskKilledWorker", "reason": "its worker was killed", **facts}


@dataclass
class FakeJob:
    spec: messages.AddJob
    total: int | None = None
    waiting: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    cancelled: bool = False
    forgotten: bool = False


class FakeController:
    """See the module.

    Attributes:
        seen: every message that came, in order.
        go: send the go value at once; else ``say_go`` does.
        services: resident functions by name.
        chosen: those of them that whoever started the host named.
        batch: outcomes of neighbours that are ready together travel together, up to this many.
    """

    def __init__(
        self,
        theirs: socket.socket,
        *,
        workers: int = 2,
        services: dict[str, Callable[..., Any]] | None = None,
        chosen: tuple[str, ...] = (),
        go: bool = True,
    ) -> None:
        self.seen: list[messages.ToController] = []
        self.jobs: dict[bytes, FakeJob] = {}
        self.finished: list[bytes] = []
        self.services = services or {}
        self.chosen = chosen
        self.deaf = False
        self.workers = workers
        self._go = go
        self._book = CodeBook()
        self._needs: dict[bytes, messages.Code] = {}
        self._socket = theirs
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._queue: list[tuple[int, int, bytes, int]] = []
        self._order = itertools.count()
        self._sources: list[tuple[int, str]] = []
        self._open = threading.Event()
        self._open.set()
        self._ended = False
        self._sending = threading.Lock()
        for number in range(workers):
            threading.Thread(target=self._run_worker, args=(1000 + number,), daemon=True).start()
        threading.Thread(target=self._read, daemon=True).start()

    # ---- what tests do ----

    def pause(self) -> None:
        """No further task begins."""
        with self._lock:
            self._open.clear()

    def resume(self) -> None:
        """Tasks begin again."""
        self._open.set()

    def die(self) -> None:
        """The controller is gone in the middle of everything."""
        self._ended = True
        self._socket.shutdown(socket.SHUT_RDWR)

    def say_go(self) -> None:
        """Every host has answered."""
        self.send(messages.GoReady(hosts=(self.host(),)))

    def host(self) -> HostState:
        return HostState(
            name=HOST,
            state="up",
            workers=self.workers,
            python="3.11",
            services=(*self.services,),
            chosen=self.chosen,
        )

    def push_status(self) -> None:
        jobs = []
        with self._lock:
            for identity, job in self.jobs.items():
                jobs.append(
                    JobState(
                        job=identity,
                        name=job.spec.name,
                        total=job.total,
                        queued=len(job.waiting),
                        running=len(job.running),
                        done=0,
                        failed=0,
                        rate=10.0,
                    )
                )
        self.send(
            messages.Status(hosts=(self.host(),), jobs=tuple(jobs), controller_pid=os.getpid())
        )

    def send(self, message: messages.ToClient, *body: bytes) -> None:
        with self._sending:
            try:
                self._socket.sendall(b"".join(frame(messages.encode(message), *body)))
            except OSError:
                return

    def count(self, kind: type) -> int:
        return sum(isinstance(message, kind) for message in self.seen)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.seen if isinstance(message, kind)]

    # ---- the pipe ----

    def _read(self) -> None:
        frames = FrameReader()
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                break
            for head, body in frames.feed(data):
                message = messages.read_to_controller(head)
                self.seen.append(message)
                if not self.deaf:
                    self._receive(message, body)
        with self._lock:
            self._ended = True
            self._work.notify_all()
        self._open.set()
        self._socket.close()

    def _receive(self, message: messages.ToController, body: bytes) -> None:
        match message:
            case messages.Spawn():
                if self._go:
                    self.say_go()
            case messages.Code():
                self._needs[message.digest] = message
                self._book.add(
                    CodeBlob(
                        digest=message.digest,
                        blob=body,
                        needs=message.needs,
                        python=message.python,
                    )
                )
            case messages.Resident():
                self._sources.append((message.version, message.source))
            case messages.AddJob():
                self.jobs[message.job] = FakeJob(message)
            case messages.AddTasks():
                self._add_tasks(message, body)
            case messages.EndTasks():
                self.jobs[message.job].total = message.total
            case messages.CancelJob():
                self._cancel_job(message.job)
            case messages.CancelTasks():
                dropped = self._cancel_tasks(message)
                self.send(messages.Answer(call=message.call, value=TasksDropped(ranges=dropped)))
            case messages.ForgetJob():
                # A job whose adding was interrupted may never have come.
                if (job := self.jobs.get(message.job)) is not None:
                    job.forgotten = True
                self._cancel_job(message.job)
            case messages.Command():
                self._command(message)
            case messages.RunEverywhere():
                self._everywhere(message, body)

    def _command(self, message: messages.Command) -> None:
        match message.word:
            case "status":
                self.push_status()
                self.send(messages.Answer(call=message.call))
            case "refresh":
                value = HostsAnswered(workers=self.workers, seconds=0.1)
                self.send(messages.Answer(call=message.call, value=value))
            case _:
                self.send(messages.Answer(call=message.call))
                self.die()

    def _add_tasks(self, message: messages.AddTasks, body: bytes) -> None:
        job = self.jobs[message.job]
        for digest in message.needs:
            assert digest in self._needs, "code must come before the tasks that need it"
        with self._lock:
            for place, blob in enumerate(blobs.each(body, message.count)):
                index = message.first + place
                assert index not in job.waiting
                job.waiting[index] = (blob, 1)
                key = (-job.spec.priority, next(self._order), message.job, index)
                heapq.heappush(self._queue, key)
            self._work.notify_all()
        if job.cancelled:
            self._cancel_job(message.job)

    def _cancel_job(self, identity: bytes) -> None:
        job = self.jobs.get(identity)
        if job is None:
            return
        job.cancelled = True
        with self._lock:
            waiting = sorted(job.waiting)
            job.waiting.clear()
        for index in waiting:
            self.send(messages.TasksCancelled(job=identity, first=index, count=1))

    def _cancel_tasks(self, message: messages.CancelTasks) -> tuple[tuple[int, int], ...]:
        job = self.jobs[message.job]
        with self._lock:
            end = message.first + message.count
            dropped = [index for index in sorted(job.waiting) if message.first <= index < end]
            for index in dropped:
                del job.waiting[index]
        for index in dropped:
            self.send(messages.TasksCancelled(job=message.job, first=index, count=1))
        return tuple((index, 1) for index in dropped)

    # ---- the workers ----

    def _function(self, spec: messages.AddJob | messages.RunEverywhere) -> Callable[..., Any]:
        digest = digest_of(spec.function)
        if digest is not None:
            assert not self._book.missing((digest, *spec.needs))
            return self._book.function(digest)
        if spec.function in self.services:
            return self.services[spec.function]
        namespace: dict[str, Any] = {}
        for version, source in self._sources:
            if version <= spec.code_version:
                exec(source, namespace)
        return namespace[spec.function]

    def _run_worker(self, pid: int) -> None:
        while True:
            with self._work:
                while not self._queue and not self._ended:
                    self._work.wait()
                if self._ended:
                    return
            self._open.wait()
            with self._work:
                if not self._queue or not self._open.is_set():
                    continue
                *_, identity, index = heapq.heappop(self._queue)
                job = self.jobs[identity]
                entry = job.waiting.pop(index, None)
                if entry is None:
                    continue
                job.running.add(index)
            blob, attempt = entry
            if job.spec.stream:
                self.send(messages.TasksPlaced(job=identity, first=index, count=1))
            self._run(job, identity, index, blob, attempt, pid)
            job.running.discard(index)

    def _run(
        self, job: FakeJob, identity: bytes, index: int, blob: bytes, attempt: int, pid: int
    ) -> None:
        def speak(text: str) -> None:
            output = messages.TaskOutput(job=identity, index=index, host=HOST, worker=pid)
            self.send(output, text.encode())

        _now.say, _now.where = speak, (index, attempt)
        kind, outcome = self._call(lambda: self._apply(job.spec, blob))
        retry = kind == Kind.LOST and attempt <= job.spec.retries
        if kind == Kind.RAISED and job.spec.retry_on and attempt <= job.spec.retries:
            types: Any = self._book.function(job.spec.retry_on)
            retry = isinstance(self._raised, types)
        if retry and not job.cancelled:
            with self._work:
                job.waiting[index] = (blob, attempt + 1)
                key = (-job.spec.priority, next(self._order), identity, index)
                heapq.heappush(self._queue, key)
                self._work.notify()
            return
        if job.cancelled and kind == Kind.CANCELLED:
            self.send(messages.TasksCancelled(job=identity, first=index, count=1))
            return
        self.send(
            messages.TaskOutcomes(
                job=identity,
                first=index,
                kinds=bytes([kind]),
                host=HOST,
                worker=pid,
                attempt=attempt,
            ),
            blobs.pack([outcome]),
        )

    def _apply(self, spec: messages.AddJob | messages.RunEverywhere, blob: bytes) -> Any:
        args, kwargs = self._book.load(blob)
        return self._function(spec)(*args, **kwargs)

    def _call(self, apply: Callable[[], Any]) -> tuple[Kind, bytes]:
        try:
            return Kind.RETURNED, dumps(apply(), self._book, name="result")
        except Lost as lost:
            facts = {"host": HOST, "worker": 1000, **lost.facts}
            return Kind.LOST, messages.encode(Loss(**facts))
        except CancelledError:
            return Kind.CANCELLED, b""
        except BaseException as error:
            self._raised = error
            index, _ = getattr(_now, "where", (0, 1))
            error.add_note(f"[scattergather] task {index} of it on machine, worker 7, args (0)")
            return Kind.RAISED, pack_exception(error, self._book, skip=1)

    def _everywhere(self, message: messages.RunEverywhere, body: bytes) -> None:
        for number in range(self.workers):
            kind, outcome = self._call(lambda: self._apply(message, body))
            self.send(
                messages.EverywhereOutcome(
                    call=message.call, host=HOST, worker=1000 + number, kind=kind
                ),
                outcome,
            )
        self.send(messages.Answer(call=message.call))


def connect(
    *, function: Any = None, specs: tuple[HostSpec, ...] | None = None, **options: Any
) -> tuple[ScatterGather, FakeController]:
    """A client and the fake at the other end of its pipe."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    fake = FakeController(theirs, **options)
    hosts = specs or (EmbeddedSpec(name=HOST),)

    def pipe(outbox: Outbox, session: Session) -> Pipe:
        return Pipe(outbox, lambda: (ours, None), session)

    session = Session(hosts, pipe, Log(), memory=0)
    session.open(first_message(hosts))
    return ScatterGather(session, function), fake


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that another thread does; fail if it does not come."""
    promise = Promise(seconds)
    while not condition():
        assert not promise.broken(), "it did not happen in time"
        time.sleep(0.001)
