"""What the documents call a file is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
]
PLACES = (
    "",
    "scattergather",
    "workers",
    "workers/process",
    "workers/pool",
    "tests",
    "tests/system",
)


def exists(path: str, document: Path) -> bool:
    return (document.parent / path).exists() or any((ROOT / at / path).exists() for at in PLACES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+(?:[\w-]+\.\w+)?)`", document.read_text()))
    assert not {path for path in named if not exists(path, document)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_within_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert exists(target.partition("#")[0], document), target
