"""The two threads beside the user's: one writes to the controller, one reads and watches it.

They alone touch the socket, because an interrupt reaches the main thread only, where it would leave
half a frame in the middle of a send. One case is an exception: a call that is alone leaves by the
thread that submits it, and what an interrupt left of it the writer finishes (``outbox``). Neither
thread keeps the session alive. The reader also makes the socket and starts the controller, so that
an interrupt of ``spawnScatterGather`` cannot lose either half made; and it waits for the end of the
controller, so that no zombie makes a kernel's restart slow.

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
from dataclasses import dataclass
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

STOPPED_LOOKS = 5
"""Looks and not seconds are counted: what passed while this process stood still, or the machine
slept, does not count."""

GRACE = 2.0
"""Seconds that a controller may take to end once the pipe has; then it is killed."""

REAP_SECONDS = 0.2
"""How often a controller that is to end is looked at. One that a signal has stopped does not see
the end of the pipe, and is killed at once."""


Start = Callable[[], tuple[socket.socket, "subprocess.Popen[bytes] | None"]]


class Listener(Protocol):
    """Who hears what comes through the pipe, and how the controller stands. Reader thread."""

    @property
    def waiting(self) -> bool:
        """True while something is to come from the controller."""

    def received(self, head: bytes, body: bytes) -> None:
        """A frame has come."""

    def rest(self) -> None:
        """Nothing has come for a moment."""

    def stopped(self, pid: int, again: bool) -> None:
        """A signal has stopped the controller for a while now, and something is to come from it.

        It is said again at each look of the reader, with ``again``, until the controller goes on.
        """

    def gone(self, status: int | None) -> None:
        """The controller is gone, with this exit status if that is known; nothing more comes."""


@dataclass(slots=True)
class _Silence:
    """How often in a row the reader has found the controller ``stopped`` since something came."""

    stopped: int = 0


class Pipe:
    """The connection to one controller.

    Args:
        outbox: what the writer writes.
        start: starts the controller; returns our end of the connection, and the process, unless
            someone else started it. Reader thread.
        listener: hears it. When it is garbage the controller ends; the pipe does not keep it.
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
        self._writer: threading.Thread | None = None
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
        """When ``user`` is garbage, wherever that happens, the controller ends."""
        self._users.append(weakref.ref(user))
        self._outbox.watch(user, self.hang_up)

    @property
    def unused(self) -> bool:
        """One of those is garbage for whom the controller works."""
        return any(user() is None for user in self._users)

    def hang_up(self) -> None:
        """The controller sees the end of the pipe and ends; one that is being started, too."""
        self._hung_up = True
        if isinstance(self._line, socket.socket):
            try:
                self._line.shutdown(socket.SHUT_RDWR)  # whoever else holds the socket
            except OSError:
                pass

    def join(self, seconds: float) -> None:
        """Wait for the end of the reader, which waits for that of the controller."""
        if self.reader.is_alive():
            self.reader.join(seconds)

    def abandon(self) -> None:
        """This process is a copy made by fork: the pipe is left to the original."""
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
            self._writer = threading.Thread(
                target=self._write, args=(ours,), name="scattergather-writer", daemon=True
            )
            try:
                self._writer.start()
            except RuntimeError:
                ours.close()
                self._reap()
                raise
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
            if self._writer is not None:
                self._writer.join(GRACE)
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
        silence = _Silence()
        try:
            while True:
                found = poll.poll(LOOK_SECONDS * 1000)
                if not found:
                    if not self._look_around(silence):
                        return
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
                silence.stopped = 0
        except (OSError, FrameError):
            return
        finally:
            if watch >= 0:
                os.close(watch)

    def _look_around(self, silence: _Silence) -> bool:
        """Tell the listener what a silence may mean; False when nobody uses the pipe any more."""
        listener = self._listener()
        # The writer hears at once of a user who is gone, unless it is in the middle of a send.
        if listener is None or self.unused:
            return False
        listener.rest()
        stopped = listener.waiting and self.is_stopped()
        silence.stopped = silence.stopped + 1 if stopped else 0
        if silence.stopped >= STOPPED_LOOKS and self.process is not None:
            listener.stopped(self.process.pid, silence.stopped > STOPPED_LOOKS)
        return True

    def is_stopped(self) -> bool:
        """True while the controller stands still because of a signal. Any thread."""
        return self.process is not None and is_stopped(self.process.pid)

    def _reap(self) -> int | None:
        """The controller has ended, killed if need be; returns its exit status, if it is known."""
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
