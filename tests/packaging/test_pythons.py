"""Which Pythons ``make test-pythons`` takes, told by stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import pythons


@pytest.fixture
def python(tmp_path: Path):
    """Makes an executable that says it is some version, or fails."""

    def make(folder: str, name: str, says: str) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)
        return path

    return make


def test_each_minor_version_is_taken_once_where_it_is_found_first(python, tmp_path) -> None:
    newer = python("a", "python3.13", "echo 3.13")
    first = python("a", "python3.12", "echo 3.12")
    python("b", "python3.12", "echo 3.12")
    places = (tmp_path / name for name in ("none", "a", "b"))
    assert list(pythons.found(places).items()) == [("3.12", first), ("3.13", newer)]


def test_what_does_not_run_or_is_another_or_too_old_is_passed_over(python, tmp_path) -> None:
    python("a", "python3.12", "echo pyenv: not installed >&2; exit 127")
    python("a", "python3.13", "echo 3.11")
    for name in ("python3.10", "python3", "python3.12-config", "python3.12t"):
        python("a", name, "echo 3.12")
    second = python("b", "python3.12", "echo 3.12")
    assert pythons.found([tmp_path / "a", tmp_path / "b"]) == {"3.12": second}


def test_those_of_pyenv_come_last_and_the_newest_of_them_first(python, tmp_path) -> None:
    for version in ("3.12.9", "3.12.10"):
        python(f".pyenv/versions/{version}/bin", "python3.12", "echo 3.12")
    places = list(pythons.folders({"PATH": "/x:/y", "HOME": str(tmp_path)}))
    versions = tmp_path / ".pyenv" / "versions"
    assert places == [
        Path("/x"),
        Path("/y"),
        versions / "3.12.10" / "bin",
        versions / "3.12.9" / "bin",
    ]


def test_what_is_left_out_is_said(python, tmp_path, monkeypatch, capsys) -> None:
    other = python("a", "python3.12", "echo 3.12")
    own = python("own", "python", "echo 3.13")
    python("a", "python3.13", "echo 3.13")
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    pythons.main(str(own), "3.12", "3.13", "3.99")
    printed = capsys.readouterr()
    assert printed.out == f"3.12={other}\n"
    assert "Python 3.13 is that of make test" in printed.err
    assert "No Python 3.99 with venv is in PATH" in printed.err


def test_this_python_is_one() -> None:
    assert pythons.version_of(sys.executable) == f"3.{sys.version_info.minor}"
