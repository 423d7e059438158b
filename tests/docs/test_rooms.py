"""The tree is its own map: each room says what it holds, none is a hall, a name means one thing."""

from __future__ import annotations

import ast
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "scattergather"
MOST = 14
"""Modules of one room; what needs more is two rooms."""


DOUBLES: dict[str, str] = {}
"""Class names that stand for two things, each with its reason; eight at most."""


def rooms() -> list[Path]:
    return [
        Path(folder)
        for folder, _, names in os.walk(PACKAGE, followlinks=True)
        if "__init__.py" in names and Path(folder) != PACKAGE
    ]


def name_of(room: Path) -> str:
    return str(room.relative_to(PACKAGE))


@pytest.mark.parametrize("room", rooms(), ids=name_of)
def test_a_room_says_in_its_docstring_what_each_of_its_files_and_rooms_is(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert said is not None
    first, *rest = said.splitlines()
    assert first.endswith(".")
    assert rest == [] or rest[0] == ""
    listed = re.findall(r"^``(\w+)``  +\S", said, re.MULTILINE)
    there = {file.stem for file in room.glob("*.py")} - {"__init__"}
    there |= {file.parent.name for file in room.glob("*/__init__.py")}
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize("room", rooms(), ids=name_of)
def test_no_room_is_a_hall(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= MOST


def test_a_class_name_stands_for_one_thing() -> None:
    homes = defaultdict(list)
    for room in (PACKAGE, *rooms()):
        for file in room.glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef):
                    homes[node.name].append(str(file.relative_to(PACKAGE)))
    doubles = {name: files for name, files in homes.items() if len(files) > 1}
    assert doubles.keys() == DOUBLES.keys(), doubles
    assert len(DOUBLES) <= 8
