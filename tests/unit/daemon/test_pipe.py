"""Frames with descriptors between a daemon and its workers: in order, and nothing leaks."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from scattergather.reactor import frame_pipe
from scattergather.reactor.frame_pipe import FramePipe
from scattergather.wire.frame import FrameReader, frame
from scattergather.wire.messages import page as messages
from scattergather.workers.process.line import LineLost, WorkerLine

pytestmark = pytest.mark.usefixtures("counted")


class Reactor:
    """Knows who wants to read and write, and when, and does nothing by itself."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.later: list[Callable[[], None]] = []
        self.clock = Clock()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard

    def callLater(self, seconds: float, function: Callable[[], None]) -> IDelayedCall:
        self.later.append(function)
        return self.clock.callLater(seconds, function)


class Refusing(socket.socket):
    """Refuses to send, with this error, as long as it is told to."""

    refuses = 0

    def sendmsg(self, *arguments: Any) -> int:
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        return super().sendmsg(*arguments)


def memory(content: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


@contextmanager
def none_left() -> Iterator[None]:
    """This process can open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = os.dup(0)
    os.close(top)
    resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class There:
    """A pipe, what it heard, and the other end."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.ours, self.theirs = Refusing(fileno=pair[0].detach()), pair[1]
        self.heard: list[tuple[bytes, bytes]] = []
        self.ends: list[str] = []
        self.brought: list[bytes] = []
        self.pipe = FramePipe(self.reactor, self.ours, self._frame, self.ends.append)

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


def reader_of(there: There) -> There:
    """A pipe at its other end."""
    other = There()
    other.pipe.close()
    other.theirs.close()
    other.pipe = FramePipe(other.reactor, there.theirs.dup(), other._frame, other.ends.append)
    return other


def read_all(other: There) -> list[bytes]:
    other.pipe.doRead()
    return [head for head, _ in other.heard]


def test_a_frame_that_can_wait_leaves_with_the_next_one_in_its_order(there: There) -> None:
    other = reader_of(there)
    there.pipe.send(b"first")
    there.pipe.send_soon(b"second", b"body")
    there.pipe.send_soon(b"third")
    assert read_all(other) == [b"first"]
    there.pipe.send(b"fourth")
    assert read_all(other) == [b"first", b"second", b"third", b"fourth"]
    other.pipe.close()


def test_frames_that_can_wait_leave_together_after_a_moment(there: There) -> None:
    other = reader_of(there)
    there.pipe.send_soon(b"first")
    there.pipe.send_soon(b"second")
    (moment,) = there.reactor.later
    moment()
    assert read_all(other) == [b"first", b"second"]
    there.reactor.later.clear()
    there.pipe.send_soon(b"third")
    there.pipe.flush(0.0)
    assert read_all(other) == [b"first", b"second", b"third"]
    other.pipe.close()


def test_frames_that_wait_leave_when_it_is_said_and_no_timer_is_left(there: There) -> None:
    other = reader_of(there)
    there.pipe.send_soon(b"first")
    there.pipe.send_soon(b"second")
    there.pipe.send_gathered()
    assert read_all(other) == [b"first", b"second"]
    assert not there.reactor.clock.getDelayedCalls(), "a process that sleeps is woken for nothing"
    there.pipe.send_soon(b"third")
    assert there.reactor.clock.getDelayedCalls()
    there.pipe.send_gathered()
    assert read_all(other) == [b"first", b"second", b"third"]
    other.pipe.close()


def test_a_frame_that_can_wait_leaves_before_a_descriptor_does(there: There) -> None:
    other = reader_of(there)
    there.pipe.send_soon(b"first")
    there.send_with(1)
    assert read_all(other) == [b"first", b"with 1"]
    other.pipe.close()


def test_what_waits_in_a_closed_pipe_is_dropped(there: There) -> None:
    there.pipe.send_soon(b"first")
    there.pipe.close()
    for moment in there.reactor.later:
        moment()


def test_a_closed_pipe_gathers_nothing(there: There) -> None:
    there.pipe.close()
    there.pipe.send_soon(b"first")
    assert not there.reactor.later, "else all that follows is kept for ever"


def test_frames_with_descriptors_keep_their_place_among_others_through_a_backlog(
    there: There,
) -> None:
    other = reader_of(there)
    reader = other.pipe
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
    line = WorkerLine(there.theirs.dup())
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


def test_a_frame_waits_while_too_many_descriptors_are_under_way(there: There) -> None:
    other = reader_of(there)
    there.ours.refuses = errno.ETOOMANYREFS
    there.send_with(1)
    there.pipe.send(b"plain")
    there.send_with(2)
    assert there.pipe.waiting > 0
    assert not there.reactor.writers  # there is room: the reactor would ask without end
    assert len(there.reactor.later) == 1
    there.reactor.later.pop()()
    there.pipe.doWrite()
    assert not there.reactor.writers
    there.ours.refuses = 0
    there.reactor.later.pop()()
    there.write()
    other.pipe.drain()
    assert [head for head, _ in other.heard] == [b"with 1", b"plain", b"with 2"]
    assert other.brought == [b"1", b"2"]
    assert there.pipe.waiting == 0
    assert not there.reactor.later
    other.pipe.close()


def test_where_no_copy_can_be_had_a_descriptor_goes_at_once_behind_what_waits(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_pipe, "UNCOPIED_SECONDS", 60)
    body = b"." * (1 << 21)
    before = len(b"".join(frame(b"plain", body)))
    there.pipe.send(b"plain", body)
    assert there.pipe.waiting > 0
    fd = memory(b"1")
    reading = threading.Thread(target=there.theirs.recv, args=(before, socket.MSG_WAITALL))
    reading.start()
    with none_left():
        there.pipe.send_with(fd, b"with 1")
    reading.join()
    os.close(fd)
    other = reader_of(there)
    other.pipe.drain()
    assert other.brought == [b"1"]
    other.pipe.close()


def test_a_descriptor_that_can_neither_go_nor_wait_is_the_end_of_the_pipe(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_pipe, "UNCOPIED_SECONDS", 0.05)
    there.pipe.send(b"plain", b"." * (1 << 22))
    fd = memory(b"1")
    with none_left():
        there.pipe.send_with(fd, b"with 1")
    os.close(fd)
    there.pipe.drain()
    assert there.ends == ["the other end closed the pipe"]


@pytest.mark.parametrize("escorted", [False, True])
def test_a_frame_that_cannot_be_sent_is_the_end_of_the_pipe_behind_what_arrived(
    there: There, escorted: bool
) -> None:
    there.theirs.sendall(b"".join(frame(b"said before")))
    there.ours.refuses = errno.ENOBUFS
    if escorted:
        there.send_with(1)
    else:
        there.pipe.send(b"plain")
    there.pipe.drain()
    assert there.heard == [(b"said before", b"")]
    assert there.ends == ["the other end closed the pipe"]
    assert there.theirs.recv(100) == b""


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
    line = WorkerLine(there.theirs.dup())

    def say() -> None:
        for number in range(20):
            fd = memory(b"%016d" % number)
            line.send(messages.Output(chunk=1, index=number), b"." * 50_000)
            line.send_with(fd, messages.Slab(slab=b"%016d" % number, size=number))
            os.close(fd)

    thread = threading.Thread(target=say)
    heard: list[Any] = []

    def hear(head: bytes, body: bytes) -> None:
        message = messages.read_from_worker(head)
        if isinstance(message, messages.Slab):
            fd = there.pipe.received.take()
            assert os.pread(fd, 16, 0) == message.slab
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
    line = WorkerLine(there.theirs.dup())
    there.pipe.close()
    fd = memory(b"")
    before = descriptors()
    with pytest.raises(LineLost):
        line.send_with(fd, messages.Slab(slab=b"s", size=1))
    assert descriptors() == before
    os.close(fd)
    line._socket.close()


def test_a_line_sends_a_descriptor_where_no_copy_can_be_had(there: There) -> None:
    line, fd, came = WorkerLine(there.theirs.dup()), memory(b"1"), list[bytes]()

    def hear(_head: bytes, _body: bytes) -> None:
        brought = there.pipe.received.take()
        came.append(os.pread(brought, 9, 0))
        os.close(brought)

    there.pipe._on_frame = hear
    with none_left():
        line.send_with(fd, messages.Slab(slab=b"s", size=1))
    there.pipe.drain()
    assert came == [b"1"]
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
