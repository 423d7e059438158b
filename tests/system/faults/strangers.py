"""Strangers at a pool's door, as a process of their own: they know its address and nothing more.

``Strangers`` starts, orders and ends the process. It stands for other machines, but runs on the
processors of the pool and the job: what it takes of them counts against us.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]

CANARY = b"cos\nsystem\n(S'touch %s.$PPID'\ntR."
"""A pickle, protocol 0, that touches a file named after whoever loads it."""

HELLO = bytes.fromhex("16030100c8010000c40303") + b"\x5a" * 190
"""A TLS client's first record."""


def said(kind: str, canary: str) -> bytes:
    """What each kind of stranger says, over and over."""
    pickle = CANARY % canary.encode()
    return {
        "zeros": b"\0" * 100_000,
        "http": b"GET /id/abc HTTP/1.1\r\nUpgrade: TLS/1.0\r\n\r\n",
        "tls": HELLO,
        "proof": b"sg1F" + b"k" * 8 + b"p" * 32 + b"GET /id/abc HTTP/1.1\r\n\r\n",
        "pickle": pickle,
        "pickled proof": (b"sg1F" + pickle).ljust(44, b".") + pickle,
        # OPEN "call" 1 1 <a string of 300 MB>, and numbers of 16 kB
        "name": b"\x01\x88\x04\x82call\x01\x81\x01\x81\x00\x00\x40\x0f\x01\x82" + b"m" * 200_000,
        "long numbers": b"\x01\x88" + (b"\x00\x00\x01\x85" + b"\xff" * 16384) * 12,
    }[kind]


FLOODS = ("zeros", "http", "tls", "proof", "pickle", "pickled proof", "name", "long numbers")
IDLE = 400
IN_FLIGHT = 100

EVERYTHING = ("idle", *FLOODS)
"""Kinds of strangers: those who call and say something, and ``IDLE`` who say next to nothing."""


class Crowd:
    """Keeps ``IDLE`` sockets open that say nothing, or one byte a second of a TLS hello."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sockets: list[socket.socket] = []
        self.again = 0.0

    def press(self) -> None:
        """Once a second: whoever was sent away comes back, the slow ones say one byte more."""
        if time.monotonic() < self.again:
            return
        self.again = time.monotonic() + 1
        here = []
        for number, each in enumerate(self.sockets):
            try:
                each.recv(100)
                gone = False
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if not gone:
                try:
                    if number % 2:
                        each.send(HELLO[:1] if number % 4 == 1 else b"s")
                    here.append(each)
                    continue
                except OSError:
                    pass
            each.close()
        self.sockets = here
        while len(self.sockets) < IDLE:
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", self.port))
            self.sockets.append(each)

    def disperse(self) -> None:
        for each in self.sockets:
            each.close()
        self.sockets = []
        self.again = 0.0


class Flood:
    """Calls as fast as the door's queue takes them, each says something; ``IN_FLIGHT`` stay."""

    def __init__(self, port: int, words: list[bytes]) -> None:
        self.port = port
        self.words = words
        self.sockets: deque[socket.socket] = deque()
        self.calls = 0

    def call(self) -> None:
        door = socket.socket()
        door.settimeout(0.05)
        self.sockets.append(door)
        try:
            door.connect(("127.0.0.1", self.port))
            door.setblocking(False)
            door.send(self.words[self.calls % len(self.words)])
            self.calls += 1
        except OSError:
            pass  # the queue is full
        if len(self.sockets) > IN_FLIGHT:
            self.sockets.popleft().close()

    def disperse(self) -> None:
        while self.sockets:
            self.sockets.pop().close()


def main(port: int, canary: str, kinds: list[str]) -> None:
    """Attack between ``go`` and ``stop`` on standard input, until it ends; count on stdout."""
    crowd = Crowd(port)
    flood = Flood(port, [said(kind, canary) for kind in kinds if kind != "idle"])
    orders = selectors.DefaultSelector()
    orders.register(0, selectors.EVENT_READ)
    attacking = False
    while True:
        if orders.select((0 if flood.words else 0.05) if attacking else None):
            order = os.read(0, 1)
            if not order:
                return
            attacking = order == b"g"
            if not attacking:
                crowd.disperse()
                flood.disperse()
            os.write(1, b"%d\n" % flood.calls)
        if attacking:
            if "idle" in kinds:
                crowd.press()
            if flood.words:
                flood.call()


class Strangers:
    """The process. ``calls`` is how often they have called so far, the idle ones not counted."""

    def __init__(self, port: int, canary: Path, kinds: tuple[str, ...]) -> None:
        self.calls = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.faults.strangers", str(port), str(canary), *kinds],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def go(self) -> None:
        """They begin."""
        self._order(b"g")

    def stop(self) -> None:
        """They have all left."""
        self._order(b"s")

    def _order(self, order: bytes) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order)
        self.calls = int(self._process.stdout.readline())

    def end(self) -> None:
        """The process is gone."""
        self._process.communicate(timeout=10)


@contextmanager
def strangers(port: int, canary: Path, kinds: tuple[str, ...] = EVERYTHING) -> Iterator[Strangers]:
    """They wait for ``go``."""
    crowd = Strangers(port, canary, kinds)
    try:
        yield crowd
    finally:
        crowd.end()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
