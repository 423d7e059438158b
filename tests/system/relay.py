"""What passes between a controller and its daemons, counted, and as late as from far away.

The counters of the loopback interface also count what everybody else on the machine sends.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from scattergather.settings.furl import Furl


class Relay:
    """Stands before daemons, and passes on what comes.

    Args:
        delay: how many seconds everything takes, each way. What follows does not wait for it.
        speed: bytes a second that pass in each direction of each connection; 0: as many as come.

    Attributes:
        swallows: asked with number and direction (0: to the daemon) of a connection, and how many
            bytes of it have come: whether the last of them are lost, as nothing else is.
    """

    def __init__(self, delay: float = 0.0, speed: int = 0) -> None:
        self.swallows: Callable[[int, int, int], bool] = lambda _number, _place, _count: False
        self._delay = delay
        self._speed = speed
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._passed: list[list[int]] = []
        """Of each connection, there and back; and its number."""

    def before(self, furl: str) -> str:
        """By this FURL the pool of that one is joined through here."""
        pool = Furl.parse(furl)
        door = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(door)
        self._begin(self._accept, door, pool.addresses[0])
        return Furl(pool.tub, (f"tcp:127.0.0.1:{door.getsockname()[1]}",), pool.name).text

    def passed(self) -> int:
        """Bytes so far, both ways."""
        return sum(there + back for there, back, _ in self._passed)

    @property
    def connections(self) -> int:
        """How many there were so far."""
        return len(self._passed)

    def close(self) -> None:
        """Nothing passes any more."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # whoever waits for it hears of this end
        for thread in self._threads:
            thread.join()

    def _begin(self, function: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, door: socket.socket, pool: tuple[str, int]) -> None:
        with door, contextlib.suppress(OSError):
            while True:
                caller, _ = door.accept()
                self._sockets.append(caller)
                self._begin(self._connect, caller, pool)

    def _connect(self, caller: socket.socket, pool: tuple[str, int]) -> None:
        counts = [0, 0, len(self._passed)]
        self._passed.append(counts)
        with caller, contextlib.suppress(OSError), socket.create_connection(pool) as called:
            back = self._begin(self._pass, called, caller, counts, 1)
            self._pass(caller, called, counts, 0)
            back.join()

    def _pass(
        self, source: socket.socket, target: socket.socket, counts: list[int], place: int
    ) -> None:
        send, sending = target.sendall, None
        if self._delay:
            under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
            sending = self._begin(_send_late, under_way, target)

            def send(data: Any) -> None:
                under_way.put((time.monotonic() + self._delay, bytes(data)))

        buffer = bytearray(self._speed // 20 or 1 << 20)
        with contextlib.suppress(OSError):
            while count := source.recv_into(buffer):
                counts[place] += count  # first: who has got it may ask
                if not self.swallows(counts[2], place, counts[place]):
                    send(memoryview(buffer)[:count])
                if self._speed:
                    time.sleep(count / self._speed)
        if sending is not None:
            send(b"")
            sending.join()
        _shut(source, target)


def _send_late(under_way: queue.SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
    """Send each when it is due, up to an empty one."""
    due, data = under_way.get()
    while data:
        time.sleep(max(0.0, due - time.monotonic()))
        with contextlib.suppress(OSError):
            target.sendall(data)
        due, data = under_way.get()


def _shut(source: socket.socket, target: socket.socket) -> None:
    for each, how in (target, socket.SHUT_WR), (source, socket.SHUT_RD):
        with contextlib.suppress(OSError):
            each.shutdown(how)
