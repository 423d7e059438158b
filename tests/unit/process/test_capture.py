from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from scattergather.workers.process.surroundings.capture import HELD, KEPT, OutputFile, text_stream


@pytest.fixture
def output() -> Iterator[OutputFile]:
    made = OutputFile.create()
    yield made
    made.close()


def held(output: OutputFile) -> int:
    """Bytes of memory that the file takes."""
    return os.fstat(output.fd).st_blocks * 512


def test_what_is_printed_is_taken_once(output: OutputFile) -> None:
    stream = text_stream(output.fd, "<stdout>", output)
    print("grüße", file=stream)
    assert output.take() == ("grüße\n".encode(), 0)
    assert output.take() == (b"", 0)
    print("more", file=stream)
    assert output.size() == 5


def test_print_survives_a_kill_without_a_flush(output: OutputFile) -> None:
    pid = os.fork()
    if pid == 0:
        print("half a line", end="", file=text_stream(output.fd, "<stdout>", output))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert output.tail(KEPT) == (b"half a line", 0)


def test_only_the_last_bytes_are_kept_and_the_rest_is_counted(output: OutputFile) -> None:
    os.write(output.fd, b"a" * 1000 + b"b" * KEPT)
    assert output.tail(10) == (b"b" * 10, 1000 + KEPT - 10)
    assert output.take() == (b"b" * KEPT, 1000)


def test_a_tail_never_begins_within_a_character(output: OutputFile) -> None:
    os.write(output.fd, "ä€𝄞".encode())
    for limit in range(10):
        text, dropped = output.tail(limit)
        text.decode()
        assert len(text) + dropped == 9


def test_python_writes_never_make_the_file_hold_more_than_a_megabyte(output: OutputFile) -> None:
    stream = text_stream(output.fd, "<stdout>", output)
    for _ in range(400):
        stream.write("x" * 10_000)
        assert held(output) <= HELD
    stream.write("y" * 5_000_000)
    assert held(output) <= HELD
    text, dropped = output.take()
    assert text == b"y" * KEPT
    assert dropped == 9_000_000 - KEPT
    assert held(output) == 0


def test_the_pool_may_trim_a_flood_while_it_runs(output: OutputFile) -> None:
    os.write(output.fd, b"z" * (8 << 20))
    pool_side = OutputFile(os.dup(output.fd))
    pool_side.trim(1 << 20)
    assert held(output) <= (1 << 20) + 4096
    os.write(output.fd, b"end")
    text, dropped = output.take()
    assert text.endswith(b"zend")
    assert len(text) + dropped == (8 << 20) + 3
    pool_side.trim(1 << 20)
    pool_side.close()


def test_a_trimmed_stream_is_a_text_file_like_any_other(output: OutputFile) -> None:
    stream = text_stream(output.fd, "<stdout>", output)
    assert stream.name == "<stdout>"
    assert stream.encoding == "utf-8"
    assert not stream.isatty()
    assert stream.fileno() == output.fd
    stream.buffer.write(b"raw\n")
    stream.writelines(["lines\n"])
    stream.write("\ud800\n")
    stream.flush()
    assert output.take()[0] == b"raw\nlines\n\\ud800\n"
