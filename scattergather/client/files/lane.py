"""Requests about files to one host, of which several are under way.

They are answered in their order. How many bytes may be under way follows the time that an answer
takes: much on a fast or a long way, little on a slow one, where the messages of tasks would wait
behind them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from scattergather.client.files.calls import Asked, FileCalls
from scattergather.client.pipe.waiting import Bell
from scattergather.errors import CannotTransfer
from scattergather.wire.frame import Bytes
from scattergather.wire.messages.client import Declined
from scattergather.wire.messages.files import MOST_BLOCK, FileReply, FileRequest, HostAway

BLOCK = MOST_BLOCK - (1 << 12)
"""Bytes of a file in one message, which fits into one piece of a link."""

MOST_UNDER_WAY = 64
"""Requests, of which those of small files have few bytes."""

LEAST_BLOCKS, MOST_BLOCKS = 2, 32
"""Under way at a time."""

QUICK, SLOW = 0.15, 0.4
"""Seconds: an answer that takes less allows more to be under way, one that takes more allows less.
"""


class Away(Exception):
    """The host is away, or was lost; why."""


class Stopped(Exception):
    """Nobody waits for this transfer any more."""


Then = Callable[[FileReply, Bytes], None]


class Lane:
    """One thread's requests to one host.

    Args:
        calls: of the session.
        host: its name.
        stopped: says whether all of it is to end.
        bell: is rung when that may have changed.
    """

    def __init__(
        self, calls: FileCalls, host: str, stopped: Callable[[], bool], bell: Bell
    ) -> None:
        self.host = host
        self._calls = calls
        self._stopped = stopped
        self._bell = bell
        self._under_way: deque[tuple[Asked, Then | None, int, float]] = deque()
        self._bytes = 0
        self._window = 4 * BLOCK

    def post(
        self, request: FileRequest, body: Bytes = b"", then: Then | None = None, size: int = 0
    ) -> None:
        """The request is on its way, as soon as there is room; earlier answers are heard meanwhile.

        Args:
            request: what is asked.
            body: its bytes.
            then: hears its answer, in this thread.
            size: bytes that it, or its answer, takes on the way.

        Raises:
            CannotTransfer: the host has declined an earlier one.
            Away: it is not there.
            Stopped: all of it is to end.
        """
        while self._under_way and (
            len(self._under_way) >= MOST_UNDER_WAY or self._bytes + size > self._window
        ):
            self._hear()
        while self._under_way and self._under_way[0][0].reply is not None:
            self._hear()
        asked = self._calls.ask(self.host, request, body, self._bell)
        self._under_way.append((asked, then, size, time.monotonic()))
        self._bytes += size

    def drain(self) -> None:
        """Everything was answered. Raises as :meth:`post`."""
        while self._under_way:
            self._hear()

    def ask(self, request: FileRequest, body: Bytes = b"") -> FileReply:
        """The answer to this request, behind all others. Raises as :meth:`post`."""
        replies: list[FileReply] = []
        self.post(request, body, lambda reply, _: replies.append(reply))
        self.drain()
        return replies[0]

    def forget(self) -> None:
        """Answers that are to come interest nobody."""
        self._under_way.clear()
        self._bytes = 0

    def say(self, request: FileRequest) -> None:
        """The request is on its way, whatever comes of it and whether or not there is room."""
        if not self._calls.life.ended:
            self._calls.ask(self.host, request, b"", self._bell)

    def _hear(self) -> None:
        """The oldest request is answered."""
        asked, then, size, begun = self._under_way[0]
        life = self._calls.life
        self._bell.wait(lambda: asked.reply is not None or self._stopped() or life.ended)
        if self._stopped():
            raise Stopped
        if asked.reply is None:
            life.check_alive()
        self._under_way.popleft()
        self._bytes -= size
        if size:
            self._measure(time.monotonic() - begun)
        match asked.reply:
            case HostAway(why=why):
                self.forget()
                raise Away(why)
            case Declined(why=why):
                raise CannotTransfer(f"{self.host}: {why}")
            case None:
                raise Stopped
            case reply:
                if then is not None:
                    then(reply, asked.body)

    def _measure(self, seconds: float) -> None:
        if seconds < QUICK:
            self._window = min(self._window + BLOCK, MOST_BLOCKS * BLOCK)
        elif seconds > SLOW:
            self._window = max(self._window - BLOCK, LEAST_BLOCKS * BLOCK)
