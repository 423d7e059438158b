"""The worker's socket: frames both ways.

The main thread reads its chunks from it; a task, from any of its threads, sends nested calls and
waits for their outcomes. So there is a lock for sending, and a rule for reading: one thread reads
at a time, whatever it finds goes where it belongs, and all who wait look again.
"""

from __future__ import annotations

import fcntl
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec

from scattergather.wire.descriptors import ReceivedDescriptors, send_with
from scattergather.wire.frame import Bytes, FrameError, FrameReader, behind, frame
from scattergather.wire.messages import page as messages
from scattergather.workers.process.task.copies import ORIGINAL
from scattergather.workers.process.task.journal import Contradiction

READ_BYTES = 1 << 16


STOLEN = "a task has read from its worker's socket"

OF_A_COPY = "it belongs to the worker, and this is a copy of it"


class LineLost(Exception):
    """The socket ended, or a task closed it: this worker is of no use any more."""


Wait = Callable[[int, float | None], bool]
"""Waits until a descriptor can be read: True; or until so many seconds have passed: False."""


def poll(fd: int, timeout: float | None) -> bool:
    """Wait by ``poll`` until a descriptor can be read; a ``Wait``."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(None if timeout is None else timeout * 1000))


def _receive_waits(_fd: int, _timeout: float | None) -> bool:
    """A ``Wait`` for who has nothing else to do: ``recv`` blocks itself."""
    return True


class WorkerLine:
    """A worker's end of its socket: sends frames, and sorts those that it receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._flags = fcntl.fcntl(connection, fcntl.F_GETFL)
        self._reader = FrameReader()
        self.received = ReceivedDescriptors()
        """Descriptors that came along; whoever sorts a frame that brings one takes it."""
        self._sending = threading.Lock()
        self._changed = threading.Condition(threading.Lock())
        self._reading = False
        self._ended: LineLost | Contradiction | None = None
        """Why nothing more will be read."""
        self.inbox: deque[tuple[messages.ToWorker, bytes]] = deque()
        """Chunks and other things for the main loop that somebody has read already."""
        self.sort: Callable[[messages.ToWorker, bytes], bool] = lambda _message, _body: False
        """Takes a message that is not for the main loop; says whether it was one."""

    def send(self, message: messages.FromWorker, *body: Bytes) -> None:
        """Send a frame completely. Any thread; must not be interrupted (``Interrupts.shielded``).

        Raises:
            LineLost: the pool is gone, or a task closed the socket.
        """
        pieces: list[Bytes] = frame(messages.encode(message), *body)
        if not ORIGINAL:
            raise LineLost(OF_A_COPY)
        with self._sending:
            try:
                sent = self._socket.sendmsg(pieces)
                while rest := behind(pieces, sent):
                    pieces = rest
                    sent = self._socket.sendmsg(pieces)
            except OSError as error:
                raise LineLost(str(error)) from error

    def send_with(self, fd: int, message: messages.FromWorker) -> None:
        """Send a frame that brings a copy of a descriptor. Any thread, as :meth:`send`.

        ``fd`` stays open meanwhile: it takes no other here, of which a task may have left none.

        Raises:
            LineLost: the pool is gone, or a task closed the socket.
        """
        data = b"".join(frame(messages.encode(message)))
        if not ORIGINAL:
            raise LineLost(OF_A_COPY)
        with self._sending:
            try:
                self._socket.sendall(data[send_with(self._socket, data, [fd]) :])
            except OSError as error:
                raise LineLost(str(error)) from error

    def close(self) -> None:
        """In a copy of the worker: nothing can be sent, nothing is taken from the worker's line."""
        self._socket.close()

    def repair(self) -> None:
        """The socket has the flags that it had; a task may have gone through all descriptors.

        Raises:
            OSError: it was closed.
        """
        fcntl.fcntl(self._socket, fcntl.F_SETFL, self._flags)

    def receive(self, timeout: float | None = None) -> tuple[messages.ToWorker, bytes] | None:
        """The next message for the main loop, or None after ``timeout`` seconds without one.

        Blocks. Main thread, between tasks.

        Raises:
            LineLost: the socket ended.
            Contradiction: a task has read from it.
        """
        inbox = self.inbox
        if not inbox:
            wait = _receive_waits if timeout is None else poll
            if not self.read_until(lambda: bool(inbox), timeout, wait):
                return None
        return inbox.popleft()

    def catch_up(self) -> None:
        """Sort what has arrived already.

        Raises:
            LineLost: the socket ended.
            Contradiction: a task has read from it.
        """
        self.read_until(lambda: False, 0.0, poll)

    def read_until(self, done: Callable[[], bool], timeout: float | None, wait: Wait) -> bool:
        """Read, or let another thread read, until ``done()``; False when time is over.

        With ``timeout`` 0 what has arrived already is read. Any thread; only ``wait`` may be
        interrupted.

        Raises:
            LineLost: the socket ended.
            Contradiction: a task has read from it.
        """
        until = None if timeout is None else time.monotonic() + timeout
        tried = False
        changed = self._changed
        while True:
            with changed:
                while not done():
                    if self._ended is not None:
                        raise self._ended
                    left = None if until is None else max(0.0, until - time.monotonic())
                    if left == 0.0 and (tried or self._reading):
                        return False
                    if not self._reading:
                        self._reading = True
                        break
                    changed.wait(left)
                else:
                    return True
            try:
                if wait(self._socket.fileno(), left):
                    self._take_in()
            finally:
                tried = True
                with changed:
                    self._reading = False
                    changed.notify_all()

    def _take_in(self) -> None:
        """Receive once, and sort the frames that are complete now.

        Raises:
            LineLost: the socket ended.
            Contradiction: what came is not what the pool sends.
        """
        if not ORIGINAL:
            raise LineLost(OF_A_COPY)
        try:
            data = self.received.receive(self._socket, READ_BYTES)
        except OSError as error:
            self._ended = LineLost(str(error))
            raise self._ended from error
        if not data:
            self._ended = LineLost("the pool closed the socket")
            raise self._ended
        try:
            for head, body in self._reader.feed(data):
                message = messages.read_to_worker(head)
                if not self.sort(message, body):
                    self.inbox.append((message, body))
        except (FrameError, msgspec.MsgspecError) as error:
            self._ended = Contradiction(f"{STOLEN} ({error})")
            raise self._ended from error
