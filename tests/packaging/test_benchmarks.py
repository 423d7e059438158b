"""The arithmetic of the benchmarks: a wrong yardstick is worse than none."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import functions, large, memory, report, trees
from benchmarks.__main__ import main, picked
from benchmarks.rounds import Figures
from benchmarks.system import System
from benchmarks.systems.roster import FLOORS, by_name
from benchmarks.targets import EMBEDDED, PEERS, TARGETS, Target, beside_best, beside_fastest


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
    assert figures.ratios(("a", "x"), ("b", "x")) == pytest.approx([0.1, 0.3, 0.9])
    assert figures.ratios(("a", "x"), ("c", "x")) == []
    assert figures.median("a", "x") == pytest.approx(7.5)


def test_targets_speak_of_systems_that_exist():
    assert set(PEERS) < set(by_name())
    figures = Figures(rounds=[dict.fromkeys(((s, c) for s in by_name() for c in CASES), 1.0)])
    assert all(target.values(figures) for target in TARGETS)


CASES = (
    "start", "roundtrip", "map", "submit", "seed", "naps", "refresh", "queued", "iterate-1M",
    "iterate-10M", "shared-held", "plus-one-held", "shared-sent", "echo", "copied", "plus-one",
    "arrays", "arrays-map", "shared", "put", "whole", "whole-put", "hosts-together",
    "hosts-spread", "between-added", "between-kept-small",
    "between-handed", "between-handed-passed", "between-exchanged", "between-exchanged-grown",
)  # fmt: skip


def test_the_best_peer_is_the_one_beside_whom_we_look_worst():
    ours, peers = {(EMBEDDED, "x"): 6.0}, {(PEERS[0], "x"): 3.0, (PEERS[1], "x"): 12.0}
    assert beside_best("x")(Figures(rounds=[{**ours, **peers}])) == [2.0]
    assert beside_best("x")(Figures(rounds=[ours])) == []
    assert beside_fastest("x")(Figures(rounds=[{**ours, **peers}])) == [0.5]
    assert beside_fastest("x")(Figures(rounds=[ours])) == []


def test_the_report_says_what_was_measured_what_was_wanted_and_how_far_it_went():
    figures = Figures(
        rounds=[
            {(EMBEDDED, "seed"): 3.0, ("serial", "seed"): 4.0, ("forks", "seed"): 2.5},
            {(EMBEDDED, "seed"): 2.0, ("serial", "seed"): 4.0, ("forks", "seed"): 2.5},
            {(EMBEDDED, "seed"): 4.0, ("serial", "seed"): 4.0, ("forks", "seed"): 2.5},
        ],
        lacking={("joblib", "iterate-1M"): "7 of 9"},
    )
    text = report.report(
        figures, {EMBEDDED: "1", "serial": "1", "forks": "1"}, command="", short=False, load=(0, 0)
    )
    assert "| the seed's job, 10,000 tasks | 3.00 s | 4.00 s | 2.50 s |" in text
    assert "| the seed's job, 10,000 tasks | 2.00 s to 4.00 s |" in text
    assert "| the seed's job / (serial / 2) | ≤ 1.150 | 1.500 | 1.000 to 2 | **missed** |" in text
    assert "| the seed's job / 2 bare forks | ≤ 1.150 | 1.200 | 0.800 to 1.600 |" in text
    assert "take 1.250 times serial / 2" in text
    assert "- joblib, iterate-1M: 7 of 9" in text
    assert "Not for quoting" in text


def test_a_group_picks_all_of_its_cases_and_nothing_else():
    assert picked("between", ["between-a", "betray", "between-b"], "case") == [
        "between-a",
        "between-b",
    ]
    assert picked("betw", ["between-a", "hosts"], "case") == ["between-a"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "foo"], "no case 'foo'; there are: roundtrip, map"),
        (["--only", "iterate"], "'iterate' fits several: iterate-1M, iterate-10M"),
        (["--peers", "foo"], "no peer 'foo'; there are: ProcessPoolExecutor"),
        (["--short", "--only", "iterate-10M"], "not part of a short run: iterate-10M"),
        (["--without-ours", "--peers", "none"], "nothing is left to measure"),
        (["--write", "--rounds", "4"], "--write takes 5 rounds at least"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(words, says):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize(
    ("at_least", "value", "met"),
    [(False, 1.0, True), (False, 1.01, False), (True, 1.0, True), (True, 0.99, False)],
)
def test_a_target_is_met_on_its_good_side(at_least, value, met):
    target = Target(text="", values=lambda _: [], limit=1.0, at_least=at_least)
    assert target.met(value) is met


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00038, "s", "380 µs"),
        (1.234, "s", "1.23 s"),
        (160_123.0, "/s", "160,000/s"),
        (299.6, "B", "300 B"),
        (2.164e9, "B/s", "2.16 GB/s"),
        (65.9e6, "B/s", "65.9 MB/s"),
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


def shared_memory(size: int) -> int:
    memfd = os.memfd_create("test")
    os.ftruncate(memfd, size)
    for offset in range(0, size, 1 << 20):
        os.pwrite(memfd, bytes(1 << 20), offset)
    return memfd


@pytest.mark.alone
def test_shared_memory_counts_once_whether_or_not_it_is_mapped_and_copies_count_beside_it():
    size = 256 << 20
    slack = size // 8
    me = [os.getpid()]
    before = memory.held(me)
    memfd = shared_memory(size)
    assert memory.pss(me) < before + slack
    assert memory.held(me) - before == pytest.approx(size, abs=slack)
    with mmap.mmap(memfd, size, flags=mmap.MAP_PRIVATE) as mapping:
        sum(mapping[::4096])
        assert memory.held(me) - before == pytest.approx(size, abs=slack)
        mapping[: size // 2] = bytes(size // 2)
        assert memory.held(me) - before == pytest.approx(1.5 * size, abs=slack)
    os.close(memfd)
    assert memory.held(me) - before == pytest.approx(0, abs=slack)


def test_everybody_is_found_who_came_of_a_stage_also_in_a_session_of_his_own(monkeypatch):
    monkeypatch.setenv(memory.MARK, "")
    memory.mark()
    command = [sys.executable, "-c", "print(flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as child:
        child.stdout.readline()
        assert memory.everybody() == sorted([os.getpid(), child.pid])
        child.communicate(b"\n")
    assert memory.everybody() == [os.getpid()]


@pytest.mark.parametrize("name", ["slabs", "TLS stream"])
def test_a_floor_gives_back_what_a_copy_would(name):
    system = by_name()[name]
    assert name in FLOORS
    system.start()
    try:
        array = large.array_of(1 << 20)
        for mark in range(3):
            assert large.lap(system, functions.copied, array, mark) > 0
    finally:
        system.stop()


def test_a_lap_is_not_taken_from_who_answers_from_memory():
    class Lazy(System):
        name = "lazy"
        kept: Any = None

        def roundtrip(self, function: Any, x: Any) -> Any:
            if self.kept is None:
                self.kept = function(x.copy())
            return self.kept

    lazy, array = Lazy(), large.array_of(1 << 16)
    large.lap(lazy, functions.plus_one, array, 1.5)
    with pytest.raises(AssertionError):
        large.lap(lazy, functions.plus_one, array, 2.5)


def test_two_trees_are_compared_in_turn():
    root = Path(__file__).parents[2]
    done = CliRunner().invoke(trees.main, [str(root), "--only", "roundtrip", "--turns", "2"])
    assert done.exit_code == 0, done.output
    (row,) = [line for line in done.output.splitlines() if line.startswith("| roundtrip")]
    ratio = float(row.split("|")[4])
    assert 0.01 < ratio < 100


def test_a_case_that_there_is_not_is_named():
    done = CliRunner().invoke(trees.main, [".", "--only", "roundtrips"])
    assert done.exit_code == 2
    assert "no case roundtrips" in done.output
