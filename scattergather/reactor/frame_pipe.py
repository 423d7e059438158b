"""Frames over a local socket, in the reactor.

Twisted's own stream transports write in the next turn of the reactor. A pool's messages are small
and somebody waits for each, so this one tries the socket at once and lets the reactor write only
what did not fit.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

from twisted.python import failure, log

from scattergather.model.outcome import GATHER_SECONDS
from scattergather.reactor.seam import Reactor, Timer, call_off
from scattergather.wire.descriptors import RETRY_SECONDS, Escorted, ReceivedDescriptors, send_with
from scattergather.wire.frame import MAX_BODY, Bytes, FrameError, FrameReader, behind, frame

READ_BYTES = 1 << 16
PIECES = 64
"""How many pieces one ``sendmsg`` takes; the kernel's own limit is 1024."""

UNCOPIED_SECONDS = 1.0
"""How long everything stands still, at most, for a descriptor that cannot wait."""


class FramePipe:
    """One end of a socket that carries frames. Reactor thread only.

    Args:
        on_frame: called with head and body of every frame; what it raises ends the pipe.
        on_end: called once, with a reason, when the pipe has ended by itself.
        most: bytes that no body exceeds which comes; else the pipe ends.
    """

    def __init__(
        self,
        reactor: Reactor,
        connection: socket.socket,
        on_frame: Callable[[bytes, bytes], None],
        on_end: Callable[[str], None],
        most: int = MAX_BODY,
    ) -> None:
        connection.setblocking(False)
        self._reactor = reactor
        self._socket = connection
        self._on_frame = on_frame
        self._on_end = on_end
        self._reader = FrameReader(min(most, MAX_BODY))
        self.received = ReceivedDescriptors()
        """Descriptors that came along; whoever reads a frame that brings one takes it."""
        self._backlog: deque[Bytes | Escorted] = deque()
        self._gathered: list[Bytes] = []
        self._soon: Timer | None = None
        self.waiting = 0
        """Bytes that wait to be written."""
        self.open = True
        self.nonsense = False
        """It ended because what the other end sent makes no sense."""
        self._resting = False
        reactor.addReader(self)

    def send(self, head: bytes, *body: Bytes) -> None:
        """Send one frame; what the socket does not take now follows later. Silent when closed."""
        if not self.open:
            return
        pieces: list[Bytes] = [*frame(head, *body)]
        if self._gathered:
            pieces = [*self._gathered, *pieces]
            self._gathered.clear()
        self._send(pieces)

    def send_soon(self, head: bytes, *body: Bytes) -> None:
        """Send one frame with the next, or by ``send_gathered``. Silent when closed.

        At the latest it is sent after ``GATHER_SECONDS``.
        """
        if not self.open:
            return
        if self._soon is None:
            self._soon = self._reactor.callLater(GATHER_SECONDS, self.send_gathered)
        self._gathered += frame(head, *body)

    def send_gathered(self) -> None:
        """Send what waits for the next frame."""
        call_off(self._soon)  # of this turn, nearly always: then the reactor is not woken for it
        self._soon = None
        if self._gathered and self.open:
            pieces, self._gathered = self._gathered, []
            self._send(pieces)

    def _send(self, pieces: list[Bytes]) -> None:
        if not self._backlog:
            pieces = self._write_some(pieces)
        if pieces:
            self._queue(pieces)

    def send_with(self, fd: int, head: bytes) -> None:
        """Send a frame that brings a copy of a descriptor. Silent when closed."""
        if not self.open:
            return
        self.send_gathered()
        data = b"".join(frame(head))
        try:
            self._queue([Escorted(data, fd)])
        except OSError:
            self._send_uncopied(fd, data)
        else:
            self.doWrite()

    def _send_uncopied(self, fd: int, data: bytes) -> None:
        """We can have no more descriptors, so it cannot wait: it goes behind what waits, now.

        To leave it out would be to let the other end wait for ever.
        """
        self.flush(time.monotonic() + UNCOPIED_SECONDS)
        if self._backlog:
            self._break()
            return
        try:
            rest = data[send_with(self._socket, data, [fd]) :]
        except OSError:
            self._break()
            return
        if rest:
            self._queue([rest])

    def _queue(self, pieces: Sequence[Bytes | Escorted]) -> None:
        if not self._backlog:
            self._reactor.addWriter(self)
        self._backlog.extend(pieces)
        self.waiting += sum(map(len, pieces))

    def _write_some(self, pieces: list[Bytes]) -> list[Bytes]:
        """Write what the socket takes; returns the rest. A broken socket is noticed by reading."""
        try:
            sent = self._socket.sendmsg(pieces[:PIECES])
        except BlockingIOError:
            return pieces
        except OSError:
            self._break()
            return []
        return behind(pieces, sent)

    def _write_escorted(self, piece: Escorted) -> list[Bytes | Escorted]:
        try:
            rest = piece.send(self._socket)
        except BlockingIOError as full:
            if full.errno == errno.ETOOMANYREFS and not self._resting:
                # There is room, so the reactor would have us write without end.
                self._resting = True
                self._reactor.removeWriter(self)
                self._reactor.callLater(RETRY_SECONDS, self._write_again)
            return [piece]
        except OSError:
            self._break()
            return []
        return [rest] if rest else []

    def _write_again(self) -> None:
        self._resting = False
        if self._backlog:
            self._reactor.addWriter(self)

    def _break(self) -> None:
        """A frame is lost: both ends see the end of the socket, behind what has arrived."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def drain(self) -> None:
        """Read what has arrived: everything that a dead peer had written."""
        while self.open and self._read_once():
            pass

    def flush(self, deadline: float) -> None:
        """Write what waits, for the last time: blocks, at most until ``deadline`` (monotonic)."""
        self.send_gathered()
        while self.open and self._backlog and time.monotonic() < deadline:
            room = select.poll()  # select() knows no descriptor beyond 1,023
            room.register(self._socket, select.POLLOUT)
            room.poll(max(0.0, deadline - time.monotonic()) * 1000)
            self.doWrite()

    def close(self) -> None:
        """Close without a word to ``on_end``; what waits to be written is dropped."""
        if self.open:
            self.open = False
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._backlog.clear()
            self._gathered.clear()
            self.waiting = 0
            self.received.close()
            self._socket.close()

    def _end(self, reason: str) -> None:
        if self.open:
            self.close()
            self._on_end(reason)

    def _read_once(self) -> bool:
        try:
            data = self.received.receive(self._socket, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self._end(str(error))
            return False
        if not data:
            self._end("the other end closed the pipe")
            return False
        try:
            for head, body in self._reader.feed(data):
                self._on_frame(head, body)
        except FrameError as error:
            self.nonsense = True
            self._end(str(error))
        except Exception as error:
            log.err(failure.Failure(), "a frame could not be handled")
            self.nonsense = True
            self._end(f"a frame could not be handled: {error}")
        return True

    # ---- what the reactor calls ----

    def fileno(self) -> int:
        """For the reactor."""
        return self._socket.fileno() if self.open else -1

    def doRead(self) -> None:
        """For the reactor: something arrived."""
        self._read_once()

    def doWrite(self) -> None:
        """For the reactor: the socket takes more."""
        backlog = self._backlog
        before: Sequence[Bytes | Escorted]
        rest: Sequence[Bytes | Escorted]
        first = backlog[0]
        if isinstance(first, Escorted):
            del backlog[0]
            before, rest = [first], self._write_escorted(first)
        else:
            plain: list[Bytes] = []
            for piece in backlog:
                if isinstance(piece, Escorted) or len(plain) == PIECES:
                    break
                plain.append(piece)
            for _ in plain:
                backlog.popleft()
            before, rest = plain, self._write_some(plain)
        self.waiting -= sum(map(len, before)) - sum(map(len, rest))
        backlog.extendleft(reversed(rest))
        if not backlog:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: failure.Failure) -> None:
        """For the reactor: the descriptor is broken, or the reactor ends."""
        self._end(reason.getErrorMessage())

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "FramePipe"
