"""What a task prints while it runs, read from its file beside a worker that goes on."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from scattergather.model.outcome import Kind
from scattergather.wire.messages import page as messages
from scattergather.workers.daemon.overheard import TOLD, Overheard
from scattergather.workers.process.surroundings.capture import KEPT, OutputFile
from scattergather.workers.process.task.journal import Journal


class Task:
    """A worker in a task of chunk 1, and the pool beside it, which keeps what it heard."""

    def __init__(self) -> None:
        self.output = OutputFile.create()
        self.journal = Journal.create()
        self.overheard = Overheard(self.output, self.journal)
        self.heard = b""
        self.missing = 0
        self.begin(1, 0)

    def begin(self, chunk: int, index: int) -> None:
        if self.journal.running() is None:
            self.journal.open(chunk, index)
        self.journal.begin(index)

    def print(self, text: bytes) -> None:
        os.write(self.output.fd, text)

    def look(self) -> bytes:
        """What the pool hears now."""
        running = self.journal.running()
        found = None if running is None else self.overheard.look(running)
        return self._hear(found)

    def _hear(self, found: tuple[messages.Output, bytes] | None) -> bytes:
        if found is None:
            return b""
        assert found[0].chunk == 1
        self.heard += found[1]
        self.missing += found[0].dropped
        return found[1]

    def end(self) -> bytes:
        """The task ends, and its worker says what it has printed: what of that is passed on."""
        index = self.journal.index
        self.journal.record(Kind.RETURNED, b"")
        text, dropped = self.output.take()
        message = messages.Output(chunk=1, index=index, dropped=dropped, start=dropped)
        return self._hear(self.overheard.rest(message, text) if text else None)

    def close(self) -> None:
        self.journal.close()
        self.output.close()


@pytest.fixture
def task() -> Iterator[Task]:
    made = Task()
    yield made
    made.close()


def test_each_line_is_heard_once_and_the_rest_at_the_end(task: Task) -> None:
    task.print(b"one\n")
    assert task.look() == b"one\n"
    assert task.look() == b""
    task.print(b"two\nthr")
    assert task.look() == b"two\n"
    task.print(b"ee\n")
    assert task.end() == b"three\n"
    assert task.heard == b"one\ntwo\nthree\n"


def test_where_nothing_was_left_to_say_nothing_is_said(task: Task) -> None:
    task.print(b"all\n")
    task.look()
    assert task.end() == b""


def test_the_next_task_is_heard_from_its_beginning(task: Task) -> None:
    task.print(b"first\n")
    task.look()
    task.end()
    task.begin(1, 1)
    task.print(b"2nd\n")
    assert task.look() == b"2nd\n"
    task.print(b"end")
    assert task.end() == b"end"


def test_what_is_no_text_is_told_as_it_is(task: Task) -> None:
    task.print(b"\xff\xfe\n\x80ab\n")
    assert task.look() == b"\xff\xfe\n\x80ab\n"
    task.print(b"\x80\xbf\n\xff")
    assert task.end() == b"\x80\xbf\n\xff"


def test_a_flood_is_heard_in_part_and_the_rest_is_counted(task: Task) -> None:
    task.print(b"old\n")
    task.look()
    line = b"y" * 63 + b"\n"
    task.print(b"x" * 999 + b"\n" + line * (KEPT // 64))
    assert task.look() == line * (TOLD // 64)
    assert task.missing == 1000
    assert task.look() == line * (TOLD // 64)
    task.print(b"z" * (2 * KEPT))
    assert task.end() == b"z" * KEPT
    assert len(task.heard) + task.missing == 4 + 1000 + 3 * KEPT


@pytest.mark.parametrize("long", [b"x" * (TOLD + 5), b"10%\r" * TOLD])
def test_a_long_line_does_not_hold_up_those_behind_it(task: Task, long: bytes) -> None:
    printed = long[: KEPT - 100] + b"\nepoch 1\n"
    task.print(printed)
    task.look()
    task.print(b"epoch 2\n")
    task.look()
    task.look()
    assert task.heard == printed + b"epoch 2\n"


@pytest.mark.parametrize("behind", [b"all of it\n", b"more than there was\n" * 9])
def test_a_file_that_the_task_emptied_is_heard_from_its_beginning(
    task: Task, behind: bytes
) -> None:
    task.print(b"told before\n")
    task.look()
    os.truncate(task.output.fd, 0)  # sh -c "echo all of it > /dev/stderr"
    task.print(behind)
    assert task.look() == behind
    assert task.look() == b""
    os.truncate(task.output.fd, 0)
    task.print(behind[1:])
    assert task.overheard.left(task.journal.harvest()) == (behind[1:], 0)
    assert task.end() == behind[1:]


def test_what_a_thread_prints_while_a_large_outcome_leaves_is_the_next_ones(task: Task) -> None:
    task.print(b"own\n")
    task.look()
    task.journal.hold_all()
    task.output.take()
    task.print(b"of a thread\n")
    assert task.look() == b""
    task.journal.sent(1)
    task.begin(1, 1)
    assert task.look() == b"of a thread\n"


def test_what_was_trimmed_while_it_was_read_is_not_heard_as_zeros(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, size = os.pread, 20_000

    def read_late(fd: int, count: int, place: int) -> bytes:
        task.print(b"b" * size)
        task.output.trim(KEPT)
        return read(fd, count, place)

    task.print(b"a" * (KEPT - 1) + b"\n")
    monkeypatch.setattr(os, "pread", read_late)
    assert b"\0" not in task.look()


@pytest.mark.parametrize(
    ("printed", "heard"),
    [
        (b"10%\r20%", b""),
        (b"before\n10%\r20%\r", b"before\n"),
        (b"10%\r100%\n", b""),
        (b"10%\r100%\nafter\n", b"10%\r100%\nafter\n"),
        (b"outer\r\ninner\x1b[A\router\n", b"outer\r\n"),
        (b"\x1b[31mred\x1b[0m\n", b"\x1b[31mred\x1b[0m\n"),
        (b"windows\r\n", b"windows\r\n"),
        (b"a\bb\n", b""),
    ],
)
def test_what_is_drawn_over_waits_for_a_line_that_stays(
    task: Task, printed: bytes, heard: bytes
) -> None:
    task.print(printed)
    assert task.look() == heard
    task.end()
    assert task.heard == printed


def test_behind_something_displayed_all_waits_for_the_end(task: Task) -> None:
    task.print(b"one\n")
    task.journal.hold(task.output.size())
    task.print(b"<Figure>\n")
    task.journal.hold(task.output.size())
    assert task.look() == b"one\n"
    task.print(b"more\n")
    assert task.look() == b""
    task.end()
    task.begin(1, 1)
    task.print(b"next\n")
    assert task.look() == b"next\n"


def test_a_task_that_ends_while_its_file_is_read_is_heard_by_its_worker(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = task.journal.running()
    assert running is not None
    task.print(b"its own\n")
    task.end()
    task.begin(1, 1)
    task.print(b"of the next\n")
    assert task.overheard.look(running) is None
    assert task.heard == b"its own\n"


def test_a_dead_workers_task_leaves_what_was_not_heard(task: Task) -> None:
    task.print(b"told\n")
    task.look()
    task.print(b"last words")
    assert task.overheard.left(task.journal.harvest()) == (b"last words", 0)


def test_what_was_never_heard_is_in_the_loss_only(task: Task) -> None:
    task.print(b"last words")
    assert task.overheard.left(task.journal.harvest()) == (b"", 0)


def test_words_that_native_code_has_bent_lose_no_more_than_output(task: Task) -> None:
    chance = random.Random(5)
    for _ in range(200):
        words: Any = task.journal.words
        words[11], words[12] = 2, chance.choice([0, 3, 1 << 63, (1 << 64) - 1])
        os.truncate(task.output.fd, chance.choice([0, 3, 1 << 20, 1 << 62]))
        if os.fstat(task.output.fd).st_size < 1 << 40:
            task.print(b"line\n")
        running = task.journal.running()
        assert running is not None
        found = task.overheard.look(running)
        if found is not None:
            messages.read_from_worker(messages.encode(found[0]))
