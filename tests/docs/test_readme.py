from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from scattergather.cli.main import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.system
@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_code_in_the_readme_runs_and_prints_what_it_says(block: str, tmp_path: Path) -> None:
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
    named = set(re.findall(r"^scattergather (\w+)", README, re.MULTILINE))
    assert named
    shown = CliRunner().invoke(cli, ["--help"]).output
    for command in named:
        assert command in shown


def test_every_make_target_in_the_readme_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert target in targets


def test_every_path_in_the_readme_exists() -> None:
    for path in re.findall(r"`((?:docs|notebooks|benchmarks)/[\w./-]+)`", README):
        assert (ROOT / path).exists(), path


def test_every_command_can_be_loaded() -> None:
    for command in ("pool", "hosts", "demo", "version"):
        done = CliRunner().invoke(cli, [command, "--help"])
        assert done.exit_code == 0, done.output
