from __future__ import annotations

import os
import pty
import socket
from collections.abc import Iterator

import pytest

from scattergather.machine.lossy import lossy

LINE = "x" * 99 + "\n"


def ends(kind: str) -> tuple[int, int]:
    """Whom nobody reads, and where he could."""
    if kind == "pipe":
        reader, writer = os.pipe()
    elif kind == "socket":
        one, other = socket.socketpair()
        reader, writer = one.detach(), other.detach()
    else:
        reader, writer = pty.openpty()
    return reader, writer


@pytest.fixture(params=["pipe", "socket", "terminal"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    made = ends(request.param)
    yield made
    for fd in made:
        os.close(fd)


def read(fd: int) -> str:
    os.set_blocking(fd, False)
    found = b""
    while True:
        try:
            found += os.read(fd, 1 << 20)
        except BlockingIOError:
            return found.decode().replace("\r\n", "\n")


def test_nobody_waits_for_who_does_not_read(pair: tuple[int, int]) -> None:
    reader, writer = pair
    others = os.dup(writer)  # as a shell has it
    stream = lossy(writer)
    for _ in range(20_000):
        stream.write(LINE)
    kept = read(reader)
    assert kept.startswith(LINE)
    stream.write("more\n")
    stream.write("and more\n")
    dropped = 20_000 * len(LINE) - len(kept)
    note = f"\n[{dropped} bytes of this log were dropped: nobody read it]\nmore\nand more\n"
    assert read(reader) == note
    assert os.get_blocking(others)
    os.close(others)


def test_what_is_longer_than_the_reader_takes_at_once_arrives_whole_if_he_reads() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        size = 0
        while piece := os.read(reader, 1 << 16):
            size += len(piece)
        os._exit(size == 1_000_000)
    stream = lossy(writer)
    stream.write("x" * 1_000_000)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(reader)


def test_a_reader_that_has_left_disturbs_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lossy(writer).write("nobody will miss it\n")
    os.close(writer)
