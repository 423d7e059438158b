"""Whatever is counted for a user is counted by one function, which knows that 1 is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scattergather.model.snapshot import plural

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "scattergather").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
NOUNS = "worker|task|host|job|call|line|process|failure|session|controller|guest|service|core"
# A share ("2 of 3 tasks") and a bound that is a constant are as they are.
COUNTED = re.compile(rf"(?<!of )(?<!than )\{{(?![A-Z_]+\}})[^{{}}]*\}} (?:{NOUNS})e?s\b")
FIVE_AT_LEAST = {"{restarts.count} workers", "{len(self.failures)} failures"}


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "worker", "0 workers"),
        (1, "worker", "1 worker"),
        (2, "worker", "2 workers"),
        (1, "process", "1 process"),
        (2, "process", "2 processes"),
    ],
)
def test_one_is_one(count: int, noun: str, said: str) -> None:
    assert plural(count, noun) == said


def test_nobody_counts_by_himself() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in SOURCES
        for match in COUNTED.finditer(path.read_text())
        if match[0] not in FIVE_AT_LEAST
    }
    assert not found
