from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from scattergather.model import placement
from scattergather.wire.messages import client, files, peers, pool, shared, zygote
from scattergather.wire.messages import page as messages

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"

DIRECTIONS = {
    "client → controller": messages.ToController,
    "controller → client": messages.ToClient,
    "controller → pool": messages.ToPool,
    "pool → controller": messages.FromPool,
    "pool → worker": messages.ToWorker,
    "worker → pool": messages.FromWorker,
    "daemon → zygote": messages.ToZygote,
    "zygote → daemon": messages.FromZygote,
}


def test_the_page_lists_every_message_of_every_direction() -> None:
    rows = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in DIRECTIONS:
            rows[cells[0]] = set(re.findall(r"`(\w+)`", cells[2]))
    assert rows == {
        name: {message.__name__ for message in get_args(union)}
        for name, union in DIRECTIONS.items()
    }


def test_the_page_names_the_protocol() -> None:
    assert PAGE.read_text().startswith(f"# The wire\n\nProtocol {messages.PROTOCOL}.")


STRUCTS = {
    name: found
    for module in (shared, client, files, peers, pool, zygote, placement)
    for name, found in vars(module).items()
    if isinstance(found, type)
    and issubclass(found, msgspec.Struct)
    and found is not shared.Message
    and found.__module__ == module.__name__
}


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_what_a_message_says_of_its_fields_is_true(name: str) -> None:
    said = set(re.findall(r"``([\w.]+)``", STRUCTS[name].__doc__ or ""))
    named = {each for each in STRUCTS if each in said} | {name}
    known = named | {
        place
        for each in named
        for field in msgspec.structs.fields(STRUCTS[each])
        for place in (field.name, f"{each}.{field.name}")
    }
    known |= {
        f"{each}.{field.name}"
        for each in STRUCTS
        for field in msgspec.structs.fields(STRUCTS[each])
    }
    known |= {word for word in said if word.startswith(("wire.", "outcome.", "__"))}
    assert said - known == set()


def test_the_page_names_the_other_structs_that_messages_are_made_of() -> None:
    page = PAGE.read_text()
    assert [name for name in sorted(STRUCTS) if f"`{name}" not in page] == []


def test_the_page_names_only_messages_that_there_are() -> None:
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)(?:\.(\w+))?`", PAGE.read_text()))
    fields = {
        name: {each.name for each in msgspec.structs.fields(STRUCTS[name])} for name in STRUCTS
    }
    assert [
        (name, field)
        for name, field in sorted(named)
        if name not in fields or (field and field not in fields[name])
    ] == []
