"""The pipe to a controller begins: it is there, or whoever wants it hears why not."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from scattergather.client.pipe.outbox import Outbox
from scattergather.client.pipe.pipe import Pipe, Start
from tests.unit.client.fake import until
from tests.waits import interrupted


class Hears:
    """A listener that only hears the end."""

    waiting = False

    def __init__(self, start: Start) -> None:
        self.ends: list[int | None] = []
        self.pipe = Pipe(Outbox(), start, self)  # type: ignore[arg-type]

    def gone(self, status: int | None) -> None:
        self.ends.append(status)


def refuse() -> Any:
    raise OSError("no more processes")


def test_a_controller_that_cannot_be_started_says_so_to_who_opens_and_ends() -> None:
    there = Hears(refuse)
    with pytest.raises(OSError, match="no more processes"):
        there.pipe.open()
    there.pipe.join(20)
    assert there.ends == [None]


def test_a_pipe_is_open_only_when_its_controller_was_started() -> None:
    ours, theirs = socket.socketpair()
    process: Any = SimpleNamespace(pid=0, wait=lambda _: 0)
    started = threading.Event()

    def start() -> Any:
        started.wait(20)
        return ours, process

    there = Hears(start)
    opening = threading.Thread(target=there.pipe.open)
    opening.start()
    assert there.pipe.process is None
    assert opening.is_alive()
    started.set()
    opening.join(20)
    assert there.pipe.process is process
    theirs.close()
    until(lambda: there.ends)


def test_an_interrupt_while_the_controller_is_being_started_ends_it() -> None:
    ours, theirs = socket.socketpair()
    started = threading.Event()

    def start() -> Any:
        started.wait(20)
        return ours, None

    there = Hears(start)
    with interrupted() as interrupt, pytest.raises(KeyboardInterrupt):
        there.pipe.open()
    assert interrupt.heeded()
    started.set()
    assert theirs.recv(1) == b"", "it does not see the end of the pipe"
    until(lambda: there.ends == [None])
