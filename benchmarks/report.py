"""The tables, in Markdown."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cases import CASES, START
from benchmarks.rounds import Figures
from benchmarks.system import WORKERS
from benchmarks.systems.roster import FLOORS
from benchmarks.targets import TARGETS

ROUNDS = 5
"""How many a figure that is quoted takes at least."""

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def shown(value: float | None, unit: str) -> str:
    """A figure as a reader wants it: 0.00038 s as 380 µs, 162,000 bytes as 162 kB."""
    if value is None:
        return ""
    if unit == "s":
        if value < 0.001:
            return f"{value * 1e6:.0f} µs"
        return f"{value * 1e3:.1f} ms" if value < 0.1 else f"{value:.2f} s"
    if unit == "B":
        if abs(value) < 10_000:
            return f"{value:,.0f} B"
        return f"{value / 1e3:.0f} kB" if abs(value) < 1e6 else f"{value / 1e6:.1f} MB"
    if unit == "B/s":
        return f"{value / 1e9:.2f} GB/s" if value >= 1e8 else f"{value / 1e6:.1f} MB/s"
    if unit == "/s":
        return f"{float(f'{value:.3g}'):,.0f}/s"
    return f"{value:.3f}" if 0.1 < value < 2 else f"{float(f'{value:.3g}'):g}"


def span(values: Sequence[float], unit: str) -> str:
    """The lowest and the highest."""
    return f"{shown(min(values), unit)} to {shown(max(values), unit)}" if values else ""


def cores() -> str:
    """How many processors there are, and on how many cores: hyper-threads share one."""
    folder = Path("/sys/devices/system/cpu")
    siblings = {path.read_text() for path in folder.glob("cpu[0-9]*/topology/thread_siblings_list")}
    processors = os.cpu_count() or 1
    if not siblings or len(siblings) == processors:
        return f"{processors} cores"
    return f"{processors} hyper-threads on {len(siblings)} core{'s'[: len(siblings) != 1]}"


def machine() -> str:
    """Processor, cores, memory, kernel, Python."""
    processor = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    found = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    gigabytes = int(found.group(1)) / 1e6 if found else 0
    return (
        f"{processor}, {cores()}, {gigabytes:.0f} GB, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column is text, the others are figures."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]


def report(
    figures: Figures,
    versions: Mapping[str, str | None],
    *,
    command: str,
    short: bool,
    load: tuple[float, float],
) -> str:
    """Everything that a run has to say.

    Args:
        figures: what was measured.
        versions: of all systems of the run; ``None`` for those that are not installed.
        command: what was typed.
        short: whether the run was only a taste.
        load: the machine's load average before the run and after.
    """
    systems = [name for name, version in versions.items() if version is not None]
    lines = [
        f"`{command}`: {len(figures.rounds)} round(s), medians; {WORKERS} workers each. "
        + f"Load before {load[0]:.1f}, after {load[1]:.1f}.",
        "",
        machine() + ".",
        "Versions: "
        + "; ".join(f"{name} {versions[name]}" for name in systems if name not in FLOORS)
        + ".",
    ]
    if missing := [name for name, version in versions.items() if version is None]:
        lines.append(f"Not installed, so left out: {', '.join(missing)}.")
    if short or len(figures.rounds) < ROUNDS:
        lines.append(f"Not for quoting: that takes {ROUNDS} rounds at least, and no short ones.")
    lines += ["", *_figures(figures, systems), "", *_targets(figures), *_forks(figures)]
    for system, notes in figures.notes.items():
        if len(notes[-1]) > 1:
            way = ", ".join(f"{name} {shown(at, 's')}" for name, at in notes[-1].items())
            lines += ["", f"The start of {system}, last round: {way}."]
    if figures.lacking:
        lines += ["", "Not finished by peers:", ""]
        lines += [f"- {system}, {case}: {why}" for (system, case), why in figures.lacking.items()]
    if figures.troubles:
        lines += ["", "What went wrong:", "", *(f"- {trouble}" for trouble in figures.troubles)]
    return "\n".join(lines) + "\n"


def _figures(figures: Figures, systems: Sequence[str]) -> list[str]:
    """All medians; with several rounds also from where to where they went."""
    titles = [("start to first result", START, "s")]
    titles += [(case.title, case.name, case.unit) for case in CASES]
    medians, spans = [], []
    for title, case, unit in titles:
        row = [shown(figures.median(system, case), unit) for system in systems]
        if any(row):
            medians.append([title, *row])
            spans.append([title, *(span(figures.all(system, case), unit) for system in systems)])
    lines = table(["median", *systems], medians)
    if len(figures.rounds) > 1:
        lines += ["", *table(["lowest to highest", *systems], spans)]
    return lines


def _targets(figures: Figures) -> list[str]:
    rows = []
    for target in TARGETS:
        values = target.values(figures)
        if values:
            value = statistics.median(values)
            limit = ("≥ " if target.at_least else "≤ ") + shown(target.limit, target.unit)
            verdict = "met" if target.met(value) else "**missed**"
            measured = shown(value, target.unit)
            rows.append([target.text, limit, measured, span(values, target.unit), verdict])
    header = ["ours", "target", "measured", "lowest to highest", "verdict"]
    return table(header, rows) if rows else []


def _forks(figures: Figures) -> list[str]:
    """Why ``serial / 2`` may be out of reach of whatever system."""
    ratios = figures.ratios(("forks", "seed"), ("serial", "seed"))
    if not ratios:
        return []
    took = shown(statistics.median(ratios) * WORKERS, "x")
    return [
        "",
        f"{WORKERS} bare forks, which compute the seed's job and send nothing, take {took} times "
        f"serial / {WORKERS} on this machine ({cores()}): a processor that shares a core with a "
        "busy one (hyper-threads, which a virtual machine shows as cores) gives less than alone.",
    ]


def write(path: Path, text: str) -> None:
    """Puts the text between the markers of a page that has them.

    Raises:
        ValueError: the page has no markers.
    """
    page = path.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
