"""``python -m benchmarks``: measures, and prints the tables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from benchmarks import cases, report, rounds
from benchmarks.systems.roster import FLOORS, by_name

CASE_NAMES = [case.name for case in cases.CASES]
PEER_NAMES = [name for name, system in by_name().items() if not system.ours]
SHORT = (
    "scattergather",
    "ProcessPoolExecutor",
    "multiprocessing.Pool",
    "joblib",
    *FLOORS,
)


def picked(text: str | None, known: list[str], what: str) -> list[str]:
    """The names in a comma-separated list, each by any unique beginning; ``none`` picks none.

    The name of a group picks all of it.

    Raises:
        click.BadParameter: a name is unknown or fits several.
    """
    if text is None:
        return known
    if text == "none":
        return []
    names = []
    for word in text.split(","):
        word = word.strip().lower()
        fitting = [name for name in known if name.lower() == word] or [
            name for name in known if name.lower().startswith(word)
        ]
        if word and word not in cases.GROUPS and len(fitting) > 1:
            raise click.BadParameter(f"{word!r} fits several: {', '.join(fitting)}")
        if not word or not fitting:
            raise click.BadParameter(f"no {what} {word!r}; there are: {', '.join(known)}")
        names += fitting
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--short", is_flag=True, help="One small round beside few peers, to see it work.")
@click.option(
    "--only", metavar="CASE,...", help=f"Only these of: {', '.join(CASE_NAMES)}; or none but start."
)
@click.option(
    "--peers", metavar="SYSTEM,...", help=f"Only these of: {', '.join(PEER_NAMES)}; or none."
)
@click.option("--without-ours", is_flag=True, help="Only the peers.")
@click.option(
    "--rounds",
    "count",
    type=click.IntRange(1),
    help=f"How many rounds; {report.ROUNDS}, or 1 if short.",
)
@click.option(
    "--write",
    is_flag=True,
    help=f"Put the tables into benchmarks/README.md too; takes {report.ROUNDS} full rounds.",
)
def main(
    short: bool,
    only: str | None,
    peers: str | None,
    without_ours: bool,
    count: int | None,
    write: bool,
) -> None:
    """Measures scattergather beside its peers, in one run.

    An embedded pool, a pool daemon on loopback and each peer, two workers each, go through the
    same cases in turn. Prints Markdown: the medians, and how our ratios stand to their targets.

    Names may be cut short while they are unique: --only round,map --peers multi,joblib. What
    hosts do among themselves is --only between.
    """
    count = count or (1 if short else report.ROUNDS)
    if write and (short or count < report.ROUNDS):
        raise click.UsageError(f"--write takes {report.ROUNDS} rounds at least, and no short ones")
    roster = by_name()
    ours = [name for name, system in roster.items() if system.ours]
    others = list(PEER_NAMES)
    if short and peers is None:
        others = [name for name in others if name in SHORT]
        ours = [name for name in ours if name in SHORT]
    else:
        others = picked(peers, others, "peer")
    wanted = picked(only, CASE_NAMES, "case")
    groups = {word.strip().lower() for word in (only or "").split(",")} & {*cases.GROUPS}
    long = [
        case.name
        for case in cases.CASES
        if case.long and case.name in wanted and case.name.partition("-")[0] not in groups
    ]
    if short and only is not None and long:
        raise click.UsageError(f"not part of a short run: {', '.join(long)}")
    systems = others if without_ours else ours + others
    if not systems:
        raise click.UsageError("--without-ours and no peers: nothing is left to measure")
    versions = {name: roster[name].version() for name in systems}

    before = os.getloadavg()[0]
    figures = rounds.run(
        [name for name in systems if versions[name] is not None],
        wanted,
        rounds=count,
        short=short,
        say=lambda text: click.echo(text, err=True),
    )
    text = report.report(
        figures,
        versions,
        command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
        short=short,
        load=(before, os.getloadavg()[0]),
    )
    click.echo(text)
    if write:
        report.write(Path(__file__).with_name("README.md"), text)
    if any(system in trouble for trouble in figures.troubles for system in ours):
        sys.exit(1)


if __name__ == "__main__":
    main()
