"""``python -m benchmarks.chaos``: breaks things, and prints the table."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from benchmarks import report
from benchmarks.__main__ import picked
from benchmarks.chaos import runs
from benchmarks.chaos.peers import by_name
from benchmarks.chaos.scenarios import PATIENCE, SCENARIOS
from benchmarks.system import WORKERS

PAGE = Path(__file__).parents[2] / "docs" / "chaos-table.md"
NAMES = [scenario.name for scenario in SCENARIOS]
OURS = "scattergather"

HEAD = f"""# When things break: the same scripts, for us and for our peers

Every cell is one run in a process session of its own with {WORKERS} workers, and was ended from
outside if it did not end. *Lost*: the outcome was an error of the system's making. *Hung*: there
was no outcome within the limit ({PATIENCE:g} s for a single bad task, 18 to 28 s for a stream).
*Run again*: executions beyond one a task. For a single bad task the cell says what its future
raised or that it returned, and what became of four neighbours and of the next task. The sort of an
outcome is reliable; seconds are of one run.

"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--short", is_flag=True, help="A few scenarios, to see it work.")
@click.option("--only", metavar="SCENARIO,...", help=f"Only these of: {', '.join(NAMES)}.")
@click.option("--peers", metavar="PEER,...", help="Only these beside ours; or none.")
@click.option("--write", is_flag=True, help=f"Put the whole table into {PAGE.name} too.")
def main(short: bool, only: str | None, peers: str | None, write: bool) -> None:
    """Breaks workers, tasks and clients, the same for scattergather and for its peers."""
    if write and (short or only or peers):
        raise click.UsageError("--write takes the whole table")
    known = by_name()
    installed = {name: peer.version() for name, peer in known.items()}
    others = [name for name in known if name != OURS]
    names = [OURS, *picked(peers, others, "peer")]
    names = [name for name in names if installed[name] is not None]
    wanted = picked(only, NAMES, "scenario")
    rows = []
    before = os.getloadavg()[0]
    for scenario in SCENARIOS:
        if scenario.name not in wanted or (short and not scenario.short):
            continue
        row = [scenario.title]
        for name in names:
            click.echo(f"{scenario.name}: {name}", err=True)
            row.append(runs.play(name, scenario))
        rows.append(row)
    missing = [name for name, version in installed.items() if version is None]
    lines = [
        f"`{' '.join(['python -m benchmarks.chaos', *sys.argv[1:]])}` on {report.machine()}; "
        f"load before {before:.1f}, after {os.getloadavg()[0]:.1f}.",
        "Versions: " + "; ".join(f"{name} {installed[name]}" for name in names) + ".",
        *([f"Not installed, so left out: {', '.join(missing)}."] if missing else []),
        "",
        *(f"| {' | '.join(row)} |" for row in (["", *names], ["---"] * (len(names) + 1), *rows)),
    ]
    text = "\n".join(lines) + "\n"
    click.echo(text)
    if write:
        PAGE.write_text(HEAD + text)
    if any(word in row[1] for row in rows for word in ("lost", "hung", "left", "pool", "died")):
        sys.exit(1)


if __name__ == "__main__":
    main()
