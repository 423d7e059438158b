"""The Pythons of this machine on which the tests should pass, too: ``make test-pythons``.

Prints one a line, ``3.12=/path/to/python3.12``: each minor version from 3.11 on once, but that of
``make test``. Looks in PATH and among pyenv's. Says on stderr what it leaves out. Standard library
only, since whatever Python there is runs it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

OLDEST = 11
NAME = re.compile(r"python3\.(\d+)")
LOOK = """
import sys, venv, ensurepip
assert sys.implementation.name == "cpython"
print(*sys.version_info[:2], sep=".")
"""


def folders(environment: dict[str, str]) -> Iterator[Path]:
    """Where a Python may be: what the shell would find first, then pyenv's, the newest first."""
    yield from map(Path, environment.get("PATH", "").split(os.pathsep))
    pyenv = environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/"), ".pyenv")
    yield from sorted(Path(pyenv, "versions").glob("*/bin"), key=_age, reverse=True)


def _age(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", folder.parent.name)]


def found(places: Iterable[Path]) -> dict[str, Path]:
    """The first Python of each minor version that works and can make an environment."""
    pythons: dict[str, Path] = {}
    for folder in places:
        for path in sorted(folder.glob("python3.*")):
            named = NAME.fullmatch(path.name)
            if named is None or int(named[1]) < OLDEST:
                continue
            version = f"3.{named[1]}"
            if version not in pythons and version_of(path) == version:
                pythons[version] = path
    return dict(sorted(pythons.items(), key=lambda each: int(each[0][2:])))


def version_of(path: Path | str) -> str:
    """Its minor version; empty if it is none, or cannot make an environment."""
    try:  # pyenv's stand-ins in PATH are there for versions that are switched off, too
        ran = subprocess.run([path, "-c", LOOK], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def main(own: str, *wanted: str) -> None:
    """``own`` is the Python of ``make test``; ``wanted`` are the versions to print, or all."""
    used = version_of(own)
    pythons = found(folders(dict(os.environ)))
    for version in wanted or pythons:
        if version == used:
            said = f"Python {version} is that of make test"
        elif version not in pythons:
            said = f"No Python {version} with venv is in PATH or in ~/.pyenv/versions"
        else:
            print(f"{version}={pythons[version]}")
            continue
        print(said + ", so nothing is tested on it now", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
