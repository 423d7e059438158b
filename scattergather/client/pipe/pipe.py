"""The two threads beside the user's: one writes to the controller, one reads and watches it.

Only they touch the socket, because an interrupt reaches the main thread only: in the middle of a
send there it would leave half a frame; but for one case, of which ``outbox`` tells. Neither keeps
the session alive. The reader also makes the socket and starts the controller, so that an interrupt
of ``spawnScatterGather`` cannot lose either half made, and it waits for its end, so that no zombie
makes a kernel's restart slow.

States of the reader, each with one way out::

    starting --> reading --> draining (the process ended or was told to) --> reaped
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from scattergather.client.pipe import waiting
from scattergather.client.pipe.outbox import Outbox, Piece
from scattergather.client.pipe.waiting import Bell
from scattergather.machine.proc import is_stopped
from scattergather.wire.descriptors import Escorted, ReceivedDescriptors
from scattergather.wire.frame import Bytes, FrameError, FrameReader

RECEIVE = 1 << 16
SMALL = 1 << 14
LOOK_SECONDS = 2.0
"""How often the reader looks around while nothing comes."""

REST_LOOKS = 5
STOPPED_LOOKS = 5
"""Looks and not seconds are counted: what passed while this process stood still, or the machine
slept, does not count."""

GRACE = 2.0
"""Seconds that a controller may take to end once the pipe has; then it is killed."""

REAP_SECONDS = 0.2
"""How often it is looked at meanwhile: one that a signal stopped does not see the end of the pipe,
and is killed at once."""


Start = Callable[[], tuple[socket.socket, "subprocess.Popen[bytes] | None"]]


class Listener(Protocol):
    """Who hears the pipe. Reader thread."""

    @property
    def waiting(self) -> bool:
        """Something is outstanding."""

    def received(self, head: bytes, body: bytes) -> None:
        """A frame came."""

    def rest(self) -> None:
        """Nothing has come for a while, and perhaps nothing will for long."""

    def stopped(self, pid: int, again: bool) -> None:
        """While something is outstanding, the process has been stopped by a signal for a while.

        Called at the next looks too, with ``again``.
        """

    def gone(self, status: int | None) -> None:
        """The process is gone and nothing more will come."""


class Pipe:
    """The connection to one controller.

    Args:
        outbox: what the writer writes.
        start: starts the controller; returns our end of the connection, and the process, unless
            someone else started it. Reader thread.
        listener: held weakly.
    """

    def __init__(self, outbox: Outbox, start: Start, listener: Listener) -> None:
        self._line: socket.socket | BaseException | None = None
        """None while the controller is being started; then our end, or why there is none."""
        self._begun = Bell()
        self._hung_up = False
        self.descriptors = ReceivedDescriptors()
        """Descriptors that came along; whoever reads a frame that brings one takes it."""
        self._outbox = outbox
        self._start = start
        self._listener = weakref.ref(listener)
        self._users: list[weakref.ref[Any]] = [self._listener]
        outbox.watch(listener, self.hang_up)
        self.process: subprocess.Popen[bytes] | None = None
        self.failure: BaseException | None = None
        """What ended the connection here, if that was neither the pipe nor the process."""
        self.reader = threading.Thread(target=self._read, name="scattergather-reader", daemon=True)

    def open(self) -> None:
        """The controller runs. The reader has started it, and starts the writer.

        Raises:
            Exception: what ``start`` has raised.
        """
        try:
            self.reader.start()
            self._begun.wait(lambda: self._line is not None)
        except BaseException:
            # The reader may be starting the process right now: it sees the end of the pipe.
            self.hang_up()
            raise
        if isinstance(self._line, BaseException):
            raise self._line

    def serve(self, user: object) -> None:
        """When this is garbage, wherever that happens, the controller ends."""
        self._users.append(weakref.ref(user))
        self._outbox.watch(user, self.hang_up)

    def hang_up(self) -> None:
        """The controller sees the end of the pipe and ends; one that is being started, too."""
        self._hung_up = True
        if isinstance(self._line, socket.socket):
            _hang_up(self._line)

    def join(self, seconds: float) -> None:
        """Wait for the end of the reader, which waits for that of the controller."""
        if self.reader.is_alive():
            self.reader.join(seconds)

    def abandon(self) -> None:
        """In a copy of this process made by fork: leave the pipe to the original."""
        if isinstance(self._line, socket.socket):
            self._line.close()

    # ---- the writer thread ----------------------------------------------------------------------

    def _write(self, ours: socket.socket) -> None:
        def write(pieces: list[Piece]) -> None:
            for chunk in _joined(pieces):
                if isinstance(chunk, Escorted):
                    ours.sendall(chunk.send(ours))
                else:
                    ours.sendall(chunk)

        try:
            while self._outbox.drain(write):
                pass
        except OSError:
            # The reader sees the same end, behind what still came, and tells it.
            self._outbox.close()
        except BaseException as error:
            self.failure = error
            self._outbox.close()
            self.hang_up()
            raise

    # ---- the reader thread ----------------------------------------------------------------------

    def _read(self) -> None:
        waiting.readers.add(threading.get_ident())
        status = None
        try:
            ours = self._begin()
            if ours is not None:
                status = self._serve(ours)
        finally:
            self._outbox.close()
            self.descriptors.close()
            waiting.readers.discard(threading.get_ident())
            if (listener := self._listener()) is not None:
                listener.gone(status)

    def _begin(self) -> socket.socket | None:
        try:
            ours, self.process = self._start()
        except BaseException as error:
            self._line = error
            if not isinstance(error, Exception):
                raise
            return None
        else:
            self._line = ours
            if self._hung_up:
                self.hang_up()
            return ours
        finally:
            self._begun.ring()

    def _serve(self, ours: socket.socket) -> int | None:
        writer = threading.Thread(
            target=self._write, args=(ours,), name="scattergather-writer", daemon=True
        )
        writer.start()
        self._outbox.open(ours)
        try:
            try:
                self._receive(ours)
            finally:
                status = self._reap()
            return status
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._outbox.close()
            self.hang_up()
            # A descriptor closed under a writer could be another file's by the time it writes.
            writer.join(GRACE)
            self._outbox.left(GRACE)
            ours.close()

    def _receive(self, ours: socket.socket) -> None:
        """Until the pipe ends, or the process has ended and the pipe is empty."""
        frames = FrameReader()
        own = ours.fileno()
        poll = select.poll()
        if own < 0:
            return
        poll.register(own, select.POLLIN)
        watch = _watch(self.process)
        if watch >= 0:
            poll.register(watch, select.POLLIN)
        quiet = stopped = 0
        try:
            while True:
                found = poll.poll(LOOK_SECONDS * 1000)
                if not found:
                    quiet += 1
                    listener = self._listener()
                    # The writer hears it at once, unless it is in the middle of a send.
                    if listener is None or any(user() is None for user in self._users):
                        return
                    if quiet == REST_LOOKS:
                        listener.rest()
                    looking = listener.waiting and self.is_stopped()
                    stopped = stopped + 1 if looking else 0
                    if stopped >= STOPPED_LOOKS and self.process is not None:
                        listener.stopped(self.process.pid, stopped > STOPPED_LOOKS)
                    del listener
                    continue
                ready = {descriptor for descriptor, _ in found}
                if own not in ready:
                    # Dead. A forked sibling may hold the other end: the pipe alone does not tell.
                    if watch in ready and not _readable(own):
                        return
                    continue
                data = self.descriptors.receive(ours, RECEIVE)
                if not data:
                    return
                listener = self._listener()
                if listener is None:
                    return
                for head, body in frames.feed(data):
                    listener.received(head, body)
                    del head, body  # or the last frame stays here until the next
                del listener, data
                quiet = stopped = 0
        except (OSError, FrameError):
            return
        finally:
            if watch >= 0:
                os.close(watch)

    def is_stopped(self) -> bool:
        """A signal has stopped the process. Any thread."""
        return self.process is not None and is_stopped(self.process.pid)

    def _reap(self) -> int | None:
        self.hang_up()
        if self.process is None:
            return None
        until = time.monotonic() + GRACE
        while time.monotonic() < until and not self.is_stopped():
            try:
                return self.process.wait(REAP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        self.process.kill()
        return self.process.wait()


def _hang_up(ours: socket.socket) -> None:
    """Both directions end, whoever else holds the socket."""
    try:
        ours.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Small pieces as one, others as they are: few calls and few copies."""
    chunks: list[Piece] = []
    small: list[Bytes] = []
    for piece in pieces:
        if len(piece) < SMALL and not isinstance(piece, Escorted):
            small.append(piece)
            continue
        if small:
            chunks.append(b"".join(small))
            small.clear()
        chunks.append(piece)
    if small:
        chunks.append(b"".join(small))
    return chunks


def _watch(process: subprocess.Popen[bytes] | None) -> int:
    """A descriptor that becomes readable when the process ends, or -1."""
    if process is None:
        return -1
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return -1


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))
