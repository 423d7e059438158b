"""What every display promises, whatever it is; and one in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scattergather.client.seen.display import LINES, Bar, Display, JobLines, Line
from scattergather.model.snapshot import JobView, in_bytes


@dataclass(frozen=True, kw_only=True)
class DisplayCase:
    """A display, and the user before it.

    Attributes:
        seen: all that stands there.
        leave: the user looks elsewhere from now on: the next cell runs.
    """

    display: Display
    seen: Callable[[], str]
    leave: Callable[[], None] = lambda: None


def check_display(make: Callable[[], DisplayCase]) -> None:
    """It conforms to ``Display``. ``make`` makes another one each time."""
    for check in (
        _lines_are_seen_in_order_and_once,
        _what_is_not_shown_is_said,
        _what_was_dropped_is_said_once,
        _the_last_of_many_lines_are_seen,
        _two_jobs_do_not_mix,
        _a_bar_ends_where_its_job_does,
        _a_bar_that_rests_comes_again,
        _a_bar_knows_a_total_when_there_is_one,
        _sentences_are_seen,
        _it_is_there_for_other_threads_when_the_user_is_elsewhere,
    ):
        check(make())


def _lines_are_seen_in_order_and_once(case: DisplayCase) -> None:
    lines = case.display.lines("job 1", lambda: False)
    lines.show(["[one]", "[two]"], 0, 0)
    lines.show(["[three]"], 0, 0)
    assert case.seen().splitlines() == ["[one]", "[two]", "[three]"]


def _what_is_not_shown_is_said(case: DisplayCase) -> None:
    lines = case.display.lines("job 1", lambda: False)
    lines.show(["[last]"], 7, 0)
    assert case.seen().splitlines()[-1] == "[last]"
    (said,) = case.seen().splitlines()[:-1]
    assert all(part in said for part in ("7 ", "job 1", "job.output(i)"))


def _what_was_dropped_is_said_once(case: DisplayCase) -> None:
    lines = case.display.lines("job 1", lambda: False)
    lines.show([], 0, 5_600_000)
    lines.show(["[then]"], 0, 0)
    assert case.seen().splitlines() == [
        "[5.6 MB that job 1 printed were dropped where they were printed]",
        "[then]",
    ]


def _the_last_of_many_lines_are_seen(case: DisplayCase) -> None:
    lines = case.display.lines("job 1", lambda: False)
    for number in range(LINES + 100):
        lines.show([f"[{number}]"], 0, 0)
    last = case.seen().splitlines()[-LINES:]
    assert last == [f"[{number}]" for number in range(100, LINES + 100)]


def _two_jobs_do_not_mix(case: DisplayCase) -> None:
    one, other = (
        case.display.lines("job 1", lambda: False),
        case.display.lines("job 2", lambda: False),
    )
    one.show(["[a of 1]"], 0, 0)
    other.show(["[b of 2]"], 0, 0)
    one.show(["[c of 1]"], 0, 0)
    assert sorted(case.seen().splitlines()) == ["[a of 1]", "[b of 2]", "[c of 1]"]


def _view(settled: int, total: int | None, failed: int = 0) -> JobView:
    return JobView(name="job 1", total=total, done=settled - failed, failed=failed)


def _a_bar_ends_where_its_job_does(case: DisplayCase) -> None:
    bar = case.display.bar(_view(0, 5))
    for settled in (2, 2, 3):
        bar.show(_view(settled, 5))
    bar.close(_view(5, 5, failed=1))
    assert all(part in case.seen() for part in ("job 1", "5/5", "fail"))


def _a_bar_that_rests_comes_again(case: DisplayCase) -> None:
    bar = case.display.bar(_view(0, 5))
    bar.rest()
    case.display.lines("job 1", lambda: True).show(["[meanwhile]"], 0, 0)
    bar.show(_view(2, 5))
    bar.rest()
    bar.rest()
    bar.close(_view(5, 5))
    assert "[meanwhile]" in case.seen()
    assert "5/5" in case.seen()


def _a_bar_knows_a_total_when_there_is_one(case: DisplayCase) -> None:
    bar = case.display.bar(_view(0, None))
    bar.show(_view(3, None))
    bar.show(_view(3, 4))
    bar.close(_view(4, 4))
    assert "4/4" in case.seen()


def _sentences_are_seen(case: DisplayCase) -> None:
    case.display.notice("alpha is lost: no answer")
    assert case.seen() == "[scattergather] alpha is lost: no answer\n"


def _it_is_there_for_other_threads_when_the_user_is_elsewhere(case: DisplayCase) -> None:
    lines, bar = case.display.lines("job 1", lambda: True), case.display.bar(_view(0, 1))
    case.leave()

    def show() -> None:
        lines.show(["[late]"], 0, 0)
        bar.close(_view(1, 1))

    elsewhere = threading.Thread(target=show)
    elsewhere.start()
    elsewhere.join()
    assert "[late]" in case.seen()
    assert "1/1" in case.seen()


class Paper:
    """A display in memory: ``text`` is what stands there."""

    shows_bars = False
    shows_bundles = False

    def __init__(self) -> None:
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def write(self, *lines: str) -> None:
        self._parts += [line + "\n" for line in lines]

    def lines(self, label: str, more: Callable[[], bool]) -> JobLines:
        return _PaperLines(self, label)

    def bar(self, view: JobView) -> Bar:
        return _PaperBar(self)

    def pause(self) -> float:
        return 0.0

    def notice(self, text: str) -> None:
        self.write(f"[scattergather] {text}")


class _PaperLines:
    has_place = False

    def __init__(self, paper: Paper, label: str) -> None:
        self._paper = paper
        self._label = label

    def show(self, lines: Sequence[Line], skipped: int, dropped: int) -> None:
        if dropped:
            lost = f"{in_bytes(dropped)} that {self._label} printed"
            self._paper.write(f"[{lost} were dropped where they were printed]")
        if skipped:
            self._paper.write(f"[{skipped} lines of {self._label}: job.output(i) has them]")
        self._paper.write(*(line if isinstance(line, str) else line.text for line in lines))


class _PaperBar:
    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def show(self, view: JobView) -> None:
        self._paper.write(view.line())

    def rest(self) -> None:
        pass

    def close(self, view: JobView) -> None:
        self.show(view)
