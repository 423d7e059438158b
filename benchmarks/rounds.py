"""All systems, in turn, round after round, each time in a fresh process."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cases

PATIENCE = 600.0


@dataclass(slots=True)
class Figures:
    """Everything that was measured: for each round, the figure of each (system, case)."""

    rounds: list[dict[tuple[str, str], float]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    lacking: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why a (system, case) has no figure, where its adapter says so."""
    notes: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def all(self, system: str, case: str) -> list[float]:
        """The figure in each round that has it."""
        return [figures[system, case] for figures in self.rounds if (system, case) in figures]

    def median(self, system: str, case: str) -> float | None:
        """The median over the rounds, ``None`` if it was never taken."""
        figures = self.all(system, case)
        return statistics.median(figures) if figures else None

    def ratios(self, over: tuple[str, str], under: tuple[str, str]) -> list[float]:
        """One figure over another, in each round that has both."""
        return [
            figures[over] / figures[under]
            for figures in self.rounds
            if over in figures and under in figures
        ]


def stage(system: str, wanted: Sequence[str], short: bool, figures: Figures) -> None:
    """Runs one stage and adds its figures to the last round."""
    with tempfile.TemporaryDirectory() as folder:
        path, log = os.path.join(folder, "figures"), os.path.join(folder, "log")
        environment = {**os.environ, "BENCHMARKS_SCALE": "short" if short else "full"}
        with open(log, "w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.stage", system, path, *wanted],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                figures.troubles.append(f"{system}: no end after {PATIENCE:.0f} s")
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        written = Path(path)
        lines = written.read_text().splitlines() if written.exists() else []
        for line in map(json.loads, lines):
            if "figure" in line:
                figures.rounds[-1][system, line["case"]] = line["figure"]
            if line.get("lacking"):
                figures.lacking[system, line["case"]] = line["lacking"]
            if "error" in line:
                figures.troubles.append(f"{system}, {line['case']}: {line['error']}")
            if "notes" in line:
                figures.notes.setdefault(system, []).append(line["notes"])
        if process.returncode != 0:
            with open(log) as output:
                tail = " | ".join(output.read().strip().splitlines()[-3:])
            figures.troubles.append(f"{system}: ended with {process.returncode}: {tail}")


def run(
    systems: Sequence[str],
    wanted: Sequence[str],
    *,
    rounds: int,
    short: bool,
    say: Callable[[str], None],
) -> Figures:
    """Measures the wanted cases of the systems.

    Args:
        systems: names of the roster, in any order; it rotates from round to round.
        wanted: names of cases.
        rounds: how often; at least 5 for figures that are quoted.
        short: smaller, and without what takes minutes.
        say: is told what goes on.
    """
    figures = Figures()
    known = {case.name: case for case in cases.CASES}
    for number in range(rounds):
        figures.rounds.append({})
        now = [
            name
            for name in wanted
            if name in known
            and not (known[name].once and number > 0)
            and not (known[name].long and short)
        ]
        for place in range(len(systems)):
            system = systems[(place + number) % len(systems)]
            say(f"round {number + 1} of {rounds}: {system}")
            stage(system, now, short, figures)
    return figures
