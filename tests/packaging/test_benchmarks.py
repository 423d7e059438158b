"""The arithmetic of the benchmarks: a wrong yardstick is worse than none."""

from __future__ import annotations

import pytest

from benchmarks import functions, report
from benchmarks.rounds import Figures
from benchmarks.systems.roster import by_name
from benchmarks.targets import PEERS, TARGETS, Target


def test_greedy_gives_the_next_task_to_whoever_is_free_first():
    assert functions.greedy([3, 1, 1, 1, 5], 2) == 8
    assert functions.greedy([2, 2], 2) == 2
    assert functions.greedy([], 2) == 0


def test_heavy_tailed_durations_are_fixed_and_within_their_bounds():
    durations = functions.heavy_tailed(400)
    assert durations == functions.heavy_tailed(400)
    assert min(durations) >= 0.001
    assert max(durations) == 0.4


def test_a_ratio_is_taken_within_rounds_before_the_median():
    figures = Figures(
        rounds=[
            {("a", "x"): 1.0, ("b", "x"): 10.0},
            {("a", "x"): 6.0, ("b", "x"): 20.0},
            {("a", "x"): 9.0, ("b", "x"): 10.0},
            {("a", "x"): 100.0},
        ]
    )
    assert figures.ratio(("a", "x"), ("b", "x")) == pytest.approx(0.3)
    assert figures.ratio(("a", "x"), ("c", "x")) is None
    assert figures.median("a", "x") == pytest.approx(7.5)


def test_targets_speak_of_systems_that_exist():
    assert set(PEERS) < set(by_name())
    figures = Figures(rounds=[dict.fromkeys(((s, c) for s in by_name() for c in CASES), 1.0)])
    assert all(target.value(figures) is not None for target in TARGETS)


CASES = (
    "start", "roundtrip", "map", "submit", "seed", "naps", "queued", "iterate-1M", "iterate-10M",
)  # fmt: skip


@pytest.mark.parametrize(
    ("at_least", "value", "met"),
    [(False, 1.0, True), (False, 1.01, False), (True, 1.0, True), (True, 0.99, False)],
)
def test_a_target_is_met_on_its_good_side(at_least, value, met):
    target = Target(text="", value=lambda _: None, limit=1.0, at_least=at_least)
    assert target.met(value) is met


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00038, "s", "380 µs"),
        (1.234, "s", "1.23 s"),
        (160_123.0, "/s", "160,000/s"),
        (299.6, "B", "300 B"),
        (150e6, "B", "150.0 MB"),
        (1.0345, "x", "1.034"),
        (48.21, "x", "48.2"),
        (None, "s", ""),
    ],
)
def test_figures_are_shown_as_a_reader_wants_them(value, unit, text):
    assert report.shown(value, unit) == text


def test_tables_go_between_the_markers_and_nowhere_else(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"top\n{report.BEGIN}\nold\n{report.END}\nbottom\n")
    report.write(page, "new\n")
    assert page.read_text() == f"top\n{report.BEGIN}\nnew\n{report.END}\nbottom\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="has no"):
        report.write(page, "new\n")
