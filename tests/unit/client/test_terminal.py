"""Bars and lines on a terminal and in a file."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tqdm import tqdm

from scattergather.client.seen import progress, terminal
from scattergather.client.seen.printout import settled_lines
from scattergather.client.seen.progress import Progress
from scattergather.client.seen.terminal import TERMINAL
from scattergather.model.snapshot import JobView
from tests.conformance.front_ends import in_a_kernel


def view(settled: int, total: int | None = 60) -> JobView:
    return JobView(name="job 1", total=total, done=settled)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What stands there."""
        return settled_lines(self.getvalue())


def before_a_screen(patch: pytest.MonkeyPatch, columns: int = 80) -> Screen:
    made = Screen()
    patch.setenv("TERM", "xterm")
    patch.setenv("COLUMNS", str(columns))
    for name in ("stdout", "stderr"):
        patch.setattr(sys, name, made)
    return made


def into_a_file(patch: pytest.MonkeyPatch) -> io.StringIO:
    made = io.StringIO()
    for name in ("stdout", "stderr"):
        patch.setattr(sys, name, made)
    return made


# ---- bars ---------------------------------------------------------------------------------------


def test_lines_go_above_a_bar_and_do_not_tear_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    bar = TERMINAL.bar(view(0))
    lines = TERMINAL.lines("job 1", lambda: True)
    bar.show(view(20))
    lines.show(["[task 3 of job 1] hello"], 0, 0)
    assert screen.lines[0] == "[task 3 of job 1] hello"
    assert "20/60" in screen.lines[1]
    TERMINAL.notice("alpha is lost")
    bar.close(view(60))
    assert screen.lines[1] == "[scattergather] alpha is lost"
    assert "60/60" in screen.lines[2]
    lines.show(["[after]"], 0, 0)
    assert screen.lines[3:] == ["[after]"]


def test_two_bars_of_two_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    one, other = TERMINAL.bar(view(0)), TERMINAL.bar(view(0, 7))
    other.close(view(7, 7))
    one.show(view(5))
    one.close(view(60))
    assert ["7/7" in line for line in screen.lines] == [True, False]
    assert "60/60" in screen.lines[1]


def test_a_bar_of_an_iteration_is_gone_between_its_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    bar = TERMINAL.bar(view(0))
    bar.rest()
    print("of the loop")
    bar.show(view(30))
    assert screen.lines[0] == "of the loop"
    assert "30/60" in screen.lines[1]
    bar.close(view(60))
    assert len(screen.lines) == 2


@pytest.mark.parametrize(
    ("name", "most"), [("job 1", 19), (chr(0x9577) * 40, 9), ("two\nlines\x1b[2A\t", 19)]
)
def test_a_bar_never_takes_two_lines(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch, columns=20)
    bar = TERMINAL.bar(replace(view(3), name=name))
    bar.show(replace(view(4), name=name))
    bar.close(replace(view(5), name=name))
    assert len(screen.lines) == 1
    assert len(screen.lines[0]) <= most


def test_a_file_gets_few_lines_and_no_carriage_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = into_a_file(monkeypatch)
    monkeypatch.setattr(terminal, "LINE_SECONDS", (0.0, 60.0))
    bar = TERMINAL.bar(view(0, 1000))
    for settled in range(1, 1001):
        bar.show(view(settled, 1000))
    bar.close(view(1000, 1000))
    lines = file.getvalue().splitlines()
    assert 5 <= len(lines) <= terminal.STEPS + 1
    assert lines[-1].endswith("1000/1000")
    assert "\r" not in file.getvalue()


def test_a_file_gets_one_line_of_a_job_that_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    file = into_a_file(monkeypatch)
    bar = TERMINAL.bar(view(0))
    for settled in range(60):
        bar.show(view(settled))
    bar.close(view(60))
    assert len(file.getvalue().splitlines()) == 1


def test_a_file_without_our_letters_gets_the_lines_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    TERMINAL.lines("job 1", lambda: True).show(["grüße"], 0, 0)
    assert raw.getvalue() == b"gr\\xfc\\xdfe\n"


def test_lines_go_above_a_bar_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    for n in tqdm(range(3), file=sys.stderr, mininterval=0, ncols=60):
        TERMINAL.lines("job 1", lambda: True).show([f"[line {n}]"], 0, 0)
    *lines, bar = screen.lines
    assert lines == ["[line 0]", "[line 1]", "[line 2]"]
    assert "3/3" in bar


def test_lines_do_not_wait_for_a_bar_of_the_users_own_whose_drawing_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = before_a_screen(monkeypatch)
    monkeypatch.setattr(terminal, "BARS_OF_THE_USER_SECONDS", 0.01)
    monkeypatch.setattr(tqdm, "_lock", threading.RLock(), raising=False)
    own = tqdm(total=3, file=io.StringIO())
    lines = TERMINAL.lines("job 1", lambda: True)
    shows = threading.Thread(target=lines.show, args=(["[line]"], 0, 0), daemon=True)
    with tqdm.get_lock():  # an interrupted drawing keeps it
        shows.start()
        shows.join(20)
        seen = screen.lines
    own.close()
    assert seen == ["[line]"]


# ---- a wait that lasts --------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits last after no time."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    return


def bar_of_a_wait(wanted: bool | None) -> None:
    bar = Progress(lambda: view(3), wanted)
    bar.step()
    bar.close()


@pytest.mark.usefixtures("hasty")
def test_a_wait_that_lasts_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    bar_of_a_wait(None)
    assert "3/60" in screen.getvalue()


@pytest.mark.usefixtures("hasty")
def test_a_wait_that_lasts_shows_a_bar_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = in_a_kernel(monkeypatch)
    bar_of_a_wait(None)
    assert "3/60" in shell.seen("cell 1")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["file", "option", "variable", "own"])
def test_no_bar_comes_by_itself(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    if how == "variable":
        monkeypatch.setenv(progress.VARIABLE, "0")
    if how == "file":
        monkeypatch.setattr(sys, "stdout", io.StringIO())
    own = tqdm(total=3, file=io.StringIO()) if how == "own" else None
    bar_of_a_wait(False if how == "option" else None)
    if own is not None:
        own.close()
    assert screen.getvalue() == ""


def test_a_short_wait_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = before_a_screen(monkeypatch)
    bar_of_a_wait(None)
    assert screen.getvalue() == ""


# ---- what a task prints with a cursor -----------------------------------------------------------


def test_a_bar_of_tqdm_is_the_line_that_it_was_at_last() -> None:
    printed = io.StringIO()
    print("before", file=printed)
    for _ in tqdm(range(1000), file=printed, mininterval=0, ncols=60):
        pass
    print("after", file=printed)
    before, bar, after = settled_lines(printed.getvalue())
    assert (before, after) == ("before", "after")
    assert "1000/1000" in bar


def test_bars_within_bars_are_a_line_each() -> None:
    printed = io.StringIO()
    for _ in tqdm(range(3), file=printed, desc="outer", mininterval=0, ncols=60):
        for _ in tqdm(range(50), file=printed, desc="inner", mininterval=0, ncols=60):
            pass
    lines = settled_lines(printed.getvalue())
    assert ["50/50" in line for line in lines] == [True, True, True, False]
    assert "3/3" in lines[-1]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a\n\nb", ["a", "", "b"]),
        ("windows\r\nlines\r\n", ["windows", "lines"]),
        ("long line\rshort", ["shortline"]),
        ("10%\r100%\n", ["100%"]),
        ("abc\b\bX", ["aXc"]),
        ("gone\r\x1b[Kthere", ["there"]),
        ("one\ntwo\x1b[A\rONE\n", ["ONE", "two"]),
        ("\x1b[31mred\x1b[0m plain\r\n", ["\x1b[31mred\x1b[0m plain"]),
        ("x\x1b[99999999999A\x1b[999999Cy", None),
    ],
)
def test_what_stands_there_at_last(text: str, lines: list[str] | None) -> None:
    found = settled_lines(text)
    assert lines is None or found == lines
