"""What a notebook shows and keeps, by a front end that takes all or drops what is late."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from scattergather.client.seen import here
from scattergather.client.seen.display import LINES
from scattergather.client.seen.echo import Echo, JobEcho
from scattergather.client.seen.here import current_display
from scattergather.wire.values.bundle import Bundle
from tests.conformance.front_ends import Shell, in_a_kernel
from tests.unit.client import work
from tests.unit.client.fake import until

PNG = b"\x89PNG"


def figure(name: str) -> Bundle:
    return Bundle(data={"text/plain": name, "image/png": PNG})


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A kernel whose front end drops what comes under a cell that has ended."""
    return in_a_kernel(monkeypatch, late=False)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A kernel whose front end takes whatever comes."""
    return in_a_kernel(monkeypatch, late=True)


def next_cell(shell: Shell, name: str) -> None:
    shell.end()
    shell.begin(name)


def test_what_comes_between_two_cells_is_there_when_the_next_one_runs(strict: Shell) -> None:
    lines = current_display().lines("job 1", lambda: True)
    strict.end()
    lines.show(["[one]"], 0, 0)
    lines.show(["[two]"], 0, 0)
    assert strict.seen("cell 1") == "\n"
    strict.begin("cell 2")
    assert strict.seen("cell 1") == "[one]\n[two]\n"
    assert strict.seen("cell 2") == ""


def test_a_result_does_not_send_again_what_stands_there_and_new_things_stand_before_it(
    patient: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def display(*bundle: Any, **how: Any) -> None:
        sent.append(how["update"])
        patient.display(*bundle, **how)

    monkeypatch.setattr(sys.modules["IPython"].display, "display", display)
    shows, channel = Echo(), JobEcho("job 1", current_display(), lambda: True)
    for n in range(1000):
        shows.put(channel, n, "a line")
        shows.flush_before_results()
        assert n or "task 0" in patient.seen("cell 1")
    shows.put(channel, 1000, figure("a figure"))
    shows.flush_before_results()
    assert "task 999" in patient.seen("cell 1")
    assert "a figure" in patient.seen("cell 1")
    shows.close()
    assert len(sent) < 500


def test_after_much_was_shown_it_takes_longer_until_more_is(patient: Shell) -> None:
    where, lines = here.anywhere(), current_display().lines("job 1", lambda: True)
    lines.show(["a line"], 0, 0)
    assert where.pause() < 0.01
    lines.show(["long line" * 50] * LINES, 0, 0)
    assert 0.2 < where.pause() < 1.0
    for _ in range(100):
        lines.show(["a line"], 0, 0)
    assert where.pause() == 2.0
    assert where.pause() == 0.0


def test_no_place_is_kept_where_none_is_needed(strict: Shell, patient: Shell) -> None:
    current_display().lines("job 1", lambda: True)
    next_cell(patient, "cell 2")
    assert patient.bundles("cell 1") == []


def test_no_place_is_kept_for_a_job_that_is_through(strict: Shell) -> None:
    lines = current_display().lines("job 1", lambda: False)
    next_cell(strict, "cell 2")
    assert strict.bundles("cell 1") == []
    lines.show(["[of a retry]"], 0, 0)
    assert strict.seen("cell 2") == "[of a retry]\n"


def test_a_cell_within_a_cell_ends_nothing(strict: Shell) -> None:
    lines = current_display().lines("job 1", lambda: True)
    strict.begin("cell 1")
    strict.end()
    assert strict.bundles("cell 1") == []
    lines.show(["[one]"], 0, 0)
    assert strict.seen("cell 1") == "[one]\n"


def test_what_waits_for_the_echo_is_shown_before_the_cell_ends(strict: Shell) -> None:
    echo = Echo(here.anywhere())
    here.at_end_of_cells(echo.flush)
    channel = JobEcho("job 1", current_display(), lambda: True)
    channel.add(0, "one")
    echo._dirty.append(channel)
    strict.end()
    assert strict.seen("cell 1") == "[task 0 of job 1] one\n"


def test_a_sentence_between_two_cells_waits_for_the_next(
    strict: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", strict)  # pytest has put its own there meanwhile
    here.anywhere().notice("at once")
    strict.end()
    here.anywhere().notice("alpha is lost")
    strict.begin("cell 2")
    assert strict.seen("cell 1") == "[scattergather] at once\n"
    assert strict.seen("cell 2") == "[scattergather] alpha is lost\n"


def test_what_no_cell_could_show_is_written_when_the_kernel_ends(
    strict: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(
        sys, "stderr", types.SimpleNamespace(_original_stdstream_copy=writing, write=len)
    )
    lines = current_display().lines("job 1", lambda: True)
    strict.end()
    here.anywhere().notice("alpha is lost")
    lines.show(["[too late]"], 0, 0)
    here.end()
    here.end()
    os.close(writing)
    with open(reading) as said:
        text = said.read()
    assert text.count("[too late]") == text.count("alpha is lost") == 1


def test_a_job_shows_its_last_lines_and_counts_the_others(patient: Shell) -> None:
    channel = JobEcho("job 1", current_display(), lambda: True)
    for _ in range(LINES + 100):
        channel.add(3, "x")
        channel.show()
    lines = patient.seen("cell 1").splitlines()
    assert lines[0] == "[100 earlier lines of job 1: see job.output(i)]"
    assert len(lines) == LINES + 1


def test_what_comes_after_a_cell_was_cleared_is_seen(strict: Shell) -> None:
    lines = current_display().lines("job 1", lambda: True)
    lines.show(["[one]"], 0, 0)
    strict.clear()
    lines.show(["[two]"], 0, 0)
    assert strict.seen("cell 1") == "[two]\n"
    strict.clear()
    next_cell(strict, "cell 2")
    lines.show(["[three]"], 0, 0)
    assert strict.seen("cell 1") == "[three]\n"


def test_a_view_that_was_cleared_moves_no_more(strict: Shell) -> None:
    for _ in range(3):
        strict.clear()
        here.show_moving(text_of(lambda: False))
    here._kernels[-1].live.look()
    assert strict.seen("cell 1") == "on\n"
    assert len(here._kernels[-1].live._views) == 1
    strict.clear()
    here._kernels[-1].live.look()
    assert strict.seen("cell 1") == ""


# ---- what is displayed in tasks -----------------------------------------------------------------


def test_what_tasks_display_stands_between_what_they_print(patient: Shell) -> None:
    lines = current_display().lines("job 1", lambda: True)
    lines.show(["[a]", figure("<one>"), "[b]"], 0, 0)
    next_cell(patient, "cell 2")
    lines.show(["[c]", figure("<two>")], 0, 0)
    assert patient.seen("cell 1") == "[a]\n<one>\n[b]\n[c]\n<two>\n"
    assert [bundle.get("image/png") for bundle in patient.bundles("cell 1")] == [
        None, PNG, None, PNG,
    ]  # fmt: skip


def test_more_than_enough_is_shown_as_text(patient: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scattergather.client.seen.echo.BUNDLES", 2)
    channel = JobEcho("job 1", current_display(), lambda: True)
    for number in range(4):
        channel.add(number, figure(f"<{number}>"))
    channel.show()
    assert [bundle.get("image/png") == PNG for bundle in patient.bundles("cell 1")] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert patient.seen("cell 1").splitlines()[-3:] == [
        "[job 1 displays more than 2 things, or 64 MB: the rest is text only]",
        "[task 2 of job 1] <2>",
        "[task 3 of job 1] <3>",
    ]


def test_where_no_new_piece_is_taken_the_last_one_takes_all(strict: Shell) -> None:
    lines = current_display().lines("job 1", lambda: True)
    lines.show([figure("<one>")], 0, 0)
    next_cell(strict, "cell 2")
    lines.show(["[a & b]", figure("<two>"), "[c]"], 0, 0)
    one, rest = strict.bundles("cell 1")
    assert one["image/png"] == rest["image/png"] == PNG
    assert rest["text/plain"] == "[a & b]\n<two>\n[c]"
    assert (
        "<pre>[a &amp; b]</pre><div><img alt='&lt;two&gt;' src='data:image/png;base64,"
        in rest["text/html"]
    )
    assert strict.bundles("cell 2") == []


def test_a_task_may_replace_what_the_notebook_has_displayed(strict: Shell) -> None:
    display = sys.modules["IPython"].display.display
    first = {"text/plain": "first"}
    display(first, raw=True, metadata={}, display_id="dash", update=False)
    lines = current_display().lines("job 1", lambda: False)
    strict.end()
    lines.show([Bundle(data={"text/plain": "then"}, display_id="dash", update=True)], 0, 0)
    strict.begin("cell 2")
    assert strict.seen("cell 1") == "then\n"


# ---- what moves ---------------------------------------------------------------------------------


def text_of(look: Callable[[], Any]) -> Callable[[], Any]:
    def shown() -> Any:
        return look(), {"text/plain": "over" if look() else "on"}

    return shown


def test_what_was_displayed_moves_until_its_end(
    strict: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scattergather.client.seen.live.INTERVAL", 0.01)
    over: list[int] = []
    here.show_moving(text_of(lambda: bool(over)))
    next_cell(strict, "cell 2")
    assert strict.seen("cell 1") == "on\n"
    over.append(1)
    until(lambda: strict.seen("cell 1") == "over\n")
    live = here._kernels[-1].live
    until(lambda: not live._runs)


def test_what_moves_is_right_when_a_cell_ends(
    strict: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scattergather.client.seen.live.INTERVAL", 60)
    over: list[int] = []
    here.show_moving(text_of(lambda: bool(over)))
    next_cell(strict, "cell 2")
    over.append(1)
    next_cell(strict, "cell 3")
    assert strict.seen("cell 1") == "over\n"


def test_what_was_displayed_of_a_job_moves_again_when_it_is_retried(c: Any, strict: Shell) -> None:
    job = c.addJob([((n,), {}) for n in (0, 1)], work.inverse)
    job.results(errors="return")
    job._ipython_display_()
    assert "1 failed" in strict.seen("cell 1")
    next_cell(strict, "cell 2")
    job.retry(work.noop).results()
    next_cell(strict, "cell 3")
    assert strict.seen("cell 1").splitlines()[-1].endswith(" 2/2")


def test_a_job_and_a_client_move_in_a_notebook_only(c: Any, strict: Shell) -> None:
    job = c.addJob([((n,), {}) for n in range(3)], work.noop)
    job._ipython_display_()
    c._ipython_display_()
    job.results()
    next_cell(strict, "cell 2")
    shown = strict.seen("cell 1")
    assert "job 1  ━━━━━━━━━━━━━━━━━━━━  3/3\n" in shown
    assert "3 done" in shown
    assert "<progress value='3' max='3'>" in strict.bundles("cell 1")[0]["text/html"]
    here._kernels[-1].live._views.clear()  # the client goes on behind this test, and the shell not
    del sys.modules["IPython"]
    with pytest.raises(NotImplementedError):
        job._ipython_display_()
