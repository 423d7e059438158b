"""``python -m benchmarks.trees OTHER``: the core's figures beside those of another tree.

``OTHER`` is a checkout of another version: ``git worktree add ../before COMMIT``. A client of each
tree stands ready, and they are asked in turn, a fraction of a second each: so a machine that gives
more or less from minute to minute gives it to both. The ratio is taken within a turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click

CASES = ("roundtrip", "submit", "map", "seed")
HERE = Path(__file__).parents[1]


class Tree:
    """A client of the scattergather in this folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("lapper.py"))],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def lap(self, case: str) -> float:
        """Seconds of one lap.

        Raises:
            ClickException: the process ended; what it said is on the screen.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{case}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        if not (said := self.process.stdout.readline()):
            raise click.ClickException(f"the client in {self.process.args!r} ended")
        return float(said)

    def stop(self) -> None:
        """Its controller ends, too."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", metavar="CASE,...", help=f"Only these of: {', '.join(CASES)}.")
@click.option("--turns", type=click.IntRange(2), default=30, show_default=True, help="Of each.")
def main(other: Path, only: str | None, turns: int) -> None:
    """Times of this tree divided by those of the checkout OTHER; below 1 this one is faster."""
    cases = only.split(",") if only else list(CASES)
    if unknown := set(cases) - set(CASES):
        raise click.BadParameter(f"no case {', '.join(sorted(unknown))}; there are {CASES}")
    trees = [Tree(HERE), Tree(other.resolve())]
    for tree in trees:
        tree.lap("roundtrip")
    print("| median | here | there | here / there | middle half |")
    print("| --- | --: | --: | --: | --: |")
    for case in cases:
        laps: list[tuple[float, ...]] = []
        for turn in range(turns):
            order = [0, 1] if turn % 2 else [1, 0]
            took = {place: trees[place].lap(case) for place in order}
            laps.append((took[0], took[1]))
        here, there = (statistics.median(each) for each in zip(*laps, strict=True))
        ratios = sorted(ours / theirs for ours, theirs in laps)
        low, high = ratios[turns // 4], ratios[-1 - turns // 4]
        shown = f"{statistics.median(ratios):.3f} | {low:.3f} to {high:.3f}"
        print(f"| {case} | {1e3 * here:.3f} ms | {1e3 * there:.3f} ms | {shown} |")
    for tree in trees:
        tree.stop()


if __name__ == "__main__":
    main()
