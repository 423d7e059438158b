"""Frames with descriptors between a daemon and its workers: in order, and nothing leaks."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather.wire import messages
from scattergather.wire.frame import FrameReader
from scattergather.workers.daemon.pipe import FramePipe
from scattergather.workers.process.line import Line, LineLost


class Reactor:
    """Knows who wants to read and write, and does nothing by itself."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard


def memory(content: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class There:
    """A pipe, what it heard, and the other end."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.heard: list[tuple[bytes, bytes]] = []
        self.ends: list[str] = []
        self.brought: list[bytes] = []
        self.pipe = FramePipe(self.reactor, ours, self._frame, self.ends.append)

    def _frame(self, head: bytes, body: bytes) -> None:
        self.heard.append((head, body))
        if head.startswith(b"with"):
            fd = self.pipe.received.take()
            self.brought.append(os.pread(fd, 100, 0))
            os.close(fd)

    def send_with(self, number: int) -> None:
        fd = memory(b"%d" % number)
        self.pipe.send_with(fd, b"with %d" % number)
        os.close(fd)

    def write(self) -> None:
        """The reactor finds that the socket takes more, as long as somebody wants to write."""
        while self.reactor.writers:
            self.pipe.doWrite()


@pytest.fixture
def there() -> Iterator[There]:
    before = descriptors()
    there = There()
    yield there
    there.pipe.close()
    there.theirs.close()
    assert descriptors() == before


def test_frames_with_descriptors_keep_their_place_among_others_through_a_backlog(
    there: There,
) -> None:
    other = There()
    other.pipe.close()
    other.theirs.close()
    reader = FramePipe(other.reactor, there.theirs.dup(), other._frame, other.ends.append)
    other.pipe = reader
    sent = []
    for number in range(30):
        body = b"." * (number * 5000)
        there.pipe.send(b"plain %d" % number, body)
        there.send_with(number)
        sent += [(b"plain %d" % number, body), (b"with %d" % number, b"")]
    assert there.pipe.waiting > 0
    assert there.reactor.writers
    while len(other.heard) < len(sent):
        reader.drain()
        if there.reactor.writers:
            there.pipe.doWrite()
    assert other.heard == sent
    assert other.brought == [b"%d" % number for number in range(30)]
    assert there.pipe.waiting == 0
    assert not there.reactor.writers
    reader.close()


def test_what_waits_is_closed_with_the_pipe(there: There) -> None:
    before = descriptors()
    there.pipe.send(b"fill", b"." * (1 << 22))
    for number in range(5):
        there.send_with(number)
    assert descriptors() == before + 5
    there.pipe.close()
    assert descriptors() == before - 1
    there.send_with(9)
    assert descriptors() == before - 1


def test_what_arrives_for_nobody_is_closed_with_the_pipe(there: There) -> None:
    before = descriptors()
    there.pipe._on_frame = lambda _head, _body: None
    fd = memory(b"")
    line = Line(there.theirs.dup())
    line.send_with(fd, messages.Slab(slab=b"s", size=1))
    os.close(fd)
    there.pipe.drain()
    assert descriptors() == before + 2  # the copy of the socket, and what came
    there.pipe.close()
    line._socket.close()
    assert descriptors() == before - 1


def test_a_descriptor_for_which_the_other_end_is_gone_is_not_kept(there: There) -> None:
    there.theirs.close()
    before = descriptors()
    there.send_with(1)
    there.write()
    assert descriptors() == before
    there.pipe.drain()
    assert len(there.ends) == 1


def test_a_frame_that_comes_without_its_descriptor_ends_the_pipe(there: There) -> None:
    other = FramePipe(Reactor(), there.theirs.dup(), lambda *_: None, lambda _: None)
    other.send(b"with none")
    there.pipe.drain()
    assert "without its descriptor" in there.ends[0]
    other.close()


# ---- the worker's end ---------------------------------------------------------------------------


def test_a_line_sends_whole_frames_with_their_descriptors_though_the_socket_is_full(
    there: There,
) -> None:
    line = Line(there.theirs.dup())

    def say() -> None:
        for number in range(20):
            fd = memory(b"%d" % number)
            line.send(messages.Output(chunk=1, index=number), b"." * 50_000)
            line.send_with(fd, messages.Slab(slab=b"%d" % number, size=number))
            os.close(fd)

    thread = threading.Thread(target=say)
    heard: list[Any] = []

    def hear(head: bytes, body: bytes) -> None:
        message = messages.read_from_worker(head)
        if isinstance(message, messages.Slab):
            fd = there.pipe.received.take()
            assert os.pread(fd, 9, 0) == message.slab
            os.close(fd)
        heard.append(message)

    there.pipe._on_frame = hear
    thread.start()
    while len(heard) < 40 and not there.ends:
        there.pipe.drain()
    thread.join()
    assert there.ends == []
    assert [each.index for each in heard[::2]] == list(range(20))
    assert [each.size for each in heard[1::2]] == list(range(20))
    line._socket.close()


def test_a_line_whose_pool_is_gone_says_so_and_keeps_no_copy(there: There) -> None:
    line = Line(there.theirs.dup())
    there.pipe.close()
    fd = memory(b"")
    before = descriptors()
    with pytest.raises(LineLost):
        line.send_with(fd, messages.Slab(slab=b"s", size=1))
    assert descriptors() == before
    os.close(fd)
    line._socket.close()


def test_what_is_cut_anywhere_is_whole_when_the_rest_comes(there: There) -> None:
    fd = memory(b"7")
    there.pipe.send_with(fd, b"with 7")
    there.pipe.send(b"plain", b"body")
    os.close(fd)
    received, frames = there.pipe.received.__class__(), FrameReader()
    found = []
    while len(found) < 2:
        found += list(frames.feed(received.receive(there.theirs, 1)))
    assert [bytes(head) for head, _ in found] == [b"with 7", b"plain"]
    received.close()
