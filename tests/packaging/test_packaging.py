"""The package is installable as it stands, and the contracts of its floors bite."""

from __future__ import annotations

import configparser
import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "scattergather"


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_the_link_to_the_workers_is_relative():
    assert os.readlink(PACKAGE / "workers") == "../workers"


def test_every_folder_with_modules_is_a_package():
    for folder, folders, names in os.walk(PACKAGE, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        if any(name.endswith(".py") for name in names):
            assert "__init__.py" in names, folder


@pytest.mark.parametrize("group", ["console_scripts", "scattergather.services"])
def test_entry_points_lead_to_something_callable(group):
    for line in setup_cfg()["options.entry_points"][group].strip().splitlines():
        module, _, name = line.split("=", 1)[1].strip().partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_extras_of_the_demo_are_in_those_of_the_tests():
    extras = setup_cfg()["options.extras_require"]
    assert set(extras["demo"].split()) <= set(extras["test"].split())


# One module that exists, and a line that it must not hold.
FORBIDDEN = [
    ("model/__init__.py", "import scattergather.client"),
    ("wire/__init__.py", "import scattergather.scheduler"),
    ("client/__init__.py", "import twisted.internet.defer"),
    ("controller/__init__.py", "import foolscap.api"),
    ("scheduler/__init__.py", "import threading"),
    ("workers/process/__init__.py", "import twisted.python.log"),
    ("workers/pool/__init__.py", "import scattergather.workers.process"),
]


@pytest.mark.parametrize(("module", "line"), FORBIDDEN)
def test_a_contract_breaks_when_a_floor_is_left(module, line, tmp_path):
    pytest.importorskip("importlinter", reason="comes with the extra [lint]")
    # Follows the link. What another process is just compiling has another name in a moment.
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "scattergather", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as m; m()"]
    command += ["--no-cache"]

    def lint() -> subprocess.CompletedProcess[str]:
        path = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            command, cwd=tmp_path, env=path, capture_output=True, text=True, check=False
        )

    with open(tmp_path / "scattergather" / module, "a") as source:
        source.write(f"\n{line}\n")
    broken = lint()
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "BROKEN" in broken.stdout


def test_a_timeout_strikes_a_test_again_whose_clean_up_stands_still_too(
    request: pytest.FixtureRequest,
) -> None:
    seconds, again = signal.getitimer(signal.ITIMER_REAL)
    assert request.config.getoption("usepdb") or 0 < again < seconds
