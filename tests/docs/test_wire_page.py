from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

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
