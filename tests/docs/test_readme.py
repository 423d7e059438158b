from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import scattergather
from scattergather.cli.main import cli
from scattergather.client.options import JobOptions

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs" / "guide.md").read_text()
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.system
@pytest.mark.parametrize("block", [*CODE.findall(README), "\n".join(CODE.findall(GUIDE))])
def test_the_code_in_the_readme_and_the_guide_runs_and_prints_what_it_says(
    block: str, tmp_path: Path
) -> None:
    script = tmp_path / "readme.py"
    script.write_text(block)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)\s+# (.*)", block)
    assert promised
    assert done.stdout.splitlines() == promised


def test_every_command_in_the_readme_exists() -> None:
    named = set(re.findall(r"^scattergather (\w+)", README + GUIDE, re.MULTILINE))
    assert named
    shown = CliRunner().invoke(cli, ["--help"]).output
    for command in named:
        assert command in shown


def test_every_make_target_in_the_readme_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert target in targets


def test_every_path_in_the_readme_exists() -> None:
    for path in re.findall(r"`((?:docs|notebooks|benchmarks)/[\w./-]+)`", README + GUIDE):
        assert (ROOT / path).exists(), path


def test_the_readme_leads_to_the_guide_and_the_guide_names_the_errors_that_there_are() -> None:
    assert "(docs/guide.md)" in README
    cells = re.findall(r"^\| (`.*?) \|", GUIDE[GUIDE.index("| you see |") :], re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([A-Z]\w+)`", cell)}
    assert len(named) > 10
    for name in named:
        assert issubclass(getattr(scattergather, name), scattergather.ScatterGatherError)


def test_the_guide_lists_every_option_of_a_job() -> None:
    for option in fields(JobOptions):
        assert f"`{option.name}=" in GUIDE, option.name


def test_every_command_can_be_loaded() -> None:
    for command in ("pool", "hosts", "demo", "version"):
        done = CliRunner().invoke(cli, [command, "--help"])
        assert done.exit_code == 0, done.output
