"""Descriptors that travel with frames: in order, whatever is cut, and none is left behind."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather.wire.descriptors import MOST_WAITING, Escorted, ReceivedDescriptors

pytestmark = pytest.mark.usefixtures("counted")

Pair = tuple[socket.socket, socket.socket]


class Refusing(socket.socket):
    """The kernel finds so many times that too many descriptors are under way."""

    times = 0

    def sendmsg(self, *arguments: Any) -> int:
        self.times -= 1
        if self.times >= 0:
            raise OSError(errno.ETOOMANYREFS, "too many references")
        return super().sendmsg(*arguments)


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    yield one, other
    one.close()
    other.close()


def memory(content: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


def content(fd: int) -> bytes:
    return os.pread(fd, 100, 0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def escort(data: bytes, text: bytes) -> Escorted:
    """With a descriptor of which nobody else has a copy."""
    fd = memory(text)
    escorted = Escorted(data, fd)
    os.close(fd)
    return escorted


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
def test_each_frame_finds_its_own_descriptor_however_it_is_read(pair: Pair, size: int) -> None:
    ours, theirs = pair
    before = descriptors()
    for number in range(40):
        ours.sendall(b"p" * (number % 3))
        rest = escort(b"<%02d>" % number, b"%d" % number).send(ours)
        ours.sendall(rest)
    received, data, taken = ReceivedDescriptors(), b"", []
    theirs.setblocking(False)
    while True:
        try:
            data += received.receive(theirs, size)
        except BlockingIOError:
            break
        while b">" in data:
            frame, data = data.split(b">", 1)
            fd = received.take()
            assert content(fd) == b"%d" % int(frame.lstrip(b"p<"))
            os.close(fd)
            taken.append(fd)
    assert len(taken) == 40
    assert descriptors() == before


def test_a_frame_without_its_descriptor_is_an_error(pair: Pair) -> None:
    with pytest.raises(LookupError, match="without its descriptor"):
        ReceivedDescriptors().take()


def test_what_nobody_took_is_closed(pair: Pair) -> None:
    ours, theirs = pair
    before = descriptors()
    for _ in range(3):
        escort(b"x", b"")
        escort(b"x", b"").send(ours)
    received = ReceivedDescriptors()
    while len(received._waiting) < 3:
        received.receive(theirs, 100)
    assert descriptors() == before + 3
    received.close()
    assert descriptors() == before


def test_what_is_under_way_when_both_sides_close_is_gone() -> None:
    before = descriptors()
    ours, theirs = socket.socketpair()
    escort(b"x", b"").send(ours)
    ours.close()
    theirs.close()
    assert descriptors() == before


def test_a_full_socket_takes_nothing_and_the_descriptor_stays_for_the_next_try(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(False)
    try:
        while True:
            ours.send(b"." * 4096)
    except BlockingIOError:
        pass
    escorted = escort(b"<frame>", b"here")
    with pytest.raises(BlockingIOError):
        escorted.send(ours)
    received = ReceivedDescriptors()
    while len(received.receive(theirs, 1 << 20)) == 1 << 20:
        pass
    rest = escorted.send(ours)
    ours.sendall(rest)
    data = b""
    while not data.endswith(b"<frame>"):
        data += received.receive(theirs, 1 << 20)
    fd = received.take()
    assert content(fd) == b"here"
    os.close(fd)


@pytest.mark.parametrize(("patience", "error"), [(0.0, BlockingIOError), (0.05, TimeoutError)])
def test_too_many_descriptors_under_way_are_as_a_full_socket(
    pair: Pair, patience: float, error: type[OSError]
) -> None:
    refusing = Refusing(fileno=pair[0].dup().detach())
    refusing.times = 1000
    refusing.settimeout(patience)
    escorted = escort(b"<frame>", b"here")
    with pytest.raises(error):
        escorted.send(refusing)
    refusing.times = 2
    refusing.settimeout(None)
    assert escorted.send(refusing) == b""
    refusing.close()
    received = ReceivedDescriptors()
    assert received.receive(pair[1], 100) == b"<frame>"
    fd = received.take()
    assert content(fd) == b"here"
    os.close(fd)


def test_a_part_that_did_not_fit_follows_without_a_descriptor(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(False)
    large = bytes(range(256)) * 8192
    rest = escort(large, b"once").send(ours)
    assert 0 < len(rest) < len(large)
    received, data = ReceivedDescriptors(), b""
    while len(data) < len(large):
        data += received.receive(theirs, 1 << 20)
        if rest:
            try:
                rest = rest[ours.send(rest) :]
            except BlockingIOError:
                continue
    assert data == large
    assert len(received._waiting) == 1
    received.close()


def test_a_descriptor_for_which_there_is_no_number_is_an_error_and_no_mistake(pair: Pair) -> None:
    ours, theirs = pair
    escort(b"first", b"1").send(ours)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = os.dup(0)
    os.close(top)
    resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
    try:
        with pytest.raises(OSError, match="no descriptors are left"):
            ReceivedDescriptors().receive(theirs, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_copy_is_kept_until_it_is_sent_and_closed_when_it_never_is() -> None:
    before = descriptors()
    escorted = escort(b"x", b"")
    assert descriptors() == before + 1
    escorted.close()
    escorted.close()
    assert descriptors() == before
    escort(b"x", b"")
    assert descriptors() == before


def test_descriptors_that_no_frame_brings_are_not_collected_without_end(pair: Pair) -> None:
    ours, theirs = pair
    received, before = ReceivedDescriptors(), descriptors()

    def flood() -> None:
        for _ in range(MOST_WAITING + 1):
            escort(b"x", b"").send(ours)
            received.receive(theirs, 100)

    with pytest.raises(OSError, match="more descriptors came than frames"):
        flood()
    received.close()
    assert descriptors() == before
